/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "message-size.h"

#include <errno.h>
#include <string.h>

/* What any value counts at least: empty ones cost, too. */
#define VALUE_SIZE 8U

static int take(size_t *left, size_t size) {
        size = MAX(size, (size_t) VALUE_SIZE);
        if (size > *left)
                return -EFBIG;

        *left -= size;
        return 0;
}

/* The nesting is limited by libsystemd to 128 (D-Bus specification: 64). */
static int take_values(sd_bus_message *m, size_t *left) {
        const char *contents;
        char type;
        int r;

        while ((r = sd_bus_message_peek_type(m, &type, &contents)) > 0) {
                union {
                        const char *s;
                        uint64_t t;
                } value;

                switch (type) {
                case SD_BUS_TYPE_ARRAY:
                case SD_BUS_TYPE_VARIANT:
                case SD_BUS_TYPE_STRUCT:
                case SD_BUS_TYPE_DICT_ENTRY:
                        r = sd_bus_message_enter_container(m, type, contents);
                        if (r < 0)
                                return r;
                        r = take(left, 0);
                        if (r < 0)
                                return r;
                        r = take_values(m, left);
                        if (r < 0)
                                return r;
                        r = sd_bus_message_exit_container(m);
                        break;
                case SD_BUS_TYPE_STRING:
                case SD_BUS_TYPE_OBJECT_PATH:
                case SD_BUS_TYPE_SIGNATURE:
                        r = sd_bus_message_read_basic(m, type, (void *) &value.s);
                        if (r >= 0)
                                r = take(left, strlen(value.s));
                        break;
                default:
                        r = sd_bus_message_read_basic(m, type, &value);
                        if (r >= 0)
                                r = take(left, 0);
                }
                if (r < 0)
                        return r;
        }

        return r;
}

int message_measure(sd_bus_message *m, size_t max, size_t *ret) {
        const char *path = sd_bus_message_get_path(m);
        size_t left = max, length = path ? strlen(path) : 0;
        int r, q;

        /* The one field of the header that may be long: the others have at most 255 bytes each. */
        if (length > left)
                return -EFBIG;
        left -= length;

        r = take_values(m, &left);
        q = sd_bus_message_rewind(m, /* complete= */ true);
        if (r < 0)
                return r;
        if (q < 0)
                return q;

        *ret = max - left;
        return 0;
}
