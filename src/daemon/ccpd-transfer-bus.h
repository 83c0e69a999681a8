/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods that hand files of backups out, and take them in. Neither goes through this process: the caller gets a
 * descriptor to read from, or one to write to. */

#include <systemd/sd-bus.h>

/* The keys of files that are brought. NULL: out of memory. */
typedef struct Transfers Transfers;
Transfers *transfers_new(void);
Transfers *transfers_free(Transfers *t);

int method_export_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_begin_import(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_import_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
