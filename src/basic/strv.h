/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* NULL-terminated arrays of strings. */

#include "alloc-util.h"

#define STRV_FOREACH(s, l) for (__typeof__(*(l)) *s = (l); s && *s; s++)

/* Frees the strings and the array. Returns NULL. */
char **strv_free(char **l);
DEFINE_CLEANUP_FUNC(char **, strv_free);
#define _cleanup_strv_free_ _cleanup_(strv_freep)

size_t strv_length(char *const *l);
bool strv_contains(char *const *l, const char *s);
/* Appends a copy of s. 0 or -ENOMEM. */
int strv_extend(char ***l, const char *s);
/* Appends a formatted string. 0 or -ENOMEM. */
int strv_extendf(char ***l, const char *format, ...) _printf_(2, 3);
char **strv_copy(char *const *l);
/* The strings joined by a separator, in a new string. */
char *strv_join(char *const *l, const char *separator);
