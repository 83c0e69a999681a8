/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ctl.h"
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

static int print_overview(Ctl *c, const json_t *manager, const json_t *instances, const json_t *jobs) {
        const char *store = json_get_text(manager, "store_state"),
                   *engine = json_get_text(manager, "engine_state");
        bool fine = streq(store, "available") && streq(engine, "available");
        int r;

        ctl_open_pager(c);
        (void) printf("%s%s%s ccpd %s: ", color_on(stdout, fine ? COLOR_GREEN : COLOR_RED), glyph(GLYPH_DOT),
                        color_on(stdout, COLOR_NONE), json_get_text(manager, "version"));
        print_part("store", store);
        print_part(", engine", engine);
        (void) putchar('\n');
        print_counts(manager);

        if (json_array_size(instances) > 0) {
                (void) putchar('\n');
                r = ctl_print_table(c, instances, instance_columns, ELEMENTSOF(instance_columns));
                if (r < 0)
                        return r;
        } else if (!arguments_have(&c->arguments, OPTION(QUIET) | OPTION(NO_LEGEND)))
                (void) printf("\nThere are no instances yet. To make one: ccpctl create\n");

        if (json_array_size(jobs) > 0) {
                (void) putchar('\n');
                return print_job_table(c, jobs);
        }
        return EXIT_DONE;
}

int verb_overview(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_json_ json_t *manager = NULL, *instances = NULL, *jobs = NULL;
        int r;

        r = ctl_get_all(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, &manager, reterr);
        if (r < 0)
                return r;
        r = ctl_list_rows(c, "ListInstances", NULL, UINT64_MAX, &instances, reterr);
        if (r < 0)
                return r;
        r = list_active_jobs(c, &jobs, reterr);
        if (r < 0)
                return r;

        if (ctl_prints_json(c)) {
                if (json_object_set(manager, "instances", instances) < 0 ||
                                json_object_set(manager, "jobs", jobs) < 0)
                        return -ENOMEM;
                return ctl_print_json(c, manager);
        }

        return print_overview(c, manager, instances, jobs);
}
