/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What both ways of connecting have in common. */

#include <libpq-fe.h>

#include "time-util.h"

#define DB_CONNECT_TIMEOUT (10U * USEC_PER_SEC)
#define DB_BACKOFF_MIN (100U * USEC_PER_MSEC)
#define DB_BACKOFF_MAX (5U * USEC_PER_SEC)
/* UNIQUE NULLS NOT DISTINCT */
#define DB_SERVER_VERSION_MIN 150000

/* Begins to connect, without waiting. NULL when out of memory; a failure else shows in PQstatus(). */
PGconn *db_connection_start(const char *conninfo);
/* Whether a connection that was made can be used: 0, or -EPROTO with a sentence (NULL when out of memory). */
int db_connection_check(PGconn *conn, char **ret_why);
/* The sentence that says why a connection is lost. NULL when out of memory. */
char *db_connection_why(PGconn *conn);
