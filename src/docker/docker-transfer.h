/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One HTTP request to the Engine as a libcurl handle: set up here, run by docker.c (waiting) or by
 * curl-event.c (on an event loop), and judged here again. Internal to src/docker and ccp-watch. */

#include <curl/curl.h>

#include "docker.h"
#include "string-util.h"

#define DOCKER_VERSION_TEXT_MAX 16U
/* sun_path of a unix socket */
#define DOCKER_SOCKET_PATH_MAX 107U

typedef int (*docker_stream_t)(const char *data, size_t size, void *userdata);

typedef struct DockerTransfer {
        CURL *easy; /* borrowed */
        const char *socket;
        StringBuilder body;
        size_t body_max;
        int error; /* of ours, that made libcurl give up: negative errno */
        struct curl_slist *headers;

        /* Takes the body of a successful answer piece by piece instead of 'body'. */
        docker_stream_t stream;
        /* Called when the Engine has accepted the request and such a body begins; may be NULL. */
        void (*stream_begins)(void *userdata);
        void *stream_userdata;

        int (*poll)(void *userdata);
        void *poll_userdata;
        usec_t next_poll;
        int polled; /* what 'poll' returned to end the transfer */

        char version[DOCKER_VERSION_TEXT_MAX]; /* of the header Api-Version */
        char message[CURL_ERROR_SIZE];
} DockerTransfer;

/* libcurl itself; once per process is enough, more often is no harm. */
int docker_curl_init(void);

/* Sets the handle up for a request; t must be {} and stay where it is until docker_transfer_done(). 'path'
 * begins with a slash and has the version, if any. timeout 0: none. body_max 0: DOCKER_BODY_MAX. */
int docker_transfer_prepare(DockerTransfer *t, CURL *easy, const char *socket, const char *method,
                const char *path, usec_t timeout, size_t body_max);
/* Gives the request, a POST, a body. It is copied. */
int docker_transfer_set_body(DockerTransfer *t, const json_t *body);
/* What came of it. ret may be NULL, where the body does not matter; else it must be JSON. */
int docker_transfer_finish(DockerTransfer *t, CURLcode code, json_t **ret, Error *reterr);
void docker_transfer_done(DockerTransfer *t);
#define _cleanup_docker_transfer_ _cleanup_(docker_transfer_done)

/* The version to speak with an Engine whose newest one is 'theirs', in buf (DOCKER_VERSION_TEXT_MAX). */
int docker_negotiate(const char *theirs, char *buf, Error *reterr);

/* The path of a list of objects: filter is the name of an Engine's filter. */
int docker_list_path(DockerKind kind, const char *filter, char *const *values, char **ret);
/* Parses what the Engine wrote. -EBADMSG if it is no JSON, -ENOMEM. Labels come from images, so from anybody, and are in the
 * list of all containers: a NUL in one, which jansson refuses, must not take the list away. It becomes U+FFFD. */
int docker_json_load(const char *data, size_t size, json_t **ret);
/* Reads the answer to it, one item of it, and the answer to an inspect. -EBADMSG if it is none. Pure. */
int docker_objects_from_json(DockerKind kind, const json_t *json, usec_t realtime, DockerObjects *ret);
int docker_object_from_summary(DockerKind kind, const json_t *json, usec_t realtime, DockerObject *ret);
int docker_object_from_inspect(DockerKind kind, const json_t *json, DockerObject *ret);

/* How long ago it was that the Engine calls "About an hour"; 0 for what is no such phrase. */
usec_t docker_duration_parse(const char *s);
/* RFC 3339 with nanoseconds, in UTC; 0 if it is none, or the Engine's "never". */
usec_t docker_time_parse(const char *s);

struct Docker {
        char *socket;
        usec_t timeout;
        size_t body_max;
        int (*poll)(void *userdata);
        void *userdata;
        CURL *easy;
        char version[DOCKER_VERSION_TEXT_MAX];
};

/* One whole call, with the version before the path: it begins with a slash, without it. */
int docker_call(Docker *d, const char *method, const char *path, json_t **ret, Error *reterr);
/* The same with the answer's body going to a handler. */
int docker_call_stream(Docker *d, const char *path, docker_stream_t stream, void *userdata, Error *reterr);
/* A path with the version settled on. */
int docker_versioned_path(Docker *d, const char *path, char **ret, Error *reterr);
/* Whether a text can be a part of a path: an id or a name of the Engine's. */
bool docker_id_is_valid(const char *s);
