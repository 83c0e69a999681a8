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

/* What was last told of the properties of an object: a digest of each. Initialize with {}. */
typedef struct BusTold {
        uint64_t *digests; /* in the order of the vtable; NULL: nothing was told yet */
} BusTold;
void bus_told_done(BusTold *t);

/* Properties of a vtable that emit changes, a bit each, in its order; no interface has more. */
#define BUS_PROPERTIES_MAX 64U

/* Notes what the properties that emit changes are now; ret has those that differ from what was noted before. */
int bus_told_update(BusTold *t, sd_bus *bus, const BusInterface *i, uint64_t *ret);

/* PropertiesChanged, with those of the properties. */
int bus_send_properties_changed(
                sd_bus *bus, const char *receiver, const BusInterface *i, uint64_t properties);
/* InterfacesAdded and InterfacesRemoved of the object manager at 'root'. */
int bus_send_interfaces_added(sd_bus *bus, const char *receiver, const char *root, const BusInterface *i);
int bus_send_interfaces_removed(sd_bus *bus, const char *receiver, const char *root, const char *path,
                const char *interface);
/* Any other. types NULL: no arguments. */
int bus_send_signal(sd_bus *bus, const char *receiver, const char *path, const char *interface,
                const char *member, const char *types, ...);
