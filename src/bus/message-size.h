/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How much is in a message, which libsystemd does not tell. */

#include <systemd/sd-bus.h>

#include "ccp/macro.h"

/* What the text and the numbers in the body and the path come to, in bytes; -EFBIG if that is more than 'max': it stops
 * there, so that what is too large costs little. The message is rewound. */
int message_measure(sd_bus_message *m, size_t max, size_t *ret);
