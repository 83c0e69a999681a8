/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "bus-signal.h"
#include "string-util.h"
#include "test.h"

typedef struct Thing {
        const char *name;
        const char *members[4];
        uint32_t n;
} Thing;

static int get_name(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, void *userdata,
                _unused_ sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "s", ((Thing *) userdata)->name);
}

static int get_members(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, void *userdata,
                _unused_ sd_bus_error *reterr) {
        const Thing *t = userdata;
        int r;

        if (t->n == UINT32_MAX)
                return -EIO;
        r = sd_bus_message_open_container(reply, 'a', "s");
        if (r < 0)
                return r;
        for (size_t k = 0; k < ELEMENTSOF(t->members) && t->members[k]; k++) {
                r = sd_bus_message_append(reply, "s", t->members[k]);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

static int get_n(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, void *userdata,
                _unused_ sd_bus_error *reterr) {
        return sd_bus_message_append(reply, "u", ((Thing *) userdata)->n);
}

/* The second never changes, so it has no bit. */
static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_name, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Kind", "s", get_name, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Members", "as", get_members, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("N", "u", get_n, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};
#define NAME (1U << 0)
#define MEMBERS (1U << 1)
#define N (1U << 2)

static sd_bus *new_bus(void) {
        sd_bus *bus = NULL;

        ck_assert_int_ge(sd_bus_new(&bus), 0);
        ck_assert_int_ge(sd_bus_set_address(bus, "unix:path=/nonexistent"), 0);
        /* Messages are made for a bus that was started at least. */
        (void) sd_bus_start(bus);
        return bus;
}

static uint64_t update(sd_bus *bus, BusTold *told, Thing *t) {
        const BusInterface i = { "/thing", "a.Thing", vtable, t };
        uint64_t changed = 0;

        ck_assert_int_eq(bus_told_update(told, bus, &i, &changed), 0);
        return changed;
}

START_TEST(only_what_changed_is_told) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = new_bus();
        _cleanup_(bus_told_done) BusTold told = {};
        Thing t = { .name = "one", .members = { "a", "b" }, .n = 1 };

        ck_assert_uint_eq(update(bus, &told, &t), NAME | MEMBERS | N);
        ck_assert_uint_eq(update(bus, &told, &t), 0);

        t.n = 2;
        ck_assert_uint_eq(update(bus, &told, &t), N);
        t.name = "two";
        t.members[1] = NULL;
        ck_assert_uint_eq(update(bus, &told, &t), NAME | MEMBERS);
        ck_assert_uint_eq(update(bus, &told, &t), 0);
}
END_TEST

START_TEST(the_same_letters_cut_elsewhere_are_a_change) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = new_bus();
        _cleanup_(bus_told_done) BusTold told = {};
        Thing t = { .name = "", .members = { "ab", "c" } };

        (void) update(bus, &told, &t);
        t.members[0] = "a";
        t.members[1] = "bc";
        ck_assert_uint_eq(update(bus, &told, &t), MEMBERS);
        t.members[0] = "abc";
        t.members[1] = NULL;
        ck_assert_uint_eq(update(bus, &told, &t), MEMBERS);
        t.members[1] = "";
        ck_assert_uint_eq(update(bus, &told, &t), MEMBERS);
}
END_TEST

START_TEST(a_getter_that_fails_is_an_error) {
        _cleanup_(sd_bus_unrefp) sd_bus *bus = new_bus();
        _cleanup_(bus_told_done) BusTold told = {};
        Thing t = { .name = "", .n = UINT32_MAX };
        const BusInterface i = { "/thing", "a.Thing", vtable, &t };
        uint64_t changed;

        ck_assert_int_eq(bus_told_update(&told, bus, &i, &changed), -EIO);
}
END_TEST

TESTS("bus-signal", only_what_changed_is_told, the_same_letters_cut_elsewhere_are_a_change,
                a_getter_that_fails_is_an_error)
