/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.changemaker.ccp1.Blueprint. */

#include <systemd/sd-bus.h>

extern const sd_bus_vtable blueprint_vtable[];

int blueprint_object_find(sd_bus *bus, const char *path, const char *interface, void *userdata,
                void **ret_found, sd_bus_error *reterr);
int blueprint_object_enumerate(
                sd_bus *bus, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *reterr);
