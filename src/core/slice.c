/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "slice.h"

#include <errno.h>

#include "string-util.h"
#include "validate.h"

int slice_from_slug(const char *slug, char **ret) {
        _cleanup_string_builder_ StringBuilder b = {};

        if (!slug_is_valid(slug))
                return -EINVAL;

        string_builder_append(&b, "ccp-");
        for (const char *p = slug; *p; p++)
                if (*p == '-')
                        string_builder_append(&b, "\\x2d");
                else
                        string_builder_append_n(&b, p, 1);
        string_builder_append(&b, ".slice");

        return string_builder_finish(&b, ret, NULL);
}
