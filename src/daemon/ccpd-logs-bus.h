/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods of an instance that read its logs. */

#include <systemd/sd-bus.h>

int method_open_logs(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_read_logs(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
