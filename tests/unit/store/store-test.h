/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Requests to the store that a test waits for. */

#include "postgres.h"
#include "store-audit.h"
#include "store-recovery-key.h"
#include "store-role.h"
#include "store-secret.h"
#include "store.h"

/* The outcome of the last request that was waited for. */
typedef struct TestOutcome {
        bool done;
        int r;
        Error error;
        InstanceRecord *instance;
        JobRecord *job;
        JobRecords jobs;
        StoreContents *contents;
        Settings *settings;
        RoleRecords *roles;
        RecoveryKeyRecords *keys;
        SecretRecords secrets;
        AuditRecord *entry;
        AuditRecords entries;
        AuditVerdict verdict;
        uint64_t n_removed;
} TestOutcome;

/* alice, 1000 */
extern const AuditActor test_actor;

void test_outcome_done(TestOutcome *o);
#define _cleanup_test_outcome_ _cleanup_(test_outcome_done)

void test_on_created(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata);
void test_on_instance(int r, InstanceRecord *instance, Error *error, void *userdata);
void test_on_job(int r, JobRecord *job, Error *error, void *userdata);
void test_on_loaded_job(int r, JobRecord *job, InstanceRecord *instance, Error *error, void *userdata);
void test_on_jobs(int r, JobRecords *jobs, Error *error, void *userdata);
void test_on_contents(int r, StoreContents *contents, Error *error, void *userdata);
void test_on_settings(int r, Settings *settings, Error *error, void *userdata);
void test_on_roles(int r, RoleRecords *roles, Error *error, void *userdata);
void test_on_keys(int r, const char *id, RecoveryKeyRecords *keys, Error *error, void *userdata);
void test_on_secrets(int r, SecretRecords *secrets, Error *error, void *userdata);
void test_on_entry(int r, AuditRecord *entry, Error *error, void *userdata);
void test_on_entries(int r, AuditRecords *entries, Error *error, void *userdata);
void test_on_verdict(int r, const AuditVerdict *verdict, Error *error, void *userdata);
void test_on_pruned(int r, uint64_t n_removed, Error *error, void *userdata);

/* Runs a request up to its end: TEST_STORE(&t, &outcome, store_load, test_on_contents) */
#define TEST_STORE(t, o, function, callback, ...)                                                 \
        do {                                                                                      \
                test_outcome_done(o);                                                             \
                ck_assert_int_eq(function((t)->db, ##__VA_ARGS__, callback, (o), NULL, NULL), 0); \
                TEST_DB_WAIT((t), (o)->done);                                                     \
        } while (0)

/* A request for an instance with two ports, two secrets and the pool 10.200.0.0/15; the id is new each time.
 * What it points to stays until the program ends. */
StoreCreate test_create(const char *slug, const char *domain);
/* Creates one and gives its id, to be freed. ret_job may be NULL. */
char *test_create_instance(TestDb *t, const char *slug, uint64_t *ret_job);
/* Ends a job and leaves the instance in a state. */
void test_finish(TestDb *t, uint64_t job, JobState state, InstanceState instance_state);
