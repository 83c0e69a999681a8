/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "message-size.h"

#include <errno.h>
#include <string.h>

#include "message-visit.h"

/* What any value counts at least: empty ones cost, too. */
#define VALUE_SIZE 8U

static int take(size_t *left, size_t size) {
        size = MAX(size, (size_t) VALUE_SIZE);
        if (size > *left)
                return -EFBIG;

        *left -= size;
        return 0;
}

static int take_value(char type, _unused_ const void *data, size_t size, void *userdata) {
        switch (type) {
        case 0:
                return 0;
        case SD_BUS_TYPE_STRING:
        case SD_BUS_TYPE_OBJECT_PATH:
        case SD_BUS_TYPE_SIGNATURE:
                return take(userdata, size);
        default:
                return take(userdata, 0);
        }
}

int message_measure(sd_bus_message *m, size_t max, size_t *ret) {
        const char *path = sd_bus_message_get_path(m);
        size_t left = max, length = path ? strlen(path) : 0;
        int r, q;

        /* The one field of the header that may be long: the others have at most 255 bytes each. */
        if (length > left)
                return -EFBIG;
        left -= length;

        r = message_visit(m, take_value, &left);
        q = sd_bus_message_rewind(m, /* complete= */ true);
        if (r < 0)
                return r;
        if (q < 0)
                return q;

        *ret = max - left;
        return 0;
}
