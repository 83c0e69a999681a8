/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods about backups: of the manager, and of an instance. */

#include <systemd/sd-bus.h>

int method_list_backups(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_verify_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_drill_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_replicate_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_fetch_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_delete_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_backup_all(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
