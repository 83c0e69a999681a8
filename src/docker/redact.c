/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "redact.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "string-util.h"
#include "strv.h"

/* Each form writes the value as one kind of text has it. */
typedef void (*form_t)(StringBuilder *b, const char *value);

static void form_plain(StringBuilder *b, const char *value) {
        string_builder_append(b, value);
}

/* JSON, Go's %q and YAML in double quotes agree on these. */
static void form_quoted(StringBuilder *b, const char *value) {
        for (const char *p = value; *p; p++)
                switch (*p) {
                case '"':
                case '\\':
                        string_builder_append_n(b, "\\", 1);
                        string_builder_append_n(b, p, 1);
                        break;
                case '\n':
                        string_builder_append(b, "\\n");
                        break;
                case '\r':
                        string_builder_append(b, "\\r");
                        break;
                case '\t':
                        string_builder_append(b, "\\t");
                        break;
                default:
                        string_builder_append_n(b, p, 1);
                }
}

/* What Go's JSON encoder does with characters that HTML would mind. */
static void form_json_html(StringBuilder *b, const char *value) {
        _cleanup_string_builder_ StringBuilder quoted = {};

        form_quoted(&quoted, value);
        for (size_t i = 0; i < quoted.size; i++)
                if (strchr("<>&", quoted.data[i]))
                        string_builder_appendf(b, "\\u%04x", (unsigned) (unsigned char) quoted.data[i]);
                else
                        string_builder_append_n(b, quoted.data + i, 1);
        b->failed |= quoted.failed;
}

/* JSON with slashes escaped, as some encoders write it. */
static void form_json_slash(StringBuilder *b, const char *value) {
        for (const char *p = value; *p; p++) {
                if (strchr("\"\\/", *p))
                        string_builder_append_n(b, "\\", 1);
                string_builder_append_n(b, p, 1);
        }
}

static void form_doubled(StringBuilder *b, const char *value, char c) {
        for (const char *p = value; *p; p++) {
                if (*p == c)
                        string_builder_append_n(b, p, 1);
                string_builder_append_n(b, p, 1);
        }
}

static void form_dollar(StringBuilder *b, const char *value) {
        form_doubled(b, value, '$');
}

static void form_single_quoted(StringBuilder *b, const char *value) {
        form_doubled(b, value, '\'');
}

static void form_escaped_quote(StringBuilder *b, const char *value) {
        for (const char *p = value; *p; p++) {
                if (IN_SET(*p, '\'', '\\'))
                        string_builder_append_n(b, "\\", 1);
                string_builder_append_n(b, p, 1);
        }
}

static void form_url(StringBuilder *b, const char *value, const char *format) {
        for (const char *p = value; *p; p++)
                if (isalnum((unsigned char) *p) || strchr("-._~", *p))
                        string_builder_append_n(b, p, 1);
                else {
                        char hex[4];

                        (void) snprintf(hex, sizeof(hex), "%02X", (unsigned) (unsigned char) *p);
                        if (format[0] == 'x')
                                hex[0] = (char) tolower((unsigned char) hex[0]),
                                hex[1] = (char) tolower((unsigned char) hex[1]);
                        string_builder_append_n(b, "%", 1);
                        string_builder_append_n(b, hex, 2);
                }
}

static void form_url_upper(StringBuilder *b, const char *value) {
        form_url(b, value, "X");
}

static void form_url_lower(StringBuilder *b, const char *value) {
        form_url(b, value, "x");
}

static void form_base64(StringBuilder *b, const char *value) {
        static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        size_t n = strlen(value);

        /* Without the padding: it is found in both, and what is left of it says nothing. */
        for (size_t i = 0; i < n; i += 3) {
                uint32_t v = (uint32_t) (unsigned char) value[i] << 16;

                if (i + 1 < n)
                        v |= (uint32_t) (unsigned char) value[i + 1] << 8;
                if (i + 2 < n)
                        v |= (unsigned char) value[i + 2];
                for (size_t k = 0; k < MIN(n - i, (size_t) 3) + 1; k++)
                        string_builder_append_n(b, digits + (v >> (18 - 6 * k) & 63), 1);
        }
}

static const form_t forms[] = {
        form_plain,
        form_quoted,
        form_json_html,
        form_json_slash,
        form_dollar,
        form_single_quoted,
        form_escaped_quote,
        form_url_upper,
        form_url_lower,
        form_base64,
};

static int replace_all(char **text, const char *needle) {
        _cleanup_string_builder_ StringBuilder b = {};
        const char *p = *text, *hit;
        char *result;
        int r;

        hit = strstr(p, needle);
        if (!hit)
                return 0;

        for (; hit; hit = strstr(p, needle)) {
                string_builder_append_n(&b, p, (size_t) (hit - p));
                string_builder_append(&b, REDACT_MARK);
                p = hit + strlen(needle);
        }
        string_builder_append(&b, p);

        r = string_builder_finish(&b, &result, NULL);
        if (r < 0)
                return r;

        (void) erase_and_free(*text);
        *text = result;
        return 0;
}

static int redact_form(char **text, const char *value, form_t form) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_erase_ char *needle = NULL;
        int r;

        form(&b, value);
        r = string_builder_finish(&b, &needle, NULL);
        if (r < 0)
                return r;

        return replace_all(text, needle);
}

static int compare_longest_first(const void *a, const void *b) {
        size_t n = strlen(*(char *const *) a), k = strlen(*(char *const *) b);

        return n < k ? 1 : n > k ? -1 : 0;
}

int redact(const char *text, char *const *values, char **ret) {
        _cleanup_erase_ char *result = NULL;
        _cleanup_free_ const char **sorted = NULL;
        size_t n = strv_length(values);
        int r;

        result = strdup(text);
        sorted = new0(const char *, n);
        if (!result || !sorted)
                return -ENOMEM;

        /* A value that is part of another one must not cut that in pieces. */
        for (size_t i = 0; i < n; i++)
                sorted[i] = values[i];
        qsort(sorted, n, sizeof(char *), compare_longest_first);

        for (size_t i = 0; i < n; i++) {
                if (strlen(sorted[i]) < REDACT_LENGTH_MIN)
                        continue;
                for (size_t k = 0; k < ELEMENTSOF(forms); k++) {
                        r = redact_form(&result, sorted[i], forms[k]);
                        if (r < 0)
                                return r;
                }
        }

        *ret = TAKE_PTR(result);
        return 0;
}
