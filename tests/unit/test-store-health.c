/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "store-health.h"

#include <errno.h>

#include "alloc-util.h"
#include "store-test.h"
#include "string-util.h"
#include "test.h"

/* A full hour, UTC. */
#define HOUR (UINT64_C(1790000000000000) - UINT64_C(1790000000000000) % USEC_PER_HOUR)

/* Two instances that run, and a sweep's connection. */
typedef struct Scene {
        TestDb t;
        DbSync *sweep;
        char *oslo, *bergen;
        Settings *settings;
} Scene;

static DbSync *open_sweep(const char *conninfo) {
        DbSync *db = NULL;

        ASSERT_OK(db_sync_open(&(DbSyncOptions) { .conninfo = conninfo, .patience = 30 * USEC_PER_SEC }, &db,
                        NULL));
        return db;
}

static void scene_open(Scene *s) {
        uint64_t job;

        *s = (Scene) {};
        test_db_open(&s->t, NULL);
        s->oslo = test_create_instance(&s->t, "oslo", &job);
        test_finish(&s->t, job, JOB_SUCCEEDED, INSTANCE_RUNNING);
        s->bergen = test_create_instance(&s->t, "bergen", &job);
        test_finish(&s->t, job, JOB_SUCCEEDED, INSTANCE_RUNNING);
        s->sweep = open_sweep(s->t.conninfo);
        ASSERT_OK(settings_new(&s->settings));
}

static void scene_close(Scene *s) {
        settings_free(s->settings);
        db_sync_free(s->sweep);
        free(s->oslo);
        free(s->bergen);
        test_db_close(&s->t);
}
#define _cleanup_scene_ _cleanup_(scene_close)

static HealthProbeRecord make_probe(const char *instance, const char *service, usec_t checked_at) {
        HealthProbeRecord p = {
                .service = (char *) service,
                .container = (char *) "c1",
                .state = { .verdict = PROBE_FAILED,
                                .n_failures = 3,
                                .since = checked_at - 1,
                                .checked_at = checked_at,
                                .latency = 77,
                                .reason = (char *) "answers \"502\" \\ ä" },
                .exec = (char *) "e1",
        };

        memcpy(p.instance, instance, sizeof(p.instance));
        return p;
}

/* What was read of the record, so that what is written has its time. */
static usec_t changed_at(Scene *s, const char *id) {
        HealthSweepInput input = {};
        usec_t t = 0;

        ASSERT_OK(health_sweep_read(s->sweep, &input, NULL));
        FOREACH_ARRAY(i, input.instances.items, input.instances.n)
                if (streq((*i)->id, id))
                        t = (*i)->state_changed_at;
        health_sweep_input_done(&input);
        ck_assert_uint_gt(t, 0);
        return t;
}

static void put_samples(const Scene *s, const char *sql) {
        _cleanup_free_ char *all =
                        strjoin("INSERT INTO health_samples (instance, time, health, latency) ", sql);

        test_postgres_tamper(s->t.conninfo, all);
}

#define QUERY(s, expected, format, ...)                                      \
        do {                                                                 \
                _cleanup_free_ char *_sql = NULL;                            \
                ck_assert_int_ge(asprintf(&_sql, format, ##__VA_ARGS__), 0); \
                ASSERT_QUERY((s)->t.conninfo, _sql, expected);               \
        } while (0)

START_TEST(a_sweep_is_recorded_and_told_and_read_again) {
        _cleanup_scene_ Scene s;
        HealthProbeRecord probes[2];
        HealthSample samples[2];
        HealthSweepInput input = {};
        usec_t n;

        scene_open(&s);
        /* After the jobs. */
        n = now(CLOCK_REALTIME) + USEC_PER_SEC;
        probes[0] = make_probe(s.oslo, "web", n);
        probes[1] = make_probe(s.oslo, "api", n);
        samples[0] = (HealthSample) { s.oslo, changed_at(&s, s.oslo), HEALTH_DEGRADED, 1500,
                (char *) "web: answers 502" };
        samples[1] = (HealthSample) { s.bergen, changed_at(&s, s.bergen), HEALTH_HEALTHY, 0, NULL };
        /* Twice, as after a connection that was lost in COMMIT. */
        for (unsigned k = 0; k < 2; k++)
                ASSERT_OK(health_sweep_write(s.sweep,
                                &(HealthSweepOutput) {
                                                .began_at = n,
                                                .began_monotonic = 42,
                                                .duration = 7,
                                                .n_instances = 2,
                                                .probes = probes,
                                                .n_probes = 2,
                                                .samples = samples,
                                                .n_samples = 2,
                                },
                                NULL));
        QUERY(&s, "2", "SELECT count(*) FROM health_samples");
        QUERY(&s, "1", "SELECT count(*) FROM health_sweeps");
        QUERY(&s, "1500", "SELECT latency FROM health_samples WHERE instance = '%s'", s.oslo);
        QUERY(&s, "", "SELECT latency FROM health_samples WHERE instance = '%s'", s.bergen);

        ASSERT_OK(health_sweep_read(s.sweep, &input, NULL));
        ck_assert_uint_eq(input.instances.n, 2);
        ck_assert_uint_eq(input.states.sweep.number, 1);
        ck_assert_uint_eq(input.states.sweep.began_monotonic, 42);
        ck_assert_ptr_null(input.states.sweep.error_name);
        ck_assert_uint_eq(input.states.probes.n, 2);
        ck_assert_str_eq(input.states.probes.items[0].service, "api");
        ck_assert_str_eq(input.states.probes.items[1].service, "web");
        ck_assert_str_eq(input.states.probes.items[1].container, "c1");
        ck_assert_str_eq(input.states.probes.items[1].exec, "e1");
        ck_assert_int_eq(input.states.probes.items[1].state.verdict, PROBE_FAILED);
        ck_assert_uint_eq(input.states.probes.items[1].state.n_failures, 3);
        ck_assert_uint_eq(input.states.probes.items[1].state.since, n - 1);
        ck_assert_uint_eq(input.states.probes.items[1].state.checked_at, n);
        ck_assert_uint_eq(input.states.probes.items[1].state.latency, 77);
        ck_assert_str_eq(input.states.probes.items[1].state.reason, "answers \"502\" \\ ä");
        ck_assert_uint_eq(input.settings->health_interval, 30);
        health_sweep_input_done(&input);
}
END_TEST

typedef struct StatesOutcome {
        bool done;
        size_t n_probes, n_currents;
        uint64_t sweep;
        Health health;
        usec_t since;
        char *error_name;
} StatesOutcome;

static void on_states(int r, HealthStates *states, _unused_ Error *error, void *userdata) {
        StatesOutcome *o = userdata;

        ck_assert_int_eq(r, 0);
        o->done = true;
        o->n_probes = states->probes.n;
        o->n_currents = states->n_currents;
        o->sweep = states->sweep.number;
        if (states->n_currents == 1) {
                o->health = states->currents[0].health;
                o->since = states->currents[0].since;
        }
        ASSERT_OK(free_and_strdup(&o->error_name, states->sweep.error_name));
}

static void write_sample(Scene *s, usec_t at, const char *id, Health health) {
        HealthSample sample = { id, changed_at(s, id), health, 0, NULL };

        ASSERT_OK(health_sweep_write(s->sweep,
                        &(HealthSweepOutput) { .began_at = at, .samples = &sample, .n_samples = 1 }, NULL));
}

START_TEST(since_when_it_is_so_is_kept) {
        _cleanup_scene_ Scene s;
        StatesOutcome o = {};
        usec_t n;

        scene_open(&s);
        n = now(CLOCK_REALTIME) + USEC_PER_SEC;
        write_sample(&s, n, s.oslo, HEALTH_HEALTHY);
        write_sample(&s, n + 1, s.oslo, HEALTH_HEALTHY);
        ck_assert_int_eq(store_load_health(s.t.db, s.oslo, on_states, &o, NULL, NULL), 0);
        TEST_DB_WAIT(&s.t, o.done);
        ck_assert_int_eq(o.health, HEALTH_HEALTHY);
        ck_assert_uint_eq(o.since, n);

        write_sample(&s, n + 2, s.oslo, HEALTH_UNHEALTHY);
        /* That nobody could look changes nothing. */
        write_sample(&s, n + 3, s.oslo, HEALTH_UNKNOWN);
        o.done = false;
        ck_assert_int_eq(store_load_health(s.t.db, NULL, on_states, &o, NULL, NULL), 0);
        TEST_DB_WAIT(&s.t, o.done);
        ck_assert_int_eq(o.health, HEALTH_UNHEALTHY);
        ck_assert_uint_eq(o.since, n + 2);
        QUERY(&s, "4", "SELECT count(*) FROM health_samples");
        free(o.error_name);
}
END_TEST

START_TEST(what_changed_meanwhile_is_left_out) {
        _cleanup_scene_ Scene s;
        HealthProbeRecord probe;
        HealthSample sample;
        usec_t n, at;

        scene_open(&s);
        n = now(CLOCK_REALTIME) + USEC_PER_SEC;
        at = changed_at(&s, s.oslo);

        /* Stopped. */
        test_postgres_tamper(s.t.conninfo, "UPDATE instances SET state = 'stopped' WHERE slug = 'oslo'");
        sample = (HealthSample) { s.oslo, at, HEALTH_UNHEALTHY, 0, NULL };
        ASSERT_OK(health_sweep_write(s.sweep,
                        &(HealthSweepOutput) { .began_at = n, .samples = &sample, .n_samples = 1 }, NULL));
        QUERY(&s, "0", "SELECT count(*) FROM health_samples");

        /* Stopped and started. */
        test_postgres_tamper(s.t.conninfo, "UPDATE instances SET state = 'running' WHERE slug = 'oslo'");
        ASSERT_OK(health_sweep_write(s.sweep,
                        &(HealthSweepOutput) { .began_at = n + 1, .samples = &sample, .n_samples = 1 },
                        NULL));
        QUERY(&s, "0", "SELECT count(*) FROM health_samples");

        /* A job is on it, or ended after it was looked at. */
        sample.state_changed_at = changed_at(&s, s.oslo);
        test_postgres_tamper(s.t.conninfo,
                        "UPDATE jobs SET state = 'running', finished_at = NULL "
                        "WHERE slug = 'oslo'");
        ASSERT_OK(health_sweep_write(s.sweep,
                        &(HealthSweepOutput) { .began_at = n + 2, .samples = &sample, .n_samples = 1 },
                        NULL));
        QUERY(&s, "0", "SELECT count(*) FROM health_samples");
        test_postgres_tamper(s.t.conninfo,
                        "UPDATE jobs SET state = 'succeeded', finished_at = now() + "
                        "interval '1 hour' WHERE slug = 'oslo'");
        ASSERT_OK(health_sweep_write(s.sweep,
                        &(HealthSweepOutput) { .began_at = n + 3, .samples = &sample, .n_samples = 1 },
                        NULL));
        QUERY(&s, "0", "SELECT count(*) FROM health_samples");

        /* Deleted. */
        probe = make_probe(s.bergen, "web", n);
        sample = (HealthSample) { s.bergen, changed_at(&s, s.bergen), HEALTH_HEALTHY, 0, NULL };
        test_postgres_tamper(s.t.conninfo, "DELETE FROM instances WHERE slug = 'bergen'");
        ASSERT_OK(health_sweep_write(s.sweep,
                        &(HealthSweepOutput) {
                                        .began_at = n + 4,
                                        .samples = &sample,
                                        .n_samples = 1,
                                        .probes = &probe,
                                        .n_probes = 1,
                        },
                        NULL));
        QUERY(&s, "0", "SELECT count(*) FROM health_samples");
        QUERY(&s, "0", "SELECT count(*) FROM health_probes");
        QUERY(&s, "5", "SELECT count(*) FROM health_sweeps");
}
END_TEST

START_TEST(a_job_that_waits_is_not_on_its_instance) {
        _cleanup_scene_ Scene s;
        HealthSample sample;
        usec_t n;

        scene_open(&s);
        n = now(CLOCK_REALTIME) + USEC_PER_SEC;
        sample = (HealthSample) { s.oslo, changed_at(&s, s.oslo), HEALTH_HEALTHY, 0, NULL };
        test_postgres_tamper(s.t.conninfo,
                        "INSERT INTO jobs (instance, slug, kind, state, state_before, started_by, "
                        "started_by_uid) SELECT id, slug, 'backup', 'waiting', 'running', 'root', 0 "
                        "FROM instances WHERE slug = 'oslo'");
        ASSERT_OK(health_sweep_write(s.sweep,
                        &(HealthSweepOutput) { .began_at = n, .samples = &sample, .n_samples = 1 }, NULL));
        QUERY(&s, "1", "SELECT count(*) FROM health_samples");

        /* Its turn comes, also after another one that was made later. */
        test_postgres_tamper(s.t.conninfo,
                        "INSERT INTO jobs (instance, slug, kind, state, state_before, started_by, "
                        "started_by_uid, finished_at) SELECT id, slug, 'restart', 'succeeded', 'running', "
                        "'root', "
                        "0, now() FROM instances WHERE slug = 'oslo'; "
                        "UPDATE jobs SET state = 'queued', turn = id + 2, turn_at = now() WHERE state = "
                        "'waiting'");
        ASSERT_OK(health_sweep_write(s.sweep,
                        &(HealthSweepOutput) { .began_at = n + 1, .samples = &sample, .n_samples = 1 },
                        NULL));
        QUERY(&s, "1", "SELECT count(*) FROM health_samples");
}
END_TEST

START_TEST(what_a_job_saw_later_stays) {
        const HealthProbeRecord *gone[1];
        _cleanup_scene_ Scene s;
        HealthProbeRecord job, old;
        usec_t n;

        scene_open(&s);
        n = now(CLOCK_REALTIME);
        job = make_probe(s.oslo, "web", n);
        job.state.verdict = PROBE_HEALTHY;
        job.state.reason = NULL;
        ASSERT_OK(health_put_probes(s.sweep, s.oslo, &job, 1, NULL));

        old = make_probe(s.oslo, "web", n - USEC_PER_SEC);
        ASSERT_OK(health_sweep_write(s.sweep,
                        &(HealthSweepOutput) { .began_at = n, .probes = &old, .n_probes = 1 }, NULL));
        QUERY(&s, "healthy", "SELECT verdict FROM health_probes");
        gone[0] = &old;
        ASSERT_OK(health_sweep_write(s.sweep,
                        &(HealthSweepOutput) { .began_at = n + 1, .gone = gone, .n_gone = 1 }, NULL));
        QUERY(&s, "1", "SELECT count(*) FROM health_probes");
        gone[0] = &job;
        ASSERT_OK(health_sweep_write(s.sweep,
                        &(HealthSweepOutput) { .began_at = n + 2, .gone = gone, .n_gone = 1 }, NULL));
        QUERY(&s, "0", "SELECT count(*) FROM health_probes");
}
END_TEST

START_TEST(two_sweeps_do_not_go_on_at_once) {
        _cleanup_error_ Error error = {};
        HealthSweepInput input = {};
        _cleanup_scene_ Scene s;
        DbSync *other;

        scene_open(&s);
        ASSERT_OK(health_sweep_read(s.sweep, &input, NULL));
        health_sweep_input_done(&input);
        other = open_sweep(s.t.conninfo);
        ASSERT_ERROR(health_sweep_read(other, &input, &error), EBUSY);
        ck_assert_str_eq(error.name, CCP_ERROR_BUSY);
        db_sync_free(other);

        db_sync_free(s.sweep);
        s.sweep = NULL;
        for (unsigned k = 0;; k++) {
                int r;

                other = open_sweep(s.t.conninfo);
                r = health_sweep_read(other, &input, NULL);
                db_sync_free(other);
                health_sweep_input_done(&input);
                if (r >= 0)
                        break;
                ck_assert_uint_lt(k, 100);
        }
}
END_TEST

START_TEST(a_sweep_that_could_not_look_says_why) {
        _cleanup_error_ Error error = {};
        _cleanup_scene_ Scene s;
        StatesOutcome o = {};

        scene_open(&s);
        (void) error_setf(&error, CCP_ERROR_ENGINE_UNAVAILABLE, "It is away.");
        ASSERT_OK(health_sweep_write(
                        s.sweep, &(HealthSweepOutput) { .began_at = 1, .error = &error }, NULL));
        ck_assert_int_eq(store_load_health(s.t.db, NULL, on_states, &o, NULL, NULL), 0);
        TEST_DB_WAIT(&s.t, o.done);
        ck_assert_str_eq(o.error_name, CCP_ERROR_ENGINE_UNAVAILABLE);
        ck_assert_uint_eq(o.n_probes, 0);
        free(o.error_name);
}
END_TEST

/* --- history --- */

/* Each hour as its number since HOUR and how many samples of which health it has. */
static void assert_hours(const Scene *s, const char *expected) {
        QUERY(s, expected,
                        "SELECT coalesce(string_agg(concat_ws(' ', (hour - %llu) / 3600000000, n_unknown, "
                        "n_starting, n_healthy, n_degraded, n_unhealthy), ', ' ORDER BY hour), '') FROM "
                        "health_hours",
                        (unsigned long long) HOUR);
}

/* A sample a minute in so many hours from HOUR on; of each ten, two are degraded, one unhealthy, one unknown. */
static void fill(const Scene *s, unsigned first, unsigned n_hours) {
        _cleanup_free_ char *sql = NULL;

        ck_assert_int_ge(
                        asprintf(&sql,
                                        "SELECT '%s', %llu + n * 60000000::bigint, CASE n %% 10 WHEN 0 THEN "
                                        "'unknown' WHEN 1 THEN 'unhealthy' WHEN 2 THEN 'degraded' WHEN 3 "
                                        "THEN "
                                        "'degraded' ELSE 'healthy' END, CASE WHEN n %% 10 > 1 THEN 1000 * "
                                        "(1 + n "
                                        "%% 10) END FROM generate_series(%u, %u) n",
                                        s->oslo, (unsigned long long) HOUR, first * 60,
                                        (first + n_hours) * 60 - 1),
                        0);
        put_samples(s, sql);
}

START_TEST(hours_that_are_over_are_made_once) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        fill(&s, 0, 3);
        /* In the middle of the third. */
        ASSERT_OK(health_roll_up(s.sweep, s.settings, HOUR + 150 * USEC_PER_MINUTE, NULL));
        assert_hours(&s, "0 6 0 36 12 6, 1 6 0 36 12 6");
        ASSERT_OK(health_roll_up(s.sweep, s.settings, HOUR + 150 * USEC_PER_MINUTE, NULL));
        assert_hours(&s, "0 6 0 36 12 6, 1 6 0 36 12 6");
        /* What is in the future of a wrong clock is of no hour yet. */
        ASSERT_OK(health_roll_up(s.sweep, s.settings, HOUR + 180 * USEC_PER_MINUTE, NULL));
        assert_hours(&s, "0 6 0 36 12 6, 1 6 0 36 12 6, 2 6 0 36 12 6");
        QUERY(&s, "144", "SELECT sum(c) FROM health_hours, unnest(latency_counts) c");
}
END_TEST

START_TEST(missed_hours_and_gaps_are_made_up_for) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        fill(&s, 0, 1);
        ASSERT_OK(health_roll_up(s.sweep, s.settings, HOUR + USEC_PER_HOUR + 1, NULL));
        /* Five hours with nothing, and then all at once. */
        fill(&s, 6, 2);
        ASSERT_OK(health_roll_up(s.sweep, s.settings, HOUR + 8 * USEC_PER_HOUR, NULL));
        assert_hours(&s, "0 6 0 36 12 6, 6 6 0 36 12 6, 7 6 0 36 12 6");
        QUERY(&s, "8", "SELECT (until - %llu) / 3600000000 FROM health_rolled_up",
                        (unsigned long long) HOUR);
}
END_TEST

START_TEST(a_clock_that_was_set_back_does_no_harm) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        fill(&s, 0, 3);
        ASSERT_OK(health_roll_up(s.sweep, s.settings, HOUR + 3 * USEC_PER_HOUR, NULL));
        /* An hour and a half back: the second hour is lived through again. */
        ASSERT_OK(health_roll_up(s.sweep, s.settings, HOUR + 90 * USEC_PER_MINUTE, NULL));
        QUERY(&s, "1", "SELECT (until - %llu) / 3600000000 FROM health_rolled_up",
                        (unsigned long long) HOUR);
        assert_hours(&s, "0 6 0 36 12 6, 1 6 0 36 12 6, 2 6 0 36 12 6");
        {
                _cleanup_free_ char *sql = NULL;

                ck_assert_int_ge(asprintf(&sql,
                                                 "SELECT '%s', %llu + n, 'healthy', NULL FROM "
                                                 "generate_series(1, 4) n",
                                                 s.oslo, (unsigned long long) (HOUR + 90 * USEC_PER_MINUTE)),
                                0);
                put_samples(&s, sql);
        }
        ASSERT_OK(health_roll_up(s.sweep, s.settings, HOUR + 2 * USEC_PER_HOUR, NULL));
        assert_hours(&s, "0 6 0 36 12 6, 1 6 0 40 12 6, 2 6 0 36 12 6");

        /* Where the samples of an hour are gone, what was made of them stays. */
        test_postgres_tamper(s.t.conninfo, "DELETE FROM health_samples");
        fill(&s, 2, 1);
        test_postgres_tamper(s.t.conninfo, "DELETE FROM health_samples WHERE time % 120000000 = 0");
        ASSERT_OK(health_roll_up(s.sweep, s.settings, HOUR + 3 * USEC_PER_HOUR, NULL));
        assert_hours(&s, "0 6 0 36 12 6, 1 6 0 40 12 6, 2 6 0 36 12 6");

        /* What a clock that was a year ahead left behind goes. */
        fill(&s, 9000, 1);
        ASSERT_OK(health_roll_up(s.sweep, s.settings, HOUR + 3 * USEC_PER_HOUR + 1, NULL));
        QUERY(&s, "0", "SELECT count(*) FROM health_samples WHERE time > %llu",
                        (unsigned long long) (HOUR + 100 * USEC_PER_HOUR));
}
END_TEST

START_TEST(what_is_old_goes_and_so_does_what_was_deleted) {
        _cleanup_scene_ Scene s;

        scene_open(&s);
        s.settings->health_samples_hours = 2;
        s.settings->health_history_days = 1;
        fill(&s, 0, 30);
        ASSERT_OK(health_roll_up(s.sweep, s.settings, HOUR + 30 * USEC_PER_HOUR, NULL));
        QUERY(&s, "120", "SELECT count(*) FROM health_samples");
        QUERY(&s, "24", "SELECT count(*) FROM health_hours");

        test_postgres_tamper(s.t.conninfo, "DELETE FROM instances WHERE slug = 'oslo'");
        QUERY(&s, "0", "SELECT count(*) FROM health_samples");
        QUERY(&s, "0", "SELECT count(*) FROM health_hours");
}
END_TEST

typedef struct PeriodsOutcome {
        bool done;
        size_t n;
        HealthPeriod items[64];
} PeriodsOutcome;

static void on_periods(int r, const StoreHealthQuery *query, const HealthPeriods *periods, Error *error,
                void *userdata) {
        PeriodsOutcome *o = userdata;

        ck_assert_msg(r == 0, "%s", r < 0 ? error->message : "");
        ck_assert_uint_gt(query->step, 0);
        ck_assert_uint_le(periods->n, ELEMENTSOF(o->items));
        o->done = true;
        o->n = periods->n;
        memcpy(o->items, periods->items, periods->n * sizeof(*periods->items));
}

static void query(Scene *s, const StoreHealthQuery *q, PeriodsOutcome *ret) {
        *ret = (PeriodsOutcome) {};
        ck_assert_int_eq(store_query_health(s->t.db, q, on_periods, ret, NULL, NULL), 0);
        TEST_DB_WAIT(&s->t, ret->done);
}

START_TEST(history_is_read_from_hours_and_samples_together) {
        _cleanup_free_ PeriodsOutcome *o = new0(PeriodsOutcome, 1);
        _cleanup_scene_ Scene s;
        char *both[3];
        StoreHealthQuery q;

        scene_open(&s);
        both[0] = s.oslo;
        both[1] = s.bergen;
        both[2] = NULL;
        q = (StoreHealthQuery) {
                .instances = both,
                .since = HOUR,
                .until = HOUR + 10 * USEC_PER_HOUR,
                .step = USEC_PER_HOUR,
                .hours = true,
                .latencies = true,
        };
        fill(&s, 0, 2);
        ASSERT_OK(health_roll_up(s.sweep, s.settings, HOUR + 2 * USEC_PER_HOUR + 1, NULL));
        fill(&s, 5, 1);
        /* What was made an hour of is there, even where its samples are gone. */
        {
                _cleanup_free_ char *sql = NULL;

                ck_assert_int_ge(asprintf(&sql, "DELETE FROM health_samples WHERE time < %llu",
                                                 (unsigned long long) (HOUR + USEC_PER_HOUR)),
                                0);
                test_postgres_tamper(s.t.conninfo, sql);
        }
        query(&s, &q, o);
        ck_assert_uint_eq(o->n, 3);
        for (size_t k = 0; k < 3; k++) {
                static const uint64_t periods[] = { 0, 1, 5 };

                ck_assert_str_eq(o->items[k].instance, s.oslo);
                ck_assert_uint_eq(o->items[k].period, periods[k]);
                ck_assert_uint_eq(o->items[k].n[HEALTH_HEALTHY], 36);
                ck_assert_uint_eq(o->items[k].n[HEALTH_DEGRADED], 12);
                ck_assert_uint_eq(o->items[k].n[HEALTH_UNHEALTHY], 6);
                ck_assert_uint_eq(o->items[k].n[HEALTH_UNKNOWN], 6);
                /* 3 to 10 ms, six of each. */
                ck_assert_uint_eq(latency_count(&o->items[k].latency), 48);
                ck_assert_uint_ge(latency_percentile(&o->items[k].latency, 50), 5500);
                ck_assert_uint_le(latency_percentile(&o->items[k].latency, 50), 7700);
                ck_assert_uint_ge(latency_percentile(&o->items[k].latency, 99), 9000);
                ck_assert_uint_le(latency_percentile(&o->items[k].latency, 99), 11000);
        }

        /* All of it as one. */
        q.step = 10 * USEC_PER_HOUR;
        query(&s, &q, o);
        ck_assert_uint_eq(o->n, 1);
        ck_assert_uint_eq(o->items[0].n[HEALTH_HEALTHY], 3 * 36);
        ck_assert_uint_eq(latency_count(&o->items[0].latency), 3 * 48);

        /* From samples alone, in smaller steps. */
        q.step = 10 * USEC_PER_MINUTE;
        q.since = HOUR + USEC_PER_HOUR;
        q.until = HOUR + 2 * USEC_PER_HOUR;
        q.hours = q.latencies = false;
        query(&s, &q, o);
        ck_assert_uint_eq(o->n, 6);
        ck_assert_uint_eq(o->items[5].n[HEALTH_HEALTHY], 6);
        ck_assert_uint_eq(o->items[5].n[HEALTH_DEGRADED], 2);
        ck_assert_uint_eq(latency_count(&o->items[5].latency), 0);

        /* Nothing known is nothing told. */
        q.since = HOUR + 20 * USEC_PER_HOUR;
        q.until = HOUR + 21 * USEC_PER_HOUR;
        query(&s, &q, o);
        ck_assert_uint_eq(o->n, 0);
        q.instances = (char *[]) { NULL };
        query(&s, &q, o);
        ck_assert_uint_eq(o->n, 0);
}
END_TEST

START_TEST(buckets_are_those_of_the_program) {
        int64_t bounds[LATENCY_BOUNDS];
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_scene_ Scene s;

        scene_open(&s);
        latency_bounds(bounds);
        for (size_t i = 0; i < LATENCY_BOUNDS; i++)
                string_builder_appendf(&b, "%s%lld", i > 0 ? "," : "", (long long) bounds[i]);
        for (usec_t latency = 50; latency < 20 * USEC_PER_SEC; latency = latency * 5 / 4 + 3) {
                char expected[16];

                (void) snprintf(expected, sizeof(expected), "%u", latency_bucket(latency));
                QUERY(&s, expected, "SELECT width_bucket(%llu::bigint, '{%s}'::bigint[])",
                                (unsigned long long) latency, b.data);
        }
}
END_TEST

TESTS("store-health", a_sweep_is_recorded_and_told_and_read_again, since_when_it_is_so_is_kept,
                what_changed_meanwhile_is_left_out, a_job_that_waits_is_not_on_its_instance,
                what_a_job_saw_later_stays, two_sweeps_do_not_go_on_at_once,
                a_sweep_that_could_not_look_says_why, hours_that_are_over_are_made_once,
                missed_hours_and_gaps_are_made_up_for, a_clock_that_was_set_back_does_no_harm,
                what_is_old_goes_and_so_does_what_was_deleted,
                history_is_read_from_hours_and_samples_together, buckets_are_those_of_the_program)
