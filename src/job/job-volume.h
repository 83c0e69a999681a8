/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Volumes and folders of containers, packed and unpacked by ccp-vol in a container of ours: read as root from a mount that
 * cannot be written to, written as root into one that nothing else uses. */

#include "docker-cli.h"
#include "job-feed.h"

/* What ccp-vol says of a tree: {"entries", "bytes", "stream", "inventory", "n_changed", "changed", "n_skipped",
 * "skipped"}. */
typedef struct VolumeReport {
        json_t *object;
        uint64_t n_changed; /* files that changed while they were read */
        uint64_t n_skipped; /* of kinds that cannot be stored */
} VolumeReport;

void volume_report_done(VolumeReport *r);
#define _cleanup_volume_report_ _cleanup_(volume_report_done)

/* Packs a volume ("volume", its name) or a folder of the host ("bind", its path) to a sink, as DockerCliOptions.output. */
int job_volume_pack(Job *j, const char *type, const char *source,
                int (*sink)(const void *data, size_t size, void *userdata, Error *reterr), void *userdata,
                VolumeReport *ret, Error *reterr);

/* Makes a volume of the owner's, called 'name', that compose takes for the one of the key in the project. One that is there
 * already is removed before. */
int job_volume_make(Job *j, const DockerOwner *owner, const char *project, const char *key, const char *name,
                Error *reterr);
/* Unpacks a stream of a backup into an empty volume, and compares what is there then with what was packed: 'packed' is
 * what ccp-vol said of it. */
int job_volume_unpack(Job *j, ArchiveReader *reader, const char *stream, const char *volume,
                const json_t *packed, Error *reterr);
