/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Manager's methods about which backups are kept. */

#include <systemd/sd-bus.h>

int method_plan_retention(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_prune_backups(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
