/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-notify.h"

#include <errno.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "alloc-util.h"
#include "log.h"
#include "notify-proto.h"
#include "string-util.h"

/* Datagrams that are read in one turn of the loop, so that a storm of them does not starve the bus. */
#define DATAGRAMS_PER_TURN 64U
/* The loop always takes what is most important of what is ready, so others come to their turn only while the queue
 * is empty, or is not looked at: after so many turns in so short a time. */
#define TURNS_BURST 8U
#define TURNS_INTERVAL_USEC (20 * USEC_PER_MSEC)

/* Only our own workers may tell how far a job is, and each only of its own job. The unit is read from the control
 * group: sd_pid_get_unit() looks at that of PID 1 too, which ProtectProc= hides from us. */
static bool sender_is_job(pid_t pid, uint64_t id) {
        _cleanup_free_ char *group = NULL;
        const char *unit;

        if (sd_pid_get_cgroup(pid, &group) < 0)
                return false;

        unit = strrchr(group, '/');
        return unit && job_id_from_unit(unit + 1) == id;
}

static void dispatch_container(Manager *m, const NotifyMessage *message) {
        Instance *i;
        int r;

        i = instance_find(m, message->instance);
        /* A container of an earlier instance with the same slug is not this one's. */
        if (!i || !streq(i->record->id, message->uuid))
                return;

        r = instance_update_service(i, message);
        if (r < 0)
                log_warning_errno(r, "Failed to note the state of '%s' of '%s': %m", message->service,
                                message->instance);
}

static void manager_dispatch_notify(Manager *m, const NotifyMessage *message, pid_t pid) {
        Instance *i;
        Job *j;

        switch (message->type) {
        case NOTIFY_JOB:
                j = job_find(m, message->job);
                if (j && sender_is_job(pid, message->job))
                        job_update_progress(j, message->progress, message->message, &message->bytes);
                break;
        case NOTIFY_ENGINE:
                manager_set_engine_state(m,
                                message->engine_available ? ENGINE_AVAILABLE : ENGINE_UNAVAILABLE,
                                message->engine_started);
                break;
        case NOTIFY_CONTAINER:
                dispatch_container(m, message);
                break;
        case NOTIFY_LIST_BEGIN:
                for (i = m->instances; i; i = i->hh.next)
                        instance_begin_list(i);
                break;
        case NOTIFY_LIST_END:
                for (i = m->instances; i; i = i->hh.next)
                        instance_end_list(i);
                recovery_list_taken(m->recovery);
                break;
        case _NOTIFY_TYPE_MAX:
        case _NOTIFY_TYPE_INVALID:
                break;
        }
}

/* 1 if there was a datagram, 0 if there is none, a negative errno. */
static int manager_receive(Manager *m) {
        _cleanup_notify_message_ NotifyMessage message = {};
        char data[NOTIFY_DATAGRAM_MAX];
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(struct ucred))];
        } control = {};
        struct iovec iov = { data, sizeof(data) };
        struct msghdr msg = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control),
        };
        struct ucred ucred;
        struct cmsghdr *c;
        ssize_t n;

        n = recvmsg(m->notify_fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (n < 0)
                return IN_SET(errno, EAGAIN, EINTR) ? 0 : -errno;

        c = CMSG_FIRSTHDR(&msg);
        if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
                        (msg.msg_flags & MSG_TRUNC))
                return 1;
        memcpy(&ucred, CMSG_DATA(c), sizeof(ucred));

        if (ucred.uid != getuid()) {
                log_warning("Ignoring a datagram of uid %u on " CCP_NOTIFY_SOCKET ".", ucred.uid);
                return 1;
        }

        if (notify_message_parse(data, (size_t) n, &message) < 0) {
                log_warning("Ignoring a malformed datagram of process %i on " CCP_NOTIFY_SOCKET ".",
                                ucred.pid);
                return 1;
        }

        manager_dispatch_notify(m, &message, ucred.pid);
        return 1;
}

static int on_notify(
                _unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents, void *userdata) {
        Manager *m = userdata;

        for (unsigned k = 0; k < DATAGRAMS_PER_TURN; k++) {
                int r = manager_receive(m);

                if (r < 0)
                        return log_error_errno(r, "Failed to receive on " CCP_NOTIFY_SOCKET ": %m");
                if (r == 0)
                        break;
        }

        return 0;
}

int manager_listen_notify(Manager *m) {
        int n, r;

        n = sd_listen_fds(/* unset_environment= */ true);
        if (n < 0)
                return n;
        if (n != 1) {
                log_warning("No socket was passed to us: progress of jobs and states of containers are not "
                            "known.");
                return 0;
        }

        m->notify_fd = SD_LISTEN_FDS_START;
        r = sd_is_socket_unix(m->notify_fd, SOCK_DGRAM, -1, NULL, 0);
        if (r <= 0)
                return r < 0 ? r : -EINVAL;

        /* Before the ends of units, so that the last words of a worker are heard. */
        r = sd_event_add_io(m->event, &m->notify_source, m->notify_fd, EPOLLIN, on_notify, m);
        if (r < 0)
                return r;

        r = sd_event_source_set_priority(m->notify_source, SD_EVENT_PRIORITY_NORMAL - 1);
        if (r < 0)
                return r;

        r = sd_event_source_set_ratelimit(m->notify_source, TURNS_INTERVAL_USEC, TURNS_BURST);
        if (r < 0)
                return r;

        return sd_event_source_set_enabled(m->notify_source, SD_EVENT_OFF);
}

int manager_hear_notify(Manager *m) {
        return m->notify_source ? sd_event_source_set_enabled(m->notify_source, SD_EVENT_ON) : 0;
}
