/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tests for what people write down as targets of alerts: the address of a webhook, and mail addresses. */

#include <stddef.h>

#include "error.h"

#define WEBHOOK_URL_MAX 2048U
#define MAIL_ADDRESSES_MAX 10U
#define MAIL_ADDRESS_MAX 254U

/* http:// or https://, a host, perhaps a port, path and query, all of it printable ASCII; no user or password,
 * which would be seen by whoever reads the settings. InvalidArgument. */
int webhook_url_validate(const char *url, Error *reterr);
/* What of it may be shown: path and query are a secret with many services. "https://hooks.example.org/…", which
 * is no address itself. Freed by the caller; NULL when out of memory. */
char *webhook_url_redact(const char *url);

/* Mail addresses with commas or blanks between them: USER@DOMAIN, or a USER of this machine. ret is freed with
 * strv_free(). InvalidArgument. */
int mail_addresses_parse(const char *s, char ***ret, Error *reterr);
