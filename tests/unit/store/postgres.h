/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A PostgreSQL server of this test's own, in a temporary folder, reached by a socket in it. No server of the
 * machine is touched. Everything fails the test that cannot be done. */

#include <libpq-fe.h>

#include "db.h"

/* Starts the server, once in a program; it ends with the program. */
void test_postgres_start(void);
/* SIGKILL for all of it, as in a crash; and up again. */
void test_postgres_kill(void);
void test_postgres_restart(void);
/* Makes a database as ccp-setup does, with the audit record and nothing else. Returns its conninfo as the role
 * ccpd, to be freed. */
char *test_postgres_new_database(void);
/* The same conninfo as the superuser. */
char *test_postgres_superuser(const char *conninfo);
/* Runs what ccp-setup runs as the superuser. */
void test_postgres_set_up(const char *conninfo);
/* The text of a file in src/store/database. */
char *test_postgres_setup_sql(const char *name);
/* Runs SQL over a connection of its own. Returns the first column of the first row ("" for none), to be
 * freed. */
char *test_postgres_query(const char *conninfo, const char *sql);
/* The same for a statement that has to fail: its SQLSTATE. */
char *test_postgres_sqlstate(const char *conninfo, const char *sql);

/* The same as the superuser, where the answer does not matter. */
void test_postgres_tamper(const char *conninfo, const char *sql);

/* Compares the result of a query with a string. */
#define ASSERT_QUERY(conninfo, sql, expected)                                          \
        do {                                                                           \
                _cleanup_free_ char *_actual = test_postgres_query((conninfo), (sql)); \
                ck_assert_str_eq(_actual, (expected));                                 \
        } while (0)
#define ASSERT_SQLSTATE(conninfo, sql, expected)                                          \
        do {                                                                              \
                _cleanup_free_ char *_actual = test_postgres_sqlstate((conninfo), (sql)); \
                ck_assert_str_eq(_actual, (expected));                                    \
        } while (0)

/* A connection on a loop of its own. */
typedef struct TestDb {
        sd_event *event;
        Db *db;
        char *conninfo;
        unsigned n_available, n_unavailable;
        char *why;
        unsigned n_notified;
        char *notified; /* "channel payload\n" for each */
} TestDb;

/* To an empty database (conninfo NULL) or to another; waits until it can be used. */
void test_db_open(TestDb *t, const char *conninfo);
/* The same for one more connection on another's loop. */
void test_db_open_beside(TestDb *t, const TestDb *other);
/* The same as test_db_open() without waiting. */
void test_db_start(TestDb *t, const char *conninfo);
void test_db_close(TestDb *t);
#define _cleanup_test_db_ _cleanup_(test_db_close)

/* Runs the loop until the condition holds; fails after a minute. */
#define TEST_DB_WAIT(t, condition)                                                                         \
        do {                                                                                               \
                usec_t _deadline = now(CLOCK_MONOTONIC) + USEC_PER_MINUTE;                                 \
                while (!(condition)) {                                                                     \
                        ck_assert_msg(now(CLOCK_MONOTONIC) < _deadline, "waited in vain for " #condition); \
                        ck_assert_int_ge(sd_event_run((t)->event, 100 * USEC_PER_MSEC), 0);                \
                }                                                                                          \
        } while (0)
