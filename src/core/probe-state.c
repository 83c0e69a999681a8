/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "probe-state.h"

#include <stdlib.h>

#include "string-util.h"

/* What counting further would tell nobody anything. */
#define COUNT_MAX 1000000U

static const char *const probe_verdict_table[_PROBE_VERDICT_MAX] = {
        [PROBE_WAITING] = "waiting",
        [PROBE_HEALTHY] = "healthy",
        [PROBE_FAILED] = "failed",
};
DEFINE_STRING_TABLE(probe_verdict, ProbeVerdict);

void probe_state_done(ProbeState *s) {
        free(s->reason);
        *s = (ProbeState) {};
}

static ProbeVerdict next_verdict(
                const ProbeState *s, const ProbeRule *rule, const ProbeResult *result, usec_t started_at) {
        if (s->n_successes >= rule->successes)
                return PROBE_HEALTHY;
        if (s->n_failures < rule->failures)
                return s->verdict;
        /* It never answered: as long as it may take to start, that is no failure. */
        if (s->verdict == PROBE_WAITING &&
                        (result->at < started_at || result->at - started_at < rule->patience))
                return PROBE_WAITING;

        return PROBE_FAILED;
}

int probe_state_update(ProbeState *s, const ProbeRule *rule, const ProbeResult *result, usec_t started_at) {
        ProbeVerdict verdict;
        int r;

        r = free_and_strdup(&s->reason, result->good ? NULL : result->reason);
        if (r < 0)
                return r;

        s->n_successes = result->good ? MIN(s->n_successes + 1, COUNT_MAX) : 0;
        s->n_failures = result->good ? 0 : MIN(s->n_failures + 1, COUNT_MAX);
        verdict = next_verdict(s, rule, result, started_at);
        if (verdict != s->verdict || s->since == 0)
                s->since = result->at;
        s->verdict = verdict;
        s->checked_at = result->at;
        s->latency = result->latency;
        return 0;
}
