/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "json-write.h"

static uint32_t decode(const unsigned char *s, size_t n) {
        uint32_t c;

        if (n == 1)
                return s[0];

        /* The first byte has n ones and a zero, then bits; the others have six bits each. */
        c = s[0] & (0x7FU >> n);
        for (size_t i = 1; i < n; i++)
                c = c << 6 | (s[i] & 0x3FU);
        return c;
}

static void append_character(StringBuilder *b, uint32_t c) {
        if (c == '"' || c == '\\')
                string_builder_appendf(b, "\\%c", (char) c);
        else if (c >= ' ' && c < 0x7F)
                string_builder_append_n(b, (const char[]) { (char) c }, 1);
        else if (c > 0xFFFF)
                string_builder_appendf(b, "\\u%04x\\u%04x", (unsigned) (0xD800 + ((c - 0x10000) >> 10)),
                                (unsigned) (0xDC00 + ((c - 0x10000) & 0x3FF)));
        else
                string_builder_appendf(b, "\\u%04x", (unsigned) c);
}

void json_append_string(StringBuilder *b, const char *s) {
        size_t size = strlen(s);

        string_builder_append(b, "\"");
        for (size_t i = 0, n; i < size; i += MAX(n, (size_t) 1)) {
                n = utf8_sequence_length((const unsigned char *) s + i, size - i);
                append_character(b, n > 0 ? decode((const unsigned char *) s + i, n) : '?');
        }
        string_builder_append(b, "\"");
}
