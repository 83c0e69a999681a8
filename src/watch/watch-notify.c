/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "watch-notify.h"

#include <errno.h>
#include <sys/epoll.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log.h"
#include "notify-proto.h"
#include "string-util.h"

/* ccpd's socket is looked for again after so long. */
#define RETRY_MIN_USEC (100 * USEC_PER_MSEC)
#define RETRY_MAX_USEC (5 * USEC_PER_SEC)

typedef enum ListPhase {
        LIST_NONE,
        LIST_BEGIN,
        LIST_ITEMS,
} ListPhase;

struct WatchNotify {
        sd_event *event;
        char *path;
        WatchTable *table;
        int fd; /* connected, or -EBADF */
        sd_event_source *io, *timer;
        usec_t retry;

        bool engine_known, engine_available, engine_unsent;
        usec_t engine_started;
        ListPhase phase;
};

static int on_io(_unused_ sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents,
                void *userdata) {
        watch_notify_flush(userdata);
        return 0;
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        watch_notify_flush(userdata);
        return 0;
}

WatchNotify *watch_notify_free(WatchNotify *n) {
        if (!n)
                return NULL;

        sd_event_source_disable_unref(n->io);
        sd_event_source_disable_unref(n->timer);
        safe_close(n->fd);
        sd_event_unref(n->event);
        free(n->path);
        return mfree(n);
}

int watch_notify_new(sd_event *event, const char *path, WatchTable *table, WatchNotify **ret) {
        _cleanup_watch_notify_ WatchNotify *n = NULL;
        int r;

        n = new0(WatchNotify, 1);
        if (!n)
                return -ENOMEM;

        n->fd = -EBADF;
        n->retry = RETRY_MIN_USEC;
        n->event = sd_event_ref(event);
        n->table = table;
        r = free_and_strdup(&n->path, path);
        if (r < 0)
                return r;

        r = sd_event_add_time(event, &n->timer, CLOCK_MONOTONIC, 0, 0, on_timer, n);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(n->timer, "notify-retry");
        r = sd_event_source_set_enabled(n->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(n);
        return 0;
}

/* Whoever listens next knows nothing. */
static void notify_disconnect(WatchNotify *n) {
        n->io = sd_event_source_disable_unref(n->io);
        n->fd = safe_close(n->fd);
        n->engine_unsent = n->engine_known;
        if (n->engine_available)
                watch_notify_begin_list(n);
}

static int notify_connect(WatchNotify *n) {
        int r;

        if (n->fd >= 0)
                return 0;

        n->fd = notify_socket_new_connected(n->path);
        if (n->fd < 0)
                return n->fd;

        r = sd_event_add_io(n->event, &n->io, n->fd, EPOLLOUT, on_io, n);
        if (r >= 0)
                r = sd_event_source_set_enabled(n->io, SD_EVENT_OFF);
        if (r < 0)
                return r;

        (void) sd_event_source_set_description(n->io, "notify-io");
        return 0;
}

static int send_container(WatchNotify *n, const WatchContainer *c) {
        NotifyMessage m = {
                .type = NOTIFY_CONTAINER,
                .instance = c->instance,
                .uuid = c->uuid,
                .service = c->service,
                .container = c->id,
                .state = c->state,
                .health = c->health,
                .exit_code = c->exit_code,
                .since = c->since,
                .started = c->started,
                .n_restarts = c->n_restarts,
                .oom_killed = c->oom && c->state == CONTAINER_EXITED && c->exit_code != 0,
                .stopped = c->stopped && !IN_SET(c->state, CONTAINER_RUNNING, CONTAINER_PAUSED),
                .image = c->image,
                .image_id = c->image_id,
        };

        return notify_socket_send_connected(n->fd, &m);
}

static int send_containers(WatchNotify *n) {
        WatchContainer *c;
        int r;

        while ((c = watch_table_next(n->table))) {
                r = send_container(n, c);
                /* Labels that can't be written as a datagram are nobody's instance. */
                if (r < 0 && r != -EINVAL)
                        return r;
                watch_table_sent(n->table, c);
        }

        return 0;
}

static int send_all(WatchNotify *n) {
        int r;

        if (n->engine_unsent) {
                r = notify_socket_send_connected(n->fd,
                                &(NotifyMessage) { .type = NOTIFY_ENGINE,
                                                .engine_available = n->engine_available,
                                                .engine_started = n->engine_started });
                if (r < 0)
                        return r;
                n->engine_unsent = false;
        }

        if (n->phase == LIST_BEGIN) {
                r = notify_socket_send_connected(n->fd, &(NotifyMessage) { .type = NOTIFY_LIST_BEGIN });
                if (r < 0)
                        return r;
                n->phase = LIST_ITEMS;
        }

        r = send_containers(n);
        if (r < 0)
                return r;

        if (n->phase == LIST_ITEMS) {
                r = notify_socket_send_connected(n->fd, &(NotifyMessage) { .type = NOTIFY_LIST_END });
                if (r < 0)
                        return r;
                n->phase = LIST_NONE;
        }

        return 0;
}

static void notify_retry_later(WatchNotify *n) {
        (void) sd_event_source_set_time(n->timer, now(CLOCK_MONOTONIC) + n->retry);
        (void) sd_event_source_set_enabled(n->timer, SD_EVENT_ONESHOT);
        n->retry = MIN(n->retry * 2, RETRY_MAX_USEC);
}

void watch_notify_flush(WatchNotify *n) {
        int r;

        if (!n->engine_unsent && n->phase == LIST_NONE && !watch_table_next(n->table)) {
                (void) sd_event_source_set_enabled(n->io, SD_EVENT_OFF);
                return;
        }

        r = notify_connect(n);
        if (r >= 0)
                r = send_all(n);
        if (r >= 0) {
                n->retry = RETRY_MIN_USEC;
                (void) sd_event_source_set_enabled(n->io, SD_EVENT_OFF);
                (void) sd_event_source_set_enabled(n->timer, SD_EVENT_OFF);
                return;
        }
        if (r == -EAGAIN && n->io) {
                (void) sd_event_source_set_enabled(n->io, SD_EVENT_ON);
                return;
        }

        log_debug_errno(r, "Cannot tell ccpd, will try again: %m");
        notify_disconnect(n);
        notify_retry_later(n);
}

void watch_notify_set_engine(WatchNotify *n, bool available, usec_t started) {
        if (n->engine_known && n->engine_available == available && n->engine_started == started)
                return;

        n->engine_known = true;
        n->engine_available = available;
        n->engine_started = started;
        n->engine_unsent = true;
}

void watch_notify_begin_list(WatchNotify *n) {
        n->phase = LIST_BEGIN;
        watch_table_queue_all(n->table);
}
