/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-quiesce.h"

#include "job-dump.h"
#include "job-engine.h"
#include "job-revision.h"
#include "job-services.h"
#include "json-util.h"
#include "string-util.h"

static BackupConsistency wanted(const Job *j) {
        return backup_consistency_from_string(json_object_get_string(j->claim.job->spec, "consistency"));
}

BackupConsistency job_quiesce_first(const Job *j) {
        BackupConsistency c = wanted(j);

        return job_began_stopped(j) ? BACKUP_COLD : c < 0 ? BACKUP_LIVE : c;
}

bool job_quiesce_may_pause(const Job *j) {
        return !job_began_stopped(j) && wanted(j) < 0;
}

static int for_each_container(Job *j, ContainerState state,
                int (*act)(Docker *d, const char *id, const DockerOwner *owner, Error *reterr),
                Error *reterr) {
        const DockerOwner owner = job_engine_owner(j);
        _cleanup_docker_objects_ DockerObjects containers = {};
        int r;

        r = job_engine_list_containers(j, &containers, reterr);
        if (r < 0)
                return r;
        FOREACH_ARRAY(o, containers.items, containers.n)
                if (o->state == state) {
                        r = act(j->docker, o->id, &owner, reterr);
                        if (r < 0)
                                return r;
                }

        return 0;
}

/* A server that has to run to be dumped, where the service is its own. */
static bool is_server(const Job *j, const char *service) {
        const BlueprintState *state = &j->blueprint->state;

        FOREACH_ARRAY(d, state->databases, state->n_databases)
                if (streq(d->service, service) && !job_dump_is_offline(d->kind))
                        return true;
        return false;
}

/* Of the services that have a container: the servers of databases, or all others. NULL: there are none. */
static int list_services(Job *j, bool servers, char ***ret, Error *reterr) {
        _cleanup_strv_free_ char **existing = NULL, **l = NULL;
        int r;

        r = job_services_list_existing(j, &existing, reterr);
        if (r < 0)
                return r;
        STRV_FOREACH(s, existing)
                if (is_server(j, *s) == servers && strv_extend(&l, *s) < 0)
                        return error_set_errnof(reterr, ENOMEM, "%m");

        *ret = TAKE_PTR(l);
        return 0;
}

bool job_quiesce_is_down(const Job *j, const BlueprintDatabase *database) {
        return job_dump_is_offline(database->kind) && job_quiesce_first(j) == BACKUP_COLD;
}

static int start_servers(Job *j, Error *reterr) {
        _cleanup_strv_free_ char **servers = NULL;
        int r;

        r = list_services(j, true, &servers, reterr);
        if (r < 0 || !servers)
                return r;
        job_tell(j, -1, "Starting the databases");
        return job_engine_start(j, servers, reterr);
}

/* An attempt before may have stopped and started them. */
static int wait_for_servers(Job *j, Error *reterr) {
        const BlueprintState *state = &j->blueprint->state;
        int r;

        FOREACH_ARRAY(d, state->databases, state->n_databases)
                if (!job_dump_is_offline(d->kind)) {
                        r = job_dump_wait_until_ready(j, d, reterr);
                        if (r < 0)
                                return r;
                }

        return 0;
}

static int stop_others(Job *j, Error *reterr) {
        int r;

        r = list_services(j, false, &j->services, reterr);
        if (r < 0 || !j->services)
                return r;
        job_tell(j, -1, "Stopping the containers");
        r = job_engine_stop(j, reterr);
        j->services = strv_free(j->services);
        return r;
}

int job_quiesce_for_dumps(Job *j, BackupConsistency consistency, Error *reterr) {
        int r;

        if (consistency != BACKUP_COLD)
                return 0;
        if (!IN_SET(j->claim.job->state_before, INSTANCE_STOPPED, INSTANCE_RUNNING))
                return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                                "'%s' is %s: what of it would have to be started again after a cold backup "
                                "cannot be told. Make another one (ccpctl backup create %s), or stop it.",
                                j->claim.job->slug, instance_state_to_string(j->claim.job->state_before),
                                j->claim.job->slug);
        r = job_began_stopped(j) ? start_servers(j, reterr) : stop_others(j, reterr);
        return r < 0 ? r : wait_for_servers(j, reterr);
}

int job_quiesce_for_volumes(Job *j, BackupConsistency consistency, Error *reterr) {
        switch (consistency) {
        case BACKUP_PAUSED:
                return for_each_container(j, CONTAINER_RUNNING, docker_pause, reterr);

        case BACKUP_COLD:
                job_tell(j, -1, "Stopping the containers");
                return job_engine_stop(j, reterr);

        default:
                return 0;
        }
}

int job_quiesce_end(Job *j, Error *reterr) {
        int r;

        r = for_each_container(j, CONTAINER_PAUSED, docker_unpause, reterr);
        if (r < 0)
                return r;
        if (job_quiesce_first(j) != BACKUP_COLD)
                return 0;

        r = job_dump_clean_up(j, reterr);
        if (r < 0)
                return r;
        if (job_began_stopped(j))
                return job_engine_stop(j, reterr);
        return j->claim.job->state_before == INSTANCE_RUNNING ? job_engine_start_existing(j, reterr) : 0;
}
