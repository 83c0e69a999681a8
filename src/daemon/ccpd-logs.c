/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-logs.h"

#include <errno.h>
#include <sys/socket.h>

#include "alloc-util.h"
#include "ccpd-manager.h"
#include "fd-util.h"
#include "log.h"
#include "string-util.h"
#include "worker-call.h"

/* PID 1 may have to start the program. */
#define READY_TIMEOUT (20 * USEC_PER_SEC)
/* For reading itself, once it was waited for as long as was asked for: by then it has said itself that it takes
 * too long. */
#define ANSWER_TIMEOUT (2 * LOG_ANSWER_TIME_MAX)

/* Of the logs that are read at the same time: for those who may read any; of one user; of his that are collected. */
#define READERS_RESERVED 32U
#define READERS_OF_USER_MAX 16U
#define COLLECTED_OF_USER_MAX 4U

/* Of an answer that is collected. */
#define ANSWER_MAX (2U * 1024U * 1024U)

#define HINT "See: systemctl status ccp-logs.socket, and journalctl -u ccp-logs"

typedef enum ReaderState {
        READER_ASKING,      /* it has not said yet that the request is fine */
        READER_READING,     /* its lines are collected */
        READER_HANDED_OVER, /* its lines go elsewhere */
        READER_LEFT,        /* nobody wants its lines; it was told to end */
} ReaderState;

struct LogReader {
        Manager *manager;
        LogReader *prev, *next;
        ReaderState state;
        uid_t uid;
        char instance[STORE_ID_MAX];
        bool hand_over;
        usec_t wait;
        log_answer_handler_t handler; /* NULL: the answer was given, or nobody needs one */
        void *userdata;

        int fd;   /* the connection */
        int life; /* its other end is closed when the program ends; a byte ends the program */
        sd_event_source *source, *life_source, *timer;
        sd_bus_track *caller;

        StringBuilder in;
        size_t n_searched; /* of it, without a newline */
        size_t n_received;
        LogEntry *entries;
        size_t n_entries, n_entries_allocated;
};

static void reader_drop_lines(LogReader *r) {
        string_builder_done(&r->in);
        FOREACH_ARRAY(e, r->entries, r->n_entries)
                log_entry_done(e);
        r->n_entries = r->n_entries_allocated = 0;
        r->entries = mfree(r->entries);
}

LogReader *log_reader_free(LogReader *r) {
        if (!r)
                return NULL;

        if (r->prev)
                r->prev->next = r->next;
        else
                r->manager->log_readers = r->next;
        if (r->next)
                r->next->prev = r->prev;

        sd_event_source_disable_unref(r->source);
        sd_event_source_disable_unref(r->life_source);
        sd_event_source_disable_unref(r->timer);
        sd_bus_track_unref(r->caller);
        safe_close(r->fd);
        safe_close(r->life);
        reader_drop_lines(r);
        return mfree(r);
}

/* Gives the answer, if it is not given yet. */
static void reader_answer(LogReader *r, const LogAnswer *answer, Error *error) {
        log_answer_handler_t handler = TAKE_GENERIC(r->handler, NULL);

        if (handler)
                handler(answer, error, r->userdata);
}

/* It counts until the program has ended, whether somebody still wants what it does or not. */
static void reader_leave(LogReader *r, ReaderState state) {
        r->state = state;
        r->source = sd_event_source_disable_unref(r->source);
        r->timer = sd_event_source_disable_unref(r->timer);
        r->caller = sd_bus_track_unref(r->caller);
        r->fd = safe_close(r->fd);
        reader_drop_lines(r);
        /* It has ended already. */
        if (!r->life_source)
                log_reader_free(r);
}

static void reader_end(const LogReader *r) {
        (void) send(r->life, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void reader_fail(LogReader *r, const char *why) {
        _cleanup_error_ Error e = {};

        (void) error_setf(&e, CCP_ERROR_INTERNAL, "The logs cannot be read: %s. " HINT, why);
        reader_answer(r, NULL, &e);
        reader_end(r);
        reader_leave(r, READER_LEFT);
}

/* --- lines --- */

/* From here on the program and whoever has the connection are among themselves; we only want to know that it ends. */
static void reader_hand_over(LogReader *r) {
        reader_answer(r, &(LogAnswer) { .fd = r->fd }, NULL);
        reader_leave(r, READER_HANDED_OVER);
}

/* Returns 0 to go on, 1 if the reader has answered and is freed, or handed over. */
static int reader_ready(LogReader *r) {
        int k;

        /* That is what it waits for. */
        if (shutdown(r->fd, SHUT_WR) < 0) {
                reader_fail(r, "the connection to the reader broke");
                return 1;
        }
        if (r->hand_over) {
                reader_hand_over(r);
                return 1;
        }

        r->state = READER_READING;
        k = sd_event_source_set_time_relative(r->timer, r->wait + ANSWER_TIMEOUT);
        if (k < 0)
                log_warning_errno(k, "Failed to set a timer, ignoring: %m");
        return 0;
}

static int reader_take_entry(LogReader *r, LogEntry *e) {
        if (!GREEDY_REALLOC(r->entries, r->n_entries_allocated, r->n_entries + 1))
                return -ENOMEM;

        r->entries[r->n_entries++] = *e;
        *e = (LogEntry) {};
        return 0;
}

static void reader_complete(LogReader *r, const LogLine *end) {
        _cleanup_error_ Error e = {};

        /* Without entries it would say that there are none. */
        if (end->end == LOG_END_AGAIN && r->n_entries == 0) {
                (void) error_setf(&e, CCP_ERROR_CANCELLED,
                                "Roles, rules or the instance have changed while its logs were read. Ask "
                                "again.");
                reader_answer(r, NULL, &e);
        } else
                reader_answer(r,
                                &(LogAnswer) {
                                                .fd = -EBADF,
                                                .entries = r->entries,
                                                .n_entries = r->n_entries,
                                                .cursor = end->cursor,
                                },
                                NULL);
        log_reader_free(r);
}

/* Returns as reader_ready(). */
static int reader_dispatch(LogReader *r, const char *data, size_t size) {
        _cleanup_log_line_ LogLine l = {};
        int k;

        k = log_line_parse(data, size, &l);
        if (k >= 0 && l.type == LOG_LINE_ERROR) {
                /* After its last word it does nothing any more. */
                reader_answer(r, NULL, &l.error);
                log_reader_free(r);
                return 1;
        }
        if (k >= 0 && l.type == LOG_LINE_READY && r->state == READER_ASKING)
                return reader_ready(r);
        if (k >= 0 && l.type == LOG_LINE_ENTRY && r->state == READER_READING) {
                k = reader_take_entry(r, &l.entry);
                if (k >= 0)
                        return 0;
        }
        if (k >= 0 && l.type == LOG_LINE_END && r->state == READER_READING) {
                reader_complete(r, &l);
                return 1;
        }

        reader_fail(r, "the reader said what nobody understands");
        return 1;
}

/* All lines that are complete, as long as the reader is there and lines are wanted. */
static void reader_dispatch_all(LogReader *r) {
        const char *end;
        size_t used = 0;

        while ((end = memchr(r->in.data + r->n_searched, '\n', r->in.size - r->n_searched))) {
                const char *line = r->in.data + used;

                used = r->n_searched = (size_t) (end + 1 - r->in.data);
                if (reader_dispatch(r, line, (size_t) (end - line)) > 0)
                        return;
        }

        memmove(r->in.data, r->in.data + used, r->in.size - used);
        r->in.size -= used;
        r->n_searched = r->in.size;
}

static int on_readable(_unused_ sd_event_source *s, int fd, _unused_ uint32_t revents, void *userdata) {
        char buffer[64 * 1024];
        LogReader *r = userdata;
        ssize_t n;

        n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        if (n < 0 && IN_SET(errno, EAGAIN, EINTR))
                return 0;
        if (n <= 0) {
                reader_fail(r,
                                r->state == READER_ASKING
                                                ? "no reader could be started, or too many are read already"
                                                : "the reader ended too early");
                return 0;
        }

        string_builder_append_n(&r->in, buffer, (size_t) n);
        r->n_received += (size_t) n;
        if (r->in.failed || r->n_received > ANSWER_MAX)
                reader_fail(r, "the answer is too long");
        else
                reader_dispatch_all(r);
        return 0;
}

/* --- ends --- */

static int on_life(_unused_ sd_event_source *s, _unused_ int fd, _unused_ uint32_t revents, void *userdata) {
        LogReader *r = userdata;

        if (IN_SET(r->state, READER_HANDED_OVER, READER_LEFT))
                log_reader_free(r);
        else
                /* What it said last may still be to be read. */
                r->life_source = sd_event_source_disable_unref(r->life_source);
        return 0;
}

static int on_timeout(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        reader_fail(userdata, "the reader did not answer in time");
        return 0;
}

static int on_caller_gone(_unused_ sd_bus_track *track, void *userdata) {
        reader_fail(userdata, "nobody waits for them");
        return 0;
}

void logs_revoke(Manager *m, const char *instance) {
        for (LogReader *r = m->log_readers; r; r = r->next)
                if (!instance || streq(r->instance, instance))
                        reader_end(r);
}

/* --- asking --- */

static const char *socket_path(void) {
        /* For tests. */
        return secure_getenv("CCP_LOGS_SOCKET") ?: CCP_LOGS_SOCKET;
}

/* Sends the request, and the other end of the line by which we know that the program is there. */
static int send_request(int fd, const LogRequest *q, int life) {
        _cleanup_free_ char *line = NULL;
        size_t size;
        int r;

        r = log_request_format(q, &line, &size);
        if (r < 0)
                return r;
        if (size > LOG_REQUEST_MAX)
                return -E2BIG;
        /* The buffer of a new socket holds it. */
        return send_with_fd(fd, line, size, life);
}

static int reader_ask(LogReader *r, const LogRequest *q) {
        _cleanup_close_ int theirs = -EBADF;
        int pair[2];

        r->fd = worker_connect(socket_path());
        if (r->fd < 0)
                return r->fd;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        r->life = pair[0];
        theirs = pair[1];

        return send_request(r->fd, q, theirs);
}

static int reader_watch(LogReader *r, const char *caller) {
        Manager *m = r->manager;
        int k;

        k = sd_event_add_io(m->event, &r->source, r->fd, EPOLLIN, on_readable, r);
        if (k >= 0)
                k = sd_event_add_io(m->event, &r->life_source, r->life, EPOLLIN, on_life, r);
        if (k >= 0)
                k = sd_event_add_time_relative(
                                m->event, &r->timer, CLOCK_MONOTONIC, READY_TIMEOUT, 0, on_timeout, r);
        if (k >= 0)
                k = sd_bus_track_new(m->bus, &r->caller, on_caller_gone, r);
        if (k >= 0)
                k = sd_bus_track_add_name(r->caller, caller);
        return k;
}

static int check_limits(const Manager *m, const LogReaderOptions *options, Error *reterr) {
        unsigned max = options->fleet ? LOG_READERS_MAX : LOG_READERS_MAX - READERS_RESERVED;
        unsigned n = 0, n_own = 0, n_collected = 0;

        for (const LogReader *r = m->log_readers; r; r = r->next) {
                n++;
                n_own += r->uid == options->uid;
                n_collected += r->uid == options->uid && !r->hand_over;
        }

        if (!options->hand_over && n_collected >= COLLECTED_OF_USER_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "You are waiting for %u answers of ReadLogs already, which is as many as "
                                "one user may. Wait for one, or use OpenLogs.",
                                COLLECTED_OF_USER_MAX);
        if (n_own >= READERS_OF_USER_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "You are reading %u logs already, which is as many as one user may. Close "
                                "one.",
                                READERS_OF_USER_MAX);
        if (n >= max)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "%u logs are being read already, which is as many as can be. Try again "
                                "later.",
                                n);
        return 0;
}

static int reader_new(Manager *m, const LogRequest *q, const LogReaderOptions *options, LogReader **ret) {
        LogReader *r;

        r = new0(LogReader, 1);
        if (!r)
                return -ENOMEM;

        *r = (LogReader) {
                .manager = m,
                .next = m->log_readers,
                .uid = options->uid,
                .hand_over = options->hand_over,
                .wait = q->wait,
                .fd = -EBADF,
                .life = -EBADF,
        };
        memcpy(r->instance, q->id, sizeof(r->instance));
        if (m->log_readers)
                m->log_readers->prev = r;
        m->log_readers = r;

        *ret = r;
        return 0;
}

int logs_read(Manager *m, const LogRequest *q, const LogReaderOptions *options, Error *reterr) {
        _cleanup_(log_reader_freep) LogReader *r = NULL;
        int k;

        k = log_request_validate(q, reterr);
        if (k >= 0)
                k = check_limits(m, options, reterr);
        if (k < 0)
                return k;

        k = reader_new(m, q, options, &r);
        if (k >= 0)
                k = reader_ask(r, q);
        if (k >= 0)
                k = reader_watch(r, options->caller);
        if (k < 0)
                return error_set_errnof(reterr, k, "The logs cannot be read: %m. " HINT);

        r->handler = options->handler;
        r->userdata = options->userdata;
        TAKE_PTR(r);
        return 0;
}
