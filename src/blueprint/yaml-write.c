/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "yaml-write.h"

#include <errno.h>
#include <stdio.h>
#include <yaml.h>

#include "alloc-util.h"
#include "string-util.h"

typedef struct Writer {
        yaml_emitter_t emitter;
        StringBuilder text;
} Writer;

static int write_text(void *userdata, unsigned char *buffer, size_t size) {
        Writer *w = userdata;

        string_builder_append_n(&w->text, (const char *) buffer, size);
        return !w->text.failed;
}

static void writer_done(Writer *w) {
        yaml_emitter_delete(&w->emitter);
        string_builder_done(&w->text);
}

/* Hands an event that was initialized to the emitter, which frees it. */
static int emit(Writer *w, int initialized, yaml_event_t *event) {
        return initialized && yaml_emitter_emit(&w->emitter, event) ? 0 : -ENOMEM;
}

static int write_scalar(Writer *w, const char *s, size_t n, bool plain) {
        yaml_event_t event;

        return emit(w,
                        yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *) s, (int) n,
                                        true, true,
                                        plain ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE),
                        &event);
}

static int write_number(Writer *w, const json_t *value) {
        char number[64];
        int n;

        if (json_is_integer(value))
                n = snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else
                n = snprintf(number, sizeof(number), "%.10g", json_real_value(value));

        return write_scalar(w, number, (size_t) n, true);
}

/* True if the key may stand without quotes: no reader of YAML takes it for anything but text. */
static bool key_is_plain(const char *s) {
        static const char *const words[] = { "y", "n", "yes", "no", "on", "off", "true", "false", "null" };

        FOREACH_ARRAY(word, words, ELEMENTSOF(words))
                if (strcasecmp(*word, s) == 0)
                        return false;

        return ((s[0] >= 'a' && s[0] <= 'z') || (s[0] >= 'A' && s[0] <= 'Z')) &&
                        s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")] ==
                        0;
}

static int write_value(Writer *w, const json_t *value);

static int write_object(Writer *w, const json_t *value) {
        yaml_event_t event;
        const char *key;
        json_t *item;
        int r;

        r = emit(w, yaml_mapping_start_event_initialize(&event, NULL, NULL, true, YAML_BLOCK_MAPPING_STYLE),
                        &event);
        if (r < 0)
                return r;

        json_object_foreach((json_t *) value, key, item) {
                r = write_scalar(w, key, strlen(key), key_is_plain(key));
                if (r < 0)
                        return r;

                r = write_value(w, item);
                if (r < 0)
                        return r;
        }

        return emit(w, yaml_mapping_end_event_initialize(&event), &event);
}

static int write_array(Writer *w, const json_t *value) {
        yaml_event_t event;
        json_t *item;
        size_t i;
        int r;

        r = emit(w,
                        yaml_sequence_start_event_initialize(
                                        &event, NULL, NULL, true, YAML_BLOCK_SEQUENCE_STYLE),
                        &event);
        if (r < 0)
                return r;

        json_array_foreach(value, i, item) {
                r = write_value(w, item);
                if (r < 0)
                        return r;
        }

        return emit(w, yaml_sequence_end_event_initialize(&event), &event);
}

static int write_value(Writer *w, const json_t *value) {
        switch (json_typeof(value)) {
        case JSON_OBJECT:
                return write_object(w, value);
        case JSON_ARRAY:
                return write_array(w, value);
        case JSON_STRING:
                return write_scalar(w, json_string_value(value), json_string_length(value), false);
        case JSON_INTEGER:
        case JSON_REAL:
                return write_number(w, value);
        case JSON_TRUE:
                return write_scalar(w, "true", STRLEN("true"), true);
        case JSON_FALSE:
                return write_scalar(w, "false", STRLEN("false"), true);
        case JSON_NULL:
                return write_scalar(w, "null", STRLEN("null"), true);
        }

        return -EINVAL;
}

int yaml_from_json(const json_t *value, const char *comment, char **ret) {
        _cleanup_(writer_done) Writer w = {};
        yaml_event_t event;
        int r;

        if (!json_is_object(value))
                return -EINVAL;

        for (const char *line = comment; !isempty(line);) {
                size_t n = strcspn(line, "\n");

                string_builder_appendf(&w.text, "# %.*s\n", (int) n, line);
                line += n + (line[n] == '\n');
        }

        if (!yaml_emitter_initialize(&w.emitter))
                return -ENOMEM;
        yaml_emitter_set_output(&w.emitter, write_text, &w);
        yaml_emitter_set_unicode(&w.emitter, true);
        yaml_emitter_set_width(&w.emitter, -1);

        r = emit(&w, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING), &event);
        if (r < 0)
                return r;

        r = emit(&w, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, true), &event);
        if (r < 0)
                return r;

        r = write_value(&w, value);
        if (r < 0)
                return r;

        r = emit(&w, yaml_document_end_event_initialize(&event, true), &event);
        if (r < 0)
                return r;

        r = emit(&w, yaml_stream_end_event_initialize(&event), &event);
        if (r < 0)
                return r;

        /* Versions of libyaml differ in whether they end the last line. */
        if (w.text.size > 0 && w.text.data[w.text.size - 1] != '\n')
                string_builder_append(&w.text, "\n");

        return string_builder_finish(&w.text, ret, NULL);
}
