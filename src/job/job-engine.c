/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-engine.h"

#include <errno.h>

#include "alloc-util.h"
#include "job-aside.h"
#include "job-revision.h"
#include "job-services.h"
#include "log.h"
#include "process.h"
#include "string-util.h"

#define WAIT_DELAY_USEC USEC_PER_SEC
#define STOP_DELAY_USEC (100 * USEC_PER_MSEC)
#define STOP_PATIENCE_USEC (10 * USEC_PER_SEC)
#define START_DELAY_USEC (250 * USEC_PER_MSEC)
#define START_PATIENCE_USEC USEC_PER_MINUTE
#define START_ROUNDS 5U
#define LOOK_USEC USEC_PER_MINUTE
#define SYSTEMCTL_TIMEOUT_USEC (5 * USEC_PER_SEC)

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
        if (j->aside)
                return job_aside_owner(j);
        return (DockerOwner) { .slug = j->claim.job->slug, .uuid = j->claim.job->instance };
}

EngineContext job_engine_context(Job *j) {
        EngineContext c = {
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

        if (j->aside)
                job_aside_set_context(j, &c);
        return c;
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
                                        "The Docker Engine is being stopped or started. See: systemctl "
                                        "status docker ccp-gate");
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

/* Whether PID 1 has something to do with one of the units that it was asked about. */
static bool has_job(const char *shown) {
        for (const char *p = strstr(shown, "Job="); p; p = strstr(p + 1, "Job="))
                if (strtoull(p + STRLEN("Job="), NULL, 10) > 0)
                        return true;
        return false;
}

/* What PID 1 says of the engine's unit, and of the gate that containers start through: whether the one is being stopped, or the
 * other is not open yet, and since when the engine is active (monotonic, 0: never). -ENODATA where nobody can tell. */
static int read_unit(Job *j, bool *ret_stopping, usec_t *ret_active_since) {
        static char *const argv[] = { (char *) "systemctl", (char *) "show",
                (char *) "--property=ActiveState,ActiveEnterTimestampMonotonic,Job",
                (char *) "docker.service", (char *) "ccp-gate.service", NULL };
        _cleanup_process_result_ ProcessResult result = {};
        const char *out, *since;

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

        /* It has a job: it is about to be stopped, once its instances are, or its gate is about to be opened. */
        *ret_stopping = strstr(out, "ActiveState=deactivating\n") || has_job(out);
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

/* Notes whether PID 1 has started the engine since the job has its instance: from then on nobody else starts what it ends. Until
 * this worker has seen it once, that is told by the clock alone. */
static void note_restart(Job *j) {
        usec_t before = j->engine_active_since, active_since, up;
        bool stopping;

        j->engine_looked_at = now(CLOCK_MONOTONIC);
        if (read_unit(j, &stopping, &active_since) < 0 || stopping || active_since == before)
                return;

        j->engine_active_since = active_since;
        up = now(CLOCK_MONOTONIC) - active_since;
        if (before > 0 || now(CLOCK_REALTIME) - up > j->claim.job->turn_at)
                j->engine_restarted = j->engine_owes = true;
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

/* 0 if no container runs, 1 if the one named in *ret does. What somebody runs by hand is not stopped, and not waited for. */
static int find_running(Job *j, char **ret, Error *reterr) {
        _cleanup_docker_objects_ DockerObjects containers = {};
        int r;

        r = job_engine_list_containers(j, &containers, reterr);
        if (r < 0)
                return r;

        FOREACH_ARRAY(o, containers.items, containers.n)
                if (!o->oneoff &&
                                IN_SET(o->state, CONTAINER_RUNNING, CONTAINER_RESTARTING,
                                                CONTAINER_PAUSED) &&
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

static ServiceStage stage_of(const Job *j, const char *service) {
        const BlueprintService *s = blueprint_find_service(j->blueprint, service);

        return s ? s->stage : SERVICE_STAGE_REST;
}

static bool is_in_stage(const Job *j, const DockerObject *o, char *const *services, ServiceStage stage) {
        return o->service && !o->oneoff && strv_contains(services, o->service) &&
                        stage_of(j, o->service) == stage;
}

/* Each that does not run yet. *ret_n is how many could be started; the error is of the last that could not. */
static int start_each(Job *j, char *const *services, ServiceStage stage, unsigned *ret_n, Error *reterr) {
        const DockerOwner owner = job_engine_owner(j);
        _cleanup_docker_objects_ DockerObjects containers = {};
        int r;

        *ret_n = 0;
        r = job_engine_list_containers(j, &containers, reterr);
        FOREACH_ARRAY(o, containers.items, containers.n) {
                _cleanup_error_ Error error = {};
                int k;

                if (!is_in_stage(j, o, services, stage) ||
                                IN_SET(o->state, CONTAINER_RUNNING, CONTAINER_RESTARTING, CONTAINER_PAUSED))
                        continue;
                k = docker_start(j->docker, o->id, &owner, &error);
                if (k >= 0) {
                        (*ret_n)++;
                        continue;
                }
                r = k;
                error_done(reterr);
                error_move(reterr, &error);
        }
        return r;
}

/* One that shares the network of another can be started after that alone. */
static int start_stage(Job *j, char *const *services, ServiceStage stage, Error *reterr) {
        for (unsigned round = 1;; round++) {
                _cleanup_error_ Error error = {};
                unsigned n;
                int r;

                r = start_each(j, services, stage, &n, &error);
                if (r >= 0)
                        return 0;
                if (r == -ECANCELED || n == 0 || round >= START_ROUNDS) {
                        error_move(reterr, &error);
                        return r;
                }
        }
}

static int wait_started(Job *j, char *const *services, ServiceStage stage, Error *reterr) {
        usec_t end = now(CLOCK_MONOTONIC) + START_PATIENCE_USEC;

        for (;;) {
                _cleanup_docker_objects_ DockerObjects containers = {};
                bool starting = false;
                int r;

                r = job_engine_list_containers(j, &containers, reterr);
                if (r < 0)
                        return r;
                FOREACH_ARRAY(o, containers.items, containers.n)
                        starting = starting ||
                                        (is_in_stage(j, o, services, stage) &&
                                                        o->health == CONTAINER_HEALTH_STARTING);
                if (!starting || now(CLOCK_MONOTONIC) >= end)
                        return 0;

                r = job_sleep(j, START_DELAY_USEC);
                if (r < 0)
                        return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        }
}

int job_engine_start(Job *j, char *const *services, Error *reterr) {
        for (ServiceStage stage = 0; stage < _SERVICE_STAGE_MAX; stage++) {
                int r;

                r = start_stage(j, services, stage, reterr);
                if (r >= 0 && stage + 1 < _SERVICE_STAGE_MAX)
                        r = wait_started(j, services, stage, reterr);
                if (r < 0)
                        return r;
        }

        return 0;
}

int job_engine_start_existing(Job *j, Error *reterr) {
        _cleanup_strv_free_ char **services = NULL;
        int r;

        r = job_active_revision_find(j, reterr);
        if (r >= 0 && job_is_partial(j)) {
                r = job_services_read(j, &services);
                if (r < 0)
                        return error_set_errnof(reterr, r, "%m");
        } else if (r >= 0)
                r = job_services_list_existing(j, &services, reterr);
        return r < 0 ? r : job_engine_start(j, services, reterr);
}

/* Nobody else starts the instance while it has a job. What cannot be started is tried again at the next look; the step tells
 * what it misses. */
static int bring_back(Job *j, Error *reterr) {
        JobAside *aside = TAKE_PTR(j->aside);
        _cleanup_error_ Error error = {};
        int r;

        log_info("The engine was restarted: starting what ran before.");
        job_tell(j, -1, "Starting the containers again");
        r = job_engine_start_existing(j, &error);
        j->aside = aside;
        j->engine_owes = r < 0;
        if (r == -ECANCELED) {
                error_move(reterr, &error);
                return r;
        }
        if (r < 0)
                log_warning("Not all containers could be started again after a restart of the engine: %s",
                                strempty(error.message));
        return 0;
}

int job_engine_look(Job *j, Error *reterr) {
        note_restart(j);
        return j->engine_owes && j->keeps_running ? bring_back(j, reterr) : 0;
}

int job_engine_look_now_and_then(Job *j, Error *reterr) {
        return j->keeps_running && now(CLOCK_MONOTONIC) - j->engine_looked_at > LOOK_USEC
                        ? job_engine_look(j, reterr)
                        : 0;
}

int job_engine_restart(Job *j, Error *reterr) {
        EngineContext c = job_engine_context(j);
        _cleanup_strv_free_ char **existing = NULL;
        int r;

        if (!job_is_partial(j)) {
                r = job_services_list_existing(j, &existing, reterr);
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
