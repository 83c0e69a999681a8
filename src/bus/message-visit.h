/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Walks through the values of a message, which libsystemd shows one by one only. */

#include <systemd/sd-bus.h>

#include "ccp/macro.h"

/* Called for each value: of a container first with its type and the signature of what is in it, at its end with the
 * type 0. A text comes without its NUL. A negative return ends the walk and is returned. */
typedef int (*message_visitor_t)(char type, const void *data, size_t size, void *userdata);

/* From the current position to the end of the container that is open, or of the message; the message stays there. */
int message_visit(sd_bus_message *m, message_visitor_t visitor, void *userdata);
