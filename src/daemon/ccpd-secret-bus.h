/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Instance's methods about its secrets. A secret leaves ccpd in a file descriptor only, never in a message,
 * and not before it is on record to whom. */

#include <systemd/sd-bus.h>

/* Memory that nobody can change or grow, and that is gone with its last descriptor. */
int secret_to_memfd(const char *plain, size_t size, int *ret);

int method_list_secrets(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_reveal_secret(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
