/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-drift.h"

#include "alloc-util.h"
#include "ccpd-manager.h"
#include "json-util.h"
#include "log.h"
#include "parameters.h"
#include "string-util.h"

/* Docker itself starts again what crashed, after a minute at the most. Until then it is none. */
#define CRASH_GRACE_USEC (90 * USEC_PER_SEC)

static const char *const drift_kind_table[_DRIFT_KIND_MAX] = {
        [DRIFT_STOPPED] = "stopped",
        [DRIFT_PAUSED] = "paused",
        [DRIFT_REMOVED] = "removed",
        [DRIFT_IMAGE] = "image",
        [DRIFT_EXTRA] = "extra",
        [DRIFT_FILE_CHANGED] = "file-changed",
        [DRIFT_FILE_ADDED] = "file-added",
        [DRIFT_FILE_MISSING] = "file-missing",
};
DEFINE_STRING_TABLE(drift_kind, DriftKind);

bool drift_is_repairable(DriftKind kind) {
        return IN_SET(kind, DRIFT_STOPPED, DRIFT_PAUSED, DRIFT_REMOVED, DRIFT_IMAGE);
}

void drifts_done(Drifts *l) {
        FOREACH_ARRAY(d, l->items, l->n)
                free(d->subject);
        free(l->items);
        *l = (Drifts) {};
}

/* 'since' 0: since it was noticed. */
static int drifts_add(Drifts *l, const Drifts *before, DriftKind kind, const char *subject, usec_t since) {
        char *copy;

        for (size_t k = 0; since == 0 && k < before->n; k++)
                if (before->items[k].kind == kind && streq(before->items[k].subject, subject))
                        since = before->items[k].since;

        if (!GREEDY_REALLOC(l->items, l->n_allocated, l->n + 1))
                return -ENOMEM;
        copy = strdup(subject);
        if (!copy)
                return -ENOMEM;

        l->items[l->n++] = (Drift) { kind, copy, since ?: now(CLOCK_REALTIME) };
        return 0;
}

static int compare_drifts(const void *a, const void *b) {
        const Drift *x = a, *y = b;
        int r = strcmp(x->subject, y->subject);

        return r != 0 ? r : (int) x->kind - (int) y->kind;
}

static bool drifts_equal(const Drifts *a, const Drifts *b) {
        if (a->n != b->n)
                return false;
        for (size_t k = 0; k < a->n; k++)
                if (compare_drifts(a->items + k, b->items + k) != 0 ||
                                a->items[k].since != b->items[k].since)
                        return false;

        return true;
}

/* --- what there should be --- */

static const InstanceService *find_service(const Instance *i, const char *name) {
        for (size_t k = 0; k < i->n_services; k++)
                if (streq(i->services[k].name, name))
                        return i->services + k;

        return NULL;
}

static ServiceKind kind_of(const Instance *i, const char *name) {
        return blueprint_cache_service_kind(i->manager->blueprints, i->record->blueprint, name);
}

/* Whether the blueprint that is there now has it, with the features of the instance. */
static bool blueprint_has(const Instance *i, const char *name) {
        const Blueprint *b = blueprint_cache_find(i->manager->blueprints, i->record->blueprint);
        const BlueprintService *s = b ? blueprint_find_service(b, name) : NULL;

        return s && (!s->feature || strv_contains(i->record->features, s->feature));
}

/* The next service that the instance has after 'name' (NULL: the first): those whose images were recorded with its
 * revision or, where none were, those of the blueprint. */
static const char *next_expected(const Instance *i, const char *name) {
        json_t *images = i->record->images;
        const Blueprint *b;
        void *iterator;
        size_t k = 0;

        if (json_object_size(images) > 0) {
                iterator = name ? json_object_iter_at(images, name) : json_object_iter(images);
                if (name && iterator)
                        iterator = json_object_iter_next(images, iterator);
                return iterator ? json_object_iter_key(iterator) : NULL;
        }

        b = blueprint_cache_find(i->manager->blueprints, i->record->blueprint);
        if (!b)
                return NULL;
        while (name && k < b->n_services && !streq(b->services[k++].name, name))
                ;
        for (; k < b->n_services; k++)
                if (blueprint_has(i, b->services[k].name))
                        return b->services[k].name;
        return NULL;
}

static bool is_expected(const Instance *i, const char *name) {
        return json_object_get(i->record->images, name) || blueprint_has(i, name) ||
                        (json_object_size(i->record->images) == 0 &&
                                        !blueprint_cache_find(i->manager->blueprints, i->record->blueprint));
}

static bool service_is_up(const Instance *i, const char *name) {
        const InstanceService *s = find_service(i, name);
        const HealthObservation *o = s ? &s->observation : NULL;

        switch (kind_of(i, name)) {
        case SERVICE_KIND_OPTIONAL:
                return true;
        case SERVICE_KIND_ONESHOT:
                return !o || o->state == CONTAINER_RUNNING ||
                                (o->state == CONTAINER_EXITED && o->exit_code == 0);
        default:
                return o && o->state == CONTAINER_RUNNING;
        }
}

bool instance_is_up(const Instance *i) {
        bool any = false;

        for (const char *name = next_expected(i, NULL); name; name = next_expected(i, name)) {
                if (strv_contains(i->record->stopped_services, name))
                        continue;
                if (!service_is_up(i, name))
                        return false;
                any = true;
        }

        return any || i->n_services > 0;
}

/* --- what there is --- */

static int look_at_image(const Instance *i, const char *name, const InstanceService *s, Drifts *l) {
        const char *digest = json_object_get_string(json_object_get(i->record->images, name), "digest");

        return isempty(digest) || isempty(s->image_id) || streq(digest, s->image_id)
                        ? 0
                        : drifts_add(l, &i->drifts, DRIFT_IMAGE, name, 0);
}

static int look_at_state(
                const Instance *i, const char *name, const InstanceService *s, Drifts *l, usec_t *next) {
        const HealthObservation *o = &s->observation;
        usec_t at;

        if (o->state == CONTAINER_PAUSED)
                return drifts_add(l, &i->drifts, DRIFT_PAUSED, name, o->since);
        if (s->kind == SERVICE_KIND_ONESHOT ||
                        !IN_SET(o->state, CONTAINER_EXITED, CONTAINER_DEAD, CONTAINER_CREATED))
                return 0;

        at = o->since + (s->stopped ? 0 : CRASH_GRACE_USEC);
        if (at <= now(CLOCK_REALTIME))
                return drifts_add(l, &i->drifts, DRIFT_STOPPED, name, o->since);

        *next = MIN(*next, at);
        return 0;
}

static int look_at_containers(const Instance *i, Drifts *l, usec_t *next) {
        int r;

        for (const char *name = next_expected(i, NULL); name; name = next_expected(i, name)) {
                const InstanceService *s = find_service(i, name);

                if (strv_contains(i->record->stopped_services, name))
                        continue;
                if (s) {
                        r = look_at_state(i, name, s, l, next);
                        if (r >= 0)
                                r = look_at_image(i, name, s, l);
                } else
                        /* One that did its work, or may fail, need not be there. */
                        r = kind_of(i, name) == SERVICE_KIND_SERVICE
                                        ? drifts_add(l, &i->drifts, DRIFT_REMOVED, name, 0)
                                        : 0;
                if (r < 0)
                        return r;
        }

        FOREACH_ARRAY(s, i->services, i->n_services) {
                r = is_expected(i, s->name) ? 0 : drifts_add(l, &i->drifts, DRIFT_EXTRA, s->name, 0);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* "changed PATH", as the sweep wrote it. */
static int look_at_files(const Instance *i, Drifts *l) {
        static const struct {
                const char *word;
                DriftKind kind;
        } words[] = {
                { "changed ", DRIFT_FILE_CHANGED },
                { "added ", DRIFT_FILE_ADDED },
                { "missing ", DRIFT_FILE_MISSING },
        };

        STRV_FOREACH(s, i->record->changed_files)
                FOREACH_ARRAY(w, words, ELEMENTSOF(words)) {
                        const char *path = startswith(*s, w->word);
                        int r;

                        if (!path)
                                continue;
                        r = drifts_add(l, &i->drifts, w->kind, path, i->record->changed_files_at);
                        if (r < 0)
                                return r;
                }

        return 0;
}

usec_t instance_update_drift(Instance *i, bool live) {
        bool running = i->record->state == INSTANCE_RUNNING;
        usec_t next = USEC_INFINITY;
        Drifts l = {};
        int r = 0;

        if (live && running && !i->job)
                r = look_at_containers(i, &l, &next);
        if (r >= 0)
                r = look_at_files(i, &l);
        if (r < 0) {
                drifts_done(&l);
                log_oom();
                return next;
        }

        if (l.n > 0)
                qsort(l.items, l.n, sizeof(l.items[0]), compare_drifts);
        if (drifts_equal(&l, &i->drifts)) {
                drifts_done(&l);
                return next;
        }

        drifts_done(&i->drifts);
        i->drifts = l;
        instance_set_changed(i);
        return next;
}
