/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The manager's methods about alerts. */

#include <systemd/sd-bus.h>

int method_list_alerts(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_list_silences(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_silence_alerts(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_unsilence_alerts(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_test_alert(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
