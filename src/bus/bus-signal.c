/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus-signal.h"

#include <errno.h>
#include <stdarg.h>

#include "alloc-util.h"
#include "bus-append.h"
#include "message-visit.h"

static bool is_property(const sd_bus_vtable *v) {
        return v->type == _SD_BUS_VTABLE_PROPERTY || v->type == _SD_BUS_VTABLE_WRITABLE_PROPERTY;
}

static bool emits_change(const sd_bus_vtable *v) {
        return is_property(v) && (v->flags & SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE);
}

static size_t count_emitting(const sd_bus_vtable *vtable) {
        size_t n = 0;

        for (const sd_bus_vtable *v = vtable; v->type != _SD_BUS_VTABLE_END; v++)
                n += emits_change(v);
        return n;
}

static int append_property(sd_bus *bus, sd_bus_message *m, const BusInterface *i, const sd_bus_vtable *v) {
        int r;

        r = bus_open_entry(m, v->x.property.member, v->x.property.signature);
        if (r < 0)
                return r;
        r = v->x.property.get(bus, i->path, i->interface, v->x.property.member, m, i->userdata, NULL);
        return r < 0 ? r : bus_close_entry(m);
}

/* a{sv} of all properties, or of those among the ones that emit changes. */
static int append_properties(sd_bus *bus, sd_bus_message *m, const BusInterface *i, const uint64_t *among) {
        uint64_t bit = 1;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        for (const sd_bus_vtable *v = i->vtable; v->type != _SD_BUS_VTABLE_END; v++) {
                bool wanted = is_property(v) && !among;

                if (among && emits_change(v)) {
                        wanted = *among & bit;
                        bit <<= 1;
                }
                if (!wanted)
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

void bus_told_done(BusTold *t) {
        t->digests = mfree(t->digests);
}

/* FNV-1a. Bytes that two values have in common but for where the one ends are told apart by the types. */
static int digest_value(char type, const void *data, size_t size, void *userdata) {
        const uint8_t *bytes = data;
        uint64_t *digest = userdata;

        *digest = (*digest ^ (uint8_t) type) * UINT64_C(0x100000001b3);
        for (size_t k = 0; k < size; k++)
                *digest = (*digest ^ bytes[k]) * UINT64_C(0x100000001b3);
        return 0;
}

/* Takes the digests out of an a{sv}; sets a bit for each that is another one than before. */
static int told_compare(BusTold *t, sd_bus_message *m, bool is_first, uint64_t *ret) {
        uint64_t changed = 0;
        size_t k = 0;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                uint64_t digest = UINT64_C(0xcbf29ce484222325);

                r = message_visit(m, digest_value, &digest);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;

                if (is_first || t->digests[k] != digest)
                        changed |= UINT64_C(1) << k;
                t->digests[k++] = digest;
        }
        if (r < 0)
                return r;

        *ret = changed;
        return 0;
}

int bus_told_update(BusTold *t, sd_bus *bus, const BusInterface *i, uint64_t *ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        bool is_first = !t->digests;
        uint64_t all = UINT64_MAX;
        int r;

        if (is_first) {
                size_t n = count_emitting(i->vtable);

                if (n > BUS_PROPERTIES_MAX)
                        return -E2BIG;
                t->digests = new0(uint64_t, n);
                if (!t->digests)
                        return -ENOMEM;
        }

        /* Never sent: what a message holds can be read only after it was sealed. */
        r = sd_bus_message_new_signal(bus, &m, i->path, i->interface, "Told");
        if (r < 0)
                return r;
        r = append_properties(bus, m, i, &all);
        if (r < 0)
                return r;
        r = sd_bus_message_seal(m, 1, 0);
        if (r < 0)
                return r;
        return told_compare(t, m, is_first, ret);
}

int bus_send_properties_changed(
                sd_bus *bus, const char *receiver, const BusInterface *i, uint64_t properties) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = new_signal(bus, &m, receiver, i->path, "org.freedesktop.DBus.Properties", "PropertiesChanged");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", i->interface);
        if (r < 0)
                return r;
        r = append_properties(bus, m, i, &properties);
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
        r = append_properties(bus, m, i, NULL);
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
