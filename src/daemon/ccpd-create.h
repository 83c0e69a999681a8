/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Steps 1 to 4 of a new instance: validate, allocate, make and seal secrets, record. All of it in one
 * transaction, before the call is answered. */

#include <systemd/sd-bus.h>

#include "error.h"

/* Handlers of CreateInstance and PlanInstance. */
int method_create_instance(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_restore_instance(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_plan_instance(sd_bus_message *message, void *userdata, sd_bus_error *reterr);

typedef struct Job Job;
typedef struct Operation Operation;

/* Creates the instance of a failed create again, as its job asked for it. The operation stays the caller's
 * if this fails. */
int create_again(const Job *j, Operation *o, Error *reterr);
