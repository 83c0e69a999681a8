/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-test.h"

#include <check.h>
#include <systemd/sd-id128.h>

#include "alloc-util.h"
#include "string-util.h"

const AuditActor test_actor = { .uid = 1000, .user = "alice", .login_uid = -1 };

void test_outcome_done(TestOutcome *o) {
        error_done(&o->error);
        instance_record_free(o->instance);
        job_record_free(o->job);
        job_records_done(&o->jobs);
        store_contents_free(o->contents);
        settings_free(o->settings);
        role_records_free(o->roles);
        recovery_key_records_free(o->keys);
        secret_records_done(&o->secrets);
        audit_record_free(o->entry);
        audit_records_done(&o->entries);
        *o = (TestOutcome) {};
}

static void set_outcome(TestOutcome *o, int r, Error *error) {
        ck_assert((r < 0) == !!error);
        o->done = true;
        o->r = r;
        if (error)
                error_move(&o->error, error);
}

void test_on_created(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        ck_assert((r < 0) == !instance && (r < 0) == !job);
        set_outcome(o, r, error);
        o->instance = instance;
        o->job = job;
}

void test_on_instance(int r, InstanceRecord *instance, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        set_outcome(o, r, error);
        o->instance = instance;
}

void test_on_job(int r, JobRecord *job, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        set_outcome(o, r, error);
        o->job = job;
}

void test_on_loaded_job(int r, JobRecord *job, InstanceRecord *instance, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        set_outcome(o, r, error);
        o->job = job;
        o->instance = instance;
}

void test_on_jobs(int r, JobRecords *jobs, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        set_outcome(o, r, error);
        if (jobs) {
                o->jobs = *jobs;
                *jobs = (JobRecords) {};
        }
}

void test_on_contents(int r, StoreContents *contents, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        set_outcome(o, r, error);
        o->contents = contents;
}

void test_on_settings(int r, Settings *settings, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        set_outcome(o, r, error);
        o->settings = settings;
}

void test_on_roles(int r, RoleRecords *roles, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        ck_assert((r < 0) == !roles);
        set_outcome(o, r, error);
        o->roles = roles;
}

void test_on_keys(int r, const char *id, RecoveryKeyRecords *keys, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        ck_assert((r < 0) == !keys);
        ck_assert_ptr_nonnull(id);
        set_outcome(o, r, error);
        o->keys = keys;
}

void test_on_secrets(int r, SecretRecords *secrets, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        set_outcome(o, r, error);
        if (secrets) {
                o->secrets = *secrets;
                *secrets = (SecretRecords) {};
        }
}

void test_on_entry(int r, AuditRecord *entry, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        ck_assert((r < 0) == !entry);
        set_outcome(o, r, error);
        o->entry = entry;
}

void test_on_entries(int r, AuditRecords *entries, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        set_outcome(o, r, error);
        if (entries) {
                o->entries = *entries;
                *entries = (AuditRecords) {};
        }
}

void test_on_verdict(int r, const AuditVerdict *verdict, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        ck_assert((r < 0) == !verdict);
        set_outcome(o, r, error);
        if (verdict)
                o->verdict = *verdict;
}

void test_on_pruned(int r, uint64_t n_removed, Error *error, void *userdata) {
        TestOutcome *o = userdata;

        set_outcome(o, r, error);
        o->n_removed = n_removed;
}

static const char *new_id(void) {
        static char ids[256][SD_ID128_UUID_STRING_MAX];
        static unsigned next;
        sd_id128_t id;

        ck_assert_int_ge(sd_id128_randomize(&id), 0);
        next = (next + 1) % ELEMENTSOF(ids);
        return sd_id128_to_uuid_string(id, ids[next]);
}

StoreCreate test_create(const char *slug, const char *domain) {
        static const StorePortRequest ports[] = {
                { "web", "nginx", { 10000, 10999 } },
                { "db", "postgres", { 15400, 16399 } },
        };
        static const StoreSecret secrets[] = {
                { "POSTGRES_PASSWORD", "0123456789abcdef", "\0sealed\xff", 8 },
                { "smtp_password", "0123456789abcdef", "x", 1 },
        };
        static char *const features[] = { (char *) "chat", (char *) "media", NULL };

        return (StoreCreate) {
                .id = new_id(),
                .slug = slug,
                .name = "A Chapter",
                .domain = domain,
                .blueprint = "changemaker-lite",
                .blueprint_version = "1.0",
                .engine = "compose",
                .bind_address = "127.0.0.1",
                .features = features,
                .ports = ports,
                .n_ports = ELEMENTSOF(ports),
                .subnet_pool = { 0x0AC80000, 15 },
                .secrets = secrets,
                .n_secrets = ELEMENTSOF(secrets),
                .actor = &test_actor,
        };
}

char *test_create_instance(TestDb *t, const char *slug, uint64_t *ret_job) {
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreCreate create = test_create(slug, NULL);
        char *id;

        TEST_STORE(t, &o, store_create_instance, test_on_created, &create);
        ck_assert_msg(o.r == 0, "%s", o.error.message);
        if (ret_job)
                *ret_job = o.job->id;
        id = strdup(o.instance->id);
        ck_assert_ptr_nonnull(id);
        return id;
}

void test_finish(TestDb *t, uint64_t job, JobState state, InstanceState instance_state) {
        _cleanup_test_outcome_ TestOutcome o = {};
        StoreFinish finish = {
                .job = job, .state = state, .end = STORE_END_STATE, .instance_state = instance_state
        };

        TEST_STORE(t, &o, store_finish_job, test_on_job, &finish);
        ck_assert_int_eq(o.r, 0);
}
