/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Whether containers may write while their volumes are backed up. */

#include <errno.h>

#include "ccp/macro.h"

typedef enum PauseMode {
        PAUSE_IF_CHANGED, /* read again, paused, where something changed meanwhile */
        PAUSE_NEVER,
        PAUSE_ALWAYS,
        _PAUSE_MODE_MAX,
        _PAUSE_MODE_INVALID = -EINVAL,
} PauseMode;
DECLARE_STRING_TABLE(pause_mode, PauseMode);
