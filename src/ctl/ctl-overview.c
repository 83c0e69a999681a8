/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ctl.h"
#include "live.h"
#include "string-util.h"

static const ListColumn instance_columns[] = {
        { { "SLUG" }, "slug" },
        { { "STATE" }, "state", format_state },
        { { "HEALTH" }, "health", format_health },
        { { "DOMAIN", 2 }, "domain" },
        { { "BLUEPRINT", 1 }, "blueprint" },
};

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
        uint64_t n = json_get_number(manager, "n_instances"), jobs = json_get_number(manager, "n_jobs");

        (void) printf("  %" PRIu64 " instance%s", n, n == 1 ? "" : "s");
        for (size_t i = 0; i < ELEMENTSOF(counts); i++) {
                uint64_t k = json_get_number(manager, counts[i].key);

                if (k > 0)
                        (void) printf(", %s%" PRIu64 " %s%s",
                                        color_on(stdout, color_of_state(counts[i].state)), k,
                                        counts[i].state, color_on(stdout, COLOR_NONE));
        }
        (void) printf("; %" PRIu64 " job%s\n", jobs, jobs == 1 ? "" : "s");
}

/* Jobs that have not ended. */
static int list_active_jobs(Ctl *c, json_t **ret, Error *reterr) {
        static const char *const states[] = { "running", "undoing", "queued" };
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
}

/* What is NULL may not be seen. */
static int print_overview(Ctl *c, const json_t *manager, const json_t *instances, const json_t *jobs) {
        int r;

        ctl_open_pager(c);
        if (manager)
                print_head(manager);

        if (json_array_size(instances) > 0) {
                (void) putchar('\n');
                r = ctl_print_table(c, instances, instance_columns, ELEMENTSOF(instance_columns));
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

static int list_instances(Ctl *c, json_t **ret, Error *reterr) {
        return ctl_list_rows(c, "ListInstances", NULL, UINT64_MAX, ret, reterr);
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
