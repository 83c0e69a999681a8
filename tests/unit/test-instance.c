/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "instance.h"
#include "string-util.h"
#include "test.h"

START_TEST(strings_survive_the_round_trip) {
        for (InstanceState s = 0; s < _INSTANCE_STATE_MAX; s++)
                ck_assert_int_eq(instance_state_from_string(instance_state_to_string(s)), s);
        for (Health h = 0; h < _HEALTH_MAX; h++)
                ck_assert_int_eq(health_from_string(health_to_string(h)), h);
        ck_assert_int_eq(instance_state_from_string("Running"), _INSTANCE_STATE_INVALID);
        ck_assert_int_eq(instance_state_from_string(NULL), _INSTANCE_STATE_INVALID);
        ck_assert_ptr_null(instance_state_to_string(_INSTANCE_STATE_MAX));
        ck_assert_ptr_null(instance_state_to_string(_INSTANCE_STATE_INVALID));
}
END_TEST

START_TEST(states_follow_each_other_as_they_should) {
        ck_assert(instance_state_may_become(INSTANCE_PROVISIONING, INSTANCE_RUNNING));
        ck_assert(!instance_state_may_become(INSTANCE_PROVISIONING, INSTANCE_STOPPED));
        ck_assert(!instance_state_may_become(INSTANCE_DELETING, INSTANCE_RUNNING));
        ck_assert(!instance_state_may_become(INSTANCE_RUNNING, INSTANCE_PROVISIONING));
        ck_assert(!instance_state_may_become(_INSTANCE_STATE_INVALID, INSTANCE_RUNNING));
        ck_assert(!instance_state_may_become(INSTANCE_RUNNING, _INSTANCE_STATE_MAX));

        for (InstanceState s = 0; s < _INSTANCE_STATE_MAX; s++) {
                ck_assert(instance_state_may_become(s, s));
                ck_assert(instance_state_may_become(s, INSTANCE_FAILED));
        }
}
END_TEST

/* What a job does to the state must be a transition that is allowed, from each state that the job may begin
 * in. */
START_TEST(jobs_and_transitions_agree) {
        for (JobKind k = 0; k < _JOB_KIND_MAX; k++) {
                size_t n_allowed = 0;

                for (InstanceState s = 0; s < _INSTANCE_STATE_MAX; s++) {
                        InstanceState during, done;

                        if (!instance_state_allows(s, k))
                                continue;

                        n_allowed++;
                        during = instance_state_during(k);
                        if (during == _INSTANCE_STATE_INVALID)
                                during = s;
                        ck_assert(instance_state_may_become(s, during));

                        done = instance_state_after(k, true);
                        ck_assert(done == _INSTANCE_STATE_INVALID ||
                                        instance_state_may_become(during, done));
                        done = instance_state_after(k, false);
                        /* What is about backups leaves it as it is. */
                        ck_assert_int_eq(job_kind_is_aside(k),
                                        IN_SET(k, JOB_BACKUP, JOB_VERIFY, JOB_DELETE_BACKUP,
                                                        JOB_DISCARD_RESTORE, JOB_DRILL, JOB_IMPORT,
                                                        JOB_REPLICATE, JOB_FETCH));
                        ck_assert(job_kind_is_aside(k) ? done == _INSTANCE_STATE_INVALID
                                                       : instance_state_may_become(during, done));
                }
                ck_assert_uint_gt(n_allowed, 0);
        }
}
END_TEST

START_TEST(jobs_are_refused_in_the_wrong_state) {
        ck_assert(instance_state_allows(INSTANCE_STOPPED, JOB_START));
        ck_assert(!instance_state_allows(INSTANCE_STOPPED, JOB_RESTART));
        ck_assert(!instance_state_allows(INSTANCE_PROVISIONING, JOB_STOP));
        ck_assert(!instance_state_allows(INSTANCE_DELETING, JOB_START));
        ck_assert(instance_state_allows(INSTANCE_DELETING, JOB_DELETE));
        ck_assert(!instance_state_allows(_INSTANCE_STATE_INVALID, JOB_DELETE));
        ck_assert(!instance_state_allows(INSTANCE_DELETING, JOB_BACKUP));
}
END_TEST

START_TEST(create_has_thirteen_steps) {
        static const char *const names[] = { "validate", "allocate", "secrets", "record", "folder", "source",
                "context", "render", "static", "pull", "build", "infrastructure", "application" };
        const JobStep *steps;
        size_t n;

        steps = job_kind_steps(JOB_CREATE, &n);
        ck_assert_uint_eq(n, ELEMENTSOF(names));
        for (size_t i = 0; i < n; i++) {
                ck_assert_str_eq(steps[i].name, names[i]);
                ck_assert_int_eq(job_kind_find_step(JOB_CREATE, names[i]), (int) i);
                ck_assert(steps[i].by_daemon == (i < 4));
        }
        ASSERT_ERROR(job_kind_find_step(JOB_CREATE, "health"), ENOENT);
}
END_TEST

START_TEST(weights_of_each_kind_give_a_hundred) {
        for (JobKind k = 0; k < _JOB_KIND_MAX; k++) {
                const JobStep *steps;
                unsigned sum = 0;
                size_t n;

                steps = job_kind_steps(k, &n);
                ck_assert_uint_le(n, JOB_STEPS_MAX);
                for (size_t i = 0; i < n; i++) {
                        sum += steps[i].weight;
                        ck_assert(!isempty(steps[i].title));
                }
                ck_assert_uint_eq(sum, 100);
        }
}
END_TEST

START_TEST(progress_grows_from_zero_to_one) {
        double last = -1;
        size_t n;

        job_kind_steps(JOB_CREATE, &n);
        for (size_t i = 0; i < n; i++) {
                ck_assert_double_gt(job_kind_progress(JOB_CREATE, i, 0.5), last);
                last = job_kind_progress(JOB_CREATE, i, 0.5);
        }
        ck_assert_double_eq_tol(job_kind_progress(JOB_CREATE, 0, -3), 0, 1e-9);
        ck_assert_double_eq_tol(job_kind_progress(JOB_CREATE, n - 1, 7), 1, 1e-9);
        ck_assert_double_eq_tol(job_kind_progress(JOB_CREATE, n, 0), 1, 1e-9);
}
END_TEST

TESTS("instance", strings_survive_the_round_trip, states_follow_each_other_as_they_should,
                jobs_and_transitions_agree, jobs_are_refused_in_the_wrong_state, create_has_thirteen_steps,
                weights_of_each_kind_give_a_hundred, progress_grows_from_zero_to_one)
