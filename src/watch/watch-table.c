/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "watch-table.h"

#include <utlist.h>

#include "alloc-util.h"
#include "string-util.h"

#define NSEC_PER_USEC 1000U

static void watch_container_free(WatchContainer *c) {
        free(c->id);
        free(c->instance);
        free(c->uuid);
        free(c->service);
        free(c);
}

static void table_remove(WatchTable *t, WatchContainer *c) {
        if (c->queued)
                DL_DELETE(t->queue, c);
        HASH_DEL(t->by_id, c);
        watch_container_free(c);
}

void watch_table_done(WatchTable *t) {
        WatchContainer *c, *next;

        HASH_ITER(hh, t->by_id, c, next)
                table_remove(t, c);
}

size_t watch_table_size(const WatchTable *t) {
        return HASH_COUNT(t->by_id);
}

static WatchContainer *table_find(const WatchTable *t, const char *id) {
        WatchContainer *c = NULL;

        HASH_FIND_STR(t->by_id, id, c);
        return c;
}

static void table_queue(WatchTable *t, WatchContainer *c) {
        if (c->queued)
                return;

        DL_APPEND(t->queue, c);
        c->queued = true;
}

static int table_add(WatchTable *t, const char *id, const char *instance, const char *uuid,
                const char *service, WatchContainer **ret) {
        WatchContainer *c;

        c = new0(WatchContainer, 1);
        if (!c)
                return -ENOMEM;

        c->exit_code = -1;
        if (free_and_strdup(&c->id, id) < 0 || free_and_strdup(&c->instance, instance) < 0 ||
                        free_and_strdup(&c->uuid, uuid) < 0 || free_and_strdup(&c->service, service) < 0) {
                watch_container_free(c);
                return -ENOMEM;
        }

        HASH_ADD_KEYPTR(hh, t->by_id, c->id, strlen(c->id), c);
        *ret = c;
        return 0;
}

/* What bears only a part of the labels is not an instance's, and neither is what "compose run" left. */
static bool is_wanted(const char *instance, const char *uuid, const char *service, bool oneoff) {
        return !isempty(instance) && !isempty(uuid) && !isempty(service) && !oneoff;
}

static int table_set_one(WatchTable *t, const DockerObject *o) {
        WatchContainer *c;
        int r;

        if (!is_wanted(o->instance, o->uuid, o->service, o->oneoff))
                return 0;

        c = table_find(t, o->id);
        if (!c) {
                r = table_add(t, o->id, o->instance, o->uuid, o->service, &c);
                if (r < 0)
                        return r;
                c->since = o->since;
        } else if (c->state != o->state)
                /* Of a state that events told, they told the time exactly. */
                c->since = o->since;

        c->state = o->state;
        c->health = o->health;
        c->has_healthcheck = c->has_healthcheck || o->health != CONTAINER_HEALTH_NONE;
        if (o->exit_code >= 0)
                c->exit_code = o->exit_code;
        c->listed = true;
        return 0;
}

int watch_table_set(WatchTable *t, const DockerObjects *list) {
        WatchContainer *c, *next;
        int r;

        HASH_ITER(hh, t->by_id, c, next)
                c->listed = false;
        FOREACH_ARRAY(o, list->items, list->n) {
                r = table_set_one(t, o);
                if (r < 0)
                        return r;
        }
        HASH_ITER(hh, t->by_id, c, next)
                if (!c->listed)
                        table_remove(t, c);

        watch_table_queue_all(t);
        return 0;
}

void watch_table_set_health(WatchTable *t, const DockerObjects *list) {
        FOREACH_ARRAY(o, list->items, list->n) {
                WatchContainer *c = table_find(t, o->id);

                if (!c || o->health == CONTAINER_HEALTH_NONE)
                        continue;

                c->has_healthcheck = true;
                if (c->state == CONTAINER_RUNNING && c->health == CONTAINER_HEALTH_NONE) {
                        c->health = o->health;
                        table_queue(t, c);
                }
        }
}

static void container_enter(WatchContainer *c, ContainerState state, const DockerEvent *e) {
        c->state = state;
        c->since = e->time_nsec / NSEC_PER_USEC;
        c->health = state == CONTAINER_RUNNING && c->has_healthcheck ? CONTAINER_HEALTH_STARTING
                                                                     : CONTAINER_HEALTH_NONE;
}

/* Returns whether the event changed anything. */
static bool container_apply(WatchContainer *c, const DockerEvent *e) {
        switch (e->type) {
        case DOCKER_EVENT_CREATE:
                container_enter(c, CONTAINER_CREATED, e);
                return true;
        case DOCKER_EVENT_START:
                container_enter(c, CONTAINER_RUNNING, e);
                return true;
        case DOCKER_EVENT_DIE:
                container_enter(c, CONTAINER_EXITED, e);
                c->exit_code = e->exit_code;
                return true;
        case DOCKER_EVENT_PAUSE:
                c->state = CONTAINER_PAUSED;
                return true;
        case DOCKER_EVENT_UNPAUSE:
                c->state = CONTAINER_RUNNING;
                return true;
        case DOCKER_EVENT_HEALTH:
                c->has_healthcheck = true;
                c->health = e->health;
                return true;
        case DOCKER_EVENT_DESTROY:
                container_enter(c, CONTAINER_REMOVED, e);
                return true;
        default:
                /* "stop" and "restart" come after the "die" and "start" that they are made of; "oom" comes
                 * before a "die". */
                return false;
        }
}

int watch_table_apply(WatchTable *t, const DockerEvent *e) {
        WatchContainer *c;
        int r;

        if (!is_wanted(e->instance, e->uuid, e->service, e->oneoff))
                return 0;

        c = table_find(t, e->container);
        if (!c) {
                if (e->type == DOCKER_EVENT_DESTROY)
                        return 0;
                r = table_add(t, e->container, e->instance, e->uuid, e->service, &c);
                if (r < 0)
                        return r;
        }

        if (container_apply(c, e))
                table_queue(t, c);

        return e->type == DOCKER_EVENT_START && !c->has_healthcheck;
}

void watch_table_queue_all(WatchTable *t) {
        WatchContainer *c, *next;

        HASH_ITER(hh, t->by_id, c, next)
                table_queue(t, c);
}

WatchContainer *watch_table_next(const WatchTable *t) {
        return t->queue;
}

void watch_table_sent(WatchTable *t, WatchContainer *c) {
        if (c->queued)
                DL_DELETE(t->queue, c);
        c->queued = false;

        if (c->state == CONTAINER_REMOVED)
                table_remove(t, c);
}
