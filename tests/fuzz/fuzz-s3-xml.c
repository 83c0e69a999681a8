/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a storage answers: events nest, elements end as they began, and each document is read or refused as a whole. */

#include "alloc-util.h"
#include "fuzz.h"
#include "s3-document.h"
#include "s3-xml.h"

static void check_events(const char *data, size_t size) {
        _cleanup_s3_xml_ S3XmlReader x = {};
        size_t depth = 0;
        int r;

        if (s3_xml_init(&x, data, size) < 0)
                return;
        while ((r = s3_xml_next(&x)) > 0) {
                const char *text = r == S3_XML_CLOSE ? s3_xml_text(&x) : NULL;

                if (r == S3_XML_OPEN)
                        depth++;
                if (depth == 0 || depth > S3_XML_DEPTH_MAX || x.depth != depth || isempty(x.path) ||
                                strlen(x.path) >= S3_XML_PATH_MAX ||
                                (text && !utf8_is_valid(text, strlen(text))))
                        abort();
                if (r == S3_XML_CLOSE)
                        depth--;
        }
        if (r == S3_XML_END && depth != 0)
                abort();
}

static void check_lists(const char *data, size_t size) {
        _cleanup_s3_listing_ S3Listing l = {};
        _cleanup_s3_uploads_ S3Uploads u = {};

        if (s3_listing_parse(data, size, &l) >= 0)
                FOREACH_ARRAY(o, l.objects, l.n_objects)
                        if (isempty(o->key))
                                abort();
        if (s3_uploads_parse(data, size, &u) >= 0)
                FOREACH_ARRAY(i, u.uploads, u.n_uploads)
                        if (isempty(i->key) || isempty(i->id))
                                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *id = NULL, *etag = NULL;
        _cleanup_s3_error_ S3Error e = {};
        const char *text = (const char *) data;

        check_events(text, size);
        check_lists(text, size);
        if (s3_initiated_parse(text, size, &id) >= 0 && isempty(id))
                abort();
        if (s3_completed_parse(text, size, &etag) >= 0 && isempty(etag))
                abort();
        (void) s3_error_parse(text, size, &e);
        return 0;
}
