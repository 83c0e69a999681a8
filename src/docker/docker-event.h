/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The Engine's events: splitting the endless stream of JSON objects, and what one of them means. Pure. */

#include "docker.h"

/* Labels make most of what the Engine tells of a container, and anybody can write them into an image: a text that
 * is longer than the first is taken for empty, what is then still larger than the second is left out. */
#define DOCKER_TEXT_MAX (64U * 1024U)
#define DOCKER_ITEM_MAX (4U * 1024U * 1024U)

typedef enum DockerEventType {
        DOCKER_EVENT_OTHER, /* says nothing about a container's state */
        DOCKER_EVENT_CREATE,
        DOCKER_EVENT_START,
        DOCKER_EVENT_DIE,
        DOCKER_EVENT_KILL, /* a signal was sent, any */
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
        char *image;                     /* its name; NULL if not told */
        bool oneoff;
        ContainerHealth health; /* of DOCKER_EVENT_HEALTH */
        int exit_code;          /* of DOCKER_EVENT_DIE; else -1 */
        uint64_t time_nsec;     /* realtime */
} DockerEvent;

void docker_event_done(DockerEvent *e);
#define _cleanup_docker_event_ _cleanup_(docker_event_done)

/* -EBADMSG if it is no event. */
int docker_event_parse(const char *data, size_t size, DockerEvent *ret);

/* Cuts a stream into its JSON objects as they come. Initialize with {}, or with .list where they are those of one
 * array. */
typedef struct JsonSplitter {
        bool list;
        bool begun, ended; /* of the array */

        char *data;
        size_t size, allocated, text_begin;
        unsigned depth;
        bool in_text, escaped, text_too_long, too_large;
} JsonSplitter;

typedef int (*json_splitter_handler_t)(const char *data, size_t size, void *userdata);

/* Hands over each complete object, as NULL where it is too large; a negative return of the handler ends and is
 * returned. -EBADMSG for anything else between objects than blanks, or what an array has there. */
int json_splitter_feed(JsonSplitter *s, const char *data, size_t size, json_splitter_handler_t handler,
                void *userdata);
void json_splitter_done(JsonSplitter *s);

/* The path of a request for the events, from now on and of the kinds above, of containers that bear the
 * label. */
int docker_events_path(const char *label, char **ret);
