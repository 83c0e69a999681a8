/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-report.h"

#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "json-write.h"
#include "string-util.h"
#include "volume-error.h"

void volume_report_done(VolumeReport *r) {
        FOREACH_ARRAY(c, r->changed, ELEMENTSOF(r->changed))
                *c = mfree(*c);
        FOREACH_ARRAY(s, r->skipped, ELEMENTSOF(r->skipped)) {
                s->path = mfree(s->path);
                s->why = mfree(s->why);
        }
}

void volume_report_count(VolumeReport *r, uint64_t size) {
        r->entries++;
        /* Readers of JSON take no more; a few empty files could say so. */
        r->bytes = MIN(r->bytes + size, (uint64_t) INT64_MAX);
}

void volume_report_add_changed(VolumeReport *r, const char *path) {
        if (r->n_changed < ELEMENTSOF(r->changed))
                r->changed[r->n_changed] = volume_escape(path);
        r->n_changed++;
}

void volume_report_add_skipped(VolumeReport *r, const char *path, const char *format, ...) {
        uint64_t i = r->n_skipped++;
        _cleanup_free_ char *why = NULL;
        va_list ap;

        if (i >= ELEMENTSOF(r->skipped))
                return;

        va_start(ap, format);
        if (vasprintf(&why, format, ap) < 0)
                why = NULL;
        va_end(ap);

        r->skipped[i].path = volume_escape(path);
        /* Names of attributes are any bytes too. */
        r->skipped[i].why = why ? volume_escape(why) : NULL;
}

static void append_changed(const VolumeReport *r, StringBuilder *b) {
        const char *comma = "";

        string_builder_append(b, ",\"changed\":[");
        FOREACH_ARRAY(c, r->changed, ELEMENTSOF(r->changed))
                if (*c) {
                        string_builder_append(b, comma);
                        json_append_string(b, *c);
                        comma = ",";
                }
        string_builder_append(b, "]");
}

static void append_skipped(const VolumeReport *r, StringBuilder *b) {
        const char *comma = "";

        string_builder_append(b, ",\"skipped\":[");
        FOREACH_ARRAY(s, r->skipped, ELEMENTSOF(r->skipped))
                if (s->path) {
                        string_builder_append(b, comma);
                        string_builder_append(b, "{\"path\":");
                        json_append_string(b, s->path);
                        string_builder_append(b, ",\"why\":");
                        json_append_string(b, strempty(s->why));
                        string_builder_append(b, "}");
                        comma = ",";
                }
        string_builder_append(b, "]");
}

char *volume_report_to_json(const VolumeReport *r) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *result;

        string_builder_appendf(&b, "{\"entries\":%" PRIu64 ",\"bytes\":%" PRIu64, r->entries, r->bytes);
        if (r->stream > 0)
                string_builder_appendf(&b, ",\"stream\":%" PRIu64, r->stream);
        string_builder_append(&b, ",\"inventory\":\"");
        FOREACH_ARRAY(c, r->inventory, ELEMENTSOF(r->inventory))
                string_builder_appendf(&b, "%02x", (unsigned) *c);
        string_builder_append(&b, "\"");
        append_changed(r, &b);
        append_skipped(r, &b);
        string_builder_appendf(&b, ",\"n_changed\":%" PRIu64 ",\"n_skipped\":%" PRIu64 "}", r->n_changed,
                        r->n_skipped);

        return string_builder_finish(&b, &result, NULL) < 0 ? NULL : result;
}
