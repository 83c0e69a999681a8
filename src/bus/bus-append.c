/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus-append.h"

#include <stdio.h>

/* Contents of arrays that have a key are short: "a{sv}". */
#define CONTENTS_MAX 16U

int bus_open_entry(sd_bus_message *m, const char *key, const char *type) {
        int r;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", key);
        if (r < 0)
                return r;
        return sd_bus_message_open_container(m, 'v', type);
}

int bus_close_entry(sd_bus_message *m) {
        int r;

        r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int bus_open_entry_array(sd_bus_message *m, const char *key, const char *contents) {
        char type[CONTENTS_MAX];
        int r;

        (void) snprintf(type, sizeof(type), "a%s", contents);
        r = bus_open_entry(m, key, type);
        return r < 0 ? r : sd_bus_message_open_container(m, 'a', contents);
}

int bus_close_entry_array(sd_bus_message *m) {
        int r;

        r = sd_bus_message_close_container(m);
        return r < 0 ? r : bus_close_entry(m);
}

int bus_append_entry_strv(sd_bus_message *m, const char *key, char *const *l) {
        int r;

        r = bus_open_entry_array(m, key, "s");
        for (; r >= 0 && l && *l; l++)
                r = sd_bus_message_append(m, "s", *l);
        return r < 0 ? r : bus_close_entry_array(m);
}
