/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "health.h"
#include "string-util.h"
#include "test.h"

#define NOW (1000 * USEC_PER_SEC)

#define S SERVICE_KIND_SERVICE
#define O SERVICE_KIND_ONESHOT
#define P SERVICE_KIND_OPTIONAL

START_TEST(containers_are_judged_by_kind_and_state) {
        static const struct {
                ServiceKind kind;
                ContainerState state;
                ContainerHealth health;
                int exit_code;
                unsigned age; /* seconds in this state */
                unsigned n_restarts;
                Verdict verdict;
                bool final;
        } table[] = {
                { S, CONTAINER_CREATED, CONTAINER_HEALTH_NONE, -1, 0, 0, VERDICT_WAITING, false },
                { S, CONTAINER_RUNNING, CONTAINER_HEALTH_STARTING, -1, 100, 0, VERDICT_WAITING, false },
                { S, CONTAINER_RUNNING, CONTAINER_HEALTH_HEALTHY, -1, 0, 0, VERDICT_HEALTHY, true },
                { S, CONTAINER_RUNNING, CONTAINER_HEALTH_UNHEALTHY, -1, 100, 0, VERDICT_FAILED, false },
                /* Without a healthcheck it must have run for a while. */
                { S, CONTAINER_RUNNING, CONTAINER_HEALTH_NONE, -1, 2, 0, VERDICT_WAITING, false },
                { S, CONTAINER_RUNNING, CONTAINER_HEALTH_NONE, -1, 3, 0, VERDICT_HEALTHY, true },
                { P, CONTAINER_RUNNING, CONTAINER_HEALTH_NONE, -1, 3, 0, VERDICT_HEALTHY, true },
                /* Some restarts are a service that waits for another one, more are a loop. */
                { S, CONTAINER_RESTARTING, CONTAINER_HEALTH_NONE, 1, 0, 4, VERDICT_WAITING, false },
                { S, CONTAINER_RESTARTING, CONTAINER_HEALTH_NONE, 1, 0, 5, VERDICT_FAILED, true },
                { S, CONTAINER_RUNNING, CONTAINER_HEALTH_NONE, 1, 1, 5, VERDICT_FAILED, true },
                { S, CONTAINER_RUNNING, CONTAINER_HEALTH_STARTING, 1, 1, 5, VERDICT_FAILED, true },
                /* It came to rest after all. */
                { S, CONTAINER_RUNNING, CONTAINER_HEALTH_NONE, 1, 3, 9, VERDICT_HEALTHY, true },
                { S, CONTAINER_RUNNING, CONTAINER_HEALTH_HEALTHY, 1, 1, 9, VERDICT_HEALTHY, true },
                { S, CONTAINER_EXITED, CONTAINER_HEALTH_NONE, 0, 0, 0, VERDICT_FAILED, true },
                { S, CONTAINER_EXITED, CONTAINER_HEALTH_NONE, 1, 0, 0, VERDICT_FAILED, true },
                { S, CONTAINER_DEAD, CONTAINER_HEALTH_NONE, 1, 0, 0, VERDICT_FAILED, true },
                { S, CONTAINER_PAUSED, CONTAINER_HEALTH_HEALTHY, -1, 9, 0, VERDICT_FAILED, false },
                { O, CONTAINER_CREATED, CONTAINER_HEALTH_NONE, -1, 0, 0, VERDICT_WAITING, false },
                { O, CONTAINER_RUNNING, CONTAINER_HEALTH_NONE, -1, 999, 0, VERDICT_WAITING, false },
                { O, CONTAINER_RUNNING, CONTAINER_HEALTH_HEALTHY, -1, 999, 0, VERDICT_WAITING, false },
                { O, CONTAINER_EXITED, CONTAINER_HEALTH_NONE, 0, 0, 0, VERDICT_HEALTHY, true },
                { O, CONTAINER_EXITED, CONTAINER_HEALTH_NONE, 3, 0, 0, VERDICT_FAILED, true },
                { O, CONTAINER_RESTARTING, CONTAINER_HEALTH_NONE, 3, 0, 1, VERDICT_WAITING, false },
                { O, CONTAINER_RESTARTING, CONTAINER_HEALTH_NONE, 3, 0, 5, VERDICT_FAILED, true },
                { P, CONTAINER_EXITED, CONTAINER_HEALTH_NONE, 0, 0, 0, VERDICT_FAILED, true },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++) {
                HealthObservation o = {
                        .exists = true,
                        .state = table[i].state,
                        .health = table[i].health,
                        .exit_code = table[i].exit_code,
                        .since = NOW - table[i].age * USEC_PER_SEC,
                        .n_restarts = table[i].n_restarts,
                };
                HealthJudgement j = health_judge(table[i].kind, &o, NOW);

                ck_assert_msg(j.verdict == table[i].verdict, "row %zu: %s", i, j.reason);
                ck_assert_msg(j.final == table[i].final, "row %zu: %s", i, j.reason);
                ck_assert_ptr_nonnull(j.reason);
        }
}
END_TEST

START_TEST(every_state_has_a_rule) {
        for (ServiceKind kind = 0; kind < _SERVICE_KIND_MAX; kind++)
                for (ContainerState state = 0; state < _CONTAINER_STATE_MAX; state++)
                        for (ContainerHealth health = 0; health < _CONTAINER_HEALTH_MAX; health++) {
                                HealthObservation o = { .exists = true, .state = state, .health = health };

                                ck_assert_str_ne(health_judge(kind, &o, NOW).reason,
                                                "is in a state that is not known");
                        }
}
END_TEST

START_TEST(what_is_not_there_is_waited_for) {
        HealthObservation o = { .state = CONTAINER_RUNNING, .health = CONTAINER_HEALTH_HEALTHY };
        HealthJudgement j = health_judge(S, &o, NOW);

        ck_assert_int_eq(j.verdict, VERDICT_WAITING);
        ck_assert_str_eq(j.reason, "has no container");
}
END_TEST

START_TEST(memory_is_the_reason_where_it_was) {
        HealthObservation o = {
                .exists = true, .state = CONTAINER_EXITED, .exit_code = 137, .oom_killed = true
        };

        ck_assert_ptr_nonnull(strstr(health_judge(S, &o, NOW).reason, "memory"));
}
END_TEST

START_TEST(a_clock_that_jumps_back_only_waits) {
        HealthObservation o = { .exists = true, .state = CONTAINER_RUNNING, .since = NOW + USEC_PER_HOUR };

        ck_assert_int_eq(health_judge(S, &o, NOW).verdict, VERDICT_WAITING);
}
END_TEST

START_TEST(an_instance_is_as_healthy_as_its_services) {
        static const struct {
                HealthVerdict verdicts[4];
                size_t n;
                Health health;
        } table[] = {
                { {}, 0, HEALTH_UNKNOWN },
                { { { S, VERDICT_HEALTHY } }, 1, HEALTH_HEALTHY },
                { { { S, VERDICT_WAITING } }, 1, HEALTH_STARTING },
                { { { S, VERDICT_FAILED } }, 1, HEALTH_UNHEALTHY },
                { { { S, VERDICT_HEALTHY }, { O, VERDICT_HEALTHY } }, 2, HEALTH_HEALTHY },
                { { { S, VERDICT_HEALTHY }, { S, VERDICT_WAITING } }, 2, HEALTH_STARTING },
                { { { S, VERDICT_HEALTHY }, { S, VERDICT_FAILED } }, 2, HEALTH_DEGRADED },
                { { { S, VERDICT_WAITING }, { S, VERDICT_FAILED } }, 2, HEALTH_UNHEALTHY },
                { { { S, VERDICT_FAILED }, { O, VERDICT_HEALTHY } }, 2, HEALTH_UNHEALTHY },
                { { { S, VERDICT_HEALTHY }, { O, VERDICT_FAILED } }, 2, HEALTH_DEGRADED },
                { { { S, VERDICT_HEALTHY }, { P, VERDICT_FAILED } }, 2, HEALTH_DEGRADED },
                { { { S, VERDICT_HEALTHY }, { P, VERDICT_WAITING } }, 2, HEALTH_HEALTHY },
                { { { S, VERDICT_WAITING }, { P, VERDICT_FAILED } }, 2, HEALTH_DEGRADED },
                { { { O, VERDICT_HEALTHY } }, 1, HEALTH_HEALTHY },
        };

        for (size_t i = 0; i < ELEMENTSOF(table); i++)
                ck_assert_msg(health_summarize(table[i].verdicts, table[i].n) == table[i].health, "row %zu",
                                i);
}
END_TEST

START_TEST(probes_and_containers_are_judged_together) {
        static const struct {
                ContainerState state;
                ContainerHealth health;
                int probes; /* a ProbeVerdict; -1: nothing is known */
                Verdict verdict;
                const char *reason;
        } table[] = {
                { CONTAINER_RUNNING, CONTAINER_HEALTH_NONE, PROBE_HEALTHY, VERDICT_HEALTHY, "answers" },
                { CONTAINER_RUNNING, CONTAINER_HEALTH_STARTING, PROBE_HEALTHY, VERDICT_HEALTHY, "answers" },
                { CONTAINER_RUNNING, CONTAINER_HEALTH_NONE, PROBE_FAILED, VERDICT_FAILED, "answers 502" },
                { CONTAINER_RUNNING, CONTAINER_HEALTH_HEALTHY, PROBE_FAILED, VERDICT_FAILED, "answers 502" },
                { CONTAINER_RUNNING, CONTAINER_HEALTH_HEALTHY, PROBE_WAITING, VERDICT_WAITING,
                                "answers 502" },
                { CONTAINER_RUNNING, CONTAINER_HEALTH_UNHEALTHY, PROBE_HEALTHY, VERDICT_FAILED,
                                "is unhealthy" },
                { CONTAINER_RUNNING, CONTAINER_HEALTH_HEALTHY, -1, VERDICT_HEALTHY, "is healthy" },
                { CONTAINER_RUNNING, CONTAINER_HEALTH_NONE, -1, VERDICT_WAITING, "has just started" },
                { CONTAINER_EXITED, CONTAINER_HEALTH_NONE, PROBE_HEALTHY, VERDICT_FAILED, "has ended" },
                { CONTAINER_PAUSED, CONTAINER_HEALTH_NONE, PROBE_HEALTHY, VERDICT_FAILED, "is paused" },
                { CONTAINER_RESTARTING, CONTAINER_HEALTH_NONE, PROBE_FAILED, VERDICT_WAITING,
                                "is being restarted" },
                { CONTAINER_CREATED, CONTAINER_HEALTH_NONE, PROBE_HEALTHY, VERDICT_WAITING,
                                "is not started yet" },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                const HealthObservation o = {
                        .exists = true, .state = i->state, .health = i->health, .since = NOW - 1
                };
                const ProbeState probes = {
                        .verdict = i->probes < 0 ? PROBE_WAITING : (ProbeVerdict) i->probes,
                        .reason = i->probes == PROBE_HEALTHY ? NULL : (char *) "answers 502",
                };
                HealthJudgement j = health_judge_probed(S, &o, i->probes < 0 ? NULL : &probes, NOW);

                ck_assert_int_eq(j.verdict, i->verdict);
                ck_assert_str_eq(j.reason, i->reason);
        }
}
END_TEST

#define LATE (1000 * USEC_PER_HOUR)

START_TEST(a_run_is_known_by_when_it_began) {
        HealthObservation o = {
                .exists = true, .state = CONTAINER_RUNNING, .since = LATE - 20 * USEC_PER_SEC
        };

        ck_assert(health_is_same_run(&o, LATE - 10 * USEC_PER_SEC, LATE));
        ck_assert(!health_is_same_run(&o, LATE - 30 * USEC_PER_SEC, LATE));
        /* "Up 5 minutes" may be nearly six. */
        o.since = LATE - 5 * USEC_PER_MINUTE;
        ck_assert(health_is_same_run(&o, LATE - 5 * USEC_PER_MINUTE - 50 * USEC_PER_SEC, LATE));
        ck_assert(!health_is_same_run(&o, LATE - 7 * USEC_PER_MINUTE, LATE));
        o.since = LATE - 2 * USEC_PER_HOUR;
        ck_assert(health_is_same_run(&o, LATE - 170 * USEC_PER_MINUTE, LATE));
}
END_TEST

START_TEST(the_worst_is_the_reason) {
        const HealthVerdict all[] = {
                { P, VERDICT_WAITING, "a", "" },
                { S, VERDICT_WAITING, "b", "" },
                { P, VERDICT_FAILED, "c", "" },
                { O, VERDICT_FAILED, "d", "" },
        };

        ck_assert_str_eq(health_find_reason(all, 4)->service, "d");
        ck_assert_str_eq(health_find_reason(all, 3)->service, "c");
        ck_assert_str_eq(health_find_reason(all, 2)->service, "b");
        ck_assert_ptr_null(health_find_reason(all, 1));
        ck_assert_ptr_null(health_find_reason(NULL, 0));
}
END_TEST

START_TEST(who_is_asked_from_outside) {
        BlueprintService s = { .kind = SERVICE_KIND_SERVICE, .health.type = HEALTH_TYPE_TCP };

        ck_assert(health_is_probed(&s));
        s.kind = SERVICE_KIND_ONESHOT;
        ck_assert(!health_is_probed(&s));
        s = (BlueprintService) { .kind = SERVICE_KIND_OPTIONAL, .health.type = HEALTH_TYPE_CONTAINER };
        ck_assert(!health_is_probed(&s));
}
END_TEST

TESTS("health", probes_and_containers_are_judged_together, a_run_is_known_by_when_it_began,
                the_worst_is_the_reason, who_is_asked_from_outside, containers_are_judged_by_kind_and_state,
                every_state_has_a_rule, what_is_not_there_is_waited_for, memory_is_the_reason_where_it_was,
                a_clock_that_jumps_back_only_waits, an_instance_is_as_healthy_as_its_services)
