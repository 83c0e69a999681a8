/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What docker compose, and containers, write. */

#include "alloc-util.h"
#include "compose-output.h"
#include "docker.h"
#include "fuzz.h"
#include "redact.h"
#include "string-util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static char *const secrets[] = { (char *) "hunter22", (char *) "p\"w'\\$/", NULL };
        _cleanup_compose_progress_ ComposeProgress p = { .n_expected = 3, .fraction = -1 };
        _cleanup_compose_failure_ ComposeFailure f = {};
        _cleanup_free_ char *text = NULL, *printable = NULL, *redacted = NULL;
        double fraction = -1;

        if (text_make_printable((const char *) data, size, &printable) < 0 || !string_is_safe(printable))
                abort();

        text = strndup((const char *) data, size);
        if (!text || compose_failure_read(text, &f) < 0 || !f.name || f.error >= 0)
                abort();
        if (redact(text, secrets, &redacted) < 0 || strstr(redacted, secrets[0]) ||
                        strstr(redacted, secrets[1]))
                abort();

        for (char *line = text, *next; line; line = next) {
                next = strchr(line, '\n');
                if (next)
                        *next++ = 0;
                if (compose_progress_line(&p, line) < 0 || p.fraction < fraction || p.fraction > 1)
                        abort();
                fraction = p.fraction;
        }

        return 0;
}
