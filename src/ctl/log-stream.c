/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log-entry.h"
#include "string-util.h"

/* How long a call waits for new lines where they come in pages; ccpd allows a minute. */
#define POLL_TIMEOUT (30 * USEC_PER_SEC)

/* Between two attempts. */
#define RETRY USEC_PER_SEC

typedef struct LogStream {
        Ctl *ctl;
        const LogQuery *query;
        int (*show)(Ctl *c, const json_t *entry);
        usec_t began_at; /* realtime */
        char *path;      /* of the instance */
        char *cursor;    /* where to go on; NULL: nothing was shown yet */
        bool began;      /* ccpd has answered once */
        bool unread;     /* it did not get so far as to say where to go on */
        bool lost;       /* it was said that it is away */
} LogStream;

static void log_stream_done(LogStream *s) {
        free(s->path);
        free(s->cursor);
}

static bool output_failed(void) {
        return fflush(stdout) != 0 || ferror(stdout);
}

/* --- one call --- */

static int append_number(sd_bus_message *m, const char *key, uint64_t value, uint64_t none) {
        return value != none ? sd_bus_message_append(m, "{sv}", key, "t", value) : 0;
}

static int append_text(sd_bus_message *m, const char *key, const char *value) {
        return !isempty(value) ? sd_bus_message_append(m, "{sv}", key, "s", value) : 0;
}

static int append_flag(sd_bus_message *m, const char *key, bool value) {
        return value ? sd_bus_message_append(m, "{sv}", key, "b", true) : 0;
}

static int append_query(sd_bus_message *m, const LogStream *s, bool pages) {
        const LogQuery *q = s->query;
        /* Nothing was there at first: then all that has come since is wanted. */
        bool anew = s->began && !s->cursor && !s->unread;
        int r;

        r = sd_bus_message_append_strv(m, q->services);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}", "lines", "t", anew ? LINES_ALL : q->lines);
        if (r >= 0)
                r = append_number(m, "since", anew ? MAX(q->since, s->began_at) : q->since, 0);
        if (r >= 0)
                r = append_number(m, "until", q->until, USEC_INFINITY);
        if (r >= 0)
                r = append_text(m, "cursor", s->cursor);
        if (r >= 0)
                r = append_text(m, "pattern", q->pattern);
        if (r >= 0)
                r = append_flag(m, "all", q->all);
        if (r >= 0 && q->follow)
                r = pages ? append_number(m, "timeout", POLL_TIMEOUT, 0) : append_flag(m, "follow", true);

        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int call(LogStream *s, const char *method, sd_bus_message **ret_reply, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = ctl_message(s->ctl, s->path, CCP_INTERFACE_INSTANCE, method, &m, reterr);
        if (r < 0)
                return r;
        /* A ccpd that was stopped meanwhile is not to be started by who only looks on. */
        r = sd_bus_message_set_auto_start(m, !s->began);
        if (r >= 0)
                r = append_query(m, s, streq(method, "ReadLogs"));
        if (r < 0)
                return r;

        return ctl_send(s->ctl, m, ret_reply, reterr);
}

static int set_cursor(LogStream *s, const char *cursor) {
        return isempty(cursor) ? 0 : free_and_strdup(&s->cursor, cursor);
}

static int show_entry(LogStream *s, const json_t *entry) {
        int r;

        r = s->show(s->ctl, entry);
        return r < 0 ? r : set_cursor(s, json_get_text(entry, "cursor"));
}

/* --- through a descriptor --- */

/* Returns 1 if this was the last line. */
static int take_line(LogStream *s, const char *line, size_t size, bool *ret_complete, Error *reterr) {
        _cleanup_json_ json_t *o = json_loadb(line, size, 0, NULL);

        if (!json_is_object(o))
                return ctl_bad_reply(reterr, 0);
        if (json_object_get(o, "error"))
                return error_setf(reterr, error_name_intern(json_get_text(o, "error")), "%s",
                                json_get_text(o, "message"));
        if (json_object_get(o, "end")) {
                *ret_complete = log_end_from_string(json_get_text(o, "end")) == LOG_END_COMPLETE;
                s->unread = !*ret_complete && isempty(json_get_text(o, "cursor"));
                return set_cursor(s, json_get_text(o, "cursor")) < 0 ? -ENOMEM : 1;
        }

        return show_entry(s, o);
}

typedef struct LineBuffer {
        char *data;
        size_t size, allocated;
} LineBuffer;

static void line_buffer_done(LineBuffer *b) {
        free(b->data);
}

/* All lines that are complete; as take_line(). */
static int take_lines(LogStream *s, LineBuffer *b, bool *ret_complete, Error *reterr) {
        size_t used = 0;
        const char *end;
        int r = 0;

        while (r == 0 && (end = memchr(b->data + used, '\n', b->size - used))) {
                const char *line = b->data + used;

                used = (size_t) (end + 1 - b->data);
                r = take_line(s, line, (size_t) (end - line), ret_complete, reterr);
        }

        memmove(b->data, b->data + used, b->size - used);
        b->size -= used;
        return r;
}

/* Returns 1 if all lines came, 0 if they are to be asked for anew. */
static int read_stream(LogStream *s, int fd, Error *reterr) {
        _cleanup_(line_buffer_done) LineBuffer b = {};
        bool complete = false;
        int r;

        for (;;) {
                ssize_t n;

                if (!GREEDY_REALLOC(b.data, b.allocated, b.size + 65536))
                        return -ENOMEM;
                n = read(fd, b.data + b.size, b.allocated - b.size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return 0;

                b.size += (size_t) n;
                r = take_lines(s, &b, &complete, reterr);
                if (r < 0)
                        return r;
                if (output_failed())
                        return 1;
                if (r > 0)
                        return complete;
        }
}

/* ccpd's end of it does not wait; ours is to. */
static int make_blocking(int fd) {
        int flags = fcntl(fd, F_GETFL);

        return flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0 ? -errno : 0;
}

static int stream_open(LogStream *s, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int fd, r;

        r = call(s, "OpenLogs", &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "h", &fd);
        if (r >= 0)
                r = make_blocking(fd);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        s->began = true;
        s->lost = false;
        return read_stream(s, fd, reterr);
}

/* --- in pages --- */

/* Returns 1 if there is more. */
static int show_page(LogStream *s, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *rows = NULL;
        const char *cursor;
        usec_t last = USEC_INFINITY;
        json_t *row;
        size_t i;
        int r;

        r = call(s, "ReadLogs", &reply, reterr);
        if (r < 0)
                return r;
        r = json_from_rows(reply, CCP_INTERFACE_INSTANCE, "ReadLogs", &rows);
        if (r >= 0)
                r = sd_bus_message_read(reply, "s", &cursor);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        s->began = true;
        s->lost = false;
        json_array_foreach(rows, i, row) {
                r = show_entry(s, row);
                if (r < 0)
                        return r;
                last = json_get_number(row, "time");
        }

        /* Which may be further: not every line was one that is wanted. */
        r = set_cursor(s, cursor);
        if (r < 0)
                return r;
        /* Somebody who writes faster than we read must not keep us here. */
        return s->query->follow || last <= s->began_at;
}

static int stream_pages(LogStream *s, Error *reterr) {
        int r;

        do {
                r = show_page(s, reterr);
                if (r < 0)
                        return r;
                if (output_failed())
                        return 1;
        } while (r > 0);

        return 1;
}

/* --- both --- */

static int stream_once(LogStream *s, Error *reterr) {
        int r;

        if (!s->path) {
                r = ctl_look_up(s->ctl, "GetInstance", s->query->slug, &s->path, reterr);
                if (r < 0)
                        return r;
        }

        /* Not over ssh. */
        return sd_bus_can_send(s->ctl->bus, SD_BUS_TYPE_UNIX_FD) > 0 ? stream_open(s, reterr)
                                                                     : stream_pages(s, reterr);
}

static void stream_lost(LogStream *s, const char *what) {
        if (!s->lost && !arguments_have(&s->ctl->arguments, OPTION(QUIET)))
                (void) fprintf(stderr, "%s; waiting for it to come back.\n", what);
        s->lost = true;
}

/* Who may still see them asks again. */
static bool was_ended(const Error *error) {
        return streq_ptr(error->name, CCP_ERROR_CANCELLED);
}

/* ccpd may be restarted, and comes back; nothing of what is written meanwhile is lost. */
static bool stream_may_go_on(LogStream *s, const Error *error) {
        bool away = error_is_away(error->name) && sd_bus_is_open(s->ctl->bus) > 0,
             no_store = streq_ptr(error->name, CCP_ERROR_STORE_UNAVAILABLE);

        if (was_ended(error))
                return true;
        if (!s->began || (!away && !no_store))
                return false;

        stream_lost(s, away ? "ccpd has stopped" : "PostgreSQL is away");
        return true;
}

int log_stream(Ctl *c, const LogQuery *q, int (*show)(Ctl *c, const json_t *entry), Error *reterr) {
        _cleanup_(log_stream_done) LogStream s = {
                .ctl = c, .query = q, .show = show, .began_at = now(CLOCK_REALTIME)
        };
        int r;

        for (;;) {
                usec_t began = now(CLOCK_MONOTONIC), took;
                _cleanup_error_ Error error = {};

                r = stream_once(&s, &error);
                if (r > 0)
                        return 0;
                if (r < 0 && !stream_may_go_on(&s, &error)) {
                        error_move(reterr, &error);
                        return r;
                }

                took = now(CLOCK_MONOTONIC) - began;
                if (took < RETRY)
                        (void) usleep((useconds_t) (RETRY - took));
        }
}
