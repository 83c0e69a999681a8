/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What can be set of one instance; what is not set of it is the fleet's. */

#include <systemd/sd-bus.h>

#include "retention.h"

typedef struct Instance Instance;

int method_set_instance_settings(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
/* How many backups are kept: whoever sets that can have backups deleted. */
int method_set_retention(sd_bus_message *message, void *userdata, sd_bus_error *reterr);

/* What holds for it. */
RetentionPolicy instance_retention(const Instance *i);
/* Appends its own settings of backups as a{ss}. */
int instance_append_backup_settings(sd_bus_message *m, const Instance *i);
