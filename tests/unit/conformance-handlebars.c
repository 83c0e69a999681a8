/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs the cases of handlebars.js' own specification, as data (JSON files: template, data, partials,
 * compileOptions, expected or exception), through the template engine. The folder is $CCP_HANDLEBARS_SPEC or
 * the argument; without it the test is skipped. A case that needs JavaScript is left out, and said so; what
 * needs it is told from the case's own data. */

#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "string-util.h"
#include "template.h"

#define EXIT_SKIPPED 77
#define PARTIALS_MAX 16U

static unsigned n_passed, n_failed, n_left_out;

typedef struct Partials {
        const char *names[PARTIALS_MAX];
        Template *templates[PARTIALS_MAX];
        size_t n;
} Partials;

static void partials_done(Partials *p) {
        for (size_t i = 0; i < p->n; i++)
                template_free(p->templates[i]);
}

static int find_partial(const char *name, void *userdata, const Template **ret, _unused_ Error *reterr) {
        const Partials *p = userdata;

        for (size_t i = 0; i < p->n; i++)
                if (streq(p->names[i], name)) {
                        *ret = p->templates[i];
                        return 1;
                }
        return 0;
}

/* Is this value, or any inside it, marked with the key? */
static bool has_mark(const json_t *j, const char *mark) {
        const char *key;
        json_t *value;
        size_t i;

        if (json_object_get(j, mark))
                return true;
        if (json_is_object(j)) {
                json_object_foreach((json_t *) j, key, value)
                        if (has_mark(value, mark))
                                return true;
        } else
                json_array_foreach(j, i, value)
                        if (has_mark(value, mark))
                                return true;
        return false;
}

static bool is_word(char c) {
        return c == '_' || c == '-' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

/* Does a template say this name? */
static bool says(const char *text, const char *name) {
        size_t n = strlen(name);

        for (const char *p = text; p && (p = strstr(p, name)); p++)
                if ((p == text || !is_word(p[-1])) && !is_word(p[n]))
                        return true;
        return false;
}

static bool case_says(const json_t *c, const char *name) {
        const char *key;
        json_t *value;

        if (says(json_object_get_string(c, "template"), name))
                return true;
        json_object_foreach(json_object_get(c, "partials"), key, value)
                if (says(json_string_value(value), name))
                        return true;
        return false;
}

/* Why a case can't be run without JavaScript; NULL if it can. */
static const char *reason_to_leave_out(const json_t *c) {
        const char *key;
        json_t *value;

        json_object_foreach(json_object_get(c, "helpers"), key, value)
                if (has_mark(value, "!code") && case_says(c, key))
                        return "a helper that it calls is JavaScript code";
        json_object_foreach(json_object_get(c, "decorators"), key, value)
                if (has_mark(value, "!code") && case_says(c, key))
                        return "a decorator that it uses is JavaScript code";
        json_object_foreach(json_object_get(c, "partials"), key, value)
                if (has_mark(value, "!code") && case_says(c, key))
                        return "a partial that it uses is JavaScript code";
        if (has_mark(json_object_get(c, "data"), "!code"))
                return "its data has JavaScript code";
        if (has_mark(json_object_get(c, "runtimeOptions"), "!code"))
                return "its options have JavaScript code";
        if (has_mark(json_object_get(c, "data"), "!sparsearray"))
                return "its data is an array with holes, which JSON does not have";
        return NULL;
}

static int render_case(const json_t *c, char **ret, Error *reterr) {
        static const struct {
                const char *name;
                size_t offset;
        } options[] = {
                { "ignoreStandalone", offsetof(TemplateOptions, ignore_standalone) },
                { "preventIndent", offsetof(TemplateOptions, prevent_indent) },
                { "explicitPartialContext", offsetof(TemplateOptions, explicit_partial_context) },
                { "compat", offsetof(TemplateOptions, compat) },
                { "assumeObjects", offsetof(TemplateOptions, assume_objects) },
        };
        const json_t *compile = json_object_get(c, "compileOptions"),
                     *data = json_object_get(json_object_get(c, "runtimeOptions"), "data");
        _cleanup_(partials_done) Partials partials = {};
        _cleanup_template_ Template *t = NULL;
        TemplateOptions o = {
                .format = json_is_true(json_object_get(compile, "noEscape")) ? TEMPLATE_TEXT : TEMPLATE_HTML,
        };
        TemplateEnvironment env = {
                .strict = json_is_true(json_object_get(compile, "strict")),
                .data = json_is_object(data) ? data : NULL,
                .find_partial = find_partial,
                .userdata = &partials,
        };
        const char *key, *text = json_object_get_string(c, "template");
        json_t *value;
        int r;

        FOREACH_ARRAY(i, options, ELEMENTSOF(options))
                *(bool *) ((char *) &o + i->offset) = json_is_true(json_object_get(compile, i->name));

        json_object_foreach(json_object_get(c, "partials"), key, value) {
                if (!json_is_string(value) || partials.n >= PARTIALS_MAX)
                        continue;
                r = template_parse(key, json_string_value(value), json_string_length(value), &o,
                                &partials.templates[partials.n], reterr);
                if (r < 0)
                        return r;
                partials.names[partials.n++] = key;
        }

        r = template_parse("template", text, strlen(text), &o, &t, reterr);
        if (r < 0)
                return r;
        return template_render(t, json_object_get(c, "data"), &env, ret, NULL, reterr);
}

static void run_case(const char *file, const json_t *c) {
        const char *expected = json_object_get_string(c, "expected"), *why = reason_to_leave_out(c),
                   *what = strempty(json_object_get_string(c, "it"));
        _cleanup_error_ Error e = {};
        _cleanup_free_ char *text = NULL;
        int r;

        if (why) {
                n_left_out++;
                printf("left out: %s: %s: %s\n", file, what, why);
                return;
        }

        r = render_case(c, &text, &e);
        if (expected ? r >= 0 && streq(text, expected) : r < 0) {
                n_passed++;
                return;
        }

        n_failed++;
        printf("FAILED: %s: %s\n  template: %s\n  expected: %s\n  got:      %s\n", file, what,
                        json_object_get_string(c, "template"), expected ?: "(an error)",
                        r < 0 ? e.message : text);
}

static int is_json(const struct dirent *d) {
        return endswith(d->d_name, ".json") != NULL;
}

static bool run_file(const char *folder, const char *name) {
        _cleanup_free_ char *path = strjoin(folder, "/", name);
        _cleanup_json_ json_t *cases = NULL;
        json_error_t e;
        json_t *c;
        size_t i;

        cases = path ? json_load_file(path, 0, &e) : NULL;
        if (!json_is_array(cases)) {
                printf("FAILED: %s can't be read\n", name);
                return false;
        }

        json_array_foreach(cases, i, c)
                run_case(name, c);
        return true;
}

int main(int argc, char *argv[]) {
        const char *folder = getenv("CCP_HANDLEBARS_SPEC") ?: (argc > 1 ? argv[1] : NULL);
        struct dirent **names;
        bool ok = true;
        int n;

        n = folder ? scandir(folder, &names, is_json, alphasort) : -1;
        if (n <= 0) {
                printf("There are no cases: set CCP_HANDLEBARS_SPEC to their folder.\n");
                return EXIT_SKIPPED;
        }

        for (int i = 0; i < n; i++) {
                ok = run_file(folder, names[i]->d_name) && ok;
                free(names[i]);
        }
        free(names);

        printf("%u passed, %u failed, %u left out\n", n_passed, n_failed, n_left_out);
        return ok && n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
