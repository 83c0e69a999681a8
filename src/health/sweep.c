/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sweep.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "hash.h"
#include "health-observe.h"
#include "log.h"
#include "probe.h"
#include "store-health.h"
#include "string-util.h"
#include "sweep-blueprint.h"
#include "sweep-drift.h"

/* Of one call of the Engine's. */
#define ENGINE_TIMEOUT_USEC (10 * USEC_PER_SEC)
/* So many containers that went wrong are asked after one by one; of the others the list tells enough. */
#define INSPECTS_MAX 32U
#define REASON_MAX 512U
/* A sweep so soon after another one is not counted as well. */
#define REPEAT_MAX_USEC (15 * USEC_PER_SEC)
/* How often the files of revisions are looked at. */
#define FILES_INTERVAL_USEC (5 * USEC_PER_MINUTE)

typedef struct SweepInstance SweepInstance;

/* A service that has a container. */
typedef struct SweepService {
        SweepInstance *instance;
        const char *name;
        const BlueprintService *service; /* NULL: the blueprint does not know it */
        const DockerObject *container;
        HealthObservation seen;
        bool probed;
        HealthProbeRecord record; /* what its probes have come to; its texts are owned */
        char *host;
        char *defect; /* why it can't be probed at all */
        size_t probe; /* its number; SIZE_MAX: none is made */
} SweepService;

struct SweepInstance {
        const InstanceRecord *record;
        const Blueprint *blueprint;
        SweepService *services; /* by name */
        size_t n_services, n_allocated;
        UT_hash_handle hh;
};

typedef struct Sweep {
        DbSync *db;
        Docker *docker;
        SweepBlueprints *blueprints;
        usec_t began_at, began_monotonic;

        HealthSweepInput input;
        SweepInstance *instances; /* those that are looked at */
        size_t n_instances;
        SweepInstance *by_id;
        DockerObjects containers;

        Probe *probes;
        size_t n_probes, n_commands;

        HealthProbeRecord *records; /* shallow copies */
        size_t n_records;
        const HealthProbeRecord **gone;
        size_t n_gone;
        HealthSample *samples;
        Error error;
} Sweep;

void sweep_result_done(SweepResult *r) {
        error_done(&r->error);
}

static void sweep_done(Sweep *s) {
        HASH_CLEAR(hh, s->by_id);
        for (size_t i = 0; i < s->n_instances; i++) {
                FOREACH_ARRAY(v, s->instances[i].services, s->instances[i].n_services) {
                        health_probe_record_done(&v->record);
                        free(v->host);
                        free(v->defect);
                }
                free(s->instances[i].services);
                if (s->samples)
                        free(s->samples[i].reason);
        }
        FOREACH_ARRAY(p, s->probes, s->n_probes)
                probe_done(p);
        free(s->probes);
        free(s->records);
        free(s->gone);
        free(s->samples);
        free(s->instances);
        docker_objects_done(&s->containers);
        health_sweep_input_done(&s->input);
        sweep_blueprints_free(s->blueprints);
        error_done(&s->error);
}
#define _cleanup_sweep_ _cleanup_(sweep_done)

/* --- what there is --- */

/* Those that should run and are left alone. */
static int choose_instances(Sweep *s) {
        s->instances = new0(SweepInstance, s->input.instances.n);
        if (!s->instances)
                return -ENOMEM;

        FOREACH_ARRAY(record, s->input.instances.items, s->input.instances.n) {
                SweepInstance *i = s->instances + s->n_instances;

                if ((*record)->state != INSTANCE_RUNNING || strv_contains(s->input.busy, (*record)->id))
                        continue;

                i->record = *record;
                i->blueprint = sweep_blueprints_find(s->blueprints, *record);
                HASH_ADD_KEYPTR(hh, s->by_id, (*record)->id, strlen((*record)->id), i);
                s->n_instances++;
        }

        return 0;
}

static SweepInstance *owner_of(const Sweep *s, const DockerObject *o) {
        SweepInstance *i;

        if (o->oneoff || !o->service || !o->uuid)
                return NULL;
        HASH_FIND(hh, s->by_id, o->uuid, strlen(o->uuid), i);
        return i && docker_object_is_owned(o, &(DockerOwner) { i->record->slug, i->record->id }) ? i : NULL;
}

/* The newest container of a service counts. */
static int add_container(SweepInstance *i, const DockerObject *o) {
        SweepService *v;

        FOREACH_ARRAY(known, i->services, i->n_services)
                if (streq(known->name, o->service)) {
                        if (known->container->created_at < o->created_at) {
                                known->container = o;
                                known->seen = health_observe(o);
                        }
                        return 0;
                }

        if (!GREEDY_REALLOC(i->services, i->n_allocated, i->n_services + 1))
                return -ENOMEM;

        v = i->services + i->n_services++;
        *v = (SweepService) {
                .instance = i,
                .name = o->service,
                .service = i->blueprint ? blueprint_find_service(i->blueprint, o->service) : NULL,
                .container = o,
                .seen = health_observe(o),
                .probe = SIZE_MAX,
        };
        return 0;
}

static ServiceKind kind_of(const SweepService *v) {
        return v->service ? v->service->kind : SERVICE_KIND_SERVICE;
}

/* How often the Engine restarted a container, and whether it was killed for memory, a list does not tell. */
static void inspect_ended(Sweep *s) {
        unsigned n = 0;

        for (size_t i = 0; i < s->n_instances; i++)
                FOREACH_ARRAY(v, s->instances[i].services, s->instances[i].n_services) {
                        _cleanup_docker_object_ DockerObject detail = {};
                        int r;

                        if (v->seen.state != CONTAINER_RESTARTING &&
                                        (v->seen.state != CONTAINER_EXITED || v->seen.exit_code == 0))
                                continue;
                        if (n++ >= INSPECTS_MAX)
                                return;
                        r = docker_inspect(s->docker, DOCKER_CONTAINER, v->container->id, &detail, NULL);
                        if (r == -ENOENT)
                                continue;
                        if (r < 0)
                                return;
                        v->seen = health_observe(&detail);
                }
}

static int list_containers(Sweep *s, Error *reterr) {
        static char *const labels[] = { (char *) CCP_LABEL_ID, NULL };
        int r;

        r = docker_list(s->docker, DOCKER_CONTAINER, labels, &s->containers, reterr);
        if (r < 0)
                return r;

        FOREACH_ARRAY(o, s->containers.items, s->containers.n) {
                SweepInstance *i = owner_of(s, o);

                if (i && add_container(i, o) < 0)
                        return error_set_errnof(reterr, ENOMEM, "Cannot look at the containers: %m");
        }

        inspect_ended(s);
        return 0;
}

/* --- probes --- */

static int record_compare(const void *a, const void *b) {
        const HealthProbeRecord *x = a, *y = b;
        int c = strcmp(x->instance, y->instance);

        return c != 0 ? c : strcmp(x->service, y->service);
}

/* What was known of this run of the container, taken out of what was read. */
static void find_record(const Sweep *s, SweepService *v) {
        const HealthProbeRecords *known = &s->input.states.probes;
        HealthProbeRecord *p;

        p = known->n > 0 ? bsearch(&v->record, known->items, known->n, sizeof(*p), record_compare) : NULL;
        if (!p || !streq(p->container, v->container->id) ||
                        !health_is_same_run(&v->seen, p->state.checked_at, s->began_at))
                return;

        v->record.state = TAKE_GENERIC(p->state, (ProbeState) {});
        v->record.exec = TAKE_PTR(p->exec);
}

static int prepare_target(SweepService *v, Probe *p) {
        const BlueprintHealth *h = &v->service->health;
        const InstanceRecord *i = v->instance->record;
        _cleanup_error_ Error error = {};

        *p = (Probe) {
                .health = h,
                .address = i->bind_address,
                .container = v->container->id,
                .running_exec = v->record.exec,
        };
        if (h->port) {
                p->port = instance_record_port(i, h->port);
                if (p->port == 0 &&
                                asprintf(&v->defect,
                                                "is to be asked on the port '%s', which the instance "
                                                "does not have",
                                                h->port) < 0) {
                        v->defect = NULL;
                        return -ENOMEM;
                }
        }
        if (h->host && sweep_render_host(v->instance->blueprint, i, h->host, &v->host, &error) < 0 &&
                        asprintf(&v->defect, "is to be asked for a host that can't be told: %s",
                                        strempty(error.message)) < 0) {
                v->defect = NULL;
                return -ENOMEM;
        }
        p->host = v->host;
        return 0;
}

static int prepare_probe(Sweep *s, SweepService *v) {
        Probe *p = s->probes + s->n_probes;
        int r;

        v->probed = v->service && health_is_probed(v->service);
        if (!v->probed)
                return 0;

        memcpy(v->record.instance, v->instance->record->id, sizeof(v->record.instance));
        v->record.service = strdup(v->name);
        v->record.container = strdup(v->container->id);
        if (!v->record.service || !v->record.container)
                return -ENOMEM;
        find_record(s, v);
        /* What does not run need not be asked. */
        if (v->seen.state != CONTAINER_RUNNING)
                return 0;

        r = prepare_target(v, p);
        if (r < 0)
                return r;
        if (v->defect)
                return 0;

        s->n_commands += v->service->health.type == HEALTH_TYPE_COMMAND;
        v->probe = s->n_probes++;
        return 0;
}

static int take_result(const Sweep *s, SweepService *v) {
        const Probe *p = v->probe == SIZE_MAX ? NULL : s->probes + v->probe;
        const ProbeRule rule = {
                .failures = (unsigned) v->service->health.failures,
                .successes = (unsigned) v->service->health.successes,
                .patience = v->service->timeout,
        };

        if (v->defect)
                return probe_state_update(&v->record.state, &rule,
                                &(ProbeResult) { .at = s->began_at, .reason = v->defect }, v->seen.since);
        /* Whether it goes on is asked again the next time. */
        if (!p || p->outcome == PROBE_UNKNOWN)
                return 0;
        if (free_and_strdup(&v->record.exec, p->exec) < 0)
                return -ENOMEM;

        return probe_state_update(&v->record.state, &rule,
                        &(ProbeResult) {
                                        .good = p->outcome == PROBE_GOOD,
                                        .at = p->begun_at,
                                        .latency = p->latency,
                                        .reason = p->reason,
                        },
                        v->seen.since);
}

static int run_probes(Sweep *s, Error *reterr) {
        ProbeOptions options = { .docker = s->docker };
        int r = 0;

        s->probes = new0(Probe, s->containers.n);
        if (!s->probes)
                r = -ENOMEM;
        for (size_t i = 0; r >= 0 && i < s->n_instances; i++)
                FOREACH_ARRAY(v, s->instances[i].services, s->instances[i].n_services)
                        if (r >= 0)
                                r = prepare_probe(s, v);

        options.deadline = now(CLOCK_MONOTONIC) + probes_timeout(s->n_probes, s->n_commands);
        if (r >= 0)
                r = probes_run(&options, s->probes, s->n_probes);
        for (size_t i = 0; r >= 0 && i < s->n_instances; i++)
                FOREACH_ARRAY(v, s->instances[i].services, s->instances[i].n_services)
                        if (r >= 0 && v->probed)
                                r = take_result(s, v);

        return r < 0 ? error_set_errnof(reterr, r, "Cannot look at the services: %m") : 0;
}

/* --- verdicts --- */

static HealthVerdict judge_service(const SweepService *v) {
        usec_t realtime = now(CLOCK_REALTIME);
        /* Where nothing could be found out, that is no reason to call it ill. */
        const ProbeState *probes = v->probed && v->record.state.checked_at > 0 ? &v->record.state : NULL;
        HealthJudgement j = health_judge_probed(kind_of(v), &v->seen, probes, realtime);

        return (HealthVerdict) { kind_of(v), j.verdict, v->name, j.reason };
}

/* A command's time is its own, and that of the Engine: it tells nothing of how fast the service is. */
static usec_t slowest(const Sweep *s, const SweepInstance *i) {
        usec_t latency = 0;

        FOREACH_ARRAY(v, i->services, i->n_services)
                if (v->probe != SIZE_MAX && v->service->health.type != HEALTH_TYPE_COMMAND)
                        latency = MAX(latency, s->probes[v->probe].latency);

        return latency;
}

static int judge_instance(const Sweep *s, const SweepInstance *i, HealthSample *ret) {
        _cleanup_free_ HealthVerdict *verdicts = NULL;
        const HealthVerdict *blame;
        size_t n = 0;

        ret->instance = i->record->id;
        ret->state_changed_at = i->record->state_changed_at;
        if (error_is_set(&s->error))
                return 0;

        verdicts = new0(HealthVerdict, i->n_services);
        if (!verdicts)
                return -ENOMEM;
        /* What is stopped on purpose is as it should be. */
        FOREACH_ARRAY(v, i->services, i->n_services)
                if (!strv_contains(i->record->stopped_services, v->name))
                        verdicts[n++] = judge_service(v);

        ret->latency = slowest(s, i);
        /* It should run, and nothing of it is there. */
        ret->health = i->n_services == 0 ? HEALTH_UNHEALTHY : health_summarize(verdicts, n);
        blame = health_find_reason(verdicts, n);
        if (i->n_services == 0)
                ret->reason = strdup("no container is there");
        else if (blame && asprintf(&ret->reason, "%s: %s", blame->service, blame->reason) < 0)
                ret->reason = NULL;
        return (blame || i->n_services == 0) && !ret->reason ? -ENOMEM : 0;
}

static bool was_swept(const Sweep *s, const char *id) {
        SweepInstance *i;

        HASH_FIND(hh, s->by_id, id, strlen(id), i);
        return i;
}

static bool is_probed(const Sweep *s, const HealthProbeRecord *p) {
        SweepInstance *i;

        HASH_FIND(hh, s->by_id, p->instance, strlen(p->instance), i);
        if (!i)
                return false;
        FOREACH_ARRAY(v, i->services, i->n_services)
                if (streq(v->name, p->service))
                        return v->probed;

        return false;
}

static int collect_records(Sweep *s) {
        s->records = new0(HealthProbeRecord, s->containers.n);
        s->gone = new0(const HealthProbeRecord *, s->input.states.probes.n);
        if (!s->records || !s->gone)
                return -ENOMEM;

        for (size_t i = 0; i < s->n_instances; i++)
                FOREACH_ARRAY(v, s->instances[i].services, s->instances[i].n_services)
                        if (v->probed && v->record.state.checked_at > 0)
                                s->records[s->n_records++] = v->record;
        /* Without a list, none is known to be gone. */
        FOREACH_ARRAY(p, s->input.states.probes.items, s->input.states.probes.n)
                if (!error_is_set(&s->error) && was_swept(s, p->instance) && !is_probed(s, p))
                        s->gone[s->n_gone++] = p;
        return 0;
}

static int judge_all(Sweep *s, Error *reterr) {
        int r;

        s->samples = new0(HealthSample, s->n_instances);
        r = s->samples ? 0 : -ENOMEM;
        for (size_t i = 0; r >= 0 && i < s->n_instances; i++)
                r = judge_instance(s, s->instances + i, s->samples + i);
        if (r >= 0)
                r = collect_records(s);

        return r < 0 ? error_set_errnof(reterr, r, "Cannot judge the instances: %m") : 0;
}

/* --- the whole --- */

/* The history counts samples: who has one sweep after the other made must not outweigh the timer's. */
static bool is_repeated(const Sweep *s) {
        usec_t slot = MIN(s->input.settings->health_interval * USEC_PER_SEC / 2, REPEAT_MAX_USEC);

        return slot > 0 && s->began_at / slot == s->input.states.sweep.began_at / slot;
}

static int sweep_write(Sweep *s, Error *reterr) {
        usec_t realtime = now(CLOCK_REALTIME);
        int r;

        r = health_sweep_write(s->db,
                        &(HealthSweepOutput) {
                                        .began_at = s->began_at,
                                        .began_monotonic = s->began_monotonic,
                                        .duration = now(CLOCK_MONOTONIC) - s->began_monotonic,
                                        .n_instances = s->n_instances,
                                        .error = &s->error,
                                        .probes = s->records,
                                        .n_probes = s->n_records,
                                        .gone = s->gone,
                                        .n_gone = s->n_gone,
                                        .samples = s->samples,
                                        .n_samples = s->n_instances,
                                        .repeats = is_repeated(s),
                        },
                        reterr);
        if (r < 0 || s->input.rolled_up_until == realtime - realtime % USEC_PER_HOUR)
                return r;

        return health_roll_up(s->db, s->input.settings, realtime, reterr);
}

/* Whether the files of revisions are as they were made. After the health is on record, and not each time: it costs a query
 * and some looks at the disk for each instance. */
static int sweep_files(const Sweep *s, const char *instances_dir, Error *reterr) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (s->began_at / FILES_INTERVAL_USEC == s->input.states.sweep.began_at / FILES_INTERVAL_USEC)
                return 0;

        fd = open(instances_dir ?: CCP_INSTANCES_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_set_errnof(reterr, errno, "Cannot open the folder of instances: %m");

        FOREACH_ARRAY(record, s->input.instances.items, s->input.instances.n) {
                if (strv_contains(s->input.busy, (*record)->id))
                        continue;
                _cleanup_error_ Error e = {};

                /* The others are looked at all the same. */
                r = sweep_drift(s->db, fd, *record, &e);
                if (r < 0 && streq_ptr(e.name, CCP_ERROR_STORE_UNAVAILABLE)) {
                        error_move(reterr, &e);
                        return r;
                }
                if (r < 0)
                        log_warning("%s", strempty(e.message));
        }

        return 0;
}

static int sweep_look(Sweep *s, Error *reterr) {
        int r;

        r = choose_instances(s);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot choose the instances to look at: %m");

        docker_set_timeout(s->docker, ENGINE_TIMEOUT_USEC);
        r = list_containers(s, &s->error);
        if (r == -ENOMEM) {
                error_move(reterr, &s->error);
                return r;
        }
        if (r >= 0) {
                r = run_probes(s, reterr);
                if (r < 0)
                        return r;
        }

        return judge_all(s, reterr);
}

static void sweep_tell(Sweep *s, SweepResult *ret) {
        const char *before = s->input.states.sweep.error_name;

        ret->n_instances = s->n_instances;
        ret->n_probes = s->n_probes;
        for (size_t i = 0; i < s->n_instances; i++)
                ret->n_services += s->instances[i].n_services;
        ret->error_is_new = error_is_set(&s->error) && !streq_ptr(before, s->error.name);
        ret->recovered = before && !error_is_set(&s->error);
        error_move(&ret->error, &s->error);
}

int sweep_run(DbSync *db, Docker *docker, const SweepOptions *options, SweepResult *ret, Error *reterr) {
        _cleanup_sweep_ Sweep s = {
                .db = db,
                .docker = docker,
                .began_at = now(CLOCK_REALTIME),
                .began_monotonic = now(CLOCK_MONOTONIC),
        };
        int r;

        r = sweep_blueprints_new(options->templates, options->instances_dir, &s.blueprints);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot begin a sweep: %m");

        r = health_sweep_read(db, &s.input, reterr);
        if (r >= 0)
                r = sweep_look(&s, reterr);
        if (r >= 0)
                r = sweep_write(&s, reterr);
        if (r >= 0)
                r = sweep_files(&s, options->instances_dir, reterr);
        if (r >= 0)
                sweep_tell(&s, ret);
        return r;
}
