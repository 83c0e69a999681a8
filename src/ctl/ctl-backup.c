/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ctl-bus.h"
#include "ctl.h"
#include "job-watch.h"
#include "prompt.h"
#include "string-util.h"
#include "strv.h"
#include "terminal.h"
#include "top.h"

/* --- the list --- */

static char *format_created(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_AGO(json_get_number(row, "created_at")));
}

/* One that has a copy, too, is that before all. */
static const char *backup_state(const json_t *b) {
        const char *state = json_get_text(b, "state");

        return streq(state, "verified") && json_get_number(b, "replicated_at") > 0 ? "replicated" : state;
}

static char *format_backup_state(const json_t *row, Color *ret_color) {
        const char *state = backup_state(row);

        *ret_color = streq(state, "verified") || streq(state, "replicated") ? COLOR_GREEN
                        : streq(state, "damaged")                           ? COLOR_RED
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

static const ListColumn copy_columns[] = {
        { { "ID", .right = true }, "backup" },
        { { "INSTANCE" }, "instance" },
        { { "CREATED" }, "created_at", format_created },
        { { "SIZE", .right = true }, "size", format_size },
        { { "KEY", 1 }, "key" },
};

static int list_copies(Ctl *c, const char *const (*filters)[2], Error *reterr) {
        _cleanup_json_ json_t *rows = NULL;
        int r;

        r = ctl_list_rows(c, "ListStorage", filters, c->arguments.lines, &rows, reterr);
        return r < 0 ? r : ctl_print_list(c, rows, copy_columns, ELEMENTSOF(copy_columns), "copied backup");
}

int verb_backup_list(Ctl *c, _unused_ char **args, Error *reterr) {
        const char *const filters[][2] = { { "instance", c->arguments.values[OPTION_INSTANCE] }, {} };
        _cleanup_json_ json_t *rows = NULL;
        int r;

        if (arguments_have(&c->arguments, OPTION(STORAGE)))
                return list_copies(c, filters, reterr);
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

/* "databases/db/app.dump, 12 MiB, postgresql 17.6". NULL if there is no memory for it. */
static char *describe_content(const json_t *entry) {
        _cleanup_free_ char *bytes = top_format_bytes(entry, "size"), *made_by = NULL;
        const char *engine = json_get_text(entry, "engine"), *version = json_get_text(entry, "version");
        uint64_t changed = json_get_number(entry, "n_changed");

        made_by = !isempty(version) ? strjoin(", ", engine, " ", version) : strdup("");
        if (!bytes || !made_by)
                return NULL;
        return strjoin(json_get_text(entry, "name"), ", ", bytes, made_by,
                        changed > 0 ? ", with files that changed while they were read" : "");
}

static int print_backup(const json_t *b) {
        _cleanup_free_ char *size = top_format_bytes(b, "size"), *blueprint = NULL, *keys = NULL;
        const json_t *ids = json_object_get(b, "recovery_keys");
        json_t *entry;
        size_t i;

        blueprint = strjoin(json_get_text(b, "blueprint"), " ", json_get_text(b, "blueprint_version"));
        keys = json_array_size(ids) > 0 ? json_to_text(ids) : NULL;
        if (!size || !blueprint || (json_array_size(ids) > 0 && !keys))
                return -ENOMEM;

        print_field("Backup", json_get_text(b, "id"));
        print_field("Instance", json_get_text(b, "instance"));
        print_field("State", backup_state(b));
        print_time("Created", b, "created_at");
        print_time("Verified", b, "verified_at");
        if (json_get_number(b, "read_at") > json_get_number(b, "verified_at"))
                print_time("Read", b, "read_at");
        print_time("Drilled", b, "drilled_at");
        print_time("Replicated", b, "replicated_at");
        if (json_get_number(b, "drill_took") > 0)
                print_field("Took", FORMAT_TIMESPAN(json_get_number(b, "drill_took")));
        print_field("Consistency", json_get_text(b, "consistency"));
        print_field("Blueprint", blueprint);
        print_field("Job", json_get_text(b, "job"));
        print_field("Error", json_get_text(b, "error"));
        print_field("File", json_get_text(b, "file"));
        print_field("Archive", json_get_text(b, "archive"));
        print_field("Signer", json_get_text(b, "signer"));
        print_field("Copy", json_get_text(b, "copy"));
        if (ids)
                print_field("Opened by", keys ? keys : "no recovery key: only this server opens it");
        print_field("Size", size);
        json_array_foreach(json_object_get(b, "contents"), i, entry) {
                _cleanup_free_ char *text = describe_content(entry);

                if (!text)
                        return -ENOMEM;
                print_field(i == 0 ? "Contents" : "", text);
        }
        return EXIT_DONE;
}

int ctl_get_backup(Ctl *c, const char *id, json_t **ret, Error *reterr) {
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

        r = ctl_get_backup(c, args[0], &backup, reterr);
        if (r < 0)
                return r;
        return ctl_prints_json(c) ? ctl_print_json(c, backup) : print_backup(backup);
}

/* --- verifying and deleting --- */

int ctl_confirm_delete(const Ctl *c, const char *what, Error *reterr) {
        _cleanup_free_ char *question = strjoin("Delete for good ", what);
        int r;

        if (arguments_have(&c->arguments, OPTION(YES)))
                return 0;
        if (!terminal_is_input())
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is no terminal to ask on. To delete %s, say --yes.", what);
        if (!question)
                return -ENOMEM;
        r = prompt_yes_no(question, false);
        if (r < 0 && !IN_SET(r, -ECANCELED, -EINTR))
                return error_set_errnof(reterr, r, "Cannot read from the terminal: %m.");
        return r > 0 ? 0 : error_setf(reterr, CCP_ERROR_CANCELLED, "Nothing was deleted.");
}

/* Calls a method that takes the number of a backup and makes a job, and waits for that. Returns the exit code. */
static int run_backup_job(Ctl *c, const char *method, const char *id, bool last, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = ctl_message(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, method, &m, reterr);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", id);
        if (r >= 0)
                r = last ? sd_bus_message_append(m, "a{sv}", 1, "last", "b", 1)
                         : sd_bus_message_append(m, "a{sv}", 0);
        return r < 0 ? r : ctl_submit_job(c, m, id, reterr);
}

/* The jobs of a call that made several, as an array of paths. */
static int read_paths(sd_bus_message *reply, char ***ret, Error *reterr) {
        _cleanup_strv_free_ char **paths = NULL;
        const char *path;
        int r;

        r = sd_bus_message_enter_container(reply, 'a', "o");
        while (r >= 0 && (r = sd_bus_message_read(reply, "o", &path)) > 0)
                r = strv_extend(&paths, path);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        *ret = TAKE_PTR(paths);
        return 0;
}

static int follow_one(Ctl *c, const char *path, Error *reterr) {
        _cleanup_free_ char *id = NULL;
        int r;

        if (!ctl_waits(c))
                return ctl_finish_job(c, NULL, path, "succeeded", reterr);
        r = job_id_from_path(path, &id);
        return r < 0 ? r : ctl_follow_job(c, id, reterr);
}

/* Waits for them, one after the other; they end in any order. What fails is told, and the rest followed all the same. Returns the
 * exit code. */
static int follow_jobs(Ctl *c, char *const *paths) {
        int code = EXIT_DONE;

        STRV_FOREACH(path, paths) {
                _cleanup_error_ Error error = {};
                int r;

                r = follow_one(c, *path, &error);
                if (r < 0)
                        r = ctl_report(&error, r);
                code = MAX(code, r);
        }
        return code;
}

/* One after the other: an instance takes one job at a time. What fails is told, and the rest done all the same. */
static int run_backup_jobs(Ctl *c, const char *method, char **ids, bool last, Error *reterr) {
        int code = EXIT_DONE;

        STRV_FOREACH(id, ids) {
                _cleanup_error_ Error error = {};
                int r;

                r = run_backup_job(c, method, *id, last, &error);
                if (r < 0 && !ids[1]) {
                        error_move(reterr, &error);
                        return r;
                }
                if (r < 0)
                        r = ctl_report(&error, r);
                code = MAX(code, r);
        }
        return code;
}

int verb_backup_verify(Ctl *c, char **args, Error *reterr) {
        return run_backup_jobs(c, "VerifyBackup", args, false, reterr);
}

int verb_backup_drill(Ctl *c, char **args, Error *reterr) {
        return run_backup_jobs(c, "DrillBackup", args, false, reterr);
}

int verb_backup_replicate(Ctl *c, char **args, Error *reterr) {
        return run_backup_jobs(c, "ReplicateBackup", args, false, reterr);
}

int verb_backup_fetch(Ctl *c, char **args, Error *reterr) {
        return run_backup_jobs(c, "FetchBackup", args, false, reterr);
}

/* What the numbers stand for, before anybody says yes to them. */
static int describe_backups(Ctl *c, char *const *ids, Error *reterr) {
        _cleanup_json_ json_t *backups = json_array();
        const json_t *b;
        size_t i;
        int r;

        if (!backups)
                return -ENOMEM;
        STRV_FOREACH(id, ids) {
                json_t *found;

                r = ctl_get_backup(c, *id, &found, reterr);
                if (r < 0)
                        return r;
                if (json_array_append_new(backups, found) < 0)
                        return -ENOMEM;
        }

        json_array_foreach(backups, i, b) {
                _cleanup_free_ char *size = top_format_bytes(b, "size");
                uint64_t created = json_get_number(b, "created_at");

                if (!size)
                        return -ENOMEM;
                (void) fprintf(stderr, "Backup %s of %s, %s, %s; %s, %s\n", json_get_text(b, "id"),
                                json_get_text(b, "instance"), backup_state(b), FORMAT_TIMESTAMP(created),
                                FORMAT_AGO(created), size);
        }
        return 0;
}

int verb_backup_delete(Ctl *c, char **args, Error *reterr) {
        _cleanup_free_ char *list = strv_join(args, ", "), *what = NULL;
        int r = 0;

        what = list ? strjoin(args[1] ? "the backups " : "the backup ", list) : NULL;
        if (!what)
                return -ENOMEM;
        if (!arguments_have(&c->arguments, OPTION(YES)) && terminal_is_input())
                r = describe_backups(c, args, reterr);
        if (r >= 0)
                r = ctl_confirm_delete(c, what, reterr);
        return r < 0 ? r
                     : run_backup_jobs(c, "DeleteBackup", args, arguments_have(&c->arguments, OPTION(LAST)),
                                       reterr);
}

/* --- what is kept --- */

static char *format_kept(const json_t *row, Color *ret_color) {
        bool kept = json_is_true(json_object_get(row, "kept"));

        *ret_color = kept ? COLOR_GREEN : COLOR_RED;
        return strdup(kept ? "keep" : "delete");
}

static const ListColumn plan_columns[] = {
        { { "ID", .right = true }, "id" },
        { { "INSTANCE" }, "instance" },
        { { "STATE" }, "state", format_backup_state },
        { { "CREATED" }, "created_at", format_created },
        { { "SIZE", .right = true }, "size", format_size },
        { { "VERDICT" }, "kept", format_kept },
        { { "WHY", 1 }, "reason" },
};

static size_t count_deleted(const json_t *rows) {
        const json_t *row;
        size_t i, n = 0;

        json_array_foreach(rows, i, row)
                n += !json_is_true(json_object_get(row, "kept"));
        return n;
}

static int prune(Ctl *c, const char *slug, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_strv_free_ char **paths = NULL;
        int r;

        ctl_begin_job(c);
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "PruneBackups", &reply, reterr, "sa{sv}", slug,
                        0);
        if (r >= 0)
                r = read_paths(reply, &paths, reterr);
        return r < 0 ? r : follow_jobs(c, paths);
}

int verb_backup_prune(Ctl *c, char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *rows = NULL;
        char what[STRLEN("these 18446744073709551615 backups") + 1];
        size_t n;
        int r;

        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "PlanRetention", &reply, reterr, "sa{sv}",
                        strempty(args[0]), 0);
        if (r < 0)
                return r;
        r = json_from_rows(reply, CCP_INTERFACE_MANAGER, "PlanRetention", &rows);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        n = count_deleted(rows);
        if (arguments_have(&c->arguments, OPTION(DRY_RUN)) || !ctl_prints_json(c)) {
                r = ctl_print_list(c, rows, plan_columns, ELEMENTSOF(plan_columns), "backup");
                if (r < 0)
                        return r;
        }
        if (n == 0 || arguments_have(&c->arguments, OPTION(DRY_RUN)))
                return EXIT_DONE;

        (void) snprintf(what, sizeof(what), "these %zu backups", n);
        r = ctl_confirm_delete(c, what, reterr);
        return r < 0 ? r : prune(c, strempty(args[0]), reterr);
}

/* --- making --- */

/* Those that run and got no job: each is told, and makes this no success. */
static int report_left_out(Ctl *c, char *const *paths, Error *reterr) {
        const char *const filters[][2] = { { "state", "running" }, {} };
        _cleanup_json_ json_t *rows = NULL, *begun = json_object();
        const json_t *row;
        int r, code = EXIT_DONE;
        size_t i;

        if (!begun)
                return -ENOMEM;
        STRV_FOREACH(path, paths) {
                _cleanup_json_ json_t *job = NULL;

                r = ctl_get_all(c, *path, CCP_INTERFACE_JOB, &job, reterr);
                if (r < 0)
                        return r;
                if (json_object_set_new(begun, json_get_text(job, "instance"), json_true()) < 0)
                        return -ENOMEM;
        }

        r = ctl_list_rows(c, "ListInstances", filters, UINT64_MAX, &rows, reterr);
        if (r < 0)
                return r;
        json_array_foreach(rows, i, row) {
                const char *slug = json_get_text(row, "slug");

                if (json_object_get(begun, slug))
                        continue;
                (void) fprintf(stderr, "'%s' is not backed up: it got no job. See: journalctl -u ccpd\n",
                                slug);
                code = EXIT_FAILED;
        }
        return code;
}

static int back_up_all(Ctl *c, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        const char *consistency = c->arguments.values[OPTION_CONSISTENCY];
        _cleanup_strv_free_ char **paths = NULL;
        int r, code;

        r = ctl_message(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "BackupAll", &m, reterr);
        if (r >= 0)
                r = consistency ? sd_bus_message_append(m, "a{sv}", 1, "consistency", "s", consistency)
                                : sd_bus_message_append(m, "a{sv}", 0);
        if (r < 0)
                return r;

        ctl_begin_job(c);
        r = ctl_send(c, m, &reply, reterr);
        if (r >= 0)
                r = read_paths(reply, &paths, reterr);
        if (r < 0)
                return r;

        code = report_left_out(c, paths, reterr);
        if (code < 0)
                return code;
        if (!paths && code == EXIT_DONE && !ctl_prints_json(c))
                ctl_say(c,
                                "No instance runs: nothing was backed up. Of one that is stopped: ccpctl "
                                "backup create SLUG\n");
        return MAX(follow_jobs(c, paths), code);
}

int verb_backup_create(Ctl *c, char **args, Error *reterr) {
        const char *const options[][2] = { { "consistency", c->arguments.values[OPTION_CONSISTENCY] }, {} };
        bool all = arguments_have(&c->arguments, OPTION(ALL));

        if (all == (args[0] != NULL))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "Say which instance to back up, or --all for those that run.");
        return all ? back_up_all(c, reterr)
                   : ctl_run_instance_job(c, args[0],
                                     &(CtlJobCall) { .method = "Backup", .options = options }, reterr);
}
