/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "dump-version.h"

#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#include "alloc-util.h"
#include "string-util.h"

#define N_PARTS 3U
/* More digits has no version. */
#define DIGITS_MAX 6U

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* What a text begins with: numbers and dots. Returns how many numbers these are. */
static size_t read_parts(const char *text, size_t size, uint32_t parts[static N_PARTS]) {
        size_t n = 0, i = 0;

        while (n < N_PARTS) {
                size_t begin = i;
                uint32_t value = 0;

                for (; i < size && is_digit(text[i]) && i - begin < DIGITS_MAX; i++)
                        value = value * 10 + (uint32_t) (text[i] - '0');
                if (i == begin || (i < size && is_digit(text[i])))
                        break;
                parts[n++] = value;
                if (i == size || text[i] != '.')
                        break;
                i++;
        }
        return n;
}

int dump_version_parse(const char *text, size_t size, char **ret) {
        for (size_t i = 0; i < size; i++) {
                uint32_t parts[N_PARTS] = {};
                size_t n;

                if (!is_digit(text[i]) || (i > 0 && is_digit(text[i - 1])))
                        continue;
                n = read_parts(text + i, size - i, parts);
                if (n < 2)
                        continue;
                if (n == 2 ? asprintf(ret, "%" PRIu32 ".%" PRIu32, parts[0], parts[1]) < 0
                           : asprintf(ret, "%" PRIu32 ".%" PRIu32 ".%" PRIu32, parts[0], parts[1],
                                             parts[2]) < 0) {
                        *ret = NULL;
                        return -ENOMEM;
                }
                return 0;
        }
        return -ENODATA;
}

bool dump_version_is_newer(const char *version, const char *than, unsigned n_parts) {
        uint32_t a[N_PARTS] = {}, b[N_PARTS] = {};

        if (read_parts(version, strlen(version), a) == 0 || read_parts(than, strlen(than), b) == 0)
                return false;
        for (unsigned i = 0; i < MIN(n_parts, N_PARTS); i++)
                if (a[i] != b[i])
                        return a[i] > b[i];
        return false;
}
