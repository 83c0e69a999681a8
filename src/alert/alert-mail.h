/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Alerts by mail, through the sendmail(8) of this machine. */

#include "alert-deliver.h"

/* The alerts that a mail describes; the others are counted. */
#define ALERT_MAIL_LISTED_MAX 50U

/* A mail as sendmail(8) takes it, in ASCII: no name or text gets out of its place. 0 or -ENOMEM. */
int alert_mail_build(const AlertMessage *m, const char *host, char *const *to, usec_t realtime, char **ret);

/* 'program' is a static string; NULL: /usr/sbin/sendmail. */
AlertCarrier alert_mail_carrier(const char *program);
