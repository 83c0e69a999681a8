/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "finding.h"

#include <stdarg.h>
#include <stdio.h>

#include "alloc-util.h"
#include "string-util.h"

static const char *const finding_verdict_table[_FINDING_VERDICT_MAX] = {
        [FINDING_OK] = "ok",
        [FINDING_WARNING] = "warning",
        [FINDING_FAILED] = "failed",
        [FINDING_UNKNOWN] = "unknown",
};
DEFINE_STRING_TABLE(finding_verdict, FindingVerdict);

int findings_add(json_t *findings, const char *check, FindingVerdict verdict, char *message,
                const char *advice) {
        _cleanup_free_ char *taken = message;
        json_t *finding;

        if (!taken)
                return -ENOMEM;

        finding = json_pack("{s:s, s:s, s:s, s:s}", "check", check, "verdict",
                        finding_verdict_to_string(verdict), "message", taken, "advice", strempty(advice));
        return finding && json_array_append_new(findings, finding) >= 0 ? 0 : -ENOMEM;
}

int findings_addf(json_t *findings, const char *check, FindingVerdict verdict, const char *advice,
                const char *format, ...) {
        char *message;
        va_list ap;
        int r;

        va_start(ap, format);
        r = vasprintf(&message, format, ap);
        va_end(ap);
        return findings_add(findings, check, verdict, r < 0 ? NULL : message, advice);
}
