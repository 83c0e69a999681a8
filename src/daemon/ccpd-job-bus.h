/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.changemaker.ccp1.Job. */

#include <systemd/sd-bus.h>

#include "ccpd-job.h"

extern const sd_bus_vtable job_vtable[];

int job_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata, void **ret_found,
                sd_bus_error *reterr);
int job_object_enumerate(
                sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *reterr);

/* Appends a job as a{sv}, with the names and types of the object's properties: for ListJobs, since old jobs
 * are no objects. 'j' is its object, NULL where it has none. */
int job_record_append(sd_bus_message *reply, const JobRecord *record, const Job *j);
