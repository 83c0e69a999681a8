/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Reads logs of instances from the journal. Started by its socket, it only takes connections, and starts itself
 * anew for each. Such a one reads the logs of one instance, for ccpd, which asks for them over the connection:
 * it says what it wants in a line, hears whether that can be had, and closes its side of the connection. Then
 * the lines go to whoever has it by then: ccpd or one of its callers. */

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <systemd/sd-daemon.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log-journal.h"
#include "log-server.h"
#include "log.h"

/* ccpd asks as soon as it is connected. */
#define ASK_TIMEOUT (10 * USEC_PER_SEC)

/* Of the processor, to search by a pattern; and so much of the time that was only waited, for those who follow. */
#define SEARCH_TIME_MAX USEC_PER_MINUTE
#define SEARCH_SHARE 4U

/* Of the processor, without once looking at the time or at who waits. */
#define STUCK_SEC 20

/* So much is written at once. */
#define CHUNK_SIZE (64U * 1024U)

typedef struct Reader {
        LogRequest request;
        LogPattern *pattern;
        LogJournal *journal;
        int life; /* to ccpd: it ends what it was asked for with a byte, or by ending itself */

        StringBuilder out;
        uint64_t n_entries, n_bytes;
        usec_t began_at;
        usec_t until;  /* monotonic, of waiting */
        usec_t waited; /* so long already */
        bool revoked;
} Reader;

static void reader_done(Reader *d) {
        log_journal_free(d->journal);
        log_pattern_free(d->pattern);
        log_request_done(&d->request);
        string_builder_done(&d->out);
        safe_close(d->life);
}

static int help(void) {
        printf("ccp-logs [OPTIONS…]\n\n"
               "Reads the logs of instances for ccpd. Started by ccp-logs.socket, not by hand.\n\n"
               "  -h --help     Show this help\n"
               "     --version  Show the version\n\n"
               "See ccpd(8).\n");
        return 0;
}

/* Returns 1 to go on, 0 if all is done, a negative errno for wrong usage. */
static int parse_argv(int argc, char *argv[]) {
        enum {
                ARG_VERSION = 0x100,
        };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        return help();
                case ARG_VERSION:
                        puts("ccp-logs " CCP_VERSION);
                        return 0;
                default:
                        return -EINVAL;
                }

        return optind < argc ? -EINVAL : 1;
}

/* --- the connection --- */

static int poll_until(struct pollfd *fds, size_t n, usec_t until) {
        usec_t t = now(CLOCK_MONOTONIC), left = until > t ? until - t : 0;
        struct timespec timeout = {
                .tv_sec = (time_t) (left / USEC_PER_SEC),
                .tv_nsec = (long) (left % USEC_PER_SEC * 1000),
        };
        int r;

        r = ppoll(fds, (nfds_t) n, until == USEC_INFINITY ? NULL : &timeout, NULL);
        if (r < 0)
                return errno == EINTR ? 0 : -errno;
        return r;
}

/* Notes what ccpd wants of us besides. Its end is ours: then nobody could tell us that a role was revoked. */
static void look_at_life(Reader *d, const struct pollfd *p) {
        if (p->fd >= 0 && p->revents != 0)
                d->revoked = true;
}

/* Waits for one of: room in the output (POLLOUT), nobody there who reads it (-EPIPE), a word of ccpd, something of
 * the journal. */
static int wait_for(Reader *d, short output, int journal, short journal_events, usec_t until) {
        struct pollfd fds[] = {
                { STDOUT_FILENO, output, 0 },
                { d->revoked ? -EBADF : d->life, POLLIN, 0 },
                { journal, journal_events, 0 },
        };
        usec_t began = now(CLOCK_MONOTONIC);
        int r;

        r = poll_until(fds, ELEMENTSOF(fds), until);
        d->waited += now(CLOCK_MONOTONIC) - began;
        if (r < 0)
                return r;

        look_at_life(d, fds + 1);
        return fds[0].revents & (POLLHUP | POLLERR) ? -EPIPE : 0;
}

static int flush(Reader *d) {
        size_t sent = 0;
        int r = 0;

        if (d->out.failed)
                return -ENOMEM;

        while (r >= 0 && sent < d->out.size) {
                ssize_t n;

                n = send(STDOUT_FILENO, d->out.data + sent, d->out.size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0 && !IN_SET(errno, EAGAIN, EINTR))
                        return -errno;
                if (n > 0) {
                        sent += (size_t) n;
                        continue;
                }

                /* What was written does not end amid a line only if it is read. */
                r = d->revoked ? -ECANCELED : wait_for(d, POLLOUT, -EBADF, 0, USEC_INFINITY);
        }

        /* The rest may still go with what is said last. */
        memmove(d->out.data, d->out.data + sent, d->out.size - sent);
        d->out.size -= sent;
        return r;
}

static int say(Reader *d, const LogLine *l) {
        int r;

        r = log_line_append(&d->out, l);
        return r < 0 ? r : flush(d);
}

static int refuse(Reader *d, Error *error) {
        LogLine l = { .type = LOG_LINE_ERROR };
        int r;

        error_move(&l.error, error);
        r = say(d, &l);
        log_line_done(&l);
        return r;
}

/* Reads more of what ccpd sends, waiting for it. Returns 0 at the end. */
static ssize_t receive_until(Reader *d, char *buffer, size_t size, usec_t until) {
        for (;;) {
                struct pollfd p = { STDIN_FILENO, POLLIN, 0 };
                ssize_t n;
                int r;

                /* The descriptor that comes with the request is the line to ccpd. */
                n = recv_with_fd(STDIN_FILENO, buffer, size, MSG_DONTWAIT, &d->life);
                if (!IN_SET(n, -EAGAIN, -EINTR))
                        return n;
                if (now(CLOCK_MONOTONIC) >= until)
                        return -ETIMEDOUT;
                r = poll_until(&p, 1, until);
                if (r < 0)
                        return r;
        }
}

static int read_request(Reader *d, Error *reterr) {
        usec_t until = now(CLOCK_MONOTONIC) + ASK_TIMEOUT;
        char buffer[LOG_REQUEST_MAX];
        size_t size = 0;

        for (;;) {
                const char *end = memchr(buffer, '\n', size);
                ssize_t n;

                if (end)
                        return log_request_parse(buffer, (size_t) (end - buffer), &d->request, reterr);
                if (size == sizeof(buffer))
                        return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED, "The request is too long.");

                n = receive_until(d, buffer + size, sizeof(buffer) - size, until);
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        return -ENODATA;
                size += (size_t) n;
        }
}

/* ccpd has read our word, and hands the connection on. */
static int wait_for_go(Reader *d) {
        usec_t until = now(CLOCK_MONOTONIC) + ASK_TIMEOUT;
        char byte;
        ssize_t n;

        n = receive_until(d, &byte, sizeof(byte), until);
        return n < 0 ? (int) n : n > 0 ? -EBADMSG : 0;
}

/* --- the lines --- */

static int on_line(const LogEntry *e, void *userdata) {
        Reader *d = userdata;
        size_t before = d->out.size;
        int r;

        r = log_entry_append(&d->out, e, d->request.message);
        if (r < 0)
                return r;
        d->n_entries++;
        d->n_bytes += d->out.size - before;

        if (d->out.size >= CHUNK_SIZE) {
                r = flush(d);
                if (r < 0)
                        return r;
        }
        return (d->request.limit > 0 && d->n_entries >= d->request.limit) ||
                        (d->request.size > 0 && d->n_bytes >= d->request.size);
}

/* Whoever takes an answer as a whole waits for it. The others see lines come, but may not have the processor for
 * themselves: that is not counted by the clock, since those who search beside us are none of their doing. */
static bool is_out_of_time(const Reader *d) {
        if (d->request.limit > 0 &&
                        now(CLOCK_MONOTONIC) - d->began_at >= d->request.wait + LOG_ANSWER_TIME_MAX)
                return true;
        return d->request.pattern &&
                        now(CLOCK_PROCESS_CPUTIME_ID) >= SEARCH_TIME_MAX + d->waited / SEARCH_SHARE;
}

/* The kernel ends us should anything that we call go on and on. */
static int set_watchdog(void) {
        const struct itimerval left = { .it_value.tv_sec = STUCK_SEC };

        return setitimer(ITIMER_PROF, &left, NULL) < 0 ? -errno : 0;
}

static int on_check(void *userdata) {
        Reader *d = userdata;
        int r;

        r = set_watchdog();
        if (r >= 0)
                r = wait_for(d, 0, -EBADF, 0, 0);
        if (r < 0)
                return r;
        return d->revoked ? -ECANCELED : is_out_of_time(d) ? -ETIMEDOUT : 0;
}

/* Until the journal has something. Returns 1 if it is time to end. */
static int wait_for_more(Reader *d) {
        short events;
        usec_t until;
        int fd, r;

        fd = log_journal_get_poll(d->journal, &events, &until);
        if (fd < 0)
                return fd;

        r = wait_for(d, 0, fd, events, MIN(until, d->until));
        if (r < 0)
                return r;
        if (d->revoked || now(CLOCK_MONOTONIC) >= d->until)
                return 1;

        return log_journal_process(d->journal);
}

static int read_lines(Reader *d) {
        bool waits = d->request.follow || d->request.wait > 0;
        int r;

        d->began_at = now(CLOCK_MONOTONIC);
        d->until = d->request.follow ? USEC_INFINITY : d->began_at + d->request.wait;
        r = set_watchdog();
        if (r >= 0)
                r = log_journal_seek(d->journal);
        if (r < 0)
                return r;

        for (;;) {
                r = log_journal_read(d->journal, /* final= */ !waits);
                if (r < 0)
                        return r;
                if (r > 0 || !waits || (!d->request.follow && d->n_entries > 0))
                        return 0;

                r = flush(d);
                if (r >= 0)
                        r = wait_for_more(d);
                if (r != 0)
                        return MIN(r, 0);
        }
}

static int run(Reader *d, Error *reterr) {
        static const LogJournalHandlers handlers = { .line = on_line, .check = on_check };
        int r;

        r = read_request(d, reterr);
        if (r < 0)
                return r;
        if (d->request.pattern) {
                r = log_pattern_new(d->request.pattern, &d->pattern, reterr);
                if (r < 0)
                        return r;
        }
        r = log_journal_open(&d->request, d->pattern, &handlers, d, &d->journal);
        if (r < 0)
                return error_set_errnof(reterr, r, "The journal cannot be read: %m");

        r = say(d, &(LogLine) { .type = LOG_LINE_READY });
        if (r >= 0)
                r = wait_for_go(d);
        /* Nobody is there. */
        if (r == -ETIMEDOUT)
                return r;
        if (r >= 0)
                r = read_lines(d);
        if (r == -ECANCELED && d->revoked)
                r = 0;
        /* The next answer has the rest. */
        if (r == -ETIMEDOUT && d->request.limit > 0 && d->n_entries > 0)
                r = 0;
        if (r == -ETIMEDOUT)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "This takes too much time. Search less: fewer lines, single services, or by "
                                "'since' and 'until'%s.",
                                d->request.pattern ? "; or use a simpler pattern" : "");
        if (r < 0)
                return IN_SET(r, -EPIPE, -ECONNRESET)
                                ? r
                                : error_set_errnof(reterr, r, "The journal cannot be read: %m");

        return say(d,
                        &(LogLine) {
                                        .type = LOG_LINE_END,
                                        .end = d->revoked ? LOG_END_AGAIN : LOG_END_COMPLETE,
                                        .cursor = (char *) log_journal_cursor(d->journal),
                        });
}

static int serve(const char *program) {
        int r;

        r = log_server_run(SD_LISTEN_FDS_START, program);
        if (r < 0)
                log_error_errno(r, "Failed to take connections: %m");
        return r;
}

static int read_for_ccpd(void) {
        _cleanup_(reader_done) Reader d = { .request = LOG_REQUEST_NEW, .life = -EBADF };
        _cleanup_error_ Error error = {};
        int r;

        r = run(&d, &error);
        if (error_is_set(&error)) {
                /* Behind what was written already. */
                r = refuse(&d, &error);
        }
        /* Nobody is there any more, or nobody asked: no failure of ours. */
        if (r < 0 && !IN_SET(r, -EPIPE, -ECONNRESET, -ENODATA, -ETIMEDOUT, -ECANCELED))
                return log_error_errno(r, "Failed to read the logs: %m");

        return 0;
}

int main(int argc, char *argv[]) {
        int r;

        log_open();
        (void) signal(SIGPIPE, SIG_IGN);

        r = parse_argv(argc, argv);
        if (r > 0)
                r = sd_listen_fds(/* unset_environment= */ true) == 1 ? serve(argv[0]) : read_for_ccpd();

        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
