/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-instance.h"

#include <systemd/sd-bus.h>

#include "alloc-util.h"
#include "blueprint-cache.h"
#include "ccpd-announce.h"
#include "ccpd-manager.h"
#include "ccpd-use.h"
#include "log.h"
#include "notify-proto.h"
#include "string-util.h"

/* More services than any sane blueprint has; a cap on what datagrams can make us keep. */
#define INSTANCE_SERVICES_MAX 256U

static void instance_service_done(InstanceService *s) {
        free(s->name);
        free(s->container);
        free(s->image);
        free(s->image_id);
}

int instance_new(Manager *m, InstanceRecord **record, Instance **ret) {
        Instance *i;

        i = new0(Instance, 1);
        if (!i)
                return -ENOMEM;

        i->manager = m;
        /* One that is made while we look is seen from its begin. */
        i->listed = m->loaded;
        i->record = TAKE_PTR(*record);
        HASH_ADD_KEYPTR(hh, m->instances, i->record->slug, strlen(i->record->slug), i);
        HASH_ADD_KEYPTR(hh_id, m->instances_by_id, i->record->id, strlen(i->record->id), i);
        m->changed = true;
        manager_update_instance_health(i);

        *ret = i;
        return 0;
}

Instance *instance_free(Instance *i) {
        if (!i)
                return NULL;

        HASH_DEL(i->manager->instances, i);
        HASH_DELETE(hh_id, i->manager->instances_by_id, i);
        i->manager->changed = true;

        FOREACH_ARRAY(s, i->services, i->n_services)
                instance_service_done(s);
        free(i->services);
        drifts_done(&i->drifts);
        bus_told_done(&i->told);
        instance_health_done(&i->health_state);
        instance_disk_done(&i->use);
        instance_record_free(i->record);
        return mfree(i);
}

Instance *instance_find(const Manager *m, const char *slug) {
        Instance *i;

        HASH_FIND_STR(m->instances, slug, i);
        return i;
}

Instance *instance_find_by_id(const Manager *m, const char *id) {
        Instance *i;

        HASH_FIND(hh_id, m->instances_by_id, id, strlen(id), i);
        return i;
}

static int compare_ids(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

Instance *instance_find_by_backup(const Manager *m, uint64_t backup) {
        for (Instance *i = m->instances; i; i = i->hh.next)
                if (bsearch(&backup, i->record->backups.ids, i->record->backups.n_ids, sizeof(backup),
                                    compare_ids))
                        return i;
        return NULL;
}

char *instance_path(const Instance *i) {
        char *path;

        return sd_bus_path_encode(CCP_PATH_INSTANCE, i->record->slug, &path) < 0 ? NULL : path;
}

void instance_set_changed(Instance *i) {
        i->changed = true;
        i->manager->changed = true;
        alerts_note_instance(i);
        manager_queue_emit(i->manager);
}

void instance_update(Instance *i, InstanceRecord **record) {
        /* The tables are keyed by strings of the record. Slug and id never change. */
        HASH_DEL(i->manager->instances, i);
        HASH_DELETE(hh_id, i->manager->instances_by_id, i);

        instance_record_free(i->record);
        i->record = TAKE_PTR(*record);

        HASH_ADD_KEYPTR(hh, i->manager->instances, i->record->slug, strlen(i->record->slug), i);
        HASH_ADD_KEYPTR(hh_id, i->manager->instances_by_id, i->record->id, strlen(i->record->id), i);

        manager_update_instance_health(i);
        instance_set_changed(i);
}

static InstanceService *instance_find_service(Instance *i, const char *name) {
        FOREACH_ARRAY(s, i->services, i->n_services)
                if (streq(s->name, name))
                        return s;

        return NULL;
}

static int instance_add_service(Instance *i, const char *name, InstanceService **ret) {
        InstanceService *s;
        char *copy;

        if (i->n_services >= INSTANCE_SERVICES_MAX)
                return -E2BIG;
        if (!GREEDY_REALLOC(i->services, i->n_services_allocated, i->n_services + 1))
                return -ENOMEM;

        copy = strdup(name);
        if (!copy)
                return -ENOMEM;

        s = i->services + i->n_services++;
        *s = (InstanceService) {
                .name = copy,
                .kind = blueprint_cache_service_kind(i->manager->blueprints, i->record->blueprint, name),
        };
        *ret = s;
        return 0;
}

static void instance_remove_service(Instance *i, InstanceService *s) {
        instance_service_done(s);
        *s = i->services[--i->n_services];
}

/* Every restart of the container counts for who looks at it; for the verdict, those before a long quiet run are
 * forgotten. A watcher that was started again counts from 0. */
static void count_restarts(InstanceService *s, const NotifyMessage *m) {
        const HealthObservation *o = &s->observation;

        if (!streq_ptr(s->container, m->container))
                s->n_restarts = s->n_told = s->n_forgotten = 0;
        else if (o->state == CONTAINER_RUNNING && m->since > o->since &&
                        m->since - o->since > HEALTH_RESTARTS_FORGOTTEN_USEC)
                s->n_forgotten = s->n_restarts;

        s->n_restarts += m->n_restarts >= s->n_told ? m->n_restarts - s->n_told : m->n_restarts;
        s->n_told = m->n_restarts;
}

int instance_update_service(Instance *i, const NotifyMessage *m) {
        InstanceService *s;
        int r;

        s = instance_find_service(i, m->service);
        if (m->state == CONTAINER_REMOVED) {
                /* The end of a container that was replaced already says nothing. */
                if (s && streq_ptr(s->container, m->container)) {
                        instance_remove_service(i, s);
                        manager_update_instance_health(i);
                        instance_set_changed(i);
                }
                return 0;
        }

        if (!s) {
                r = instance_add_service(i, m->service, &s);
                if (r < 0)
                        return r;
        }

        count_restarts(s, m);
        if (free_and_strdup(&s->container, m->container) < 0 || free_and_strdup(&s->image, m->image) < 0 ||
                        free_and_strdup(&s->image_id, m->image_id) < 0)
                return -ENOMEM;

        s->listed = true;
        s->started = m->started;
        s->stopped = m->stopped;
        s->observation = (HealthObservation) {
                .exists = true,
                .state = m->state,
                .health = m->health,
                .exit_code = m->exit_code,
                .since = m->since ?: now(CLOCK_REALTIME),
                .n_restarts = s->n_restarts - s->n_forgotten,
                .oom_killed = m->oom_killed,
        };
        manager_update_instance_health(i);
        instance_set_changed(i);
        return 0;
}

void instance_begin_list(Instance *i) {
        FOREACH_ARRAY(s, i->services, i->n_services)
                s->listed = false;
}

void instance_end_list(Instance *i) {
        for (size_t k = i->n_services; k > 0; k--)
                if (!i->services[k - 1].listed) {
                        instance_remove_service(i, i->services + k - 1);
                        instance_set_changed(i);
                }

        manager_update_instance_health(i);
        i->listed = true;
}

bool instance_update_health(Instance *i) {
        static const HealthVerdict nothing = { .reason = "no container is there" },
                                   unseen = { .reason = "its probes are not run, see: ccpctl doctor" };
        HealthVerdict verdicts[INSTANCE_SERVICES_MAX];
        const HealthVerdict *blame = NULL;
        usec_t realtime = now(CLOCK_REALTIME);
        size_t n = 0;
        bool waiting = false;
        Health health = HEALTH_UNKNOWN;

        /* Of an instance that is not meant to run nothing can be said. */
        if (IN_SET(i->record->state, INSTANCE_RUNNING, INSTANCE_PROVISIONING, INSTANCE_UPDATING) &&
                        i->manager->engine_state != ENGINE_UNAVAILABLE) {
                for (size_t k = 0; k < i->n_services; k++) {
                        const InstanceService *s = i->services + k;
                        HealthJudgement judgement;

                        /* What is stopped on purpose is as it should be. */
                        if (strv_contains(i->record->stopped_services, s->name))
                                continue;
                        waiting = instance_judge_service(i, s, realtime, &judgement) || waiting;
                        verdicts[n++] = (HealthVerdict) { s->kind, judgement.verdict, s->name,
                                judgement.reason };
                }
                health = health_summarize(verdicts, n);
                blame = health_find_reason(verdicts, n);

                /* Its containers look well; whether it answers nobody knows. */
                if (IN_SET(health, HEALTH_HEALTHY, HEALTH_STARTING) && instance_is_out_of_sight(i)) {
                        health = HEALTH_UNKNOWN;
                        blame = &unseen;
                }

                /* It should run, and nothing of it is there. */
                if (i->n_services == 0 && i->record->state == INSTANCE_RUNNING &&
                                i->manager->engine_state == ENGINE_AVAILABLE) {
                        health = HEALTH_UNHEALTHY;
                        blame = &nothing;
                }
        }

        instance_set_health(i, health, blame);
        return waiting;
}
