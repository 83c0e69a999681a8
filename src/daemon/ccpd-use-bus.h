/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What instances use, on the bus: Manager.GetUse, Instance.GetUse and Instance.ListServices. */

#include <systemd/sd-bus.h>

int method_get_use(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_get_instance_use(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_list_services(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
