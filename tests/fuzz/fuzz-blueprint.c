/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* blueprint.yaml from anybody: whatever is accepted can be used, and whatever is refused has a sentence. */

#include <stdlib.h>

#include "blueprint.h"
#include "context.h"
#include "fuzz.h"
#include "parameters.h"
#include "string-util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_strv_free_ char **problems = NULL;
        _cleanup_blueprint_ Blueprint *b = NULL;
        _cleanup_json_ json_t *context = NULL, *parameters = NULL;
        _cleanup_error_ Error e = {};
        int r;

        r = blueprint_parse("f", (const char *) data, size, &b, &problems, &e);
        if (r < 0) {
                if (!problems || !error_is_set(&e) || !string_is_safe(e.message))
                        abort();
                STRV_FOREACH(p, problems)
                        if (!string_is_safe(*p))
                                abort();
                return 0;
        }

        if (problems || !b->name || !b->title || !b->version || !b->compose || !b->engine)
                abort();
        FOREACH_ARRAY(p, b->parameters, b->n_parameters)
                if (!p->name || p->required == !!p->fallback)
                        abort();
        FOREACH_ARRAY(f, b->files, b->n_files)
                if (!f->source || !f->target || f->mode == 0)
                        abort();

        /* Defaults obey the rules, so that only required parameters can be missing. */
        r = parameters_resolve(b, NULL, false, &parameters, NULL);
        FOREACH_ARRAY(p, b->parameters, b->n_parameters)
                if (p->required)
                        r = 0;
        if (r < 0 || context_make_sample(b, NULL, &context) < 0)
                abort();

        return 0;
}
