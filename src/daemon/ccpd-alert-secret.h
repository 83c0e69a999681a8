/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The secret that messages to the webhook are signed with: made where it is needed first, revealed and replaced for those
 * who may. */

#include <systemd/sd-bus.h>

#include "vault.h"

typedef struct Manager Manager;

/* What it is sealed as. */
VaultLabel alert_secret_label(unsigned version);

/* Makes it, unless there is one. Logs what fails. */
void alert_secret_ensure(Manager *m);

int method_reveal_alert_secret(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_rotate_alert_secret(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
