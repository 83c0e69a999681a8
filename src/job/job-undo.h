/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Undoing by what was recorded: a step's undo is a JSON object with the name of an action and all that the
 * action needs, so that it means the same to a later version of this program. */

#include "job.h"

/* The record for an action, of what this job works on. */
int job_undo_new(const Job *j, const char *action, json_t **ret);

/* Does what a record asks for. Can be repeated. */
int job_undo_run(Job *j, const json_t *record, Error *reterr);

/* The revision that a record names; 0 if none. */
uint32_t job_undo_revision(const json_t *record);
