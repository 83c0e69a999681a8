/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The Docker Engine's API over its unix socket, one call at a time. Every call is bounded in time and size.
 * It fails with EngineUnavailable where the socket refuses, hangs or breaks off, and with EngineFailed and
 * the Engine's own message otherwise. What is not there is -ENOENT, with an EngineFailed.
 *
 * Objects are removed by docker_remove() alone, which looks at their labels first. */

#include "container-state.h"
#include "error.h"
#include "json-util.h"
#include "time-util.h"

#define DOCKER_API_OURS "1.45"
#define DOCKER_API_MIN "1.41"
#define DOCKER_BODY_MAX (16U * 1024U * 1024U)
#define DOCKER_TIMEOUT_USEC (30 * USEC_PER_SEC)
#define DOCKER_CONNECT_TIMEOUT_USEC (5 * USEC_PER_SEC)

/* Labels of docker compose */
#define COMPOSE_LABEL_PROJECT "com.docker.compose.project"
#define COMPOSE_LABEL_SERVICE "com.docker.compose.service"
#define COMPOSE_LABEL_ONEOFF "com.docker.compose.oneoff"
#define COMPOSE_LABEL_VOLUME "com.docker.compose.volume"

typedef struct Docker Docker;

typedef struct DockerOptions {
        const char *socket; /* NULL: CCP_DOCKER_SOCKET */
        usec_t timeout;     /* of a whole call; 0: DOCKER_TIMEOUT_USEC */
        size_t body_max;    /* bytes of an answer; 0: DOCKER_BODY_MAX */

        /* Called at least once a second while a call goes on; a negative return ends it and is returned, as
         * Cancelled where it is -ECANCELED. */
        int (*poll)(void *userdata);
        void *userdata;
} DockerOptions;

/* Makes a client; connects to nothing yet. 'options' may be NULL and is copied. */
int docker_new(const DockerOptions *options, Docker **ret);
Docker *docker_free(Docker *d);
DEFINE_CLEANUP_FUNC(Docker *, docker_free);
#define _cleanup_docker_ _cleanup_(docker_freep)

const char *docker_socket(const Docker *d);
/* The time-out of the calls from now on; 0: DOCKER_TIMEOUT_USEC. */
void docker_set_timeout(Docker *d, usec_t timeout);

/* Asks for the Engine's API version and settles on the lower of its and ours. Every other call does this by
 * itself the first time. An Engine that was stopped is not started by it. */
int docker_ping(Docker *d, Error *reterr);
/* What was settled on, "1.45"; NULL before. */
const char *docker_api_version(const Docker *d);

/* What the Engine says of itself, as it says it (Engine API, "/info"). Freed with json_decref(). */
int docker_info(Docker *d, json_t **ret, Error *reterr);

/* Containers, networks and volumes: what the Engine keeps for an instance. */
typedef enum DockerKind {
        DOCKER_CONTAINER,
        DOCKER_NETWORK,
        DOCKER_VOLUME,
        _DOCKER_KIND_MAX,
        _DOCKER_KIND_INVALID = -EINVAL,
} DockerKind;
DECLARE_STRING_TABLE(docker_kind, DockerKind);

typedef struct DockerObject {
        DockerKind kind;
        char *id;   /* of a volume: its name */
        char *name; /* of a container: without the slash */

        bool is_anonymous;       /* a volume that was made without a name */
        char *project, *service; /* labels of compose; NULL if it has none */
        bool oneoff;             /* made by "compose run" */
        char *instance, *uuid;   /* our labels ccp.instance and ccp.id; NULL if it has none */
        char *revision;          /* ccp.revision */

        /* Containers only. Times are realtime, 0 if unknown. */
        char *image;
        char *image_id;   /* "sha256:…": what it was made of, whatever the name means now */
        char **anonymous; /* names of volumes that look as if nobody named them */
        ContainerState state;
        ContainerHealth health;
        int exit_code; /* of the last run; -1 if it never ended */
        usec_t created_at;
        usec_t since;        /* in this state; a list tells it only roughly, never before created_at */
        unsigned n_restarts; /* by the Engine; only an inspect tells */
        bool oom_killed;     /* only an inspect tells */
        bool tty;            /* only an inspect tells */
} DockerObject;

void docker_object_done(DockerObject *o);
#define _cleanup_docker_object_ _cleanup_(docker_object_done)

typedef struct DockerObjects {
        DockerObject *items;
        size_t n;
} DockerObjects;

void docker_objects_done(DockerObjects *l);
#define _cleanup_docker_objects_ _cleanup_(docker_objects_done)

/* All objects of a kind that bear every one of the labels ("key" or "key=value"), in whatever state. No
 * label at all is refused (-EINVAL). */
int docker_list(Docker *d, DockerKind kind, char *const *labels, DockerObjects *ret, Error *reterr);
/* All whose name begins with a prefix; the prefix must not be empty. */
int docker_list_named(Docker *d, DockerKind kind, const char *prefix, DockerObjects *ret, Error *reterr);
int docker_inspect(Docker *d, DockerKind kind, const char *id, DockerObject *ret, Error *reterr);

/* Whose an object is: both labels, ccp.instance and ccp.id, must be exactly these. */
typedef struct DockerOwner {
        const char *slug;
        const char *uuid;
} DockerOwner;

bool docker_object_is_owned(const DockerObject *o, const DockerOwner *owner);
/* All objects of a kind that are the owner's. */
int docker_list_owned(
                Docker *d, DockerKind kind, const DockerOwner *owner, DockerObjects *ret, Error *reterr);
/* Stops a container with its own signal and grace period. One that does not run, or is gone, is no error;
 * one that is not the owner's is refused (PolicyViolation). */
int docker_stop(Docker *d, const char *id, const DockerOwner *owner, Error *reterr);
/* Starts a container that is there, and freezes one that runs, and lets it go on, under the same conditions. */
int docker_start(Docker *d, const char *id, const DockerOwner *owner, Error *reterr);
int docker_pause(Docker *d, const char *id, const DockerOwner *owner, Error *reterr);
int docker_unpause(Docker *d, const char *id, const DockerOwner *owner, Error *reterr);
/* Removes an object after a look at its labels: not the owner's is PolicyViolation. A container is killed
 * and goes with its anonymous volumes, but for those that compose handed on from one that it replaced. What
 * is gone already is no error. */
int docker_remove(Docker *d, DockerKind kind, const char *id, const DockerOwner *owner, Error *reterr);
/* Whether something was not removed because the Engine is removing it at this moment. */
bool docker_error_is_removal(const Error *e);

/* Removes a volume that the Engine made for a container without a name and a label of its own, if nothing
 * uses it. One that was named or labelled by somebody is refused (PolicyViolation). */
int docker_remove_anonymous(Docker *d, const char *volume, Error *reterr);

/* Its digest, "sha256:…", if the image is on this host; else -ENOENT. ret_id may be NULL. */
int docker_find_image(Docker *d, const char *image, char **ret_id, Error *reterr);

#define DOCKER_LOG_LINES_MAX 1000U
#define DOCKER_LOG_LINE_MAX 1024U
/* The last lines, stdout and stderr together, of a container's log: printable UTF-8, cut at
 * DOCKER_LOG_LINE_MAX bytes. What is in them is the tenant's: redact before showing. */
int docker_tail_logs(Docker *d, const char *id, unsigned n_lines, char ***ret, Error *reterr);

/* A text of unknown bytes made printable, in one line: malformed and control bytes become '?', newlines and
 * tabs blanks; ANSI control sequences, and blanks at the end, are left out. */
int text_make_printable(const char *data, size_t size, char **ret);
