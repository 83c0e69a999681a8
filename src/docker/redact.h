/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Keeps secrets out of text that people will read: what other programs say may quote a value. */

#include "ccp/macro.h"

/* Values shorter than this are not looked for: they would turn any text into asterisks. */
#define REDACT_LENGTH_MIN 4U
#define REDACT_MARK "********"

/* A copy of 'text' in which every one of the values is replaced by REDACT_MARK: as it is, and as JSON, YAML,
 * Go, URL, base64 and $$-doubled text would write it. 'values' may be NULL. 0 or -ENOMEM. */
int redact(const char *text, char *const *values, char **ret);
