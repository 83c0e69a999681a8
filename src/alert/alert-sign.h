/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How a receiver knows that a message is ours, and not an old one. */

#include <stddef.h>

#include "time-util.h"

#define ALERT_SIGNATURE_HEX_MAX (64U + 1U)

/* HMAC-SHA-256 over "SECONDS.BODY", in hexadecimal digits. */
void alert_sign(const char *secret, size_t secret_size, usec_t realtime, const char *body, size_t size,
                char ret[static ALERT_SIGNATURE_HEX_MAX]);
