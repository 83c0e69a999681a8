/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.changemaker.ccp1.Instance. */

#include <systemd/sd-bus.h>

#include "ccpd-instance.h"
#include "ccpd-operation.h"
#include "job-kind.h"

extern const sd_bus_vtable instance_vtable[];

int instance_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
                void **ret_found, sd_bus_error *reterr);
int instance_object_enumerate(
                sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *reterr);

/* Appends those of its properties that a list shows, and its Path, as a{sv}. */
int instance_append_row(sd_bus_message *reply, Instance *i);

/* What whoever asks for a job of a kind must be allowed (CCP_ACTION_…): by its own method or by Retry. */
const char *job_kind_to_action(JobKind kind);

/* True for the blueprint's services, and for those that have a container. */
bool instance_knows_service(const Instance *i, const char *name);

/* Records a job on the instance and has the operation answered with its path. 0, or fails at once with the
 * error set: then the operation is still the caller's. spec may be NULL. */
int instance_submit_job(Instance *i, JobKind kind, const json_t *spec, Operation *o, Error *reterr);
/* The rest of a method that makes a job, once the message was read: what sd-bus expects of the handler. */
int instance_submit_for(sd_bus_message *message, Instance *i, JobKind kind, const json_t *spec);

/* The same of a job about a backup, whose instance may be gone. 'last': for delete-backup, also if it is the last one that
 * is verified. */
int manager_submit_backup_job(
                Manager *m, JobKind kind, uint64_t backup, bool last, Operation *o, Error *reterr);
/* What store_create_job() calls back with, for who has a callback of his own: takes the records, and answers as the others do. */
void operation_answer_created(
                Operation *o, int r, InstanceRecord *instance, JobRecord *job, const Error *error);
