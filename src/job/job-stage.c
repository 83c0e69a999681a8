/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-stage.h"

#include <errno.h>

#include "alloc-util.h"
#include "health-observe.h"
#include "health-wait.h"
#include "health.h"
#include "job-engine.h"
#include "log.h"
#include "parameters.h"
#include "store-health.h"
#include "string-util.h"
#include "template.h"

/* Of a service that the blueprint does not describe. */
#define SERVICE_TIMEOUT_USEC (120 * USEC_PER_SEC)
/* Of a step, the part that making the containers takes; the rest is waiting for their health. */
#define UP_FRACTION 0.4
/* Of the last step, the part of the application's stage; the rest is that of the rest. */
#define APPLICATION_FRACTION 0.6

/* The services of a stage as health_wait() takes them; also those that the blueprint does not describe. */
typedef struct Stage {
        BlueprintService *services; /* shallow copies */
        HealthTarget *targets;
        char **hosts; /* owned texts of the targets, one for each, may be NULL */
        size_t n;
} Stage;

static void stage_done(Stage *s) {
        for (size_t i = 0; i < s->n; i++)
                free(s->hosts[i]);
        free(s->hosts);
        free(s->services);
        free(s->targets);
}
#define _cleanup_stage_ _cleanup_(stage_done)

static int render_host(Job *j, const char *host, char **ret, Error *reterr) {
        const TemplateOptions options = { .format = TEMPLATE_TEXT };
        const TemplateEnvironment env = { .strict = true };
        _cleanup_template_ Template *t = NULL;
        int r;

        r = template_parse("health.host", host, strlen(host), &options, &t, reterr);
        if (r < 0)
                return r;

        return template_render(t, j->values, &env, ret, NULL, reterr);
}

static int stage_add(Stage *s, Job *j, const BlueprintService *service, Error *reterr) {
        const BlueprintHealth *health = &s->services[s->n].health;
        const InstanceRecord *instance = job_instance(j);
        HealthTarget *target = s->targets + s->n;
        int r;

        s->services[s->n] = *service;
        /* Nobody reaches it from outside. A command is run inside. */
        if (j->aside && service->health.type != HEALTH_TYPE_COMMAND)
                s->services[s->n].health = (BlueprintHealth) { .type = HEALTH_TYPE_CONTAINER };
        *target = (HealthTarget) { .service = s->services + s->n, .address = instance->bind_address };
        s->hosts[s->n] = NULL;
        s->n++;

        if (health->port) {
                target->port = instance_record_port(instance, health->port);
                if (target->port == 0)
                        return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                        "The health check of the service '%s' asks for the port '%s', which "
                                        "the instance does not have.",
                                        service->name, health->port);
        }
        if (health->host) {
                r = render_host(j, health->host, s->hosts + s->n - 1, reterr);
                if (r < 0)
                        return r;
                target->host = s->hosts[s->n - 1];
        }

        return 0;
}

/* Collects the services of a stage that the job is about; 'stage' invalid: of all stages. */
static int stage_new(Job *j, ServiceStage stage, Stage *ret, Error *reterr) {
        json_t *services = json_object_get(j->config, "services"), *value;
        const json_t *features = json_object_get(j->values, "features");
        size_t n = json_object_size(services);
        _cleanup_stage_ Stage s = {
                .services = new0(BlueprintService, n),
                .targets = new0(HealthTarget, n),
                .hosts = new0(char *, n),
        };
        const char *name;
        int r;

        if (!s.services || !s.targets || !s.hosts)
                return error_set_errnof(reterr, ENOMEM, "%m");

        json_object_foreach(services, name, value) {
                const BlueprintService unknown = {
                        .name = (char *) name,
                        .kind = SERVICE_KIND_SERVICE,
                        .stage = SERVICE_STAGE_REST,
                        .timeout = SERVICE_TIMEOUT_USEC,
                        .health.type = HEALTH_TYPE_CONTAINER,
                };
                const BlueprintService *service = blueprint_find_service(j->blueprint, name) ?: &unknown;

                if ((stage >= 0 && service->stage != stage) ||
                                (j->services && !strv_contains(j->services, name)) ||
                                !service_is_enabled(service, features))
                        continue;

                r = stage_add(&s, j, service, reterr);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_GENERIC(s, (Stage) {});
        return 0;
}

/* The names of a stage's services of some kinds, by bits. */
static int stage_names(const Stage *s, unsigned kinds, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;
        int r;

        for (size_t i = 0; i < s->n; i++) {
                if (!(kinds & (1U << s->services[i].kind)))
                        continue;

                r = strv_extend(&l, s->services[i].name);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(l);
        return 0;
}

#define KIND(k) (1U << SERVICE_KIND_##k)
#define KIND_ANY (KIND(SERVICE) | KIND(ONESHOT) | KIND(OPTIONAL))

static const BlueprintService *stage_find(const Stage *s, const char *service) {
        FOREACH_ARRAY(i, s->services, s->n)
                if (streq_ptr(i->name, service))
                        return i;
        return NULL;
}

static void stage_drop_optional(Stage *s) {
        size_t n = 0;

        for (size_t i = 0; i < s->n; i++) {
                if (s->services[i].kind == SERVICE_KIND_OPTIONAL) {
                        free(s->hosts[i]);
                        continue;
                }
                s->services[n] = s->services[i];
                s->targets[n] = s->targets[i];
                s->targets[n].service = s->services + n;
                s->hosts[n++] = s->hosts[i];
        }
        s->n = n;
}

/* Starts all services of a stage in one go. Where that fails, the optional ones have a second chance of
 * their own, and their failure is none of the job's. */
static int stage_up(Job *j, Stage *s, unsigned *n_unwell, Error *reterr) {
        _cleanup_strv_free_ char **all = NULL, **needed = NULL, **optional = NULL, **once = NULL;
        EngineContext c = job_engine_context(j);
        _cleanup_error_ Error error = {};
        int r;

        if (stage_names(s, KIND_ANY, &all) < 0 ||
                        stage_names(s, KIND(SERVICE) | KIND(ONESHOT), &needed) < 0 ||
                        stage_names(s, KIND(OPTIONAL), &optional) < 0 ||
                        stage_names(s, KIND(ONESHOT), &once) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = j->engine->up(&c, all, once, &error);
        if (r >= 0)
                return 0;
        if (!optional || r == -ECANCELED || !streq_ptr(error.name, CCP_ERROR_ENGINE_FAILED)) {
                error_move(reterr, &error);
                return r;
        }

        if (needed) {
                r = j->engine->up(&c, needed, once, reterr);
                if (r < 0)
                        return r;
        }

        error_done(&error);
        r = j->engine->up(&c, optional, NULL, &error);
        if (r < 0) {
                if (!streq_ptr(error.name, CCP_ERROR_ENGINE_FAILED)) {
                        error_move(reterr, &error);
                        return r;
                }
                log_warning("Optional services could not be started: %s", strempty(error.message));
                *n_unwell += (unsigned) strv_length(optional);
                stage_drop_optional(s);
        }

        return 0;
}

/* What was proven is what sweeps go on from: one record for each target, those that did not answer without a
 * container. */
typedef struct Proof {
        const Stage *stage;
        HealthProbeRecord *records;
} Proof;

static void proof_done(Proof *p) {
        for (size_t i = 0; p->records && i < p->stage->n; i++)
                health_probe_record_done(p->records + i);
        free(p->records);
}
#define _cleanup_proof_ _cleanup_(proof_done)

static void on_answered(
                const HealthTarget *target, const char *container, const ProbeResult *seen, void *userdata) {
        Proof *p = userdata;
        HealthProbeRecord *record = p->records + (target - p->stage->targets);

        record->state = (ProbeState) {
                .verdict = PROBE_HEALTHY,
                .n_successes = 1,
                .since = seen->at,
                .checked_at = seen->at,
                .latency = seen->latency,
        };
        if (free_and_strdup(&record->service, target->service->name) < 0 ||
                        free_and_strdup(&record->container, container) < 0)
                record->container = mfree(record->container);
}

/* Nothing depends on it but how soon the instance is seen to be healthy. */
static void record_proof(Job *j, Proof *p) {
        _cleanup_error_ Error error = {};
        size_t n = 0;

        for (size_t i = 0; i < p->stage->n; i++) {
                if (!p->records[i].container)
                        continue;

                memcpy(p->records[i].instance, job_instance(j)->id, STORE_ID_MAX);
                if (n != i) {
                        p->records[n] = p->records[i];
                        p->records[i] = (HealthProbeRecord) {};
                }
                n++;
        }

        if (n > 0 && health_put_probes(j->db, job_instance(j)->id, p->records, n, &error) < 0)
                log_debug("What the services answered could not be recorded: %s", strempty(error.message));
}

static int stage_wait(Job *j, const Stage *s, unsigned *n_unwell, Error *reterr) {
        _cleanup_proof_ Proof proof = { .stage = s, .records = new0(HealthProbeRecord, s->n) };
        EngineContext c = job_engine_context(j);
        const HealthWait w = {
                .context = &c,
                .targets = s->targets,
                .n_targets = s->n,
                .answered = on_answered,
                .answered_userdata = &proof,
        };
        unsigned n = 0;
        int r;

        if (!proof.records)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = health_wait(&w, &n, reterr);
        if (!j->aside)
                record_proof(j, &proof);
        if (r < 0)
                return r;

        *n_unwell += n;
        return 0;
}

static bool is_in_loop(const BlueprintService *service, const DockerObject *o) {
        const HealthObservation seen = health_observe(o);

        return o->state == CONTAINER_RESTARTING ||
                        (o->n_restarts >= HEALTH_RESTARTS_MAX &&
                                        health_judge(service->kind, &seen, now(CLOCK_REALTIME)).verdict ==
                                                        VERDICT_FAILED);
}

/* Compose leaves a container alone that the Engine starts again and again, later each time, and its restarts would be
 * held against this start. Whatever was wrong may be mended: it begins anew. */
static int stage_end_loops(Job *j, const Stage *s, Error *reterr) {
        const DockerOwner owner = job_engine_owner(j);
        _cleanup_docker_objects_ DockerObjects containers = {};
        int r;

        r = job_engine_list_containers(j, &containers, reterr);
        if (r < 0)
                return r;

        FOREACH_ARRAY(o, containers.items, containers.n) {
                const BlueprintService *service = o->oneoff ? NULL : stage_find(s, o->service);
                _cleanup_docker_object_ DockerObject exact = {};

                if (!service || !IN_SET(o->state, CONTAINER_RUNNING, CONTAINER_RESTARTING))
                        continue;

                r = docker_inspect(j->docker, DOCKER_CONTAINER, o->id, &exact, reterr);
                if (r == -ENOENT) {
                        error_done(reterr);
                        continue;
                }
                if (r >= 0 && is_in_loop(service, &exact))
                        r = docker_stop(j->docker, o->id, &owner, reterr);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* Makes and starts the services of a stage, and waits until they are healthy. 1 if it has none. *n_unwell grows
 * by the optional ones that are not well. */
static int run_stage(Job *j, ServiceStage stage, unsigned *n_unwell, Error *reterr) {
        double from = j->progress_base, scale = j->progress_scale;
        _cleanup_stage_ Stage s = {};
        int r;

        r = job_engine_resolve(j, reterr);
        if (r >= 0)
                r = stage_new(j, stage, &s, reterr);
        if (r < 0)
                return r;
        if (s.n == 0)
                return 1;

        job_set_range(j, from, from + scale * UP_FRACTION);
        r = stage_end_loops(j, &s, reterr);
        if (r >= 0)
                r = stage_up(j, &s, n_unwell, reterr);
        if (r < 0)
                return r;

        job_set_range(j, from + scale * UP_FRACTION, from + scale);
        return stage_wait(j, &s, n_unwell, reterr);
}

/* True if each container of the stage is in the state that its kind asks for; cheap, and no wait. */
static int stage_is_up(Job *j, const Stage *s, const char **ret_missing, Error *reterr) {
        _cleanup_docker_objects_ DockerObjects containers = {};
        int r;

        r = job_engine_list_containers(j, &containers, reterr);
        if (r < 0)
                return r;

        FOREACH_ARRAY(service, s->services, s->n) {
                bool up = service->kind == SERVICE_KIND_OPTIONAL;

                FOREACH_ARRAY(o, containers.items, containers.n)
                        if (!o->oneoff && streq_ptr(o->service, service->name))
                                up = up ||
                                                (service->kind == SERVICE_KIND_ONESHOT
                                                                                ? o->state == CONTAINER_EXITED &&
                                                                                                o->exit_code == 0
                                                                                : o->state == CONTAINER_RUNNING &&
                                                                                                o->health != CONTAINER_HEALTH_UNHEALTHY);
                if (!up) {
                        *ret_missing = service->name;
                        return 0;
                }
        }

        return 1;
}

/* The same only if something of a stage that was healthy runs no more. */
static int keep_stage(Job *j, ServiceStage stage, unsigned *n_unwell, Error *reterr) {
        _cleanup_stage_ Stage s = {};
        const char *missing;
        int r;

        r = job_engine_resolve(j, reterr);
        if (r >= 0)
                r = stage_new(j, stage, &s, reterr);
        if (r >= 0)
                r = stage_is_up(j, &s, &missing, reterr);
        if (r != 0)
                return r;

        log_info("The service '%s' does not run any more; starting its stage again.", missing);
        return run_stage(j, stage, n_unwell, reterr);
}

static int check_up(Job *j, Error *reterr) {
        _cleanup_stage_ Stage s = {};
        const char *missing;
        int r;

        r = job_engine_resolve(j, reterr);
        if (r >= 0)
                r = stage_new(j, _SERVICE_STAGE_INVALID, &s, reterr);
        if (r >= 0)
                r = stage_is_up(j, &s, &missing, reterr);
        if (r != 0)
                return r;

        return error_setf(reterr, CCP_ERROR_UNHEALTHY,
                        "The service '%s' was healthy, but does not run any more.", missing);
}

int job_stage_run_infrastructure(Job *j, Error *reterr) {
        unsigned n_unwell = 0;
        int r;

        r = run_stage(j, SERVICE_STAGE_INFRASTRUCTURE, &n_unwell, reterr);
        if (r != 0)
                return r;

        return job_note_unwell(j, n_unwell, reterr);
}

int job_stage_start(Job *j, Error *reterr) {
        _cleanup_stage_ Stage s = {};
        unsigned n_unwell = 0;
        int r;

        r = job_engine_resolve(j, reterr);
        if (r >= 0)
                r = stage_new(j, _SERVICE_STAGE_INVALID, &s, reterr);
        return r < 0 || s.n == 0 ? r : stage_up(j, &s, &n_unwell, reterr);
}

int job_stage_run_aside(Job *j, Error *reterr) {
        unsigned n_unwell = 0;

        assert(j->aside);
        return run_stage(j, _SERVICE_STAGE_INVALID, &n_unwell, reterr);
}

int job_stage_run_application(Job *j, Error *reterr) {
        unsigned n_unwell = 0;
        int r;

        job_set_range(j, 0, APPLICATION_FRACTION);
        /* Where this is done once more, because the engine was away, all containers ended with it. */
        r = keep_stage(j, SERVICE_STAGE_INFRASTRUCTURE, &n_unwell, reterr);
        if (r >= 0)
                r = run_stage(j, SERVICE_STAGE_APPLICATION, &n_unwell, reterr);
        if (r < 0)
                return r;

        job_set_range(j, APPLICATION_FRACTION, 1);
        r = run_stage(j, SERVICE_STAGE_REST, &n_unwell, reterr);
        if (r >= 0)
                r = check_up(j, reterr);
        if (r < 0)
                return r;

        return job_note_unwell(j, n_unwell, reterr);
}

int job_stage_wait_healthy(Job *j, unsigned *n_unwell, Error *reterr) {
        _cleanup_stage_ Stage s = {};
        int r;

        r = job_engine_resolve(j, reterr);
        if (r >= 0)
                r = stage_new(j, _SERVICE_STAGE_INVALID, &s, reterr);
        if (r < 0)
                return r;

        return stage_wait(j, &s, n_unwell, reterr);
}
