/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine-logs.h"

#include "redact.h"
#include "string-util.h"
#include "strv.h"

void engine_append_logs(const EngineContext *c, const char *container, Error *reterr) {
        _cleanup_erase_ char *text = NULL, *redacted = NULL;
        _cleanup_strv_free_ char **lines = NULL;
        char *message;

        if (!error_is_set(reterr) || !reterr->message)
                return;
        if (docker_tail_logs(c->docker, container, ENGINE_LOG_LINES, &lines, NULL) < 0 ||
                        strv_length(lines) == 0)
                return;

        text = strv_join(lines, "\n");
        if (!text || redact(text, c->redact, &redacted) < 0)
                return;

        message = strjoin(reterr->message, endswith(reterr->message, ".") ? "" : ".", " Its last lines:\n",
                        redacted);
        if (!message)
                return;
        free(reterr->message);
        reterr->message = message;
}
