/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "watch-table.h"

#include <utlist.h>

#include "alloc-util.h"
#include "string-util.h"

#define NSEC_PER_USEC 1000U
/* Of two times that are the same, one told in whole seconds. */
#define ROUGHLY_USEC (2 * USEC_PER_SEC)
/* What ends so soon after a signal ends because of it; after a "stop" that takes longer there is an event. */
#define KILL_USEC (10 * USEC_PER_SEC)

static void watch_container_free(WatchContainer *c) {
        free(c->id);
        free(c->instance);
        free(c->uuid);
        free(c->service);
        free(c->image);
        free(c->image_id);
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

/* A list tells since when only roughly: "About an hour". But what is said to be so for less than half as long as
 * we know began anew meanwhile. */
static bool began_anew(const WatchContainer *c, const DockerObject *o, usec_t realtime) {
        usec_t known, told;

        if (c->state != o->state)
                return true;
        if (c->since > realtime || o->since > realtime)
                return false;

        known = realtime - c->since;
        told = realtime - o->since;
        return known > 2 * told + ROUGHLY_USEC;
}

static int table_set_one(WatchTable *t, const DockerObject *o, usec_t realtime) {
        WatchContainer *c;
        bool anew;
        int r;

        if (!is_wanted(o->instance, o->uuid, o->service, o->oneoff))
                return 0;

        c = table_find(t, o->id);
        if (!c) {
                r = table_add(t, o->id, o->instance, o->uuid, o->service, &c);
                if (r < 0)
                        return r;
                c->since = o->since;
                anew = true;
        } else {
                /* Of a state that events told, they told the time exactly. */
                anew = began_anew(c, o, realtime);
                if (anew)
                        c->since = o->since;
        }

        if (anew && IN_SET(o->state, CONTAINER_RUNNING, CONTAINER_PAUSED)) {
                c->started = o->since;
                c->oom = c->stopped = false;
        }
        /* What the Engine is going to start again it calls restarting. */
        if (IN_SET(o->state, CONTAINER_EXITED, CONTAINER_DEAD, CONTAINER_CREATED))
                c->stopped = true;
        if (free_and_strdup(&c->image, o->image) < 0 || free_and_strdup(&c->image_id, o->image_id) < 0)
                return -ENOMEM;
        c->state = o->state;
        c->health = o->health;
        c->has_healthcheck = c->has_healthcheck || o->health != CONTAINER_HEALTH_NONE;
        if (o->exit_code >= 0)
                c->exit_code = o->exit_code;
        c->listed = c->looked = true;
        c->wanted = false;
        return 0;
}

int watch_table_set(WatchTable *t, const DockerObjects *list, usec_t realtime) {
        WatchContainer *c, *next;
        int r;

        HASH_ITER(hh, t->by_id, c, next)
                c->listed = false;
        FOREACH_ARRAY(o, list->items, list->n) {
                r = table_set_one(t, o, realtime);
                if (r < 0)
                        return r;
        }
        HASH_ITER(hh, t->by_id, c, next)
                if (!c->listed)
                        table_remove(t, c);

        watch_table_queue_all(t);
        return 0;
}

static void table_set_details(WatchTable *t, WatchContainer *c, const DockerObject *o) {
        c->looked = true;
        /* Without it, as long as there is no memory for it. */
        if (!streq_ptr(c->image_id, o->image_id) && free_and_strdup(&c->image_id, o->image_id) >= 0)
                table_queue(t, c);
        if (o->health == CONTAINER_HEALTH_NONE)
                return;

        c->has_healthcheck = true;
        if (c->state == CONTAINER_RUNNING && c->health == CONTAINER_HEALTH_NONE) {
                c->health = o->health;
                table_queue(t, c);
        }
}

void watch_table_set_details(WatchTable *t, const DockerObjects *list) {
        WatchContainer *c, *next;

        for (size_t i = 0; list && i < list->n; i++) {
                c = table_find(t, list->items[i].id);
                if (c)
                        table_set_details(t, c, list->items + i);
        }
        HASH_ITER(hh, t->by_id, c, next)
                c->wanted = false;
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
                /* After a stop somebody starts it, else the Engine does. */
                if (c->state == CONTAINER_EXITED && !c->stopped)
                        c->n_restarts++;
                container_enter(c, CONTAINER_RUNNING, e);
                c->started = c->since;
                c->oom = c->stopped = false;
                return true;
        case DOCKER_EVENT_DIE:
                container_enter(c, CONTAINER_EXITED, e);
                c->exit_code = e->exit_code;
                c->stopped = c->killed > 0 && c->since - c->killed <= KILL_USEC;
                c->killed = 0;
                return true;
        case DOCKER_EVENT_KILL:
                c->killed = e->time_nsec / NSEC_PER_USEC;
                return false;
        case DOCKER_EVENT_STOP:
                if (c->stopped)
                        return false;
                c->stopped = true;
                return true;
        case DOCKER_EVENT_OOM:
                /* The "die" follows, if it was not only a child that was killed. */
                c->oom = true;
                return false;
        case DOCKER_EVENT_PAUSE:
                c->state = CONTAINER_PAUSED;
                c->since = e->time_nsec / NSEC_PER_USEC;
                return true;
        case DOCKER_EVENT_UNPAUSE:
                c->state = CONTAINER_RUNNING;
                c->since = e->time_nsec / NSEC_PER_USEC;
                return true;
        case DOCKER_EVENT_HEALTH:
                c->has_healthcheck = true;
                c->health = e->health;
                return true;
        case DOCKER_EVENT_DESTROY:
                container_enter(c, CONTAINER_REMOVED, e);
                return true;
        default:
                /* "restart" comes after the "die" and "start" that it is made of. */
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

        if (e->image && !c->image && free_and_strdup(&c->image, e->image) < 0)
                return -ENOMEM;
        if (container_apply(c, e))
                table_queue(t, c);

        if (e->type != DOCKER_EVENT_START || c->looked || c->wanted)
                return 0;
        c->wanted = true;
        return 1;
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
