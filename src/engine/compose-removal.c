/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "compose-removal.h"

#include <unistd.h>

#include "string-util.h"
#include "strv.h"

/* What was asked to go may take a moment; what does not go does not. */
#define ROUNDS_MAX 8U
#define PAUSE_USEC (200 * USEC_PER_MSEC)
/* A `compose up` that was killed may have left the Engine at work on its last request, whose result appears
 * after we looked (seen within 150 ms): nothing is there if nothing was there this often in a row. */
#define QUIET_ROUNDS 3U
#define NAMES_MAX 10U

/* Names for a sentence: "container a, network b and 3 more". */
typedef struct NameList {
        StringBuilder text;
        size_t n;
} NameList;

static void name_list_add(NameList *l, const DockerObject *o) {
        if (l->n < NAMES_MAX)
                string_builder_appendf(&l->text, "%s%s %s", l->n > 0 ? ", " : "",
                                docker_kind_to_string(o->kind), o->name);
        l->n++;
}

static void name_list_done(NameList *l) {
        string_builder_done(&l->text);
}
#define _cleanup_name_list_ _cleanup_(name_list_done)

static int name_list_finish(NameList *l, char **ret) {
        if (l->n > NAMES_MAX)
                string_builder_appendf(&l->text, " and %zu more", l->n - NAMES_MAX);

        return string_builder_finish(&l->text, ret, NULL);
}

/* One attempt at all objects of a kind. Adds what was there to the list: only a later look that finds
 * nothing proves that it is gone. A failure to remove one goes to ret_last and is no error, unless it makes
 * further attempts useless. */
static int remove_kind(const EngineContext *c, DockerKind kind, NameList *seen, char ***anonymous,
                Error *ret_last) {
        _cleanup_docker_objects_ DockerObjects objects = {};
        int r;

        error_done(ret_last);
        r = docker_list_owned(c->docker, kind, &c->owner, &objects, ret_last);
        if (r < 0)
                return r;

        FOREACH_ARRAY(o, objects.items, objects.n) {
                STRV_FOREACH(v, o->anonymous)
                        if (!strv_contains(*anonymous, *v) && strv_extend(anonymous, *v) < 0)
                                return -ENOMEM;
                error_done(ret_last);
                r = docker_remove(c->docker, kind, o->id, &c->owner, ret_last);
                if (IN_SET(r, -EHOSTDOWN, -ECANCELED, -ENOMEM))
                        return r;
                name_list_add(seen, o);
        }

        return 0;
}

static int removal_round(
                const EngineContext *c, bool volumes, NameList *seen, char ***anonymous, Error *ret_last) {
        int r;

        /* Containers hold networks and volumes. */
        r = remove_kind(c, DOCKER_CONTAINER, seen, anonymous, ret_last);
        if (r >= 0)
                r = remove_kind(c, DOCKER_NETWORK, seen, anonymous, ret_last);
        if (r >= 0 && volumes)
                r = remove_kind(c, DOCKER_VOLUME, seen, anonymous, ret_last);
        return r;
}

/* Those that went from an old container to a new one stay when that is removed, and nobody finds them again.
 * One that is still used, or was never an anonymous one, stays. */
static int remove_anonymous(const EngineContext *c, char *const *volumes, Error *reterr) {
        int r;

        STRV_FOREACH(v, volumes) {
                _cleanup_error_ Error error = {};

                r = docker_remove_anonymous(c->docker, *v, &error);
                if (IN_SET(r, -EHOSTDOWN, -ECANCELED)) {
                        error_move(reterr, &error);
                        return r;
                }
        }

        return 0;
}

static int removal_pause(const EngineContext *c, Error *reterr) {
        int r;

        (void) usleep((useconds_t) PAUSE_USEC);
        r = c->poll ? c->poll(c->userdata) : 0;
        if (r == -ECANCELED)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The work was cancelled.");
        return MIN(r, 0);
}

int compose_removal(const EngineContext *c, bool volumes, Error *reterr) {
        _cleanup_strv_free_ char **anonymous = NULL;
        _cleanup_error_ Error last = {};
        _cleanup_free_ char *names = NULL;
        unsigned quiet = 0;
        int r;

        for (unsigned round = 1;; round++) {
                _cleanup_name_list_ NameList seen = {};
                _cleanup_error_ Error error = {};

                r = removal_round(c, volumes, &seen, &anonymous, &error);
                if (r < 0) {
                        error_move(reterr, &error);
                        return r;
                }
                quiet = seen.n == 0 ? quiet + 1 : 0;
                if (quiet >= QUIET_ROUNDS)
                        return remove_anonymous(c, anonymous, reterr);
                if (error_is_set(&error)) {
                        error_done(&last);
                        error_move(&last, &error);
                }
                if (round < ROUNDS_MAX || seen.n == 0) {
                        r = removal_pause(c, reterr);
                        if (r < 0)
                                return r;
                        continue;
                }

                if (name_list_finish(&seen, &names) < 0)
                        return error_set_errnof(reterr, ENOMEM, "Cannot remove an instance: %m");
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "The instance '%s' could not be removed whole: %s. %s", c->owner.slug, names,
                                strempty(last.message));
        }
}

static int find_foreign(const EngineContext *c, NameList *foreign, Error *reterr) {
        _cleanup_strv_free_ char **label = NULL;
        _cleanup_free_ char *prefix = NULL;
        int r;

        prefix = strjoin(c->project, "_");
        if (!prefix || strv_extendf(&label, COMPOSE_LABEL_PROJECT "=%s", c->project) < 0)
                return error_set_errnof(reterr, ENOMEM, "Cannot look for foreign objects: %m");

        for (DockerKind kind = 0; kind < _DOCKER_KIND_MAX; kind++) {
                _cleanup_docker_objects_ DockerObjects objects = {};

                /* Compose takes a network or volume of the right name, whoever made it. A name of ours has
                 * the project before it; one without its label is found by that. */
                r = kind == DOCKER_CONTAINER ? docker_list(c->docker, kind, label, &objects, reterr)
                                             : docker_list_named(c->docker, kind, prefix, &objects, reterr);
                if (r < 0)
                        return r;

                FOREACH_ARRAY(o, objects.items, objects.n)
                        if (!docker_object_is_owned(o, &c->owner))
                                name_list_add(foreign, o);
        }

        return 0;
}

int compose_check_foreign(const EngineContext *c, Error *reterr) {
        _cleanup_free_ char *names = NULL;
        _cleanup_name_list_ NameList foreign = {};
        int r;

        r = find_foreign(c, &foreign, reterr);
        if (r < 0 || foreign.n == 0)
                return r;

        if (name_list_finish(&foreign, &names) < 0)
                return error_set_errnof(reterr, ENOMEM, "Cannot look for foreign objects: %m");

        return error_setf(reterr, CCP_ERROR_SLUG_TAKEN,
                        "The compose project %s has objects that are not of the instance '%s': %s. Remove "
                        "them, or choose another slug.",
                        c->project, c->owner.slug, names);
}
