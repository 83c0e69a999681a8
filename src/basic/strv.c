/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "strv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "string-util.h"

char **strv_free(char **l) {
        STRV_FOREACH(s, l)
                free(*s);

        return mfree(l);
}

size_t strv_length(char *const *l) {
        size_t n = 0;

        STRV_FOREACH(s, l)
                n++;

        return n;
}

bool strv_contains(char *const *l, const char *s) {
        STRV_FOREACH(i, l)
                if (streq(*i, s))
                        return true;

        return false;
}

static int strv_consume(char ***l, char *s) {
        size_t n = strv_length(*l);
        char **p;

        p = reallocarray(*l, n + 2, sizeof(char *));
        if (!p) {
                free(s);
                return -ENOMEM;
        }

        p[n] = s;
        p[n + 1] = NULL;
        *l = p;
        return 0;
}

int strv_extend(char ***l, const char *s) {
        char *copy;

        copy = strdup(s);
        if (!copy)
                return -ENOMEM;

        return strv_consume(l, copy);
}

int strv_extendf(char ***l, const char *format, ...) {
        va_list ap;
        char *s;
        int n;

        va_start(ap, format);
        n = vasprintf(&s, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;

        return strv_consume(l, s);
}

char **strv_copy(char *const *l) {
        _cleanup_strv_free_ char **copy = NULL;

        copy = new0(char *, 1);
        if (!copy)
                return NULL;

        STRV_FOREACH(s, l)
                if (strv_extend(&copy, *s) < 0)
                        return NULL;

        return TAKE_PTR(copy);
}

char *strv_join(char *const *l, const char *separator) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *result;

        STRV_FOREACH(s, l) {
                if (s != l)
                        string_builder_append(&b, separator);
                string_builder_append(&b, *s);
        }

        return string_builder_finish(&b, &result, NULL) < 0 ? NULL : result;
}
