/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The text of a dump, whose rows are a tenant's: whatever it is, where it is cut changes nothing. */

#include "dump-digest.h"
#include "fuzz.h"

static json_t *digest(DumpText kind, const uint8_t *data, size_t size, size_t part) {
        _cleanup_(dump_digest_freep) DumpDigest *d = NULL;
        json_t *result = NULL;

        if (dump_digest_new(kind, &d) < 0)
                return NULL;
        for (size_t at = 0; at < size; at += part)
                if (dump_digest_add(d, data + at, MIN(part, size - at)) < 0)
                        return NULL;
        return dump_digest_finish(d, &result) < 0 ? NULL : result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        for (DumpText kind = 0; kind < _DUMP_TEXT_MAX; kind++) {
                _cleanup_json_ json_t *whole = digest(kind, data, size, MAX(size, (size_t) 1)),
                                      *parts = digest(kind, data, size, 3);

                if (whole &&
                                (!parts || !json_equal(whole, parts) ||
                                                dump_digest_compare(whole, parts, NULL, NULL) < 0))
                        abort();
        }
        return 0;
}
