/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The numbers in the kernel's files. */

#include <errno.h>

#include "ccp/macro.h"

/* Reads decimal digits; *s then points behind them. -EBADMSG for none, or for more than fits; UINT64_MAX itself does
 * not, since that is "unknown". */
static inline int number_parse(const char **s, uint64_t *ret) {
        const char *p = *s;
        uint64_t n = 0;

        if (*p < '0' || *p > '9')
                return -EBADMSG;
        for (; *p >= '0' && *p <= '9'; p++) {
                uint64_t digit = (uint64_t) (*p - '0');

                if (n > (UINT64_MAX - 1 - digit) / 10)
                        return -EBADMSG;
                n = n * 10 + digit;
        }

        *s = p;
        *ret = n;
        return 0;
}
