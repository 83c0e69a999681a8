/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Between our Error and the bus's. */

#include <systemd/sd-bus.h>

#include "error.h"

/* Answers with 'from' and unsets it. Returns the errno of the name, for a handler to return. */
int bus_error_move(sd_bus_error *reterr, Error *from);

/* Replies to a method call with an error. */
int bus_reply_error(sd_bus_message *m, const Error *e);
