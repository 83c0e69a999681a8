/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Appending what sd_bus_message_append() has no type for. */

#include <systemd/sd-bus.h>

#include "ccp/macro.h"

/* Begins and ends an entry of a{sv} whose value is of this type. */
int bus_open_entry(sd_bus_message *m, const char *key, const char *type);
int bus_close_entry(sd_bus_message *m);
/* Begins and ends an entry of a{sv} whose value is an array of 'contents'. */
int bus_open_entry_array(sd_bus_message *m, const char *key, const char *contents);
int bus_close_entry_array(sd_bus_message *m);
/* One entry of a{sv} whose value is an array of strings; l may be NULL. */
int bus_append_entry_strv(sd_bus_message *m, const char *key, char *const *l);
