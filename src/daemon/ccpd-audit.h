/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Reading and keeping the record of what happened: Manager's methods about it, what subscribers are told, and
 * the removal of what is older than it is to be kept. */

#include <systemd/sd-bus.h>

#include "audit.h"

typedef struct Manager Manager;

/* ccpd itself, for what nobody asked for. */
void audit_actor_self(AuditActor *ret);

int method_query_audit(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_verify_audit(sd_bus_message *message, void *userdata, sd_bus_error *reterr);

/* Tells subscribers who may see everything that an entry was appended. */
void audit_announce(Manager *m, uint64_t seq);

/* Prunes now, and once a day from then on. */
void audit_start_pruning(Manager *m);
