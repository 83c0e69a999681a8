/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The methods of an instance that restore it, and go back. */

#include <systemd/sd-bus.h>

#include "error.h"

/* The number of a backup, and which version of its blueprint will do: NULL, "same" or "any". InvalidArgument. */
int bus_parse_backup(const char *text, uint64_t *ret, Error *reterr);
int bus_parse_version(const char *text, bool *ret_any, Error *reterr);

int method_restore(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_undo_restore(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_discard_restore(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
