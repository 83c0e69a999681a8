/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Manager's methods about recovery keys. */

#include <systemd/sd-bus.h>

int method_enroll_recovery_key(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_confirm_recovery_key(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_list_recovery_keys(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_forget_recovery_key(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
