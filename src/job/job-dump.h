/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Dumps of databases, made by their own tools in their own containers. What a dump is worth is not told by the end of its
 * bytes: the tool must have ended well, and what came must begin and end as such a dump does. */

#include "blueprint.h"
#include "docker-cli.h"
#include "job-feed.h"

/* How the file of a dump ends: ".dump". Static. */
const char *job_dump_suffix(DatabaseKind kind);
/* Whether it is restored while its service does not run, as a file, rather than into a server that runs. */
bool job_dump_is_offline(DatabaseKind kind);

/* Waits until a server that was started takes connections. */
int job_dump_wait_until_ready(Job *j, const BlueprintDatabase *database, Error *reterr);

/* Dumps it to a sink, as DockerCliOptions.output. EngineFailed with the tool's last words. 'idle': in a container that is
 * there for that alone, since its service does not run. *ret_version is that of the database's programs, NULL if they do not
 * tell. */
int job_dump_database(Job *j, const BlueprintDatabase *database, bool idle,
                int (*sink)(const void *data, size_t size, void *userdata, Error *reterr), void *userdata,
                char **ret_version, Error *reterr);

/* Has the database's own tool read the stream of a dump. 1 if it has no such tool, or if the instance is stopped and the tool
 * needs the server. */
int job_dump_check(Job *j, const BlueprintDatabase *database, ArchiveReader *reader, const char *stream,
                Error *reterr);

/* Restores the stream of a dump into a database that was made anew, once it takes connections, or by a container that is
 * there for that alone; and compares all rows with those of the dump. *ret_rows is how many these are. WrongState if the
 * dump is of a newer version than the database, unless the job is to take any. */
int job_dump_restore(Job *j, const BlueprintDatabase *database, ArchiveReader *reader, const char *stream,
                uint64_t *ret_rows, Error *reterr);
/* Removes containers that were there for one thing alone, of a worker that was killed. */
int job_dump_clean_up(Job *j, Error *reterr);
