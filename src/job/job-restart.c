/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Restarting some services of an instance, or all, without making containers anew. */

#include <errno.h>

#include "job-engine.h"
#include "job-revision.h"

/* The services that the request named; NULL: all. */
static int read_services(Job *j, char ***ret, Error *reterr) {
        const json_t *names = json_object_get(j->claim.job->spec, "services"), *name;
        _cleanup_strv_free_ char **l = NULL;
        size_t i;
        int r;

        r = job_engine_resolve(j, reterr);
        if (r < 0)
                return r;

        json_array_foreach(names, i, name) {
                const char *s = json_string_value(name);

                if (!s || !job_engine_find_service(j, s))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "The instance has no service '%s'.", s ?: "?");

                r = strv_extend(&l, s);
                if (r < 0)
                        return error_set_errnof(reterr, r, "%m");
        }

        *ret = TAKE_PTR(l);
        return 0;
}

static int prepare(Job *j, Error *reterr) {
        _cleanup_strv_free_ char **services = NULL;
        int r;

        r = job_active_revision_load(j, reterr);
        if (r < 0)
                return r;

        /* A wrong name is said before anything is touched. */
        r = read_services(j, &services, reterr);
        if (r < 0)
                return r;

        j->partial = services != NULL;
        return 0;
}

static int run_containers(Job *j, Error *reterr) {
        _cleanup_strv_free_ char **services = NULL;
        int r;

        r = read_services(j, &services, reterr);
        if (r < 0)
                return r;

        return job_engine_restart(j, services, reterr);
}

static int run_health(Job *j, Error *reterr) {
        _cleanup_strv_free_ char **services = NULL;
        unsigned n_unwell = 0;
        int r;

        r = read_services(j, &services, reterr);
        if (r >= 0)
                r = job_engine_wait_healthy(j, services, &n_unwell, reterr);
        if (r < 0)
                return r;

        return job_note_unwell(j, n_unwell, reterr);
}

static const StepOps steps[] = {
        { "containers", run_containers, "start-containers", STEP_ENGINE | STEP_UNDO_IF_CANCELLED },
        { "health", run_health, NULL, STEP_ENGINE },
};

const JobOps job_restart_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .prepare = prepare,
        .end = STORE_END_STATE,
        .undone = STORE_END_BEFORE,
        .fails_instance = true,
};
