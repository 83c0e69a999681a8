/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods about the storage of backups: naming it, trying it, and what it has. */

#include <systemd/sd-bus.h>

int method_set_storage(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_forget_storage(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_get_storage(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_test_storage(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_list_storage(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_open_copy(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
