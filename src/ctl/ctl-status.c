/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ctl.h"
#include "instance.h"
#include "job-watch.h"
#include "live.h"
#include "log-print.h"
#include "log-stream.h"
#include "progress.h"
#include "string-util.h"
#include "strv.h"
#include "top.h"

#define NEWEST_LINES 10U
#define JOBS_LOOKED_AT 50U

static char *format_since(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_AGO(json_get_number(row, "since")));
}

static char *format_container(const json_t *row, _unused_ Color *ret_color) {
        return strndup(json_get_text(row, "container"), 12);
}

static const ListColumn service_columns[] = {
        { { "SERVICE", 1 }, "service" },
        { { "KIND" }, "kind" },
        { { "STATE" }, "state", format_state },
        { { "HEALTH" }, "health", format_health },
        { { "RESTARTS", .right = true }, "restarts" },
        { { "CONTAINER", 1 }, "container", format_container },
        { { "SINCE" }, "since", format_since },
};

/* Ports from these ranges speak HTTP; those of databases do not. */
static bool range_is_web(const char *range) {
        static const char *const web[] = { "api", "admin", "nginx" };

        return string_table_lookup(web, ELEMENTSOF(web), range) >= 0;
}

/* The addresses of the instance on this host. The blueprint says which ports are for browsers; without it
 * there is nothing to say. */
static void print_local_urls(Ctl *c, const json_t *instance) {
        const json_t *ports = json_object_get(instance, "ports");
        _cleanup_json_ json_t *blueprint = NULL;
        _cleanup_free_ char *path = NULL;
        _cleanup_error_ Error error = {};
        json_t *port;
        size_t i;

        if (ctl_look_up(c, "GetBlueprint", json_get_text(instance, "blueprint"), &path, &error) < 0 ||
                        ctl_get_all(c, path, CCP_INTERFACE_BLUEPRINT, &blueprint, &error) < 0)
                return;

        json_array_foreach(json_object_get(blueprint, "ports"), i, port) {
                const char *name = json_get_text(port, "name");
                uint64_t number = json_get_number(ports, name);
                _cleanup_free_ char *url = NULL;

                if (number == 0 || !range_is_web(json_get_text(port, "range")))
                        continue;
                if (asprintf(&url, "http://%s:%" PRIu64 "/ (%s)", json_get_text(instance, "bind_address"),
                                    number, name) >= 0)
                        print_field("", url);
        }
}

static void print_state(const json_t *instance) {
        const char *state = json_get_text(instance, "state"), *health = json_get_text(instance, "health");
        usec_t since = json_get_number(instance, "state_changed_at");

        print_label("State");
        (void) printf("%s%s%s since %s; %s\n", color_on(stdout, color_of_state(state)), state,
                        color_on(stdout, COLOR_NONE), FORMAT_TIMESTAMP(since), FORMAT_AGO(since));
        print_label("Health");
        (void) printf("%s%s%s", color_on(stdout, color_of_state(health)), health,
                        color_on(stdout, COLOR_NONE));
        since = json_get_number(instance, "health_since");
        if (since > 0)
                (void) printf(" since %s; %s", FORMAT_TIMESTAMP(since), FORMAT_AGO(since));
        (void) putchar('\n');
        print_field("", json_get_text(instance, "health_reason"));
}

/* "CPU 12.3s, memory 212M of 1.0G, 31 tasks, disk 2.1G": what is known of it. */
static void print_use(Ctl *c, const char *path) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *use = NULL, *rows = json_array();
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_error_ Error error = {};
        _cleanup_free_ char *text = NULL;
        char size[TOP_SIZE_MAX];

        if (ctl_call(c, path, CCP_INTERFACE_INSTANCE, "GetUse", &reply, &error, "a{sv}", 0) < 0 ||
                        json_from_message(reply, &use) < 0 || json_array_append(rows, use) < 0 ||
                        top_add_rates(rows, NULL) < 0)
                return;

        if (json_object_get(use, "cpu_usec"))
                string_builder_appendf(&b, ", CPU %s", FORMAT_TIMESPAN(json_get_number(use, "cpu_usec")));
        if (json_object_get(use, "memory_used"))
                string_builder_appendf(&b, ", memory %s",
                                top_format_size(size, sizeof(size),
                                                (double) json_get_number(use, "memory_used")));
        if (json_object_get(use, "memory_max"))
                string_builder_appendf(&b, " of %s",
                                top_format_size(size, sizeof(size),
                                                (double) json_get_number(use, "memory_max")));
        if (json_object_get(use, "tasks"))
                string_builder_appendf(&b, ", %" PRIu64 " tasks", json_get_number(use, "tasks"));
        if (json_object_get(use, "disk"))
                string_builder_appendf(&b, ", disk %s",
                                top_format_size(size, sizeof(size), (double) json_get_number(use, "disk")));
        if (json_get_number(use, "oom_kills") > 0)
                string_builder_appendf(&b, ", %" PRIu64 " processes killed for want of memory",
                                json_get_number(use, "oom_kills"));
        if (string_builder_finish(&b, &text, NULL) >= 0 && startswith(text, ", "))
                print_field("Use", text + strlen(", "));
}

/* The newest lines of its services, as systemctl status has those of a unit; without the right to read them, none. */
static void print_newest_lines(Ctl *c, const char *slug) {
        char *none[] = { NULL };
        const LogQuery query = {
                .slug = slug,
                .services = none,
                .lines = arguments_have(&c->arguments, OPTION(LINES)) ? c->arguments.lines : NEWEST_LINES,
                .until = USEC_INFINITY,
        };
        _cleanup_error_ Error error = {};
        int r;

        /* On a screen that is drawn anew at each change they would come and go. */
        if (query.lines == 0 ||
                        arguments_have(&c->arguments, OPTION(WATCH) | OPTION(QUIET) | OPTION(NO_LEGEND)))
                return;
        (void) putchar('\n');
        r = log_stream(c, &query, log_print, &error);
        if (r < 0 && !error_is_refusal(error.name))
                print_field("Logs", error.message);
}

/* What differs, each in a line of its own. */
static void print_drift(const json_t *instance) {
        static const struct {
                const char *kind, *before, *after;
        } sentences[] = {
                { "stopped", "the container of ", " was stopped" },
                { "paused", "the container of ", " was paused" },
                { "removed", "the container of ", " was removed" },
                { "image", "the container of ", " is of another image" },
                { "extra", "there is a container of ", ", which the instance does not have" },
                { "file-changed", "the file ", " was changed" },
                { "file-added", "the file ", " was added" },
                { "file-missing", "the file ", " is missing" },
        };
        const char *label = "Drift";
        json_t *drift;
        size_t i;

        json_array_foreach(json_object_get(instance, "drift"), i, drift) {
                const char *kind = json_get_text(drift, "kind");
                _cleanup_free_ char *subject = text_escape(json_get_text(drift, "subject"));

                FOREACH_ARRAY(s, sentences, ELEMENTSOF(sentences)) {
                        if (!streq(s->kind, kind))
                                continue;
                        print_label(label);
                        (void) printf("%s%s'%s'%s%s; %s\n", color_on(stdout, COLOR_YELLOW), s->before,
                                        strempty(subject), s->after, color_on(stdout, COLOR_NONE),
                                        FORMAT_AGO(json_get_number(drift, "since")));
                        label = "";
                }
        }
}

/* What ccpd itself tried. */
static void print_recovery(const json_t *instance) {
        const json_t *recovery = json_object_get(instance, "recovery");
        const char *reason = json_get_text(recovery, "reason");
        uint64_t n = json_get_number(recovery, "attempts"), next = json_get_number(recovery, "next");

        if (n == 0)
                return;

        print_label("Recovery");
        (void) printf("started %" PRIu64 " time%s by ccpd after %s", n, n == 1 ? "" : "s",
                        streq(reason, "boot")                     ? "the start of the server"
                                        : streq(reason, "engine") ? "the start of Docker"
                                                                  : "it had drifted");
        if (next > 0)
                (void) printf("; again at %s", FORMAT_TIMESTAMP(next));
        else if (streq(json_get_text(instance, "state"), "failed"))
                (void) printf("; given up");
        (void) putchar('\n');
}

static bool has_drift(const json_t *instance, const char *prefix) {
        json_t *drift;
        size_t i;

        json_array_foreach(json_object_get(instance, "drift"), i, drift)
                if (startswith(json_get_text(drift, "kind"), prefix))
                        return true;

        return false;
}

static bool has_containers_drift(const json_t *instance) {
        return has_drift(instance, "stopped") || has_drift(instance, "paused") ||
                        has_drift(instance, "removed") || has_drift(instance, "image");
}

/* Files that were added stop nothing, but for the one that compose reads by itself. */
static bool has_wrong_files(const json_t *instance) {
        json_t *drift;
        size_t i;

        json_array_foreach(json_object_get(instance, "drift"), i, drift) {
                const char *kind = json_get_text(drift, "kind");

                if (startswith(kind, "file-") &&
                                (!streq(kind, "file-added") ||
                                                streq(json_get_text(drift, "subject"), ".env")))
                        return true;
        }

        return false;
}

static Color color_of_instance(const json_t *instance) {
        const char *state = json_get_text(instance, "state"), *health = json_get_text(instance, "health");

        return streq(state, "running") ? color_of_state(health) : color_of_state(state);
}

static void print_blueprint(const json_t *instance) {
        _cleanup_free_ char *text = NULL, *features = NULL;
        const json_t *f = json_object_get(instance, "features");

        if (asprintf(&text, "%s %s, revision %" PRIu64, json_get_text(instance, "blueprint"),
                            json_get_text(instance, "blueprint_version"),
                            json_get_number(instance, "revision")) < 0)
                text = NULL;
        print_field("Blueprint", text);
        features = f ? json_to_text(f) : NULL;
        print_field("Features", features);
}

static bool job_waits(const json_t *job) {
        return streq(json_get_text(job, "state"), "waiting");
}

/* The job that runs, or the last one: "42 restart, running, step 3 of 4 (start)". */
static void print_job(const json_t *job) {
        const json_t *step;
        uint64_t n = json_get_number(job, "step");
        const char *state = json_get_text(job, "state");

        step = n > 0 ? json_array_get(json_object_get(job, "steps"), n - 1) : NULL;
        print_label("Job");
        (void) printf("%s %s, %s%s%s", json_get_text(job, "id"), json_get_text(job, "kind"),
                        color_on(stdout, color_of_state(state)), progress_state(job),
                        color_on(stdout, COLOR_NONE));
        if (step && !streq(state, "succeeded"))
                (void) printf(" at step %" PRIu64 " of %zu (%s)", n,
                                json_array_size(json_object_get(job, "steps")), json_get_text(step, "name"));
        if (json_get_number(job, "finished_at") > 0)
                (void) printf("; %s", FORMAT_AGO(json_get_number(job, "finished_at")));
        (void) putchar('\n');

        print_field("", json_get_text(json_object_get(job, "error"), "message"));
        /* Of one at work there is a step. */
        if (job_waits(job))
                print_field("", json_get_text(job, "message"));
}

static void print_advice(const json_t *instance, const json_t *job) {
        const char *slug = json_get_text(instance, "slug"), *state = json_get_text(instance, "state");
        const char *health = json_get_text(instance, "health"), *id = json_get_text(job, "id");
        char again[JOB_AGAIN_MAX];

        if (job && !job_has_ended(job))
                (void) printf("\nTo see how the job goes: ccpctl job follow %s\n", id);
        else if (job && streq(json_get_text(job, "state"), "failed"))
                (void) printf("\nThe job failed: ccpctl job show %s; journalctl CCP_JOB=%s; to try again: "
                              "%s\n",
                                id, id, job_again(job, again));
        else if (streq(state, "stopped"))
                (void) printf("\nTo start it: ccpctl start %s\n", slug);
        else if (has_wrong_files(instance))
                (void) printf("\nIt cannot be started again from files that are not what was recorded: put "
                              "them back "
                              "in\n%s/current/.\n",
                                json_get_text(instance, "directory"));
        else if (has_drift(instance, "extra"))
                (void) printf("\nTo see what is too many: docker ps --all --filter label=ccp.instance=%s\n",
                                slug);
        else if (has_containers_drift(instance))
                (void) printf(streq(json_get_text(instance, "repair"), "on")
                                                ? "\nTo put it right: ccpctl start %s\n"
                                                : "\nTo put it right: ccpctl start %s; to have that done: "
                                                  "ccpctl set %s repair=on\n",
                                slug, slug);
        else if (streq(health, "degraded") || streq(health, "unhealthy"))
                (void) printf("\nWhat its services say: ccpctl logs %s\n", slug);
}

/* What is at work comes before what is over, and that before what waits for its turn. */
static usec_t rank_job(const json_t *job) {
        return job_has_ended(job) ? json_get_number(job, "finished_at") : job_waits(job) ? 0 : USEC_INFINITY;
}

/* The one that is on the instance, by what that says itself; else the last one. NULL if there is none. */
static const json_t *choose_job(const json_t *rows, const json_t *instance) {
        _cleanup_free_ char *present = NULL;
        const json_t *row, *chosen = NULL;
        size_t i;

        (void) job_id_from_path(json_get_text(instance, "job"), &present);
        json_array_foreach(rows, i, row) {
                if (streq_ptr(present, json_get_text(row, "id")))
                        return row;
                if (!chosen || rank_job(row) > rank_job(chosen))
                        chosen = row;
        }
        return chosen;
}

/* The newest ones, in an order of their own: one that waited for its turn may be older than others that are long over. */
static int list_last_jobs(Ctl *c, const char *slug, json_t **ret, Error *reterr) {
        const char *const filters[][2] = { { "instance", slug }, {} };
        int r;

        r = ctl_list_rows(c, "ListJobs", filters, JOBS_LOOKED_AT, ret, reterr);
        if (r < 0 &&
                        (streq_ptr(reterr->name, CCP_ERROR_STORE_UNAVAILABLE) ||
                                        error_is_refusal(reterr->name))) {
                /* All the rest is known without the store, and without jobs. */
                error_done(reterr);
                *ret = NULL;
                return 0;
        }
        return r;
}

static void print_jobs(const json_t *rows, const json_t *chosen) {
        const json_t *row;
        size_t i;

        if (chosen)
                print_job(chosen);
        json_array_foreach(rows, i, row)
                if (row != chosen && job_waits(row))
                        print_job(row);
}

/* How new the newest backup is, and when others are made. */
static void print_backup(const json_t *instance) {
        uint64_t at = json_get_number(instance, "last_backup_at");
        const char *schedule = json_get_text(instance, "backup_schedule");
        _cleanup_free_ char *text = NULL;

        if (isempty(schedule) || (at == 0 && streq(schedule, "off")))
                return;
        text = strjoin(at > 0 ? FORMAT_AGO(at) : "none", streq(schedule, "off") ? "" : "; ",
                        streq(schedule, "off") ? "" : schedule);
        print_field("Backup", strempty(text));
}

/* When a backup was tried, and when one was copied. */
static void print_trust(const json_t *instance) {
        uint64_t at = json_get_number(instance, "last_drilled_at"),
                 copied = json_get_number(instance, "last_replicated_at");

        if (at > 0)
                print_field("Drilled", FORMAT_AGO(at));
        if (copied > 0)
                print_field("Replicated", FORMAT_AGO(copied));
}

/* What restores replaced is still there, for who finds that it was the wrong backup. */
static void print_restores(const json_t *instance) {
        const json_t *restores = json_object_get(instance, "restores"), *last = json_array_get(restores, 0);
        const char *slug = json_get_text(instance, "slug"), *backup = json_get_text(last, "backup");
        _cleanup_free_ char *text = NULL, *more = NULL;

        if (!last)
                return;
        text = strjoin(FORMAT_AGO(json_get_number(last, "switched_at")),
                        isempty(backup) ? ", by undoing another one" : ", from backup ", backup,
                        "; kept until ", FORMAT_TIMESTAMP(json_get_number(last, "keep_until")),
                        ": ccpctl restore undo ", slug);
        print_field("Restored", strempty(text));
        if (json_array_size(restores) == 1)
                return;
        more = strjoin("what others replaced before is kept, too: ccpctl restore list ", slug);
        print_field("", strempty(more));
}

static int print_status(Ctl *c, const char *path, const json_t *instance, Error *reterr) {
        const char *slug = json_get_text(instance, "slug"), *domain = json_get_text(instance, "domain");
        const json_t *services = json_object_get(instance, "services");
        _cleanup_free_ char *ports = NULL, *name = NULL, *url = NULL, *limits = NULL;
        _cleanup_json_ json_t *jobs = NULL;
        const json_t *job;
        int r;

        r = list_last_jobs(c, slug, &jobs, reterr);
        if (r < 0)
                return r;
        job = choose_job(jobs, instance);

        ports = json_object_get(instance, "ports") ? json_to_text(json_object_get(instance, "ports")) : NULL;
        name = text_escape(json_get_text(instance, "name"));
        url = strjoin("https://", domain, "/");
        (void) printf("%s%s%s %s - %s\n", color_on(stdout, color_of_instance(instance)), glyph(GLYPH_DOT),
                        color_on(stdout, COLOR_NONE), slug, strempty(name));
        print_state(instance);
        print_field("Error", json_get_text(json_object_get(instance, "error"), "message"));
        print_recovery(instance);
        print_drift(instance);
        print_restores(instance);
        print_use(c, path);
        print_field("Domain", domain);
        print_field("URL", url);
        print_local_urls(c, instance);
        print_field("Ports", ports);
        print_field("Subnet", json_get_text(instance, "subnet"));
        print_blueprint(instance);
        limits = json_object_get(instance, "limits") ? json_to_text(json_object_get(instance, "limits"))
                                                     : NULL;
        print_field("Limits", limits);
        print_backup(instance);
        print_trust(instance);
        print_field("Folder", json_get_text(instance, "directory"));
        print_field("Slice", json_get_text(instance, "slice"));
        print_jobs(jobs, job);

        if (json_array_size(services) > 0) {
                (void) putchar('\n');
                r = ctl_print_table(c, services, service_columns, ELEMENTSOF(service_columns));
                if (r < 0)
                        return r;
        }
        print_newest_lines(c, slug);
        if (!arguments_have(&c->arguments, OPTION(QUIET) | OPTION(NO_LEGEND)))
                print_advice(instance, job);
        return 0;
}

static int show_status(Ctl *c, const char *slug, json_t *all, Error *reterr) {
        _cleanup_free_ char *path = NULL;
        json_t *instance;
        int r;

        r = ctl_get_instance(c, slug, &path, &instance, reterr);
        if (r < 0)
                return r;
        if (json_array_append_new(all, instance) < 0)
                return -ENOMEM;
        if (ctl_prints_json(c))
                return 0;

        ctl_open_pager(c);
        if (json_array_size(all) > 1)
                (void) putchar('\n');
        return print_status(c, path, instance, reterr);
}

/* Goes on after one that does not exist, like systemctl; the exit code is that of the first failure. */
static int show_all(Ctl *c, void *userdata, Error *reterr) {
        _cleanup_json_ json_t *all = NULL;
        char **args = userdata;
        int code = EXIT_DONE, r;

        all = json_array();
        if (!all)
                return -ENOMEM;

        STRV_FOREACH(slug, args) {
                _cleanup_error_ Error error = {};

                r = show_status(c, *slug, all, &error);
                if (r >= 0)
                        continue;
                if (error_is_away(error.name) || strv_length(args) == 1) {
                        error_move(reterr, &error);
                        return r;
                }

                r = ctl_report(&error, r);
                code = code == EXIT_DONE ? r : code;
        }

        if (ctl_prints_json(c)) {
                r = ctl_print_json(c, strv_length(args) == 1 ? json_array_get(all, 0) : all);
                if (r != EXIT_DONE)
                        return r;
        }
        return code;
}

int verb_status(Ctl *c, char **args, Error *reterr) {
        return arguments_have(&c->arguments, OPTION(WATCH)) ? live_show(c, show_all, args, reterr)
                                                            : show_all(c, args, reterr);
}
