/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Manager.GetMetrics */

#include <systemd/sd-bus.h>

int method_get_metrics(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
