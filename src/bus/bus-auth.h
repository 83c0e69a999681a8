/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The one place that decides who may do what. Only root may call: everybody else is turned away at the door,
 * before any object is looked up, so that not even the existence of one can be learned. */

#include <systemd/sd-bus.h>

#include "ccp/macro.h"

/* What a call is about, for the decision and for its record. */
typedef struct AuthDetails {
        const char *instance; /* slug, or NULL for the fleet */
        const char *verb;
} AuthDetails;

/* Installs the door: a filter that refuses every method call, reads of properties among them, of a caller
 * who is not root. */
int bus_auth_install(sd_bus *bus);

/* Returns 0 if the sender of 'm' may do 'action' (names.h) with these details. Else -EACCES with the error
 * set. Any failure to find out is a denial. Call it before anything else in a method. */
int bus_authorize(sd_bus_message *m, const char *action, const AuthDetails *details, sd_bus_error *reterr);

/* The caller's uid, or a negative errno. Asks the bus driver. */
int bus_sender_uid(sd_bus_message *m, uid_t *ret);
