/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pause-mode.h"

#include "string-util.h"

static const char *const pause_mode_table[_PAUSE_MODE_MAX] = {
        [PAUSE_IF_CHANGED] = "if-changed",
        [PAUSE_NEVER] = "never",
        [PAUSE_ALWAYS] = "always",
};
DEFINE_STRING_TABLE(pause_mode, PauseMode);
