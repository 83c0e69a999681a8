/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-services.h"

#include <errno.h>

#include "job-engine.h"
#include "string-util.h"

const json_t *job_service_find(const Job *j, const char *service) {
        return json_object_get(json_object_get(j->config, "services"), service);
}

bool job_service_is_optional(const Job *j, const char *service) {
        const BlueprintService *s = blueprint_find_service(j->blueprint, service);

        return s && s->kind == SERVICE_KIND_OPTIONAL;
}

int job_services_list_existing(Job *j, char ***ret, Error *reterr) {
        char *const *stopped = job_instance(j) ? job_instance(j)->stopped_services : NULL;
        _cleanup_docker_objects_ DockerObjects containers = {};
        _cleanup_strv_free_ char **l = NULL;
        int r;

        r = job_engine_list_containers(j, &containers, reterr);
        if (r < 0)
                return r;

        FOREACH_ARRAY(o, containers.items, containers.n) {
                const BlueprintService *s =
                                o->service ? blueprint_find_service(j->blueprint, o->service) : NULL;

                if (!o->service || o->oneoff || strv_contains(l, o->service) ||
                                strv_contains(stopped, o->service) || (s && s->kind == SERVICE_KIND_ONESHOT))
                        continue;

                r = strv_extend(&l, o->service);
                if (r < 0)
                        return error_set_errnof(reterr, r, "%m");
        }

        *ret = TAKE_PTR(l);
        return 0;
}

int job_services_read(const Job *j, char ***ret) {
        const json_t *names = json_object_get(j->claim.job->spec, "services"), *name;
        _cleanup_strv_free_ char **l = NULL;
        size_t i;

        json_array_foreach(names, i, name)
                if (json_is_string(name) && strv_extend(&l, json_string_value(name)) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(l);
        return 0;
}

bool job_is_partial(const Job *j) {
        return json_array_size(json_object_get(j->claim.job->spec, "services")) > 0;
}

/* A wrong name is said before anything is touched. What is to be stopped is known to compose, whatever became of the
 * files. */
static int check_services(Job *j, Error *reterr) {
        int r;

        if (!IN_SET(j->claim.job->state_before, INSTANCE_RUNNING, INSTANCE_FAILED))
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "'%s' is %s, and so are all its services. Start it: ccpctl start %s",
                                j->claim.job->slug, instance_state_to_string(j->claim.job->state_before),
                                j->claim.job->slug);
        if (j->claim.job->kind == JOB_STOP)
                return 0;

        r = job_engine_resolve(j, reterr);
        if (r < 0)
                return r;
        STRV_FOREACH(s, j->services)
                if (!job_service_find(j, *s))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "The instance has no service '%s'.", *s);
        return 0;
}

/* All but what somebody wants to have stopped: for a start, restart or restore that is not about those either. */
static int choose_others(Job *j, Error *reterr) {
        const json_t *service;
        const char *name;
        int r;

        r = job_engine_resolve(j, reterr);
        if (r < 0)
                return r;
        json_object_foreach(json_object_get(j->config, "services"), name, service) {
                (void) service;
                if (strv_contains(job_instance(j)->stopped_services, name))
                        continue;
                r = strv_extend(&j->services, name);
                if (r < 0)
                        return error_set_errnof(reterr, r, "%m");
        }

        return 0;
}

int job_services_choose(Job *j, Error *reterr) {
        bool by_ccpd = json_object_get(j->claim.job->spec, "reason") != NULL;
        int r;

        j->services = strv_free(j->services);
        if (job_is_partial(j)) {
                r = job_services_read(j, &j->services);
                return r < 0 ? error_set_errnof(reterr, r, "%m") : check_services(j, reterr);
        }

        if (strv_length(job_instance(j)->stopped_services) > 0 &&
                        (IN_SET(j->claim.job->kind, JOB_RESTART, JOB_RESTORE, JOB_UNDO_RESTORE) ||
                                        (j->claim.job->kind == JOB_START && by_ccpd)))
                return choose_others(j, reterr);
        return 0;
}
