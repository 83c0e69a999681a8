/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Manager's methods about roles. */

#include <systemd/sd-bus.h>

int method_grant_role(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_revoke_role(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_list_roles(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
