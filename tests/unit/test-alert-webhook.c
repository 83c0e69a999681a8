/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert-webhook.h"

#include "string-util.h"
#include "test.h"

START_TEST(answers_and_what_follows_from_them) {
        static const struct {
                long status;
                AlertOutcome outcome;
        } cases[] = {
                { 200, ALERT_OUTCOME_DELIVERED },
                { 204, ALERT_OUTCOME_DELIVERED },
                { 299, ALERT_OUTCOME_DELIVERED },
                { 301, ALERT_OUTCOME_RETRY },
                { 307, ALERT_OUTCOME_RETRY },
                { 400, ALERT_OUTCOME_FAILED },
                { 401, ALERT_OUTCOME_FAILED },
                { 404, ALERT_OUTCOME_FAILED },
                { 408, ALERT_OUTCOME_RETRY },
                { 410, ALERT_OUTCOME_FAILED },
                { 429, ALERT_OUTCOME_RETRY },
                { 499, ALERT_OUTCOME_FAILED },
                { 500, ALERT_OUTCOME_RETRY },
                { 503, ALERT_OUTCOME_RETRY },
                { 999, ALERT_OUTCOME_RETRY },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_alert_result_ AlertResult r = {};

                alert_webhook_judge(&r, "example.org", c->status, "no such token");
                ck_assert_msg(r.outcome == c->outcome, "%li", c->status);
                ck_assert(r.answered);
                ck_assert(!r.error == (r.outcome == ALERT_OUTCOME_DELIVERED));
        }
}
END_TEST

START_TEST(what_is_tried_again_is_given_up_one_day) {
        static const struct {
                AlertMessage m;
                AlertOutcome before, after;
        } cases[] = {
                { { .n_attempts = 1 }, ALERT_OUTCOME_RETRY, ALERT_OUTCOME_RETRY },
                { { .n_attempts = 90, .age = ALERT_PATIENCE_USEC - 1 }, ALERT_OUTCOME_RETRY,
                                ALERT_OUTCOME_RETRY },
                { { .n_attempts = 90, .age = ALERT_PATIENCE_USEC }, ALERT_OUTCOME_RETRY,
                                ALERT_OUTCOME_FAILED },
                { { .n_attempts = 90, .age = ALERT_PATIENCE_USEC }, ALERT_OUTCOME_DELIVERED,
                                ALERT_OUTCOME_DELIVERED },
                { { .n_attempts = 1 }, ALERT_OUTCOME_FAILED, ALERT_OUTCOME_FAILED },
                { { .test = true, .n_attempts = 2 }, ALERT_OUTCOME_RETRY, ALERT_OUTCOME_RETRY },
                { { .test = true, .n_attempts = 3 }, ALERT_OUTCOME_RETRY, ALERT_OUTCOME_FAILED },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                AlertResult r = { .outcome = c->before };
                usec_t wait;

                alert_result_judge(&r, &c->m, 0, &wait);
                ck_assert_int_eq(r.outcome, c->after);
                ck_assert((wait > 0) == (r.outcome == ALERT_OUTCOME_RETRY));
        }
}
END_TEST

TESTS("alert-webhook", answers_and_what_follows_from_them, what_is_tried_again_is_given_up_one_day)
