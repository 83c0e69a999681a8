/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker-transfer.h"

#include <ctype.h>
#include <stdio.h>

#include "alloc-util.h"
#include "strv.h"

/* A volume that nobody named has a random name, and, depending on who asked for it, this label. */
#define ANONYMOUS_LABEL "com.docker.volume.anonymous"
#define ANONYMOUS_NAME_LENGTH 64U

/* Reading objects from the Engine's JSON. */

static const char *const docker_kind_table[_DOCKER_KIND_MAX] = {
        [DOCKER_CONTAINER] = "container",
        [DOCKER_NETWORK] = "network",
        [DOCKER_VOLUME] = "volume",
};
DEFINE_STRING_TABLE(docker_kind, DockerKind);

void docker_object_done(DockerObject *o) {
        free(o->id);
        free(o->name);
        free(o->project);
        free(o->service);
        free(o->instance);
        free(o->uuid);
        free(o->revision);
        free(o->image);
        free(o->image_id);
        strv_free(o->anonymous);
        *o = (DockerObject) {};
}

void docker_objects_done(DockerObjects *l) {
        FOREACH_ARRAY(o, l->items, l->n)
                docker_object_done(o);
        free(l->items);
        *l = (DockerObjects) {};
}

bool docker_object_is_owned(const DockerObject *o, const DockerOwner *owner) {
        return o->instance && o->uuid && streq_ptr(o->instance, owner->slug) &&
                        streq_ptr(o->uuid, owner->uuid);
}

/* How go-units writes a duration, from "Less than a second" to "3 years". */
usec_t docker_duration_parse(const char *s) {
        static const struct {
                const char *unit;
                usec_t usec;
        } units[] = {
                { "second", USEC_PER_SEC },
                { "minute", USEC_PER_MINUTE },
                { "hour", USEC_PER_HOUR },
                { "day", USEC_PER_DAY },
                { "week", 7 * USEC_PER_DAY },
                { "month", 30 * USEC_PER_DAY },
                { "year", 365 * USEC_PER_DAY },
        };
        unsigned n = 0;
        int k = 0;

        if (sscanf(s, "%4u %n", &n, &k) == 1 && k > 0)
                s += k;
        else if (startswith(s, "About an "))
                n = 1, s += STRLEN("About an ");
        else if (startswith(s, "About a "))
                n = 1, s += STRLEN("About a ");
        else
                return 0;

        FOREACH_ARRAY(u, units, ELEMENTSOF(units))
                if (startswith(s, u->unit))
                        return n * u->usec;

        return 0;
}

usec_t docker_time_parse(const char *s) {
        struct tm tm = {};
        const char *p;
        unsigned usec = 0, scale = 100000;
        time_t t;

        p = s ? strptime(s, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
        if (!p)
                return 0;
        if (*p == '.')
                for (p++; isdigit((unsigned char) *p); p++, scale /= 10)
                        usec += (unsigned) (*p - '0') * scale;

        t = timegm(&tm);
        return streq(p, "Z") && t > 0 ? (usec_t) t * USEC_PER_SEC + usec : 0;
}

/* "Up 2 minutes (healthy)", "Exited (137) 3 hours ago", "Restarting (1) 5 seconds ago": what a list has of
 * health, exit code and time. */
static void object_read_status(DockerObject *o, const char *status, usec_t realtime) {
        const char *p, *open;
        usec_t ago;

        if (strstr(status, "(healthy)"))
                o->health = CONTAINER_HEALTH_HEALTHY;
        else if (strstr(status, "(unhealthy)"))
                o->health = CONTAINER_HEALTH_UNHEALTHY;
        else if (strstr(status, "(health: starting)"))
                o->health = CONTAINER_HEALTH_STARTING;

        p = startswith(status, "Up ");
        if (!p) {
                open = strchr(status, '(');
                if (!open || sscanf(open, "(%4d)", &o->exit_code) != 1) {
                        o->since = o->created_at;
                        return;
                }
                p = strchr(open, ')');
                p = p && p[1] == ' ' ? p + 2 : "";
        }

        ago = docker_duration_parse(p);
        o->since = MAX(o->created_at, realtime > ago ? realtime - ago : 0);
}

static bool is_anonymous_name(const char *s) {
        return strlen(s) == ANONYMOUS_NAME_LENGTH && strspn(s, "0123456789abcdef") == ANONYMOUS_NAME_LENGTH;
}

static int object_read_labels(DockerObject *o, const json_t *labels) {
        const struct {
                const char *label;
                char **value;
        } table[] = {
                { COMPOSE_LABEL_PROJECT, &o->project },
                { COMPOSE_LABEL_SERVICE, &o->service },
                { CCP_LABEL_INSTANCE, &o->instance },
                { CCP_LABEL_ID, &o->uuid },
                { CCP_LABEL_REVISION, &o->revision },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table))
                if (free_and_strdup(i->value, json_object_get_string(labels, i->label)) < 0)
                        return -ENOMEM;

        /* Somebody who labels a volume wants it. */
        o->is_anonymous = o->kind == DOCKER_VOLUME && is_anonymous_name(o->name) &&
                        json_object_size(labels) == (json_object_get(labels, ANONYMOUS_LABEL) ? 1 : 0);
        o->oneoff = streq_ptr(json_object_get_string(labels, COMPOSE_LABEL_ONEOFF), "True");
        return 0;
}

static int container_read_mounts(DockerObject *o, const json_t *mounts) {
        const json_t *mount;
        size_t i;

        json_array_foreach(mounts, i, mount) {
                const char *type = json_object_get_string(mount, "Type"),
                           *name = json_object_get_string(mount, "Name");

                if (streq_ptr(type, "volume") && name && is_anonymous_name(name) &&
                                strv_extend(&o->anonymous, name) < 0)
                        return -ENOMEM;
        }

        return 0;
}

/* Those parts that list and inspect have in common, where the names are at different places. */
static int object_read_names(DockerObject *o, const char *id, const char *name, const json_t *labels) {
        if (isempty(id) || isempty(name))
                return -EBADMSG;
        if (o->kind == DOCKER_CONTAINER && name[0] == '/')
                name++;

        if (free_and_strdup(&o->id, id) < 0 || free_and_strdup(&o->name, name) < 0)
                return -ENOMEM;

        return object_read_labels(o, labels);
}

int docker_object_from_summary(DockerKind kind, const json_t *json, usec_t realtime, DockerObject *ret) {
        _cleanup_docker_object_ DockerObject o = { .kind = kind, .exit_code = -1 };
        const char *name = json_object_get_string(json, "Name");
        const char *id = kind == DOCKER_VOLUME ? name : json_object_get_string(json, "Id");
        json_int_t created;
        int r;

        if (kind == DOCKER_CONTAINER)
                name = json_string_value(json_array_get(json_object_get(json, "Names"), 0)) ?: id;
        r = object_read_names(&o, id, name, json_object_get(json, "Labels"));
        if (r < 0)
                return r;

        if (kind == DOCKER_CONTAINER) {
                o.state = container_state_from_string(json_object_get_string(json, "State"));
                if (o.state < 0)
                        return -EBADMSG;
                created = json_integer_value(json_object_get(json, "Created"));
                if (created > 0 && (uint64_t) created < UINT64_MAX / USEC_PER_SEC)
                        o.created_at = (usec_t) created * USEC_PER_SEC;
                r = container_read_mounts(&o, json_object_get(json, "Mounts"));
                if (r < 0)
                        return r;
                object_read_status(&o, strempty(json_object_get_string(json, "Status")), realtime);
                if (free_and_strdup(&o.image, json_object_get_string(json, "Image")) < 0 ||
                                free_and_strdup(&o.image_id, json_object_get_string(json, "ImageID")) < 0)
                        return -ENOMEM;
        }

        *ret = TAKE_GENERIC(o, (DockerObject) {});
        return 0;
}

static int container_read_state(DockerObject *o, const json_t *state) {
        const char *health = json_object_get_string(json_object_get(state, "Health"), "Status");
        usec_t started, finished;

        o->state = container_state_from_string(json_object_get_string(state, "Status"));
        if (o->state < 0)
                return -EBADMSG;

        o->health = container_health_from_string(health);
        if (o->health < 0)
                o->health = CONTAINER_HEALTH_NONE;

        started = docker_time_parse(json_object_get_string(state, "StartedAt"));
        finished = docker_time_parse(json_object_get_string(state, "FinishedAt"));
        if (IN_SET(o->state, CONTAINER_RUNNING, CONTAINER_PAUSED))
                o->since = started;
        else
                o->since = MAX(finished, o->created_at);
        if (finished > 0 || IN_SET(o->state, CONTAINER_EXITED, CONTAINER_DEAD))
                o->exit_code = (int) json_integer_value(json_object_get(state, "ExitCode"));
        o->oom_killed = json_is_true(json_object_get(state, "OOMKilled"));
        return 0;
}

int docker_object_from_inspect(DockerKind kind, const json_t *json, DockerObject *ret) {
        _cleanup_docker_object_ DockerObject o = { .kind = kind, .exit_code = -1 };
        const json_t *config = kind == DOCKER_CONTAINER ? json_object_get(json, "Config") : json;
        const char *name = json_object_get_string(json, "Name");
        const char *id = kind == DOCKER_VOLUME ? name : json_object_get_string(json, "Id");
        json_int_t restarts;
        int r;

        r = object_read_names(&o, id, name, json_object_get(config, "Labels"));
        if (r < 0)
                return r;

        if (kind == DOCKER_CONTAINER) {
                o.created_at = docker_time_parse(json_object_get_string(json, "Created"));
                r = container_read_state(&o, json_object_get(json, "State"));
                if (r < 0)
                        return r;
                restarts = json_integer_value(json_object_get(json, "RestartCount"));
                o.n_restarts = restarts > 0 && restarts < UINT16_MAX ? (unsigned) restarts : 0;
                o.tty = json_is_true(json_object_get(config, "Tty"));
                if (free_and_strdup(&o.image, json_object_get_string(config, "Image")) < 0 ||
                                free_and_strdup(&o.image_id, json_object_get_string(json, "Image")) < 0)
                        return -ENOMEM;
        }

        *ret = TAKE_GENERIC(o, (DockerObject) {});
        return 0;
}

int docker_objects_from_json(DockerKind kind, const json_t *json, usec_t realtime, DockerObjects *ret) {
        _cleanup_docker_objects_ DockerObjects l = {};
        const json_t *array = json, *item;
        size_t i;
        int r;

        if (kind == DOCKER_VOLUME) {
                if (!json_is_object(json))
                        return -EBADMSG;
                array = json_object_get(json, "Volumes");
                /* The Engine writes null for none. */
                if (!array || json_is_null(array)) {
                        *ret = (DockerObjects) {};
                        return 0;
                }
        }
        if (!json_is_array(array))
                return -EBADMSG;

        l.items = new0(DockerObject, json_array_size(array));
        if (!l.items)
                return -ENOMEM;

        json_array_foreach(array, i, item) {
                r = docker_object_from_summary(kind, item, realtime, l.items + l.n);
                if (r < 0)
                        return r;
                l.n++;
        }

        *ret = TAKE_GENERIC(l, (DockerObjects) {});
        return 0;
}
