/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "probe-state.h"

#include "string-util.h"
#include "test.h"

#define START (1000 * USEC_PER_SEC)

/* Each letter is a probe, ten seconds after the one before: '+' good, '-' bad. Gives a letter for each verdict:
 * w, h or f. */
static void run(ProbeState *s, const ProbeRule *rule, const char *probes, usec_t at, char *ret_verdicts) {
        for (; *probes; probes++, at += 10 * USEC_PER_SEC) {
                const ProbeResult result = {
                        .good = *probes == '+',
                        .at = at,
                        .latency = *probes == '+' ? 5000 : 0,
                        .reason = "answers 502",
                };

                ASSERT_OK(probe_state_update(s, rule, &result, START));
                *ret_verdicts++ = probe_verdict_to_string(s->verdict)[0];
        }
        *ret_verdicts = 0;
}

START_TEST(verdicts_follow_the_thresholds) {
        static const struct {
                unsigned failures, successes;
                const char *probes, *verdicts;
        } table[] = {
                { 3, 1, "+", "h" },
                /* One lost probe, or two, or many that are never three in a row. */
                { 3, 1, "+-+", "hhh" },
                { 3, 1, "+--+--+--+", "hhhhhhhhhh" },
                { 3, 1, "+---", "hhhf" },
                { 3, 1, "+----+", "hhhffh" },
                { 3, 2, "++---+-++", "whhhffffh" },
                { 1, 1, "+-+-", "hfhf" },
                { 1, 3, "+++-++-+++", "wwhffffffh" },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                const ProbeRule rule = { .failures = i->failures, .successes = i->successes };
                _cleanup_probe_state_ ProbeState s = {};
                char verdicts[32];

                run(&s, &rule, i->probes, START, verdicts);
                ck_assert_str_eq(verdicts, i->verdicts);
        }
}
END_TEST

START_TEST(what_never_answered_has_time_to_start) {
        const ProbeRule rule = { .failures = 3, .successes = 1, .patience = 60 * USEC_PER_SEC };
        _cleanup_probe_state_ ProbeState s = {};
        char verdicts[32];

        /* The seventh probe comes after a minute. */
        run(&s, &rule, "--------", START, verdicts);
        ck_assert_str_eq(verdicts, "wwwwwwff");
        ck_assert_uint_eq(s.since, START + 60 * USEC_PER_SEC);
        ck_assert_uint_eq(s.n_failures, 8);
        ck_assert_str_eq(s.reason, "answers 502");
        ck_assert_uint_eq(s.latency, 0);

        /* What has answered once has no such time any more. */
        probe_state_done(&s);
        run(&s, &rule, "+---", START, verdicts);
        ck_assert_str_eq(verdicts, "hhhf");

        /* A clock that was set back does not make it older than it is. */
        probe_state_done(&s);
        run(&s, &rule, "----", START - 1000 * USEC_PER_SEC + 1, verdicts);
        ck_assert_str_eq(verdicts, "wwww");
}
END_TEST

START_TEST(times_and_reasons_are_kept) {
        const ProbeRule rule = { .failures = 2, .successes = 1 };
        _cleanup_probe_state_ ProbeState s = {};
        char verdicts[32];

        run(&s, &rule, "++", START, verdicts);
        ck_assert_uint_eq(s.since, START);
        ck_assert_uint_eq(s.checked_at, START + 10 * USEC_PER_SEC);
        ck_assert_uint_eq(s.latency, 5000);
        ck_assert_ptr_null(s.reason);

        run(&s, &rule, "-", START + 20 * USEC_PER_SEC, verdicts);
        ck_assert_int_eq(s.verdict, PROBE_HEALTHY);
        ck_assert_str_eq(s.reason, "answers 502");
        ck_assert_uint_eq(s.since, START);

        run(&s, &rule, "-", START + 30 * USEC_PER_SEC, verdicts);
        ck_assert_int_eq(s.verdict, PROBE_FAILED);
        ck_assert_uint_eq(s.since, START + 30 * USEC_PER_SEC);
        ck_assert_uint_eq(s.n_failures, 2);
        ck_assert_uint_eq(s.n_successes, 0);
}
END_TEST

TESTS("probe-state", verdicts_follow_the_thresholds, what_never_answered_has_time_to_start,
                times_and_reasons_are_kept)
