/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ctl.h"
#include "live.h"
#include "string-util.h"
#include "top.h"

/* Since when it is as it is, and why: a running instance is how healthy it is. */
static usec_t since_of(const json_t *instance) {
        usec_t health = json_get_number(instance, "health_since");

        return streq(json_get_text(instance, "state"), "running") && health > 0
                        ? health
                        : json_get_number(instance, "state_changed_at");
}

static const char *reason_of(const json_t *instance) {
        const char *error = json_get_text(json_object_get(instance, "error"), "message");

        return isempty(error) ? json_get_text(instance, "health_reason") : error;
}

static char *format_since(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_AGO(since_of(row)));
}

static char *format_reason(const json_t *row, _unused_ Color *ret_color) {
        return strdup(reason_of(row));
}

static char *format_backup(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_AGO(json_get_number(row, "last_backup_at")));
}

static char *format_memory(const json_t *row, _unused_ Color *ret_color) {
        return top_format_bytes(json_object_get(row, "use"), "memory_used");
}

static char *format_disk(const json_t *row, _unused_ Color *ret_color) {
        return top_format_bytes(json_object_get(row, "use"), "disk");
}

/* The last one only where one of them has a reason. */
static const ListColumn instance_columns[] = {
        { { "SLUG" }, "slug" },
        { { "STATE" }, "state", format_state },
        { { "HEALTH" }, "health", format_health },
        { { "SINCE" }, "since", format_since },
        { { "MEMORY", .right = true }, "memory", format_memory },
        { { "DISK", .right = true }, "disk", format_disk },
        { { "BACKUP", 3 }, "last_backup_at", format_backup },
        { { "DOMAIN", 2 }, "domain" },
        { { "REASON", 1 }, "reason", format_reason },
};

static int print_instances(Ctl *c, const json_t *instances) {
        bool reasons = false;
        json_t *row;
        size_t i;

        json_array_foreach(instances, i, row)
                reasons = reasons || !isempty(reason_of(row));
        return ctl_print_table(c, instances, instance_columns, ELEMENTSOF(instance_columns) - !reasons);
}

/* What wants somebody comes first. */
static size_t urgency(const json_t *instance) {
        static const struct {
                const char *key, *value;
        } ranks[] = {
                { "state", "failed" },
                { "health", "unhealthy" },
                { "health", "degraded" },
                { "health", "starting" },
        };

        for (size_t i = 0; i < ELEMENTSOF(ranks); i++)
                if (streq(json_get_text(instance, ranks[i].key), ranks[i].value))
                        return i;
        return ELEMENTSOF(ranks);
}

static int compare_urgency(const void *a, const void *b) {
        const json_t *x = *(json_t *const *) a, *y = *(json_t *const *) b;
        size_t i = urgency(x), k = urgency(y);

        return i != k ? (i > k) - (i < k) : strcmp(json_get_text(x, "slug"), json_get_text(y, "slug"));
}

static int sort_by_urgency(json_t **rows) {
        _cleanup_free_ json_t **sorted = NULL;
        _cleanup_json_ json_t *all = json_array();
        json_t *row;
        size_t i;

        sorted = new0(json_t *, json_array_size(*rows) + 1);
        if (!all || !sorted)
                return -ENOMEM;
        json_array_foreach(*rows, i, row)
                sorted[i] = row;
        qsort(sorted, json_array_size(*rows), sizeof(*sorted), compare_urgency);
        FOREACH_ARRAY(s, sorted, json_array_size(*rows))
                if (json_array_append(all, *s) < 0)
                        return -ENOMEM;

        json_decref(*rows);
        *rows = TAKE_PTR(all);
        return 0;
}

static void print_part(const char *what, const char *state) {
        (void) printf("%s %s%s%s", what, color_on(stdout, color_of_state(state)), state,
                        color_on(stdout, COLOR_NONE));
}

static void print_counts(const json_t *manager) {
        static const struct {
                const char *key, *state;
        } counts[] = {
                { "n_running", "running" },
                { "n_healthy", "healthy" },
                { "n_degraded", "degraded" },
                { "n_unhealthy", "unhealthy" },
                { "n_stopped", "stopped" },
                { "n_failed", "failed" },
        };
        uint64_t n = json_get_number(manager, "n_instances"), jobs = json_get_number(manager, "n_jobs"),
                 alerts = json_get_number(manager, "n_alerts");

        (void) printf("  %" PRIu64 " instance%s", n, n == 1 ? "" : "s");
        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                uint64_t k = json_get_number(manager, counts[i].key);

                if (k > 0)
                        (void) printf(", %s%" PRIu64 " %s%s",
                                        color_on(stdout, color_of_state(counts[i].state)), k,
                                        counts[i].state, color_on(stdout, COLOR_NONE));
        }
        (void) printf("; %" PRIu64 " job%s\n", jobs, jobs == 1 ? "" : "s");
        if (alerts > 0)
                (void) printf("  %s%" PRIu64 " alert%s%s: ccpctl alert list\n", color_on(stdout, COLOR_RED),
                                alerts, alerts == 1 ? "" : "s", color_on(stdout, COLOR_NONE));
}

/* Where there is something to lose. */
static void print_disaster_ready(const json_t *manager) {
        if (json_get_number(manager, "n_instances") > 0 &&
                        streq(json_get_text(manager, "store_state"), "available") &&
                        json_is_false(json_object_get(manager, "disaster_ready")))
                (void) printf("  %sno recovery key%s: if this server is lost, no backup can be opened; "
                              "ccpctl "
                              "key enroll-recovery\n",
                                color_on(stdout, COLOR_YELLOW), color_on(stdout, COLOR_NONE));
}

/* "after the start of the server 12min ago: 38 of 40 healthy; not healthy then: edmonton calgary" */
static void print_recovery(const json_t *recovery) {
        uint64_t healthy = json_get_number(recovery, "healthy"), total = json_get_number(recovery, "total"),
                 pending = json_get_number(recovery, "pending");
        _cleanup_free_ char *failed = NULL;

        if (total == 0)
                return;

        (void) printf("  after the start of %s %s: %s%" PRIu64 " of %" PRIu64 " healthy%s",
                        streq(json_get_text(recovery, "reason"), "boot") ? "the server" : "Docker",
                        FORMAT_AGO(json_get_number(recovery, "begun_at")),
                        color_on(stdout, healthy < total ? COLOR_YELLOW : COLOR_NONE), healthy, total,
                        color_on(stdout, COLOR_NONE));
        if (pending > 0)
                (void) printf(", %" PRIu64 " to be tried yet", pending);
        if (json_array_size(json_object_get(recovery, "failed")) > 0)
                failed = json_to_text(json_object_get(recovery, "failed"));
        if (failed)
                (void) printf("; not healthy then: %s", failed);
        (void) putchar('\n');
}

/* Jobs that have not ended. */
static int list_active_jobs(Ctl *c, json_t **ret, Error *reterr) {
        static const char *const states[] = { "running", "undoing", "queued", "waiting" };
        _cleanup_json_ json_t *all = NULL;
        int r;

        all = json_array();
        if (!all)
                return -ENOMEM;

        for (size_t i = 0; i < ELEMENTSOF(states); i++) {
                const char *const filters[][2] = { { "state", states[i] }, {} };
                _cleanup_json_ json_t *rows = NULL;

                r = ctl_list_rows(c, "ListJobs", filters, UINT64_MAX, &rows, reterr);
                if (r < 0 && streq_ptr(reterr->name, CCP_ERROR_STORE_UNAVAILABLE)) {
                        /* The overview is wanted most of all when something is away. */
                        error_done(reterr);
                        break;
                }
                if (r < 0)
                        return r;
                if (json_array_extend(all, rows) < 0)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(all);
        return 0;
}

static void print_head(const json_t *manager) {
        const char *store = json_get_text(manager, "store_state"),
                   *engine = json_get_text(manager, "engine_state");
        bool fine = streq(store, "available") && streq(engine, "available");

        (void) printf("%s%s%s ccpd %s: ", color_on(stdout, fine ? COLOR_GREEN : COLOR_RED), glyph(GLYPH_DOT),
                        color_on(stdout, COLOR_NONE), json_get_text(manager, "version"));
        print_part("store", store);
        print_part(", engine", engine);
        (void) putchar('\n');
        print_counts(manager);
        print_disaster_ready(manager);
        print_recovery(json_object_get(manager, "recovery"));
}

/* What is NULL may not be seen. */
static int print_overview(Ctl *c, const json_t *manager, const json_t *instances, const json_t *jobs) {
        int r;

        ctl_open_pager(c);
        if (manager)
                print_head(manager);

        if (json_array_size(instances) > 0) {
                (void) putchar('\n');
                r = print_instances(c, instances);
                if (r < 0)
                        return r;
        } else if (instances && !arguments_have(&c->arguments, OPTION(QUIET) | OPTION(NO_LEGEND)))
                (void) printf(geteuid() == 0 ? "\nThere are no instances yet. To make one: ccpctl create\n"
                                             : "\nThere are no instances that you may see.\n");

        if (json_array_size(jobs) > 0) {
                (void) putchar('\n');
                return print_job_table(c, jobs);
        }
        return EXIT_DONE;
}

static int get_manager(Ctl *c, json_t **ret, Error *reterr) {
        return ctl_get_all(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, ret, reterr);
}

/* Gives each row what it uses, where that is known. */
static int add_use(Ctl *c, json_t *rows) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *use = NULL, *by_slug = json_object();
        _cleanup_error_ Error error = {};
        json_t *row;
        size_t i;

        if (ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "GetUse", &reply, &error, "a{sv}", 0) < 0 ||
                        json_from_rows(reply, CCP_INTERFACE_MANAGER, "GetUse", &use) < 0 ||
                        top_add_rates(use, NULL) < 0)
                return 0;

        json_array_foreach(use, i, row)
                if (json_object_set(by_slug, json_get_text(row, "slug"), row) < 0)
                        return -ENOMEM;
        json_array_foreach(rows, i, row) {
                json_t *own = json_object_get(by_slug, json_get_text(row, "slug"));

                if (own && json_object_set(row, "use", own) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int list_instances(Ctl *c, json_t **ret, Error *reterr) {
        int r;

        r = ctl_list_rows(c, "ListInstances", NULL, UINT64_MAX, ret, reterr);
        if (r >= 0)
                r = add_use(c, *ret);
        return r < 0 ? r : sort_by_urgency(ret);
}

static int print_overview_json(Ctl *c, const json_t *manager, json_t *instances, json_t *jobs) {
        _cleanup_json_ json_t *all = manager ? json_copy((json_t *) manager) : json_object();

        if (!all || (instances && json_object_set(all, "instances", instances) < 0) ||
                        (jobs && json_object_set(all, "jobs", jobs) < 0))
                return -ENOMEM;

        return ctl_print_json(c, all);
}

static int show_overview(Ctl *c, _unused_ void *userdata, Error *reterr) {
        _cleanup_json_ json_t *manager = NULL, *instances = NULL, *jobs = NULL;
        _cleanup_error_ Error refusal = {};
        const struct {
                int (*get)(Ctl *c, json_t **ret, Error *reterr);
                json_t **ret;
        } parts[] = {
                { get_manager, &manager },
                { list_instances, &instances },
                { list_active_jobs, &jobs },
        };
        size_t n_refused = 0;

        /* Who may not see one part sees the others. */
        FOREACH_ARRAY(p, parts, ELEMENTSOF(parts)) {
                _cleanup_error_ Error error = {};
                int r;

                r = p->get(c, p->ret, &error);
                if (r >= 0)
                        continue;
                if (!error_is_refusal(error.name)) {
                        error_move(reterr, &error);
                        return r;
                }
                if (n_refused++ == 0)
                        error_move(&refusal, &error);
        }
        if (n_refused == ELEMENTSOF(parts)) {
                error_move(reterr, &refusal);
                return -EACCES;
        }

        if (ctl_prints_json(c))
                return print_overview_json(c, manager, instances, jobs);

        return print_overview(c, manager, instances, jobs);
}

int verb_overview(Ctl *c, char **args, Error *reterr) {
        return arguments_have(&c->arguments, OPTION(WATCH)) ? live_show(c, show_overview, args, reterr)
                                                            : show_overview(c, args, reterr);
}
