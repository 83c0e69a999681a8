/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What runs an instance. The worker knows only this; compose.c is behind it. Every function returns 0 or a
 * negative errno with an Error, may take long, and calls the callbacks meanwhile. A negative return of
 * 'poll' ends what runs and is returned, as Cancelled where it is -ECANCELED.
 *
 * Failures: EngineUnavailable, NoSpace, else EngineFailed with the engine's last words, in which every value
 * of 'redact' is masked. A port that something else listens on is an EngineFailed with -EADDRINUSE. */

#include "docker.h"

#define ENGINE_COMPOSE_FILE "docker-compose.yml"
#define ENGINE_OVERRIDE_FILE "ccp.override.yml"
#define ENGINE_ENV_FILE ".env"

/* What is worked on. All pointers are borrowed and must stay as long as the call. */
typedef struct EngineContext {
        Docker *docker;
        DockerOwner owner;        /* slug and uuid */
        const char *project;      /* "SLUG_ccp" */
        const char *directory;    /* absolute; of the revision's files */
        const char *compose_file; /* in it; NULL: ENGINE_COMPOSE_FILE */
        bool no_override;         /* the compose file has all there is */
        unsigned revision;
        char *const *profiles; /* NULL: none */
        char *const *redact;   /* values that no message may show */
        const char *home;      /* with .docker/config.json; NULL: CCP_STATE_DIR */
        usec_t timeout;        /* of one command; 0: none */
        json_t *resolved; /* what config() gave for these files and profiles; NULL: is asked for again */

        /* 'fraction' is 0 to 1 and never falls within one call; negative: unknown. 'message' is printable
         * and redacted. */
        void (*progress)(double fraction, const char *message, void *userdata);
        /* Called at least once a second. */
        int (*poll)(void *userdata);
        void *userdata;
} EngineContext;

typedef enum EngineConfigFlags {
        ENGINE_CONFIG_BARE = 1 << 0, /* without the override file: what the blueprint itself asks for */
} EngineConfigFlags;

typedef struct EngineVTable {
        const char *name;

        /* The files with everything resolved, as JSON. It holds secrets: wipe what is made of it. */
        int (*config)(const EngineContext *c, EngineConfigFlags flags, json_t **ret, Error *reterr);

        /* Fetches the images that are not here and not built. Succeeds where all of them are here in the
         * end; else the error names each image that is missing, and why. */
        int (*pull)(const EngineContext *c, Error *reterr);
        /* Builds what has a build section; ret_n is how many services have one. */
        int (*build)(const EngineContext *c, unsigned *ret_n, Error *reterr);

        /* Makes and starts these services (at least one) and no other: depends_on counts among them alone.
         * Those of 'once' whose container of this revision ended with 0 are not run again; may be NULL. What is
         * paused goes on.
         * Refuses where anything of this project is not the owner's (SlugTaken). Does not wait for
         * health. */
        int (*up)(const EngineContext *c, char *const *services, char *const *once, Error *reterr);

        /* Makes and starts a container of a service in which nothing runs, for a job's own programs: with its image,
         * user, volumes and environment, of this name, and removed once it is stopped. Its id; free it. */
        int (*idle)(const EngineContext *c, const char *service, const char *name, char **ret_id,
                        Error *reterr);

        /* These services, or all where it is NULL or empty. */
        int (*stop)(const EngineContext *c, char *const *services, Error *reterr);
        int (*restart)(const EngineContext *c, char *const *services, Error *reterr);

        /* Removes the containers and networks, and the volumes too if asked, and proves that none is left.
         * Works without the files, and where nothing is there. Touches nothing that is not the owner's. */
        int (*down)(const EngineContext *c, bool volumes, Error *reterr);

        /* Fails with SlugTaken, naming them, where containers, networks or volumes of this project are not
         * the owner's. */
        int (*check_foreign)(const EngineContext *c, Error *reterr);
} EngineVTable;

/* By the name in the blueprint; NULL if there is none. */
const EngineVTable *engine_find(const char *name);
