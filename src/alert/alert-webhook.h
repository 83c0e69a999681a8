/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Alerts by HTTP: a signed POST of JSON. */

#include "alert-deliver.h"
#include "vault.h"

typedef struct AlertWebhook AlertWebhook;

/* The vault opens the secret; it must stay. */
int alert_webhook_new(const Vault *vault, AlertWebhook **ret);
AlertWebhook *alert_webhook_free(AlertWebhook *w);
DEFINE_CLEANUP_FUNC(AlertWebhook *, alert_webhook_free);

AlertCarrier alert_webhook_carrier(AlertWebhook *w);

/* What an answer comes to: its status, and the beginning of what it says, which may be anything. */
void alert_webhook_judge(AlertResult *ret, const char *host, long status, const char *text);
