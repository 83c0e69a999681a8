/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How much is in a message, which libsystemd does not tell. */

#include <systemd/sd-bus.h>

#include "ccp/macro.h"

/* Returns 1 if the text and the numbers in the body come to at most 'max' bytes, 0 if they come to more;
 * stops there, so that what is too large costs little. The message is rewound. */
int message_fits(sd_bus_message *m, size_t max);
