/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "db-connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "db.h"
#include "string-util.h"

/* Bytes kept of what libpq says. */
#define REASON_MAX 300U

const char *db_conninfo(void) {
        return secure_getenv("CCP_STORE") ?: CCP_STORE_CONNINFO;
}

static void ignore_notice(void *arg _unused_, const PGresult *result _unused_) {
}

PGconn *db_connection_start(const char *conninfo) {
        PGconn *conn;

        conn = PQconnectStart(conninfo);
        if (conn)
                (void) PQsetNoticeReceiver(conn, ignore_notice, NULL);
        return conn;
}

int db_connection_check(PGconn *conn, char **ret_why) {
        int version = PQserverVersion(conn);

        if (version >= DB_SERVER_VERSION_MIN)
                return 0;

        if (asprintf(ret_why, "PostgreSQL %d is too old: %d or newer is needed.", version / 10000,
                            DB_SERVER_VERSION_MIN / 10000) < 0)
                *ret_why = NULL;
        return -EPROTO;
}

char *db_connection_why(PGconn *conn) {
        const char *message = conn ? PQerrorMessage(conn) : "out of memory";
        _cleanup_string_builder_ StringBuilder b = {};
        char *why;
        size_t n = 0;

        /* libpq gives several lines, some of them indented. */
        string_builder_append(&b, "PostgreSQL can't be reached: ");
        for (const char *p = message; *p && n < REASON_MAX; p++) {
                bool blank = (unsigned char) *p <= ' ';

                if (blank && (n == 0 || !p[1] || (unsigned char) p[1] <= ' '))
                        continue;
                string_builder_append_n(&b, blank ? " " : p, 1);
                n++;
        }
        if (n == 0)
                string_builder_append(&b, "the connection was closed");
        if (b.size > 0 && !IN_SET(b.data[b.size - 1], '.', '?'))
                string_builder_append(&b, ".");

        return string_builder_finish(&b, &why, NULL) < 0 ? NULL : why;
}
