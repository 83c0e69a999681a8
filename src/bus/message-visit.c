/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "message-visit.h"

#include <string.h>

/* Bytes of a value of a fixed size (D-Bus specification, "Marshaling"); libsystemd reads a boolean into an int. */
static size_t fixed_size(char type) {
        switch (type) {
        case SD_BUS_TYPE_BYTE:
                return 1;
        case SD_BUS_TYPE_INT16:
        case SD_BUS_TYPE_UINT16:
                return 2;
        case SD_BUS_TYPE_INT64:
        case SD_BUS_TYPE_UINT64:
        case SD_BUS_TYPE_DOUBLE:
                return 8;
        default:
                return 4;
        }
}

static int visit_basic(sd_bus_message *m, char type, message_visitor_t visitor, void *userdata) {
        union {
                const char *s;
                uint64_t t;
        } value = {};
        int r;

        r = sd_bus_message_read_basic(m, type, (void *) &value);
        if (r < 0)
                return r;
        if (IN_SET(type, SD_BUS_TYPE_STRING, SD_BUS_TYPE_OBJECT_PATH, SD_BUS_TYPE_SIGNATURE))
                return visitor(type, value.s, strlen(value.s), userdata);

        return visitor(type, &value, fixed_size(type), userdata);
}

/* The nesting is limited by libsystemd to 128 (D-Bus specification: 64). */
static int visit_container(sd_bus_message *m, char type, const char *contents, message_visitor_t visitor,
                void *userdata) {
        int r;

        r = sd_bus_message_enter_container(m, type, contents);
        if (r < 0)
                return r;
        r = visitor(type, contents, strlen(contents), userdata);
        if (r < 0)
                return r;
        r = message_visit(m, visitor, userdata);
        if (r < 0)
                return r;
        r = visitor(0, NULL, 0, userdata);
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

int message_visit(sd_bus_message *m, message_visitor_t visitor, void *userdata) {
        const char *contents;
        char type;
        int r;

        while ((r = sd_bus_message_peek_type(m, &type, &contents)) > 0) {
                r = contents ? visit_container(m, type, contents, visitor, userdata)
                             : visit_basic(m, type, visitor, userdata);
                if (r < 0)
                        return r;
        }

        return r;
}
