/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the Engine says volumes and containers of instances take of the disk. */

#include "docker.h"

/* Names longer than the Engine allows are none. */
#define DOCKER_DF_NAME_MAX 255U
/* The answer is about all that the Engine has, ours or not. */
#define DOCKER_DF_BODY_MAX (64U * 1024U * 1024U)

typedef struct DockerDfItem {
        DockerKind kind; /* a volume or a container */
        char *instance;  /* label ccp.id */
        char *name;      /* of the volume in the compose file, or of the service */
        uint64_t bytes;  /* of a container: what was written into it */
} DockerDfItem;

/* Initialize with {}. */
typedef struct DockerDf {
        DockerDfItem *items;
        size_t n, n_allocated;
} DockerDf;

void docker_df_done(DockerDf *df);
#define _cleanup_docker_df_ _cleanup_(docker_df_done)

/* What bears our labels. The Engine walks over all of it, which takes time, and reads a lot: not to be called often.
 * The client must accept DOCKER_DF_BODY_MAX. */
int docker_read_df(Docker *d, DockerDf *ret, Error *reterr);
/* The same from the Engine's answer. -EBADMSG if it is none. Pure. */
int docker_df_from_json(const json_t *json, DockerDf *ret);
