/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus-object.h"

int bus_register_objects(sd_bus *bus, const BusObject *objects, size_t n, void *userdata) {
        int r;

        FOREACH_ARRAY(o, objects, n) {
                if (o->find)
                        r = sd_bus_add_fallback_vtable(
                                        bus, NULL, o->path, o->interface, o->vtable, o->find, userdata);
                else
                        r = sd_bus_add_object_vtable(bus, NULL, o->path, o->interface, o->vtable, userdata);
                if (r < 0)
                        return r;

                if (o->enumerate) {
                        r = sd_bus_add_node_enumerator(bus, NULL, o->path, o->enumerate, userdata);
                        if (r < 0)
                                return r;
                }
        }

        return 0;
}
