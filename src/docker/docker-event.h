/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The Engine's events: splitting the endless stream of JSON objects, and what one of them means. Pure. */

#include "docker.h"

/* One event is far smaller; labels make most of it. */
#define DOCKER_EVENT_MAX (256U * 1024U)

typedef enum DockerEventType {
        DOCKER_EVENT_OTHER, /* says nothing about a container's state */
        DOCKER_EVENT_CREATE,
        DOCKER_EVENT_START,
        DOCKER_EVENT_DIE,
        DOCKER_EVENT_STOP,
        DOCKER_EVENT_RESTART,
        DOCKER_EVENT_PAUSE,
        DOCKER_EVENT_UNPAUSE,
        DOCKER_EVENT_OOM,
        DOCKER_EVENT_HEALTH,
        DOCKER_EVENT_DESTROY,
        _DOCKER_EVENT_TYPE_MAX,
        _DOCKER_EVENT_TYPE_INVALID = -EINVAL,
} DockerEventType;
DECLARE_STRING_TABLE(docker_event_type, DockerEventType);

typedef struct DockerEvent {
        DockerEventType type;
        char *container;                 /* id */
        char *instance, *uuid, *service; /* labels; NULL if it has none */
        bool oneoff;
        ContainerHealth health; /* of DOCKER_EVENT_HEALTH */
        int exit_code;          /* of DOCKER_EVENT_DIE; else -1 */
        uint64_t time_nsec;     /* realtime */
} DockerEvent;

void docker_event_done(DockerEvent *e);
#define _cleanup_docker_event_ _cleanup_(docker_event_done)

/* -EBADMSG if it is no event. */
int docker_event_parse(const char *data, size_t size, DockerEvent *ret);

/* Cuts a stream into its top-level JSON objects, whatever lies between them being blank. Initialize with
 * {}. */
typedef struct JsonSplitter {
        char *data;
        size_t size, allocated;
        unsigned depth;
        bool in_string, escaped;
} JsonSplitter;

typedef int (*json_splitter_handler_t)(const char *data, size_t size, void *userdata);

/* Hands over each complete object; a negative return of the handler ends and is returned. -EBADMSG for
 * anything between objects, -EFBIG for one above DOCKER_EVENT_MAX. */
int json_splitter_feed(JsonSplitter *s, const char *data, size_t size, json_splitter_handler_t handler,
                void *userdata);
void json_splitter_done(JsonSplitter *s);

/* The path of a request for the events, from now on and of the kinds above, of containers that bear the
 * label. */
int docker_events_path(const char *label, char **ret);
