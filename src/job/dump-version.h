/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Versions of the programs of databases: what a newer one wrote an older one may refuse, or misread. */

#include <stdbool.h>
#include <stddef.h>

/* The version in what a program says of itself, as "17.6": its first two or three numbers that are joined by dots. Nothing else
 * of the text is in it. -ENODATA if there is none. */
int dump_version_parse(const char *text, size_t size, char **ret);

/* Whether it is newer than another, as far as the first n_parts (at most 3) of both tell. False if one of them is no version. */
bool dump_version_is_newer(const char *version, const char *than, unsigned n_parts);
