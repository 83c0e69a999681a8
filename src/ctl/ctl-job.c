/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ctl.h"
#include "job-watch.h"
#include "progress.h"
#include "string-util.h"

/* 2^63 has as many digits. */
#define JOB_ID_MAX 19U

static char *format_step(const json_t *row, _unused_ Color *ret_color) {
        size_t n = json_array_size(json_object_get(row, "steps"));
        uint64_t step = json_get_number(row, "step");
        const json_t *s = step > 0 ? json_array_get(json_object_get(row, "steps"), step - 1) : NULL;
        char *text;

        if (!s || streq(json_get_text(row, "state"), "succeeded"))
                return strdup("");

        return asprintf(&text, "%" PRIu64 "/%zu %s", step, n, json_get_text(s, "name")) < 0 ? NULL : text;
}

static char *format_progress(const json_t *row, _unused_ Color *ret_color) {
        double progress = json_number_value(json_object_get(row, "progress"));
        char *text;

        return asprintf(&text, "%d%%", (int) (progress * 100)) < 0 ? NULL : text;
}

static char *format_queued(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_AGO(json_get_number(row, "queued_at")));
}

static usec_t job_elapsed(const json_t *job) {
        usec_t start = progress_since(job);
        usec_t end = json_get_number(job, "finished_at") ?: now(CLOCK_REALTIME);

        return start > 0 && end > start ? end - start : 0;
}

static char *format_elapsed(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_TIMESPAN(job_elapsed(row)));
}

static const ListColumn job_columns[] = {
        { { "ID", .right = true }, "id" },
        { { "KIND" }, "kind" },
        { { "INSTANCE" }, "instance" },
        { { "STATE" }, "state", format_state },
        { { "STEP", 2 }, "step", format_step },
        { { "DONE", .right = true }, "progress", format_progress },
        { { "TOOK", .right = true }, "started_at", format_elapsed },
        { { "QUEUED", 1 }, "queued_at", format_queued },
        { { "BY", 1 }, "started_by" },
};

int print_job_table(Ctl *c, const json_t *rows) {
        return ctl_print_table(c, rows, job_columns, ELEMENTSOF(job_columns));
}

int verb_job_list(Ctl *c, _unused_ char **args, Error *reterr) {
        const char *const *values = c->arguments.values;
        const char *const filters[][2] = {
                { "instance", values[OPTION_INSTANCE] },
                { "state", values[OPTION_STATE] },
                { "kind", values[OPTION_KIND] },
                {},
        };
        _cleanup_json_ json_t *rows = NULL;
        uint64_t max;
        int r;

        r = ctl_read_lines(c, c->arguments.lines, &max, reterr);
        if (r < 0)
                return r;
        r = ctl_list_rows(c, "ListJobs", filters, max, &rows, reterr);
        if (r < 0)
                return r;

        r = ctl_print_list(c, rows, job_columns, ELEMENTSOF(job_columns), "job");
        if (r < 0 || ctl_prints_json(c))
                return r;

        if (json_array_size(rows) == max &&
                        !arguments_have(&c->arguments, OPTION(NO_LEGEND) | OPTION(QUIET)))
                (void) printf("There may be older ones: --lines=all.\n");
        return EXIT_DONE;
}

static int job_id_validate(const char *id, Error *reterr) {
        if (!isempty(id) && strlen(id) <= JOB_ID_MAX && id[strspn(id, "0123456789")] == 0)
                return 0;

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                        "'%s' is not the id of a job, which is a number. 'ccpctl job list' lists them.", id);
}

static int look_up_job(Ctl *c, const char *id, char **ret_path, Error *reterr) {
        int r;

        r = job_id_validate(id, reterr);
        return r < 0 ? r : ctl_look_up(c, "GetJob", id, ret_path, reterr);
}

/* Looks for an old job in the history, which is newest first. -ENOENT if it is not there. */
static int find_in_history(Ctl *c, const char *id, json_t **ret, Error *reterr) {
        _cleanup_json_ json_t *rows = NULL;
        json_t *row;
        size_t i;
        int r;

        r = ctl_list_rows(c, "ListJobs", NULL, UINT64_MAX, &rows, reterr);
        if (r < 0)
                return r;

        json_array_foreach(rows, i, row)
                if (streq(json_get_text(row, "id"), id)) {
                        *ret = json_incref(row);
                        return 0;
                }

        return -ENOENT;
}

static int get_job(Ctl *c, const char *id, json_t **ret, Error *reterr) {
        _cleanup_error_ Error error = {};
        _cleanup_free_ char *path = NULL;
        int r, k;

        r = look_up_job(c, id, &path, &error);
        if (r >= 0)
                r = ctl_get_all(c, path, CCP_INTERFACE_JOB, ret, &error);
        if (r < 0 && exit_code_from_error(error.name) == EXIT_NO_SUCH) {
                /* Only the last ones are objects. */
                k = find_in_history(c, id, ret, reterr);
                if (k >= 0 || error_is_set(reterr))
                        return k;
        }
        if (r < 0)
                error_move(reterr, &error);
        return r;
}

static char *format_step_elapsed(const json_t *row, _unused_ Color *ret_color) {
        usec_t start = json_get_number(row, "started_at");
        usec_t end = json_get_number(row, "finished_at") ?: now(CLOCK_REALTIME);

        if (start == 0)
                return strdup("");

        return strdup(FORMAT_TIMESPAN(end > start ? end - start : 0));
}

static char *format_step_state(const json_t *row, Color *ret_color) {
        const char *state = json_get_text(row, "state");

        *ret_color = streq(state, "done")                                    ? COLOR_GREEN
                        : streq(state, "pending") || streq(state, "skipped") ? COLOR_GREY
                                                                             : color_of_state(state);
        return strdup(state);
}

static const ListColumn step_columns[] = {
        { { "STEP", .right = true }, "number" },
        { { "NAME" }, "name" },
        { { "STATE" }, "state", format_step_state },
        { { "TOOK", .right = true }, "started_at", format_step_elapsed },
        { { "TITLE", 1 }, "title" },
        { { "DETAIL", 2 }, "detail" },
};

static void print_job_head(const json_t *job) {
        const char *state = json_get_text(job, "state");
        _cleanup_free_ char *times = NULL, *by = NULL, *message = NULL;

        (void) printf("%s%s%s job %s - %s %s\n", color_on(stdout, color_of_state(state)), glyph(GLYPH_DOT),
                        color_on(stdout, COLOR_NONE), json_get_text(job, "id"), json_get_text(job, "kind"),
                        json_get_text(job, "instance"));
        print_label("State");
        (void) printf("%s%s%s, %d%%\n", color_on(stdout, color_of_state(state)), progress_state(job),
                        color_on(stdout, COLOR_NONE),
                        (int) (json_number_value(json_object_get(job, "progress")) * 100));
        print_field("Error", json_get_text(json_object_get(job, "error"), "message"));
        print_field("Error name", json_get_text(json_object_get(job, "error"), "name"));
        message = progress_format_message(job, now(CLOCK_REALTIME));
        print_field("Message", message);
        if (asprintf(&by, "%s (uid %" PRIu64 ")", json_get_text(job, "started_by"),
                            json_get_number(job, "started_by_uid")) < 0)
                by = NULL;
        print_field("Started by", by);
        print_field("Queued", FORMAT_TIMESTAMP(json_get_number(job, "queued_at")));
        print_field("Started", FORMAT_TIMESTAMP(json_get_number(job, "started_at")));
        if (asprintf(&times, "%s, after %s", FORMAT_TIMESTAMP(json_get_number(job, "finished_at")),
                            FORMAT_TIMESPAN(job_elapsed(job))) < 0)
                times = NULL;
        if (job_has_ended(job))
                print_field("Finished", times);
        if (json_get_number(job, "attempt") > 1)
                (void) printf("%13s %" PRIu64 "\n", "Attempt:", json_get_number(job, "attempt"));
        print_field("Unit", json_get_text(job, "unit"));
}

int verb_job_show(Ctl *c, char **args, Error *reterr) {
        const char *id = args[0];
        _cleanup_json_ json_t *job = NULL;
        char again[JOB_AGAIN_MAX];
        int r;

        r = get_job(c, id, &job, reterr);
        if (r < 0)
                return r;
        if (ctl_prints_json(c))
                return ctl_print_json(c, job);

        ctl_open_pager(c);
        print_job_head(job);
        (void) putchar('\n');
        r = ctl_print_table(c, json_object_get(job, "steps"), step_columns, ELEMENTSOF(step_columns));
        if (r < 0)
                return r;

        if (!arguments_have(&c->arguments, OPTION(QUIET) | OPTION(NO_LEGEND))) {
                (void) printf("\nIts messages: journalctl CCP_JOB=%s\n", id);
                if (streq(json_get_text(job, "state"), "failed"))
                        (void) printf("To try again: %s\n", job_again(job, again));
                else if (!job_has_ended(job))
                        (void) printf("To see how it goes: ccpctl job follow %s\n", id);
        }
        return EXIT_DONE;
}

static int print_ended(Ctl *c, const json_t *job) {
        int r;

        if (ctl_prints_json(c)) {
                r = ctl_print_json(c, job);
                if (r != EXIT_DONE)
                        return r;
        }
        if (!streq(json_get_text(job, "state"), "succeeded")) {
                job_print_failure(job, stderr);
                return EXIT_JOB_FAILED;
        }
        if (!ctl_prints_json(c))
                ctl_say(c, "Job %s has succeeded.\n", json_get_text(job, "id"));
        return EXIT_DONE;
}

int ctl_follow_job(Ctl *c, const char *id, Error *reterr) {
        _cleanup_job_watch_ JobWatch *w = NULL;
        _cleanup_json_ json_t *job = NULL;
        _cleanup_error_ Error error = {};
        _cleanup_free_ char *path = NULL;
        int r;

        r = job_watch_new(c, &w, reterr);
        if (r < 0)
                return r;

        r = ctl_look_up(c, "GetJob", id, &path, &error);
        if (r >= 0)
                return ctl_finish_job(c, w, path, "succeeded", reterr);
        if (exit_code_from_error(error.name) != EXIT_NO_SUCH) {
                error_move(reterr, &error);
                return r;
        }

        r = get_job(c, id, &job, reterr);
        return r < 0 ? r : print_ended(c, job);
}

int verb_job_follow(Ctl *c, char **args, Error *reterr) {
        int r;

        r = job_id_validate(args[0], reterr);
        return r < 0 ? r : ctl_follow_job(c, args[0], reterr);
}

int verb_job_cancel(Ctl *c, char **args, Error *reterr) {
        _cleanup_job_watch_ JobWatch *w = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = look_up_job(c, args[0], &path, reterr);
        if (r < 0)
                return r;
        if (ctl_waits(c)) {
                r = job_watch_new(c, &w, reterr);
                if (r < 0)
                        return r;
        }

        ctl_begin_job(c);
        r = ctl_call(c, path, CCP_INTERFACE_JOB, "Cancel", NULL, reterr, "a{sv}", 0);
        if (r < 0)
                return r;
        if (w)
                return ctl_finish_job(c, w, path, "cancelled", reterr);

        ctl_say(c, "Job %s is being cancelled.\n", args[0]);
        return EXIT_DONE;
}

int verb_job_retry(Ctl *c, char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_job_watch_ JobWatch *w = NULL;
        _cleanup_free_ char *path = NULL;
        const char *job;
        int r;

        r = look_up_job(c, args[0], &path, reterr);
        if (r < 0)
                return r;
        if (ctl_waits(c)) {
                r = job_watch_new(c, &w, reterr);
                if (r < 0)
                        return r;
        }

        ctl_begin_job(c);
        r = ctl_call(c, path, CCP_INTERFACE_JOB, "Retry", &reply, reterr, "a{sv}", 0);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "o", &job);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        return ctl_finish_job(c, w, job, "succeeded", reterr);
}
