/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The services of an instance as a job sees them: what its compose file has, what its request names, what has a
 * container, and which of these the job is about. */

#include "job.h"

/* A service of j->config, or NULL. */
const json_t *job_service_find(const Job *j, const char *service);
bool job_service_is_optional(const Job *j, const char *service);

/* The services that have a container, but for one-shots, which are not to be run again, and what somebody wants to
 * have stopped. */
int job_services_list_existing(Job *j, char ***ret, Error *reterr);
/* The services that a request named; NULL: none, so it is about all. */
int job_services_read(const Job *j, char ***ret);
/* Whether the request names services: then the instance keeps its state, whatever comes of it. */
bool job_is_partial(const Job *j);

/* Finds out which services the job is about: those that the request names, or all; but for what somebody wants to have
 * stopped, where the request is not about that. */
int job_services_choose(Job *j, Error *reterr);
