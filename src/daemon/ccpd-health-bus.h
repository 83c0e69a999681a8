/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Health on the bus: asking for it now, and its history. */

#include <systemd/sd-bus.h>

#include "ccpd-operation.h"

typedef struct Instance Instance;

int method_check_health(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_query_health(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_query_fleet_health(sd_bus_message *message, void *userdata, sd_bus_error *reterr);

/* Answers CheckHealth with how the instance is now. */
void health_reply_check(const Instance *i, Operation *o);
