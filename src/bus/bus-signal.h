/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Signals to one receiver. libsystemd's own go to everybody on the bus who asks for them; ours tell each what
 * he may know, so they are made here, with the getters of the same vtables. */

#include <systemd/sd-bus.h>

/* An interface of one object. */
typedef struct BusInterface {
        const char *path, *interface;
        const sd_bus_vtable *vtable;
        void *userdata; /* for the getters */
} BusInterface;

/* PropertiesChanged, with all properties that emit changes. */
int bus_send_properties_changed(sd_bus *bus, const char *receiver, const BusInterface *i);
/* InterfacesAdded and InterfacesRemoved of the object manager at 'root'. */
int bus_send_interfaces_added(sd_bus *bus, const char *receiver, const char *root, const BusInterface *i);
int bus_send_interfaces_removed(sd_bus *bus, const char *receiver, const char *root, const char *path,
                const char *interface);
/* Any other. types NULL: no arguments. */
int bus_send_signal(sd_bus *bus, const char *receiver, const char *path, const char *interface,
                const char *member, const char *types, ...);
