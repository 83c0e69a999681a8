/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "path.h"

#include <limits.h>

#include "string-util.h"

bool path_is_safe_relative(const char *s) {
        if (isempty(s) || strlen(s) > RELATIVE_PATH_MAX || !string_is_safe(s))
                return false;

        for (;;) {
                size_t n = strcspn(s, "/");

                if (n == 0 || n > NAME_MAX || (n == 1 && s[0] == '.') ||
                                (n == 2 && strncmp(s, "..", 2) == 0))
                        return false;
                if (!s[n])
                        return true;
                s += n + 1;
        }
}

bool path_is_safe_absolute(const char *s) {
        return s && s[0] == '/' && (!s[1] || path_is_safe_relative(s + 1));
}

bool path_is_beneath(const char *directory, const char *path) {
        const char *rest;

        if (!path_is_safe_absolute(directory) || !path_is_safe_absolute(path))
                return false;
        if (!directory[1])
                return true;

        rest = startswith(path, directory);
        return rest && IN_SET(*rest, 0, '/');
}
