/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The last words of a container, for an error that a person will read. */

#include "engine.h"

#define ENGINE_LOG_LINES 20U

/* Appends the last lines of a container's log, redacted, to the error's message. Best effort: where there is
 * no log, the error stays as it is. */
void engine_append_logs(const EngineContext *c, const char *container, Error *reterr);
