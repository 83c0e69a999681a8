/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The little of JSON that a report needs: the program is static and small, and writes one line. */

#include "string-util.h"

/* Appends a string with its quotes, as ASCII. It is UTF-8; a byte that is not becomes "?". */
void json_append_string(StringBuilder *b, const char *s);
