/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.changemaker.ccp1.Manager, and the registration of all objects. */

#include "ccpd-manager.h"

int manager_register(Manager *m);

/* Who asked, for the record of a job. Returns 0, or a negative errno with the error set. */
int manager_sender(sd_bus_message *message, AuditActor *ret, sd_bus_error *reterr);
