/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "archive-format.h"
#include "error.h"

/* The secret half of the recovery key in a file, or on standard input for "-". The caller wipes it. */
int ctl_read_recovery_key(const char *path, uint8_t ret[ARCHIVE_KEY_SIZE], Error *reterr);
