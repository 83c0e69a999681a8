/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Waiting for the Engine's events, for a program without an event loop. */

#include "docker.h"

typedef struct DockerEvents DockerEvents;

/* Asks for the events, from now on, of the containers that bear a label ("key=value"). They come over a
 * connection of their own, so that other calls of 'd' go on meanwhile; d must stay. */
int docker_events_new(Docker *d, const char *label, DockerEvents **ret, Error *reterr);
DockerEvents *docker_events_free(DockerEvents *e);
DEFINE_CLEANUP_FUNC(DockerEvents *, docker_events_free);
#define _cleanup_docker_events_ _cleanup_(docker_events_freep)

/* Waits at most 'timeout', and not much longer than a second. Returns 1 if something happened since the last
 * call, 0 if not, or a negative errno once the stream has ended: then wait by other means. */
int docker_events_wait(DockerEvents *e, usec_t timeout);
