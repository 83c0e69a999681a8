/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A byte for format and options, a template, NUL, a context in JSON. What is rendered with the proof must be
 * the same without it and when it is rendered again; what fails says why. */

#include <stdlib.h>

#include "fuzz.h"
#include "string-util.h"
#include "template.h"

#define OPTION_STRICT 0x08U
#define OPTION_COMPOSE 0x10U
#define OPTION_RAW 0x20U
#define OPTION_COMPAT 0x40U

static int find_self(const char *name, void *userdata, const Template **ret, _unused_ Error *reterr) {
        if (!streq(name, "self"))
                return 0;

        *ret = userdata;
        return 1;
}

static bool allow(const char *path, _unused_ void *userdata) {
        return path[0] != 's';
}

static void check_same(const Template *t, const json_t *context, const TemplateEnvironment *env,
                const char *text, size_t size) {
        for (int i = 0; i < 2; i++) {
                _cleanup_error_ Error e = {};
                char *again = NULL;
                size_t n;

                if (template_render(t, context, env, &again, &n, &e) < 0 || n != size ||
                                memcmp(again, text, size) != 0)
                        abort();
                free(again);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        TemplateEnvironment env = { .find_partial = find_self, .context_id = template_make_context_id() };
        _cleanup_error_ Error e = {}, f = {};
        _cleanup_template_ Template *t = NULL;
        _cleanup_json_ json_t *context = NULL;
        TemplateOptions o = {};
        const uint8_t *end;
        char *text = NULL;
        size_t n;

        if (size < 2)
                return 0;
        o.format = (TemplateFormat) ((data[0] & 7U) % _TEMPLATE_FORMAT_MAX);
        o.compose_interpolation = data[0] & OPTION_COMPOSE;
        o.compat = data[0] & OPTION_COMPAT;
        env.strict = data[0] & OPTION_STRICT;
        env.raw_allowed = data[0] & OPTION_RAW ? allow : NULL;
        data++;
        size--;

        end = memchr(data, 0, size) ?: data + size;
        if (end < data + size)
                context = json_loadb((const char *) end + 1, size - (size_t) (end - data) - 1,
                                JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        if (template_parse("t", (const char *) data, (size_t) (end - data), &o, &t, &e) < 0) {
                if (!error_is_set(&e))
                        abort();
                return 0;
        }

        env.userdata = t;
        if (template_render_verified(t, context, &env, &text, &n, &f) < 0) {
                if (!error_is_set(&f))
                        abort();
                return 0;
        }
        check_same(t, context, &env, text, n);
        free(text);
        return 0;
}
