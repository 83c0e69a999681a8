/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Handlebars templates for configuration files. A template is parsed once and rendered over a JSON context;
 * every value is escaped for the format of the target and the place where it stands, and one that can't be
 * written safely there is an error. template_render_verified() also reads the result back. */

#include "error.h"
#include "escape.h"
#include "json-util.h"

#define TEMPLATE_SOURCE_MAX (1024U * 1024U)
#define TEMPLATE_OUTPUT_MAX (4U * 1024U * 1024U)

typedef struct Template Template;

typedef struct TemplateOptions {
        TemplateFormat format;
        bool compose_interpolation; /* YAML of a compose file: $ in a value is written as $$ */

        /* As the options of handlebars.js with these names. */
        bool ignore_standalone;
        bool prevent_indent;
        bool explicit_partial_context;
        bool compat;
        bool assume_objects;
} TemplateOptions;

typedef struct TemplateEnvironment {
        /* A path that does not exist is an error. As in handlebars.js this is about values that are written
         * and blocks over a path, not about arguments of helpers: {{#if a.b}} may ask for a missing b. */
        bool strict;

        /* Values of @name, an object; NULL: only what blocks define, and @root. */
        const json_t *data;

        /* The template of {{> name}}: 1 and a borrowed template, 0 if there is none, or a negative errno
         * (with reterr set). NULL: there are no partials but inline ones. */
        int (*find_partial)(const char *name, void *userdata, const Template **ret, Error *reterr);

        /* May the value at this path of the context ("parameters.extra", "list.0.text") be written by {{{ }}}
         * as it is? NULL: none may. */
        bool (*raw_allowed)(const char *path, void *userdata);

        void *userdata;

        /* Not 0: each rendering with this number is over the same context, which has not changed meanwhile and
         * still exists, with the same options. What was looked up in it is remembered then. */
        uint64_t context_id;
} TemplateEnvironment;

/* A number for 'context_id' that was not in use before. */
uint64_t template_make_context_id(void);

/* Parses a template. 'name' is what errors begin with: NAME:LINE:COLUMN. The source is copied. Errors:
 * BlueprintInvalid, LimitExceeded. */
int template_parse(const char *name, const char *source, size_t size, const TemplateOptions *options,
                Template **ret, Error *reterr);
Template *template_free(Template *t);
DEFINE_CLEANUP_FUNC(Template *, template_free);
#define _cleanup_template_ _cleanup_(template_freep)

/* Renders over a context (any JSON value; NULL is one that is undefined). 'env' may be NULL. The result ends
 * with a NUL beyond ret_size; it may hold secrets, so wipe it. Errors: RenderFailed (the text names
 * template, line, column and path, never a value), LimitExceeded. Not for several threads at once. */
int template_render(const Template *t, const json_t *context, const TemplateEnvironment *env, char **ret,
                size_t *ret_size, Error *reterr);

/* The same, and proves the result: YAML, JSON and dotenv are parsed back, and every value must be found where
 * it was put, as exactly that text, in a document of the same shape. */
int template_render_verified(const Template *t, const json_t *context, const TemplateEnvironment *env,
                char **ret, size_t *ret_size, Error *reterr);
