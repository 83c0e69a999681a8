/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker-event.h"

#include <ctype.h>
#include <stdio.h>

#include "alloc-util.h"
#include "docker-transfer.h"
#include "json-util.h"

/* The Engine's own names, which a request's filter takes too. */
static const char *const docker_event_type_table[_DOCKER_EVENT_TYPE_MAX] = {
        [DOCKER_EVENT_OTHER] = "other",
        [DOCKER_EVENT_CREATE] = "create",
        [DOCKER_EVENT_START] = "start",
        [DOCKER_EVENT_DIE] = "die",
        [DOCKER_EVENT_KILL] = "kill",
        [DOCKER_EVENT_STOP] = "stop",
        [DOCKER_EVENT_RESTART] = "restart",
        [DOCKER_EVENT_PAUSE] = "pause",
        [DOCKER_EVENT_UNPAUSE] = "unpause",
        [DOCKER_EVENT_OOM] = "oom",
        [DOCKER_EVENT_HEALTH] = "health_status",
        [DOCKER_EVENT_DESTROY] = "destroy",
};
DEFINE_STRING_TABLE(docker_event_type, DockerEventType);

void docker_event_done(DockerEvent *e) {
        free(e->container);
        free(e->instance);
        free(e->uuid);
        free(e->service);
        free(e->image);
        *e = (DockerEvent) {};
}

/* "start", but "health_status: healthy" and "exec_create: command". */
static void event_read_action(DockerEvent *e, const char *action) {
        const char *health = startswith(action, "health_status:");

        if (health) {
                e->type = DOCKER_EVENT_HEALTH;
                health += strspn(health, " ");
                e->health = container_health_from_string(health);
                if (e->health < 0)
                        e->type = DOCKER_EVENT_OTHER;
                return;
        }

        e->type = docker_event_type_from_string(action);
        if (e->type < 0 || e->type == DOCKER_EVENT_HEALTH)
                e->type = DOCKER_EVENT_OTHER;
}

static int event_read_attributes(DockerEvent *e, const json_t *attributes) {
        const char *code = json_object_get_string(attributes, "exitCode");

        if (free_and_strdup(&e->instance, json_object_get_string(attributes, CCP_LABEL_INSTANCE)) < 0 ||
                        free_and_strdup(&e->uuid, json_object_get_string(attributes, CCP_LABEL_ID)) < 0 ||
                        free_and_strdup(&e->service,
                                        json_object_get_string(attributes, COMPOSE_LABEL_SERVICE)) < 0 ||
                        free_and_strdup(&e->image, json_object_get_string(attributes, "image")) < 0)
                return -ENOMEM;

        e->oneoff = streq_ptr(json_object_get_string(attributes, COMPOSE_LABEL_ONEOFF), "True");
        if (e->type == DOCKER_EVENT_DIE && code && sscanf(code, "%4d", &e->exit_code) != 1)
                e->exit_code = -1;
        return 0;
}

int docker_event_parse(const char *data, size_t size, DockerEvent *ret) {
        _cleanup_docker_event_ DockerEvent e = { .exit_code = -1 };
        _cleanup_json_ json_t *json = NULL;
        const char *action, *id;
        json_int_t nsec;
        int r;

        r = docker_json_load(data, size, &json);
        if (r < 0)
                return r;
        action = json_object_get_string(json, "Action");
        id = json_object_get_string(json_object_get(json, "Actor"), "ID");
        if (isempty(action) || isempty(id))
                return -EBADMSG;

        if (streq_ptr(json_object_get_string(json, "Type"), "container"))
                event_read_action(&e, action);

        r = event_read_attributes(&e, json_object_get(json_object_get(json, "Actor"), "Attributes"));
        if (r < 0)
                return r;

        nsec = json_integer_value(json_object_get(json, "timeNano"));
        if (nsec > 0)
                e.time_nsec = (uint64_t) nsec;
        e.container = strdup(id);
        if (!e.container)
                return -ENOMEM;

        *ret = TAKE_GENERIC(e, (DockerEvent) {});
        return 0;
}

void json_splitter_done(JsonSplitter *s) {
        free(s->data);
        *s = (JsonSplitter) {};
}

static int json_splitter_keep(JsonSplitter *s, char c, bool inside_text) {
        if (s->too_large || (inside_text && s->text_too_long))
                return 0;
        if (inside_text && s->size - s->text_begin >= DOCKER_TEXT_MAX) {
                s->text_too_long = true;
                s->size = s->text_begin;
                return 0;
        }
        if (s->size >= DOCKER_ITEM_MAX) {
                s->too_large = true;
                return 0;
        }

        if (!GREEDY_REALLOC(s->data, s->allocated, s->size + 1))
                return -ENOMEM;
        s->data[s->size++] = c;
        return 0;
}

static int json_splitter_between(JsonSplitter *s, char c) {
        if (isspace((unsigned char) c))
                return 0;
        if (!s->list || s->ended || (c == '[') == s->begun)
                return -EBADMSG;

        if (c == '[')
                s->begun = true;
        else if (c == ']')
                s->ended = true;
        else if (c != ',')
                return -EBADMSG;
        return 0;
}

/* Takes one byte; returns 1 when it ends an object. */
static int json_splitter_step(JsonSplitter *s, char c) {
        bool ends_text = s->in_text && !s->escaped && c == '"';
        int r;

        if (s->depth == 0 && (c != '{' || (s->list && (!s->begun || s->ended))))
                return json_splitter_between(s, c);

        r = json_splitter_keep(s, c, s->in_text && !ends_text);
        if (r < 0)
                return r;

        if (ends_text)
                s->in_text = s->text_too_long = false;
        else if (s->in_text)
                s->escaped = !s->escaped && c == '\\';
        else if (c == '"') {
                s->in_text = true;
                s->text_begin = s->size;
        } else if (IN_SET(c, '{', '['))
                s->depth++;
        else if (IN_SET(c, '}', ']'))
                return --s->depth == 0;

        return 0;
}

int json_splitter_feed(JsonSplitter *s, const char *data, size_t size, json_splitter_handler_t handler,
                void *userdata) {
        int r;

        for (size_t i = 0; i < size; i++) {
                r = json_splitter_step(s, data[i]);
                if (r < 0)
                        return r;
                if (r == 0)
                        continue;

                r = handler(s->too_large ? NULL : s->data, s->too_large ? 0 : s->size, userdata);
                s->size = 0;
                s->too_large = false;
                if (r < 0)
                        return r;
        }

        return 0;
}

int docker_events_path(const char *label, char **ret) {
        _cleanup_json_ json_t *filters = NULL, *events = json_array();
        _cleanup_free_ char *text = NULL;
        char *escaped;

        /* Without a filter on names, health probes would come as exec events all the time. */
        for (DockerEventType i = DOCKER_EVENT_OTHER + 1; i < _DOCKER_EVENT_TYPE_MAX; i++)
                if (json_array_append_new(events, json_string(docker_event_type_to_string(i))) < 0)
                        return -ENOMEM;

        filters = json_pack("{s:[s], s:[s], s:O}", "type", "container", "label", label, "event", events);
        text = filters ? json_format(filters, JSON_COMPACT) : NULL;
        if (!text)
                return -ENOMEM;

        escaped = curl_easy_escape(NULL, text, 0);
        if (!escaped)
                return -ENOMEM;
        *ret = strjoin("/events?filters=", escaped);
        curl_free(escaped);
        return *ret ? 0 : -ENOMEM;
}
