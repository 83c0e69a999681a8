/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus-signal.h"

#include <stdarg.h>

#include "ccp/macro.h"

static bool is_property(const sd_bus_vtable *v) {
        return v->type == _SD_BUS_VTABLE_PROPERTY || v->type == _SD_BUS_VTABLE_WRITABLE_PROPERTY;
}

static int append_property(sd_bus *bus, sd_bus_message *m, const BusInterface *i, const sd_bus_vtable *v) {
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", v->x.property.member);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'v', v->x.property.signature);
        if (r < 0)
                return r;
        r = v->x.property.get(bus, i->path, i->interface, v->x.property.member, m, i->userdata, NULL);
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        return sd_bus_message_close_container(m);
}

/* a{sv} of the properties with one of the flags; 0: of all. */
static int append_properties(sd_bus *bus, sd_bus_message *m, const BusInterface *i, uint64_t flags) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        for (const sd_bus_vtable *v = i->vtable; v->type != _SD_BUS_VTABLE_END; v++) {
                if (!is_property(v) || (flags != 0 && !(v->flags & flags)))
                        continue;
                r = append_property(bus, m, i, v);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(m);
}

static int new_signal(sd_bus *bus, sd_bus_message **ret, const char *receiver, const char *path,
                const char *interface, const char *member) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_signal(bus, &m, path, interface, member);
        if (r < 0)
                return r;
        r = sd_bus_message_set_destination(m, receiver);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(m);
        return 0;
}

int bus_send_properties_changed(sd_bus *bus, const char *receiver, const BusInterface *i) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = new_signal(bus, &m, receiver, i->path, "org.freedesktop.DBus.Properties", "PropertiesChanged");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", i->interface);
        if (r < 0)
                return r;
        r = append_properties(bus, m, i, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "as", 0);
        if (r < 0)
                return r;
        return sd_bus_send(bus, m, NULL);
}

int bus_send_interfaces_added(sd_bus *bus, const char *receiver, const char *root, const BusInterface *i) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = new_signal(bus, &m, receiver, root, "org.freedesktop.DBus.ObjectManager", "InterfacesAdded");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "o", i->path);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'a', "{sa{sv}}");
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(m, 'e', "sa{sv}");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", i->interface);
        if (r < 0)
                return r;
        r = append_properties(bus, m, i, /* flags= */ 0);
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;
        return sd_bus_send(bus, m, NULL);
}

int bus_send_interfaces_removed(sd_bus *bus, const char *receiver, const char *root, const char *path,
                const char *interface) {
        return bus_send_signal(bus, receiver, root, "org.freedesktop.DBus.ObjectManager",
                        "InterfacesRemoved", "oas", path, 1, interface);
}

int bus_send_signal(sd_bus *bus, const char *receiver, const char *path, const char *interface,
                const char *member, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = new_signal(bus, &m, receiver, path, interface, member);
        if (r < 0)
                return r;

        if (types) {
                va_list ap;

                va_start(ap, types);
                r = sd_bus_message_appendv(m, types, ap);
                va_end(ap);
                if (r < 0)
                        return r;
        }
        return sd_bus_send(bus, m, NULL);
}
