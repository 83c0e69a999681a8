/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the tests of the template layer share: rendering a text over a context given as JSON. */

#include "json-util.h"
#include "string-util.h"
#include "template.h"
#include "test.h"

static inline json_t *test_json(const char *text) {
        json_t *j = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

        ck_assert_msg(j, "not JSON: %s", text);
        return j;
}

/* Parses and renders; 0 or the errno, with the message in *e. */
static inline int test_render(const TemplateOptions *o, const TemplateEnvironment *env, const char *text,
                const json_t *context, bool verified, char **ret, size_t *ret_size, Error *e) {
        _cleanup_template_ Template *t = NULL;
        int r;

        r = template_parse("t", text, strlen(text), o, &t, e);
        if (r < 0)
                return r;
        return (verified ? template_render_verified : template_render)(t, context, env, ret, ret_size, e);
}

static inline void test_renders(const TemplateOptions *o, const TemplateEnvironment *env, const char *text,
                const char *context, const char *expected) {
        _cleanup_json_ json_t *j = test_json(context);
        _cleanup_error_ Error e = {};
        char *s = NULL;
        int r;

        r = test_render(o, env, text, j, /* verified= */ true, &s, NULL, &e);
        ck_assert_msg(r >= 0, "%s over %s: %s", text, context, e.message);
        ck_assert_msg(streq(s, expected), "%s over %s\ngives    %s\ninstead  %s", text, context, s,
                        expected);
        free(s);
}

/* The rendering fails, and what it says has this part. */
static inline void test_fails(const TemplateOptions *o, const TemplateEnvironment *env, const char *text,
                const char *context, const char *part) {
        _cleanup_json_ json_t *j = test_json(context);
        _cleanup_error_ Error e = {};
        char *s = NULL;
        int r;

        r = test_render(o, env, text, j, /* verified= */ true, &s, NULL, &e);
        ck_assert_msg(r < 0, "%s over %s gives %s instead of an error", text, context, s);
        ck_assert(error_is_set(&e));
        ck_assert_msg(strstr(e.message, part), "%s over %s: '%s' does not say '%s'", text, context,
                        e.message, part);
}
