/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "template.h"

#include <stdio.h>
#include <sys/random.h>

#include "alloc-util.h"
#include "parser.h"
#include "render.h"
#include "string-util.h"
#include "verify.h"

Template *template_free(Template *t) {
        if (!t)
                return NULL;

        arena_done(&t->arena);
        free(t->name);
        free(t->source);
        return mfree(t);
}

int template_parse(const char *name, const char *source, size_t size, const TemplateOptions *options,
                Template **ret, Error *reterr) {
        _cleanup_template_ Template *t = NULL;
        int r;

        if (size > TEMPLATE_SOURCE_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED, "%s: a template has at most %u bytes",
                                name, TEMPLATE_SOURCE_MAX);
        if (size > 0 && (memchr(source, 0, size) || !utf8_is_valid(source, size)))
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID, "%s: a template must be UTF-8 text",
                                name);

        t = new0(Template, 1);
        if (!t)
                return -ENOMEM;
        t->options = *options;
        t->name = strdup(name);
        t->source = malloc(size + 1);
        if (!t->name || !t->source)
                return -ENOMEM;
        if (size > 0)
                memcpy(t->source, source, size);
        t->source[size] = 0;
        t->source_size = size;

        r = template_parse_source(t, reterr);
        if (r < 0)
                return r;
        program_strip_whitespace(t->program, t->options.ignore_standalone);

        *ret = TAKE_PTR(t);
        return 0;
}

uint64_t template_make_context_id(void) {
        static uint64_t last;

        return ++last;
}

int template_render(const Template *t, const json_t *context, const TemplateEnvironment *env, char **ret,
                size_t *ret_size, Error *reterr) {
        return render(t, context, env, NULL, ret, ret_size, reterr);
}

/* A text that no value holds but by a guess of 64 bits. */
static int make_token(Trace *trace) {
        uint64_t random;

        if (getrandom(&random, sizeof(random), 0) != (ssize_t) sizeof(random))
                return -errno;

        (void) snprintf(trace->token, sizeof(trace->token), "ccpx%016llx", (unsigned long long) random);
        return 0;
}

typedef struct Rendered {
        char *text;
        size_t size;
} Rendered;

static void rendered_done(Rendered *r) {
        if (r->text)
                explicit_bzero(r->text, r->size);
        free(r->text);
}

int template_render_verified(const Template *t, const json_t *context, const TemplateEnvironment *env,
                char **ret, size_t *ret_size, Error *reterr) {
        static int (*const checks[_TEMPLATE_FORMAT_MAX])(const Template *, const Trace *, const char *,
                        size_t, const char *, size_t, Error *) = {
                [TEMPLATE_YAML] = verify_yaml,
                [TEMPLATE_JSON] = verify_json,
                [TEMPLATE_DOTENV] = verify_dotenv,
        };
        _cleanup_(rendered_done) Rendered actual = {}, marked = {};
        _cleanup_(trace_done) Trace trace = {};
        int r;

        if (!checks[t->options.format])
                return template_render(t, context, env, ret, ret_size, reterr);

        r = make_token(&trace);
        if (r < 0)
                return r;
        r = render(t, context, env, &trace, &actual.text, &actual.size, reterr);
        if (r < 0)
                return r;
        trace.markers = true;
        r = render(t, context, env, &trace, &marked.text, &marked.size, reterr);
        if (r < 0)
                return r;
        if (trace.n_markers != trace.n_values)
                return verify_fail(t, NULL, "rendering it twice gives different results", reterr);

        r = checks[t->options.format](t, &trace, actual.text, actual.size, marked.text, marked.size, reterr);
        if (r < 0)
                return r;

        if (ret_size)
                *ret_size = actual.size;
        *ret = TAKE_PTR(actual.text);
        return 0;
}
