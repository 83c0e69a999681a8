/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Manager.Doctor: whether everything that ccpd needs is there, with what to do where it is not. */

#include <systemd/sd-bus.h>

int method_doctor(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
