/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Any text as the compose file, before compose reads it. */

#include <stdlib.h>

#include "fuzz.h"
#include "path.h"
#include "policy.h"
#include "string-util.h"

#define DIR "/var/lib/ccpd/instances/demo"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const PolicyInput input = {
                .project = "demo_ccp",
                .directory = DIR,
                .revision = DIR "/revisions/1",
                .compose = "docker-compose.yml",
                .bind_address = "127.0.0.1",
        };
        _cleanup_policy_violations_ PolicyViolations violations = {};
        _cleanup_strv_free_ char **files = NULL;

        if (policy_check_text((const char *) data, size, &input, &violations, &files) < 0)
                abort();
        FOREACH_ARRAY(v, violations.items, violations.n)
                if (!string_is_safe(v->message))
                        abort();
        STRV_FOREACH(file, files)
                if (!path_is_beneath(DIR, *file))
                        abort();

        return 0;
}
