/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Dumps of databases, made by their own tools in their own containers. What a dump is worth is not told by the end of its
 * bytes: the tool must have ended well, and what came must begin and end as such a dump does. */

#include "blueprint.h"
#include "docker-cli.h"
#include "job-feed.h"

/* How the file of a dump ends: ".dump". NULL for a kind of database that cannot be dumped. Static. */
const char *job_dump_suffix(const char *kind);

/* Dumps it to a sink, as DockerCliOptions.output. EngineFailed with the tool's last words. */
int job_dump_database(Job *j, const BlueprintDatabase *database,
                int (*sink)(const void *data, size_t size, void *userdata, Error *reterr), void *userdata,
                Error *reterr);

/* Has the database's own tool look at the first bytes of a dump: of 'fd', read from its start. 1 if it has no such tool. */
int job_dump_check(Job *j, const BlueprintDatabase *database, int fd, Error *reterr);

/* Whether dumps of this kind can be restored by it. */
bool job_dump_can_restore(const char *kind);
/* Restores the stream of a dump into a database that was made anew and has nothing in it, once it takes connections, and
 * compares all rows with those of the dump. *ret_rows is how many these are. */
int job_dump_restore(Job *j, const BlueprintDatabase *database, ArchiveReader *reader, const char *stream,
                uint64_t *ret_rows, Error *reterr);
