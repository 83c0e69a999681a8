/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What jobs do with the engine, and how they prove that it was done. */

#include "job.h"

/* Makes the client; connects to nothing yet. */
int job_engine_open(Job *j, Error *reterr);
/* Waits until the engine answers, and tells so; EngineUnavailable after 'patience' (USEC_INFINITY: never). */
int job_engine_wait(Job *j, usec_t patience, Error *reterr);

/* True if the engine is away, or PID 1 is about to stop it, or has started it after 'since' (monotonic). An
 * engine that is stopped ends all containers before it goes. */
bool job_engine_was_away(Job *j, usec_t since);
/* Notes in the job whether the engine was restarted since it has its instance; if it was, and the step keeps the instance running,
 * what ran before is started again. What of it cannot be started is logged, and tried again. */
int job_engine_look(Job *j, Error *reterr);
/* The same, for what takes long and needs no engine: not more often than each minute. */
int job_engine_look_now_and_then(Job *j, Error *reterr);

/* What the engine's functions work on; borrows from the job. */
EngineContext job_engine_context(Job *j);
/* Whose the instance's objects are; borrows from the job. */
DockerOwner job_engine_owner(const Job *j);
/* All containers of the instance, in whatever state. */
int job_engine_list_containers(Job *j, DockerObjects *ret, Error *reterr);

/* Resolves the compose file of the revision, with the override: j->config. */
int job_engine_resolve(Job *j, Error *reterr);

/* Looks at the containers that run: each has the environment of j->config and the label of the revision. The
 * result is an object from service to {image, digest}. */
int job_engine_verify(Job *j, json_t **ret_images, Error *reterr);

/* Stops the containers of the job's services, and looks whether they stopped. */
int job_engine_stop(Job *j, Error *reterr);
/* Starts the containers that there are of these services, stage by stage: once the one before is no longer starting, well
 * or not. */
int job_engine_start(Job *j, char *const *services, Error *reterr);
/* The same of the job's services; of all: but for one-shots and what is to be stopped. */
int job_engine_start_existing(Job *j, Error *reterr);
/* Restarts them, the same. */
int job_engine_restart(Job *j, Error *reterr);

/* Works without the revision's files. */
int job_engine_down(Job *j, bool volumes, Error *reterr);
