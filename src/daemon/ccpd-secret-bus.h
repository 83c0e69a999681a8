/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Instance's methods about its secrets. A secret leaves ccpd in a file descriptor only, never in a message,
 * and not before it is on record to whom. */

#include <systemd/sd-bus.h>

int method_list_secrets(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_reveal_secret(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
