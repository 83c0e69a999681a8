/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods of an instance that restore it, and go back. */

#include <systemd/sd-bus.h>

int method_restore(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_undo_restore(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_discard_restore(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
