/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an object on the bus is made of, as data: one table serves registration of all objects. */

#include <systemd/sd-bus.h>

#include "ccp/macro.h"

typedef struct BusObject {
        const char *path; /* of the object, or the prefix of all objects that 'find' knows */
        const char *interface;
        const sd_bus_vtable *vtable;
        sd_bus_object_find_t find;          /* NULL: one object on exactly 'path' */
        sd_bus_node_enumerator_t enumerate; /* NULL: none */
} BusObject;

/* Registers n objects. userdata goes to vtable handlers of single objects, to find and to enumerate. */
int bus_register_objects(sd_bus *bus, const BusObject *objects, size_t n, void *userdata);
