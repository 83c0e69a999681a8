/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* org.freedesktop.LogControl1(5): "systemctl service-log-level ccpd debug". */

#include <systemd/sd-bus.h>

#include "ccp/macro.h"

/* 'identifier' is what SyslogIdentifier reads; it must stay. */
int bus_log_control_register(sd_bus *bus, const char *identifier);
