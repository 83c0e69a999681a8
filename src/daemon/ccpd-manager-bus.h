/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.changemaker.ccp1.Manager, and the registration of all objects. */

#include "ccpd-manager.h"

int manager_register(Manager *m);

extern const sd_bus_vtable manager_vtable[];
