/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "audit-follow.h"
#include "audit-query.h"
#include "ctl.h"
#include "string-util.h"

/* A record of years has to be read and hashed. */
#define VERIFY_TIMEOUT (USEC_PER_HOUR)
#define LINES_DEFAULT 100U
#define FOLLOW_LINES_DEFAULT 10U
/* On narrower terminals there are fewer columns. */
#define WIDTH_OF_ALL 100U
/* With commas, all digits of 2^64. */
#define COUNT_MAX_SIZE 32U

static char *format_time(const json_t *row, _unused_ Color *ret_color) {
        time_t t = (time_t) (json_get_number(row, "time") / USEC_PER_SEC);
        char text[FORMAT_TIMESTAMP_MAX];
        struct tm tm;

        if (!localtime_r(&t, &tm) || strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm) == 0)
                return strdup("");

        return strdup(text);
}

/* With sudo everybody is root; who logged in, the kernel keeps. */
static char *format_user(const json_t *row, _unused_ Color *ret_color) {
        const char *user = json_get_text(row, "user"), *login = json_get_text(row, "login_uid");
        char *text;

        if (isempty(login) || json_get_number(row, "uid") == strtoull(login, NULL, 10))
                return strdup(user);

        return asprintf(&text, "%s (%s)", user, login) < 0 ? NULL : text;
}

static char *format_outcome(const json_t *row, Color *ret_color) {
        const char *outcome = json_get_text(row, "outcome");

        *ret_color = color_of_state(outcome);
        return strdup(outcome);
}

static char *format_error(const json_t *row, _unused_ Color *ret_color) {
        const char *name = json_get_text(row, "error_name");

        return strdup(startswith(name, CCP_ERROR("")) ?: name);
}

/* What comes later, when following, is to stand below what came before: hence the widths. */
static const ListColumn audit_columns[] = {
        { { "TIME", .min = 19 }, "time", format_time },
        { { "USER", 2, .min = 12 }, "user", format_user },
        { { "ACTION", .min = 16 }, "action" },
        { { "INSTANCE", 2, .min = 10 }, "instance" },
        { { "OUTCOME", .min = 9 }, "outcome", format_outcome },
        { { "JOB", .right = true, .min = 4 }, "job" },
        { { "ERROR", 2, .min = 6 }, "error_name", format_error },
        { { "FROM", 2 }, "remote_host" },
};

/* In few columns the last would leave too little for the others. */
static size_t count_columns(void) {
        size_t columns = terminal_output_columns();

        return ELEMENTSOF(audit_columns) - (columns > 0 && columns < WIDTH_OF_ALL ? 1 : 0);
}

static int show_new(Ctl *c, const json_t *rows) {
        json_t *row;
        size_t i;
        int r = EXIT_DONE;

        if (ctl_prints_json(c))
                json_array_foreach(rows, i, row) {
                        r = ctl_print_json(c, row);
                        if (r < 0)
                                return r;
                }
        else
                r = ctl_print_table(c, rows, audit_columns, count_columns());
        if (r < 0)
                return r;

        /* The headings come once. */
        c->arguments.given |= OPTION(NO_LEGEND);
        return fflush(stdout) < 0 ? -errno : 0;
}

static int follow(Ctl *c, const AuditFilter *f, Error *reterr) {
        uint64_t max;
        int r;

        r = ctl_read_lines(c, FOLLOW_LINES_DEFAULT, &max, reterr);
        if (r < 0)
                return r;
        if (f->until != USEC_INFINITY)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "--follow shows what is to come, --until only what was.");

        /* A pager would have to be told to follow too. */
        c->arguments.given |= OPTION(NO_PAGER);
        r = audit_follow(c, f, max, show_new, reterr);
        /* main() says that. */
        return ferror(stdout) ? EXIT_FAILED : r;
}

int verb_audit(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_json_ json_t *rows = NULL;
        AuditFilter f;
        uint64_t max;
        int r;

        r = audit_filter_from_arguments(c, &f, reterr);
        if (r < 0)
                return r;
        if (arguments_have(&c->arguments, OPTION(FOLLOW)))
                return follow(c, &f, reterr);

        r = ctl_read_lines(c, LINES_DEFAULT, &max, reterr);
        if (r < 0)
                return r;
        r = audit_query_newest(c, &f, max, &rows, reterr);
        if (r < 0)
                return r;
        r = ctl_print_list(c, rows, audit_columns, count_columns(), "entry");
        if (r < 0 || ctl_prints_json(c))
                return r;

        if (json_array_size(rows) == max &&
                        !arguments_have(&c->arguments, OPTION(NO_LEGEND) | OPTION(QUIET)))
                (void) printf("There may be older ones: --lines=all.\n");
        return EXIT_DONE;
}

int verb_audit_export(Ctl *c, _unused_ char **args, Error *reterr) {
        static const AuditFilter everything = { .until = USEC_INFINITY };
        uint64_t after = 0;

        /* One page is in memory at a time, and a reader that has gone or a disk that is full ends it. */
        while (!ferror(stdout)) {
                _cleanup_json_ json_t *rows = NULL;
                json_t *row;
                size_t i;
                int r;

                r = audit_query_after(c, &everything, after, &rows, reterr);
                if (r < 0)
                        return r;
                if (json_array_size(rows) == 0)
                        break;

                json_array_foreach(rows, i, row) {
                        if (json_dumpf(row, stdout, JSON_COMPACT) < 0)
                                return ferror(stdout) ? EXIT_FAILED : -ENOMEM;
                        (void) putchar('\n');
                        after = audit_seq(row);
                }
        }

        return EXIT_DONE;
}

/* "12,345" of "12345". */
static const char *format_count(char *buf, const char *digits) {
        size_t n = strlen(digits);
        char *p = buf;

        if (n > COUNT_MAX_SIZE * 3 / 4 - 1)
                return digits;

        for (size_t i = 0; i < n; i++) {
                if (i > 0 && (n - i) % 3 == 0)
                        *p++ = ',';
                *p++ = digits[i];
        }
        *p = 0;
        return buf;
}
#define FORMAT_COUNT(digits) format_count((char[COUNT_MAX_SIZE]) {}, (digits))

static void print_verified(const Ctl *c, const json_t *v) {
        const char *n = json_get_text(v, "verified");

        if (streq(n, "0"))
                ctl_say(c, "There are no entries yet.\n");
        else
                ctl_say(c, "%s %s verified (%s to %s), head %s\n", FORMAT_COUNT(n),
                                streq(n, "1") ? "entry" : "entries", FORMAT_COUNT(json_get_text(v, "first")),
                                FORMAT_COUNT(json_get_text(v, "last")), json_get_text(v, "head"));
}

/* What is broken, what that means, and what to do. */
static void print_broken(const json_t *v) {
        static const struct {
                const char *fault, *sentence;
        } faults[] = {
                { "changed", "it was changed after it had been written" },
                { "removed", "it is not there any more" },
                { "inserted", "it was put in behind the end of the record" },
                { "moved", "it does not follow the one before it" },
        };
        const char *fault = json_get_text(v, "fault"), *seq = json_get_text(v, "seq"), *sentence = NULL;
        const char *n = json_get_text(v, "verified");

        FOREACH_ARRAY(f, faults, ELEMENTSOF(faults))
                if (streq(f->fault, fault))
                        sentence = f->sentence;

        (void) fprintf(stderr, "%sThe record is broken at entry %s: %s.%s\n", color_on(stderr, COLOR_RED),
                        FORMAT_COUNT(seq), sentence ?: fault, color_on(stderr, COLOR_NONE));
        if (streq(n, "0"))
                (void) fprintf(stderr, "No entry before it could be verified.");
        else
                (void) fprintf(stderr, "The %s before it %s as %s written.",
                                streq(n, "1") ? "entry" : FORMAT_COUNT(n), streq(n, "1") ? "is" : "are",
                                streq(n, "1") ? "it was" : "they were");
        (void) fprintf(stderr,
                        " From there on the record proves nothing.\n"
                        "Somebody who can write to the database did this, or its storage is damaged.\n"
                        "Keep what there is: ccpctl audit export >audit.jsonl\n"
                        "Compare it with the journal, which has a copy of each entry: journalctl "
                        "CCP_AUDIT_SEQ=%s\n"
                        "and with earlier exports and backups of the database.\n",
                        seq);
}

int verb_audit_verify(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *v = NULL;
        bool fine;
        int r;

        r = ctl_connect(c, reterr);
        if (r < 0)
                return r;
        (void) sd_bus_set_method_call_timeout(c->bus, VERIFY_TIMEOUT);
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "VerifyAudit", &reply, reterr, NULL);
        if (r < 0)
                return r;
        r = json_from_properties(reply, CCP_INTERFACE_MANAGER, &v);
        if (r < 0)
                return ctl_bad_reply(reterr, r);
        /* A reply that says nothing is no proof. */
        if (isempty(json_get_text(v, "fault")))
                return ctl_bad_reply(reterr, 0);

        fine = streq(json_get_text(v, "fault"), "none");
        if (ctl_prints_json(c)) {
                r = ctl_print_json(c, v);
                if (r < 0)
                        return r;
        } else if (fine)
                print_verified(c, v);
        else
                print_broken(v);

        return fine ? EXIT_DONE : EXIT_FAILED;
}
