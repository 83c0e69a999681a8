/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "s3-xml.h"

#include <stdlib.h>

#define SPACE " \t\r\n"
#define DECLARATION "<?xml"
#define CDATA "<![CDATA["
#define CDATA_END "]]>"
#define BYTE_ORDER_MARK "\xEF\xBB\xBF"
#define REFERENCE_MAX 10U
#define CODE_POINT_MAX 0x10FFFFU

static bool is_space(char c) {
        return IN_SET(c, ' ', '\t', '\r', '\n');
}

static bool is_name_char(char c, bool first) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || IN_SET(c, '_', ':') ||
                        (!first && ((c >= '0' && c <= '9') || IN_SET(c, '-', '.')));
}

static bool looking_at(const S3XmlReader *x, const char *s) {
        size_t n = strlen(s);

        return (size_t) (x->end - x->at) >= n && memcmp(x->at, s, n) == 0;
}

static bool skip(S3XmlReader *x, const char *s) {
        if (!looking_at(x, s))
                return false;
        x->at += strlen(s);
        return true;
}

/* True if there was any. */
static bool skip_space(S3XmlReader *x) {
        const char *from = x->at;

        while (x->at < x->end && is_space(*x->at))
                x->at++;
        return x->at > from;
}

static size_t read_name(S3XmlReader *x, const char **ret) {
        const char *from = x->at;

        while (x->at < x->end && is_name_char(*x->at, x->at == from))
                x->at++;
        *ret = from;
        return (size_t) (x->at - from);
}

/* --- attributes, of which none matters --- */

static int skip_attribute(S3XmlReader *x) {
        const char *name;
        char quote;

        if (read_name(x, &name) == 0)
                return -EBADMSG;
        (void) skip_space(x);
        if (!skip(x, "="))
                return -EBADMSG;
        (void) skip_space(x);
        if (x->at == x->end || !IN_SET(*x->at, '"', '\''))
                return -EBADMSG;

        quote = *x->at++;
        while (x->at < x->end && !IN_SET(*x->at, quote, '<'))
                x->at++;
        if (x->at == x->end || *x->at != quote)
                return -EBADMSG;
        x->at++;
        return 0;
}

/* Up to what ends the tag. */
static int skip_attributes(S3XmlReader *x, const char *end) {
        for (;;) {
                bool spaced = skip_space(x);
                int r;

                if (looking_at(x, end) || looking_at(x, ">") || !spaced)
                        return 0;
                r = skip_attribute(x);
                if (r < 0)
                        return r;
        }
}

/* --- the beginning --- */

int s3_xml_init(S3XmlReader *x, const char *data, size_t size) {
        *x = (S3XmlReader) { .at = data, .end = data + size };

        if (!utf8_is_valid(data, size))
                return -EBADMSG;
        for (size_t i = 0; i < size; i++)
                if ((unsigned char) data[i] < ' ' && !is_space(data[i]))
                        return -EBADMSG;
        return 0;
}

void s3_xml_done(S3XmlReader *x) {
        string_builder_done(&x->text);
}

static int read_prolog(S3XmlReader *x) {
        int r;

        x->begun = true;
        (void) skip(x, BYTE_ORDER_MARK);
        /* A storage that takes its time sends space so that the connection stays. */
        (void) skip_space(x);
        if (skip(x, DECLARATION)) {
                r = skip_attributes(x, "?>");
                if (r < 0)
                        return r;
                if (!skip(x, "?>"))
                        return -EBADMSG;
                (void) skip_space(x);
        }

        return looking_at(x, "<") ? 0 : -EBADMSG;
}

/* --- text --- */

static size_t encode_utf8(uint32_t c, char ret[static 4]) {
        if (c < 0x80) {
                ret[0] = (char) c;
                return 1;
        }
        if (c < 0x800) {
                ret[0] = (char) (0xC0 | c >> 6);
                ret[1] = (char) (0x80 | (c & 0x3F));
                return 2;
        }
        if (c < 0x10000) {
                ret[0] = (char) (0xE0 | c >> 12);
                ret[1] = (char) (0x80 | (c >> 6 & 0x3F));
                ret[2] = (char) (0x80 | (c & 0x3F));
                return 3;
        }

        ret[0] = (char) (0xF0 | c >> 18);
        ret[1] = (char) (0x80 | (c >> 12 & 0x3F));
        ret[2] = (char) (0x80 | (c >> 6 & 0x3F));
        ret[3] = (char) (0x80 | (c & 0x3F));
        return 4;
}

/* Of "#38" or "#x26". Control characters are let pass, though XML 1.0 has none of them: names of objects may hold them,
 * and this is how they are listed. */
static int append_character(StringBuilder *b, const char *s) {
        bool hex = s[1] == 'x';
        const char *digits = s + (hex ? 2 : 1);
        char utf8[4], *end;
        unsigned long c;

        /* strtoul() would take space and signs too. */
        if (digits[strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789")] != 0 || *digits == 0)
                return -EBADMSG;
        c = strtoul(digits, &end, hex ? 16 : 10);
        if (c == 0 || c > CODE_POINT_MAX || (c >= 0xD800 && c <= 0xDFFF))
                return -EBADMSG;

        string_builder_append_n(b, utf8, encode_utf8((uint32_t) c, utf8));
        return 0;
}

static int read_reference(S3XmlReader *x) {
        static const struct {
                const char *name, *text;
        } entities[] = {
                { "amp", "&" },
                { "lt", "<" },
                { "gt", ">" },
                { "quot", "\"" },
                { "apos", "'" },
        };
        char name[REFERENCE_MAX + 1] = "";
        size_t n = 0;

        x->at++;
        while (x->at < x->end && *x->at != ';' && n < REFERENCE_MAX)
                name[n++] = *x->at++;
        if (!skip(x, ";"))
                return -EBADMSG;

        if (name[0] == '#')
                return append_character(&x->text, name);
        FOREACH_ARRAY(e, entities, ELEMENTSOF(entities))
                if (streq(e->name, name)) {
                        string_builder_append(&x->text, e->text);
                        return 0;
                }
        return -EBADMSG;
}

static bool is_blank(const S3XmlReader *x) {
        for (size_t i = 0; i < x->text.size; i++)
                if (!is_space(x->text.data[i]))
                        return false;
        return true;
}

static int read_cdata(S3XmlReader *x) {
        const char *from = x->at + STRLEN(CDATA), *end;

        end = memmem(from, (size_t) (x->end - from), CDATA_END, STRLEN(CDATA_END));
        if (!end)
                return -EBADMSG;
        string_builder_append_n(&x->text, from, (size_t) (end - from));
        x->at = end + STRLEN(CDATA_END);
        return 0;
}

/* Up to the next tag. */
static int read_text(S3XmlReader *x) {
        while (x->at < x->end && (*x->at != '<' || looking_at(x, CDATA))) {
                const char *from = x->at;
                int r = 0;

                if (*x->at == '<')
                        r = read_cdata(x);
                else if (*x->at == '&')
                        r = read_reference(x);
                else {
                        while (x->at < x->end && !IN_SET(*x->at, '<', '&'))
                                x->at++;
                        string_builder_append_n(&x->text, from, (size_t) (x->at - from));
                }
                if (r < 0)
                        return r;
                if (x->text.size > S3_XML_TEXT_MAX)
                        return -EBADMSG;
        }

        /* Beside elements there is only space. */
        return x->has_children && !is_blank(x) ? -EBADMSG : 0;
}

static void forget_text(S3XmlReader *x) {
        x->text.size = 0;
        string_builder_append_n(&x->text, NULL, 0);
}

/* --- tags --- */

static char *innermost(S3XmlReader *x) {
        char *slash = strrchr(x->path, '/');

        return slash ? slash + 1 : x->path;
}

static int push(S3XmlReader *x, const char *name, size_t size) {
        size_t n = strlen(x->path);

        if (size == 0 || x->depth >= S3_XML_DEPTH_MAX || n + 1 + size >= sizeof(x->path))
                return -EBADMSG;

        if (x->depth++ > 0)
                x->path[n++] = '/';
        memcpy(x->path + n, name, size);
        x->path[n + size] = 0;
        return 0;
}

static void pop(S3XmlReader *x) {
        char *name = innermost(x);

        x->depth--;
        name[name > x->path ? -1 : 0] = 0;
        forget_text(x);
        x->has_children = true;
        x->pop = false;
}

static int read_open(S3XmlReader *x) {
        const char *name;
        size_t size;
        int r;

        if (x->depth > 0 && !is_blank(x))
                return -EBADMSG;

        x->at++;
        size = read_name(x, &name);
        r = push(x, name, size);
        if (r < 0)
                return r;
        r = skip_attributes(x, "/>");
        if (r < 0)
                return r;

        forget_text(x);
        x->has_children = false;
        x->self_closed = skip(x, "/>");
        if (!x->self_closed && !skip(x, ">"))
                return -EBADMSG;
        return S3_XML_OPEN;
}

static int read_close(S3XmlReader *x) {
        const char *name, *open = innermost(x);
        size_t size;

        x->at += STRLEN("</");
        size = read_name(x, &name);
        if (strlen(open) != size || memcmp(open, name, size) != 0)
                return -EBADMSG;
        (void) skip_space(x);
        if (!skip(x, ">"))
                return -EBADMSG;

        x->pop = true;
        return S3_XML_CLOSE;
}

int s3_xml_next(S3XmlReader *x) {
        int r;

        if (!x->begun) {
                r = read_prolog(x);
                return r < 0 ? r : read_open(x);
        }
        if (x->self_closed) {
                x->self_closed = false;
                x->pop = true;
                return S3_XML_CLOSE;
        }
        if (x->pop)
                pop(x);
        if (x->depth == 0) {
                (void) skip_space(x);
                return x->at == x->end ? S3_XML_END : -EBADMSG;
        }

        r = read_text(x);
        if (r < 0)
                return r;
        if (x->text.failed)
                return -ENOMEM;
        return looking_at(x, "</") ? read_close(x) : looking_at(x, "<") ? read_open(x) : -EBADMSG;
}

const char *s3_xml_text(const S3XmlReader *x) {
        return x->has_children ? NULL : strempty(x->text.data);
}
