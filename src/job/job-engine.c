/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-engine.h"

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "docker-cli.h"
#include "health-observe.h"
#include "health-wait.h"
#include "health.h"
#include "job-revision.h"
#include "log.h"
#include "parameters.h"
#include "process.h"
#include "store-health.h"
#include "string-util.h"
#include "template.h"

#define WAIT_DELAY_USEC USEC_PER_SEC
#define STOP_DELAY_USEC (100 * USEC_PER_MSEC)
#define STOP_PATIENCE_USEC (10 * USEC_PER_SEC)
#define SYSTEMCTL_TIMEOUT_USEC (5 * USEC_PER_SEC)
/* Of a service that the blueprint does not describe. */
#define SERVICE_TIMEOUT_USEC (120 * USEC_PER_SEC)
/* Of a step, the part that making the containers takes; the rest is waiting for their health. */
#define UP_FRACTION 0.4
/* Of the last step, the part of the application's stage; the rest is that of the rest. */
#define APPLICATION_FRACTION 0.6

int job_engine_open(Job *j, Error *reterr) {
        const DockerOptions options = { .poll = job_poll, .userdata = j };
        const char *name = job_instance(j) ? job_instance(j)->engine : "compose";
        int r;

        j->engine = engine_find(name);
        if (!j->engine)
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "The instance wants the engine '%s', which this program does not know.",
                                name);

        r = docker_new(&options, &j->docker);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot make a client of the engine: %m");

        return 0;
}

static void on_progress(double fraction, const char *message, void *userdata) {
        job_tell(userdata, fraction, "%s", strempty(message));
}

DockerOwner job_engine_owner(const Job *j) {
        return (DockerOwner) { .slug = j->claim.job->slug, .uuid = j->claim.job->instance };
}

EngineContext job_engine_context(Job *j) {
        return (EngineContext) {
                .docker = j->docker,
                .owner = job_engine_owner(j),
                .project = j->project,
                .directory = j->revision_directory,
                .compose_file = j->blueprint ? j->blueprint->compose : NULL,
                .revision = j->revision,
                .profiles = j->profiles,
                .redact = j->redact,
                .resolved = j->config,
                .progress = on_progress,
                .poll = job_poll,
                .userdata = j,
        };
}

int job_engine_list_containers(Job *j, DockerObjects *ret, Error *reterr) {
        const DockerOwner owner = job_engine_owner(j);

        return docker_list_owned(j->docker, DOCKER_CONTAINER, &owner, ret, reterr);
}

int job_engine_wait(Job *j, usec_t patience, Error *reterr) {
        usec_t begin = now(CLOCK_MONOTONIC);

        for (;;) {
                _cleanup_error_ Error error = {};
                int r;

                r = docker_ping(j->docker, &error);
                if (r >= 0 && !job_engine_was_away(j, USEC_INFINITY))
                        return 0;
                if (r >= 0)
                        r = error_setf(&error, CCP_ERROR_ENGINE_UNAVAILABLE,
                                        "The Docker Engine is being stopped. Check that docker.service "
                                        "runs.");
                if (r == -ECANCELED ||
                                (patience != USEC_INFINITY && now(CLOCK_MONOTONIC) - begin >= patience)) {
                        error_move(reterr, &error);
                        return r;
                }

                job_tell(j, -1, "Waiting for the engine (docker)");
                r = job_sleep(j, WAIT_DELAY_USEC);
                if (r < 0)
                        return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        }
}

/* What PID 1 says of the engine's unit: whether it is being stopped, and since when it is active (monotonic, 0:
 * never). -ENODATA where nobody can tell. */
static int read_unit(Job *j, bool *ret_stopping, usec_t *ret_active_since) {
        static char *const argv[] = { (char *) "systemctl", (char *) "show",
                (char *) "--property=ActiveState,ActiveEnterTimestampMonotonic,Job",
                (char *) "docker.service", NULL };
        _cleanup_process_result_ ProcessResult result = {};
        const char *out, *since, *job;

        if (process_run(argv,
                            &(ProcessOptions) {
                                            .stdin_fd = -EBADF,
                                            .timeout = SYSTEMCTL_TIMEOUT_USEC,
                                            .poll = job_poll,
                                            .userdata = j,
                            },
                            &result) < 0)
                return -ENODATA;

        out = strempty(result.out.data);
        since = strstr(out, "ActiveEnterTimestampMonotonic=");
        if (result.status != 0 || !since)
                return -ENODATA;

        /* It has a job: it is about to be stopped, once its instances are (ccp-gate.service). */
        job = strstr(out, "Job=");
        *ret_stopping = strstr(out, "ActiveState=deactivating\n") ||
                        (job && strtoull(job + STRLEN("Job="), NULL, 10) > 0);
        *ret_active_since = strtoull(since + STRLEN("ActiveEnterTimestampMonotonic="), NULL, 10);
        return 0;
}

bool job_engine_was_away(Job *j, usec_t since) {
        _cleanup_error_ Error error = {};
        usec_t active_since;
        bool stopping;

        if (docker_ping(j->docker, &error) < 0)
                return streq_ptr(error.name, CCP_ERROR_ENGINE_UNAVAILABLE);

        return read_unit(j, &stopping, &active_since) >= 0 && (stopping || active_since > since);
}

const json_t *job_engine_find_service(const Job *j, const char *service) {
        return json_object_get(json_object_get(j->config, "services"), service);
}

int job_engine_resolve(Job *j, Error *reterr) {
        EngineContext c = job_engine_context(j);
        json_t *config;
        int r;

        if (j->config)
                return 0;

        r = j->engine->config(&c, 0, &config, reterr);
        if (r < 0)
                return r;

        j->config = config;
        return 0;
}

bool job_engine_is_optional(const Job *j, const char *service) {
        const BlueprintService *s = blueprint_find_service(j->blueprint, service);

        return s && s->kind == SERVICE_KIND_OPTIONAL;
}

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
        const BlueprintHealth *health = &service->health;
        const InstanceRecord *instance = job_instance(j);
        HealthTarget *target = s->targets + s->n;
        int r;

        s->services[s->n] = *service;
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

int job_engine_run_infrastructure(Job *j, Error *reterr) {
        unsigned n_unwell = 0;
        int r;

        r = run_stage(j, SERVICE_STAGE_INFRASTRUCTURE, &n_unwell, reterr);
        if (r != 0)
                return r;

        return job_note_unwell(j, n_unwell, reterr);
}

int job_engine_run_application(Job *j, Error *reterr) {
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

int job_engine_wait_healthy(Job *j, unsigned *n_unwell, Error *reterr) {
        _cleanup_stage_ Stage s = {};
        int r;

        r = job_engine_resolve(j, reterr);
        if (r >= 0)
                r = stage_new(j, _SERVICE_STAGE_INVALID, &s, reterr);
        if (r < 0)
                return r;

        return stage_wait(j, &s, n_unwell, reterr);
}

/* True if the images of all services are on this host; of those that are built nothing is expected. */
static int images_are_here(Job *j, bool optional_too, Error *reterr) {
        json_t *services = json_object_get(j->config, "services"), *service;
        const char *name;
        int r;

        json_object_foreach(services, name, service) {
                const char *image = json_object_get_string(service, "image");
                _cleanup_error_ Error error = {};

                if (!image || json_object_get(service, "build") ||
                                (!optional_too && job_engine_is_optional(j, name)))
                        continue;

                r = docker_find_image(j->docker, image, NULL, &error);
                if (r == -ENOENT)
                        return 0;
                if (r < 0) {
                        error_move(reterr, &error);
                        return r;
                }
        }

        return 1;
}

int job_engine_pull(Job *j, Error *reterr) {
        EngineContext c;
        _cleanup_error_ Error error = {};
        int r, k;

        r = job_engine_resolve(j, reterr);
        if (r < 0)
                return r;
        c = job_engine_context(j);
        r = images_are_here(j, true, reterr);
        if (r != 0)
                return r;

        r = j->engine->pull(&c, &error);
        if (r >= 0)
                return 0;

        k = streq_ptr(error.name, CCP_ERROR_ENGINE_FAILED) ? images_are_here(j, false, NULL) : 0;
        if (k <= 0) {
                error_move(reterr, &error);
                return r;
        }

        log_warning("Images of optional services are missing: %s", strempty(error.message));
        j->detail = TAKE_PTR(error.message);
        return 0;
}

int job_engine_build(Job *j, Error *reterr) {
        EngineContext c;
        json_t *services, *service;
        const char *name;
        unsigned n = 0;
        int r;

        r = job_engine_resolve(j, reterr);
        if (r < 0)
                return r;
        c = job_engine_context(j);

        services = json_object_get(j->config, "services");
        json_object_foreach(services, name, service)
                n += json_object_get(service, "build") != NULL;
        if (n == 0)
                return 1;

        return j->engine->build(&c, &n, reterr);
}

/* The services that have a container, but for one-shots, which are not to be run again, and what somebody wants to
 * have stopped. */
static int list_existing(Job *j, char ***ret, Error *reterr) {
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

/* The services that a request named; NULL: none, so it is about all. */
static int read_services(const Job *j, char ***ret) {
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
                if (!job_engine_find_service(j, *s))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "The instance has no service '%s'.", *s);
        return 0;
}

/* All but what somebody wants to have stopped: for a start or restart that is not about those either. */
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

int job_engine_choose_services(Job *j, Error *reterr) {
        bool by_ccpd = json_object_get(j->claim.job->spec, "reason") != NULL;
        int r;

        j->services = strv_free(j->services);
        if (job_is_partial(j)) {
                r = read_services(j, &j->services);
                return r < 0 ? error_set_errnof(reterr, r, "%m") : check_services(j, reterr);
        }

        if (strv_length(job_instance(j)->stopped_services) > 0 &&
                        (j->claim.job->kind == JOB_RESTART || (j->claim.job->kind == JOB_START && by_ccpd)))
                return choose_others(j, reterr);
        return 0;
}

/* 0 if no container runs, 1 if the one named in *ret does. */
static int find_running(Job *j, char **ret, Error *reterr) {
        _cleanup_docker_objects_ DockerObjects containers = {};
        int r;

        r = job_engine_list_containers(j, &containers, reterr);
        if (r < 0)
                return r;

        FOREACH_ARRAY(o, containers.items, containers.n)
                if (IN_SET(o->state, CONTAINER_RUNNING, CONTAINER_RESTARTING, CONTAINER_PAUSED) &&
                                (!j->services || (o->service && strv_contains(j->services, o->service)))) {
                        *ret = TAKE_PTR(o->name);
                        return 1;
                }

        return 0;
}

int job_engine_stop(Job *j, Error *reterr) {
        usec_t begin;
        EngineContext c;
        int r;

        r = job_active_revision_find(j, reterr);
        if (r < 0)
                return r;

        c = job_engine_context(j);
        r = j->engine->stop(&c, j->services, reterr);
        if (r < 0)
                return r;

        /* Success is what is seen, not what stop said. The Engine's list lags a little behind. */
        begin = now(CLOCK_MONOTONIC);
        for (;;) {
                _cleanup_free_ char *name = NULL;

                r = find_running(j, &name, reterr);
                if (r <= 0)
                        return r;
                if (now(CLOCK_MONOTONIC) - begin > STOP_PATIENCE_USEC)
                        return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                        "The container %s still runs after it was stopped.", strempty(name));

                r = job_sleep(j, STOP_DELAY_USEC);
                if (r < 0)
                        return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        }
}

int job_engine_start_existing(Job *j, Error *reterr) {
        _cleanup_strv_free_ char **services = NULL;
        EngineContext c;
        int r;

        r = job_active_revision_find(j, reterr);
        if (r >= 0 && job_is_partial(j)) {
                r = read_services(j, &services);
                if (r < 0)
                        return error_set_errnof(reterr, r, "%m");
        } else if (r >= 0)
                r = list_existing(j, &services, reterr);
        if (r < 0 || !services)
                return r;

        c = job_engine_context(j);
        return j->engine->start(&c, services, reterr);
}

int job_engine_restart(Job *j, Error *reterr) {
        EngineContext c = job_engine_context(j);
        _cleanup_strv_free_ char **existing = NULL;
        int r;

        if (!job_is_partial(j)) {
                r = list_existing(j, &existing, reterr);
                if (r < 0)
                        return r;
                if (!existing)
                        return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                        "The instance '%s' has no containers to restart; start it.",
                                        j->claim.job->slug);
        }

        return j->engine->restart(&c, existing ?: j->services, reterr);
}

int job_engine_down(Job *j, bool volumes, Error *reterr) {
        EngineContext c = job_engine_context(j);

        return j->engine->down(&c, volumes, reterr);
}

/* Images are named PROJECT-SERVICE. */
static int list_own_images(Job *j, char ***ret, Error *reterr) {
        _cleanup_free_ char *filter = strjoin("label=" COMPOSE_LABEL_PROJECT "=", j->project),
                            *prefix = strjoin(j->project, "-");
        char *argv[] = { (char *) "image", (char *) "ls", (char *) "--no-trunc", (char *) "--filter", filter,
                (char *) "--format={{.Repository}}:{{.Tag}} {{.ID}}", NULL };
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_strv_free_ char **l = NULL;
        char *saveptr = NULL;
        int r;

        if (!filter || !prefix)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = docker_cli(j, argv, -EBADF, &result, reterr);
        if (r < 0)
                return r;

        for (char *line = result.out.data ? strtok_r(result.out.data, "\n", &saveptr) : NULL; line;
                        line = strtok_r(NULL, "\n", &saveptr)) {
                char *id = strchr(line, ' ');

                if (!id)
                        continue;
                *id++ = 0;

                /* One without a name is what a later build left behind. */
                r = startswith(line, prefix)                  ? strv_extend(&l, line)
                                : startswith(line, "<none>:") ? strv_extend(&l, id)
                                                              : 0;
                if (r < 0)
                        return error_set_errnof(reterr, r, "%m");
        }

        *ret = TAKE_PTR(l);
        return 0;
}

int job_engine_remove_images(Job *j, Error *reterr) {
        _cleanup_strv_free_ char **images = NULL, **argv = NULL;
        _cleanup_process_result_ ProcessResult result = {};
        int r;

        r = list_own_images(j, &images, reterr);
        if (r < 0)
                return r;
        if (!images)
                return 0;

        r = strv_extend(&argv, "image");
        if (r >= 0)
                r = strv_extend(&argv, "rm");
        STRV_FOREACH(s, images)
                if (r >= 0)
                        r = strv_extend(&argv, *s);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        return docker_cli(j, argv, -EBADF, &result, reterr);
}
