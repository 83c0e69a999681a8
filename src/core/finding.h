/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a check of the host found: passed from ccp-doctor to ccpd as JSON, and on the bus as (ssss). */

#include <errno.h>
#include <jansson.h>

#include "ccp/macro.h"

typedef enum FindingVerdict {
        FINDING_OK,
        FINDING_WARNING, /* works, but not for long or not as it should */
        FINDING_FAILED,
        FINDING_UNKNOWN, /* could not be checked */
        _FINDING_VERDICT_MAX,
        _FINDING_VERDICT_INVALID = -EINVAL,
} FindingVerdict;
DECLARE_STRING_TABLE(finding_verdict, FindingVerdict);

/* The longest text that is taken from a worker. */
#define FINDING_TEXT_MAX 2048U

/* Appends to an array: the name of the check ("disk"), the verdict, a sentence that says what was seen, and one that says what
 * to do (NULL: nothing). Takes 'message', which may be NULL: out of memory. */
int findings_add(json_t *findings, const char *check, FindingVerdict verdict, char *message,
                const char *advice);
/* The same with a format. */
int findings_addf(json_t *findings, const char *check, FindingVerdict verdict, const char *advice,
                const char *format, ...) _printf_(5, 6);
