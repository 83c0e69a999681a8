/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any text as a .env file; and any text as a value in one, which must be read back as it was. */

#include <stdlib.h>

#include "dotenv.h"
#include "fuzz.h"
#include "string-util.h"
#include "template.h"

#define SOURCE "A={{x}}\nB=\"{{x}}\"\n"

static void check_value(const uint8_t *data, size_t size) {
        static const TemplateOptions o = { .format = TEMPLATE_DOTENV };
        static const char *const keys[] = { "A", "B", "C" };

        /* With and without the single quotes, which can't hold every value. */
        for (size_t n_keys = 2; n_keys <= 3; n_keys++) {
                _cleanup_json_ json_t *context = json_object(), *read = NULL;
                _cleanup_template_ Template *t = NULL;
                size_t n, end = n_keys == 3 ? STRLEN(SOURCE "C='{{x}}'\n") : STRLEN(SOURCE);
                char *text = NULL;

                if (!context ||
                                json_object_set_new(context, "x", json_stringn((const char *) data, size)) <
                                                0)
                        return;
                if (template_parse("t", SOURCE "C='{{x}}'\n", end, &o, &t, NULL) < 0)
                        abort();
                if (template_render_verified(t, context, NULL, &text, &n, NULL) < 0)
                        continue;
                if (dotenv_load(text, n, &read, NULL) < 0 || json_object_size(read) != n_keys)
                        abort();
                for (size_t i = 0; i < n_keys; i++)
                        if (!json_equal(json_object_get(read, keys[i]), json_object_get(context, "x")))
                                abort();
                free(text);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_json_ json_t *variables = NULL;
        _cleanup_error_ Error e = {};

        if (dotenv_load((const char *) data, size, &variables, &e) < 0 && !error_is_set(&e))
                abort();
        check_value(data, size);
        return 0;
}
