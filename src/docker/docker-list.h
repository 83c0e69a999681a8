/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reads the Engine's list of containers as it comes. Their labels are whatever somebody wrote into an image, so the text of
 * the whole, of any length, is nowhere. */

#include "docker-event.h"
#include "docker.h"

/* Initialize with .splitter.list = true. */
typedef struct DockerListReader {
        JsonSplitter splitter;
        DockerObjects list; /* what came so far */
        size_t n_allocated;
        unsigned n_too_large; /* entries above DOCKER_ITEM_MAX, which are left out */
} DockerListReader;

/* A docker_stream_t; the reader is its userdata. */
int docker_list_reader_feed(const char *data, size_t size, void *reader);
/* The list, once the answer has ended. EngineFailed if it was none. */
int docker_list_reader_finish(DockerListReader *r, DockerObjects *ret, Error *reterr);
void docker_list_reader_done(DockerListReader *r);
#define _cleanup_docker_list_reader_ _cleanup_(docker_list_reader_done)
