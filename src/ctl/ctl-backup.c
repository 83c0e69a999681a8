/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ctl-bus.h"
#include "ctl.h"
#include "job-watch.h"
#include "string-util.h"
#include "top.h"

int verb_backup_create(Ctl *c, char **args, Error *reterr) {
        const char *const options[][2] = { { "pause", c->arguments.values[OPTION_PAUSE] }, {} };

        return ctl_run_instance_job(
                        c, args[0], &(CtlJobCall) { .method = "Backup", .options = options }, reterr);
}

/* --- the list --- */

static char *format_created(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_AGO(json_get_number(row, "created_at")));
}

static char *format_backup_state(const json_t *row, Color *ret_color) {
        const char *state = json_get_text(row, "state");

        *ret_color = streq(state, "verified")     ? COLOR_GREEN
                        : streq(state, "damaged") ? COLOR_RED
                                                  : COLOR_YELLOW;
        return strdup(state);
}

static char *format_size(const json_t *row, _unused_ Color *ret_color) {
        return top_format_bytes(row, "size");
}

static const ListColumn backup_columns[] = {
        { { "ID", .right = true }, "id" },
        { { "INSTANCE" }, "instance" },
        { { "STATE" }, "state", format_backup_state },
        { { "CREATED" }, "created_at", format_created },
        { { "SIZE", .right = true }, "size", format_size },
        { { "CONSISTENCY" }, "consistency" },
        { { "FILE", 1 }, "file" },
};

int verb_backup_list(Ctl *c, _unused_ char **args, Error *reterr) {
        const char *const filters[][2] = { { "instance", c->arguments.values[OPTION_INSTANCE] }, {} };
        _cleanup_json_ json_t *rows = NULL;
        int r;

        r = ctl_list_rows(c, "ListBackups", filters, c->arguments.lines, &rows, reterr);
        return r < 0 ? r : ctl_print_list(c, rows, backup_columns, ELEMENTSOF(backup_columns), "backup");
}

/* --- one --- */

static void print_time(const char *label, const json_t *row, const char *key) {
        uint64_t t = json_get_number(row, key);
        char text[FORMAT_TIMESTAMP_MAX + FORMAT_TIMESPAN_MAX + 16];

        if (t == 0)
                return;
        (void) snprintf(text, sizeof(text), "%s; %s", FORMAT_TIMESTAMP(t), FORMAT_AGO(t));
        print_field(label, text);
}

static int print_backup(const json_t *b) {
        _cleanup_free_ char *size = top_format_bytes(b, "size"), *blueprint = NULL;
        json_t *entry;
        size_t i;

        blueprint = strjoin(json_get_text(b, "blueprint"), " ", json_get_text(b, "blueprint_version"));
        if (!size || !blueprint)
                return -ENOMEM;

        print_field("Backup", json_get_text(b, "id"));
        print_field("Instance", json_get_text(b, "instance"));
        print_field("State", json_get_text(b, "state"));
        print_time("Created", b, "created_at");
        print_time("Verified", b, "verified_at");
        print_field("Consistency", json_get_text(b, "consistency"));
        print_field("Blueprint", blueprint);
        print_field("Job", json_get_text(b, "job"));
        print_field("File", json_get_text(b, "file"));
        print_field("Archive", json_get_text(b, "archive"));
        print_field("Size", size);
        json_array_foreach(json_object_get(b, "contents"), i, entry) {
                _cleanup_free_ char *bytes = top_format_bytes(entry, "size"), *text = NULL;

                text = bytes ? strjoin(json_get_text(entry, "name"), ", ", bytes) : NULL;
                if (!text)
                        return -ENOMEM;
                print_field(i == 0 ? "Contents" : "", text);
        }
        return EXIT_DONE;
}

static int get_backup(Ctl *c, const char *id, json_t **ret, Error *reterr) {
        const char *const filters[][2] = { { "id", id }, {} };
        _cleanup_json_ json_t *rows = NULL;
        int r;

        r = ctl_list_rows(c, "ListBackups", filters, 1, &rows, reterr);
        if (r < 0)
                return r;
        if (json_array_size(rows) == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_BACKUP,
                                "There is no backup %s. 'ccpctl backup list' shows those that there are.",
                                id);
        *ret = json_incref(json_array_get(rows, 0));
        return 0;
}

int verb_backup_show(Ctl *c, char **args, Error *reterr) {
        _cleanup_json_ json_t *backup = NULL;
        int r;

        r = get_backup(c, args[0], &backup, reterr);
        if (r < 0)
                return r;
        return ctl_prints_json(c) ? ctl_print_json(c, backup) : print_backup(backup);
}

/* --- restoring --- */

/* Into a new instance: the backup need not be of one that is there. */
static int restore_as(Ctl *c, const char *backup, const char *slug, Error *reterr) {
        const char *const options[][2] = {
                { "domain", c->arguments.values[OPTION_DOMAIN] },
                { "name", c->arguments.values[OPTION_NAME] },
                { "version", arguments_have(&c->arguments, OPTION(ANY_VERSION)) ? "any" : NULL },
                {},
        };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_job_watch_ JobWatch *w = NULL;
        const char *instance, *job;
        int r;

        if (!arguments_have(&c->arguments, OPTION(NO_WAIT))) {
                r = job_watch_new(c, &w, reterr);
                if (r < 0)
                        return r;
        }
        r = ctl_message(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "RestoreInstance", &m, reterr);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", slug, backup);
        if (r >= 0)
                r = ctl_append_options(m, options);
        if (r < 0)
                return r;

        ctl_begin_job(c);
        r = ctl_send(c, m, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "oo", &instance, &job);
        if (r < 0)
                return ctl_bad_reply(reterr, r);
        return ctl_finish_job(c, w, job, "succeeded", reterr);
}

int verb_backup_restore(Ctl *c, char **args, Error *reterr) {
        const char *const options[][2] = {
                { "version", arguments_have(&c->arguments, OPTION(ANY_VERSION)) ? "any" : NULL }, {}
        };
        _cleanup_json_ json_t *backup = NULL;
        const char *slug;
        int r;

        if (c->arguments.values[OPTION_AS])
                return restore_as(c, args[0], c->arguments.values[OPTION_AS], reterr);
        if (arguments_have(&c->arguments, OPTION(DOMAIN) | OPTION(NAME)))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A domain and a name are for a new instance: say --as=SLUG too.");

        r = get_backup(c, args[0], &backup, reterr);
        if (r < 0)
                return r;
        slug = json_get_text(backup, "instance");
        r = ctl_run_instance_job(c, slug,
                        &(CtlJobCall) { .method = "Restore", .text = args[0], .options = options }, reterr);
        if (r == EXIT_DONE && !arguments_have(&c->arguments, OPTION(NO_WAIT)) &&
                        !arguments_have(&c->arguments, OPTION(QUIET)))
                (void) fprintf(stderr, "What '%s' had before is kept. To go back: ccpctl restore undo %s\n",
                                slug, slug);
        return r;
}

int verb_restore_undo(Ctl *c, char **args, Error *reterr) {
        return ctl_run_instance_job(c, args[0], &(CtlJobCall) { .method = "UndoRestore" }, reterr);
}

int verb_restore_discard(Ctl *c, char **args, Error *reterr) {
        return ctl_run_instance_job(c, args[0], &(CtlJobCall) { .method = "DiscardRestore" }, reterr);
}
