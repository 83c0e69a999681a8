/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What all jobs that take something out of a backup have in common: whether it can be taken, volumes, databases. */

#include "job-archive.h"

/* WrongState: "Backup N cannot be restored into 'SLUG': WHY". Returns its errno. */
int job_refill_refuse(const Job *j, const JobArchive *a, const char *why, Error *reterr);
/* That the backup is of the version of the blueprint that the instance has, has each database of it, and that there is
 * room to unpack it. WrongState, NoSpace. The blueprint must be loaded. */
int job_refill_check(Job *j, const JobArchive *a, Error *reterr);

/* That its data was written with the lasting secrets that the instance has. WrongState. */
int job_refill_check_secrets(Job *j, JobArchive *a, Error *reterr);

/* All secrets that the backup has, from name to text. */
int job_refill_read_secrets(JobArchive *a, json_t **ret, Error *reterr);

/* Makes a volume of the owner's for a key of the compose file, and fills it, if the backup has it. */
int job_refill_volume(Job *j, JobArchive *a, const DockerOwner *owner, const char *project, const char *key,
                const char *name, Error *reterr);
/* Starts the servers of the databases again that ran until the engine was restarted, since the job began. */
int job_refill_ensure_servers(Job *j, Error *reterr);
/* Restores all databases that are servers into containers that run and have empty ones; or 'offline' those that are files,
 * whose containers do not run. Adds to *rows, and sets j->detail. */
int job_refill_databases(Job *j, JobArchive *a, bool offline, uint64_t *rows, Error *reterr);
/* The services of such databases; NULL: there are none. */
int job_refill_list_services(const Job *j, bool offline, char ***ret);
