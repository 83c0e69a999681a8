/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert-deliver.h"

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>

#include "alloc-util.h"
#include "log.h"
#include "string-util.h"

/* Whoever tries a channel waits for what comes of it. */
#define TEST_ATTEMPTS_MAX 3U

void alert_result_done(AlertResult *r) {
        r->error = mfree(r->error);
}

void alert_result_set(AlertResult *r, AlertOutcome outcome, bool answered, const char *format, ...) {
        va_list ap;

        free(r->error);
        va_start(ap, format);
        if (vasprintf(&r->error, format, ap) < 0)
                r->error = NULL;
        va_end(ap);

        if (r->error)
                utf8_make_valid(r->error);
        r->outcome = outcome;
        r->answered = answered;
}

void alert_result_judge(AlertResult *r, const AlertMessage *m, uint32_t random, usec_t *ret_wait) {
        bool over = m->test ? m->n_attempts >= TEST_ATTEMPTS_MAX : m->age >= ALERT_PATIENCE_USEC;

        *ret_wait = 0;
        if (r->outcome != ALERT_OUTCOME_RETRY)
                return;

        if (over)
                r->outcome = ALERT_OUTCOME_FAILED;
        else
                *ret_wait = alert_backoff_asked(m->n_attempts, random, r->retry_after);
}

static void log_result(const AlertCarrier *c, const AlertMessage *m, const AlertResult *r) {
        const char *channel = alert_channel_to_string(c->channel);

        if (r->outcome == ALERT_OUTCOME_FAILED)
                log_error("Message %s with %zu alerts (%s) is given up: %s", m->uuid, m->n_notices, channel,
                                strempty(r->error));
        else if (r->outcome == ALERT_OUTCOME_RETRY && m->n_attempts == 1)
                log_warning("Message %s with %zu alerts (%s) is tried again later: %s", m->uuid,
                                m->n_notices, channel, strempty(r->error));
        else if (r->outcome == ALERT_OUTCOME_RETRY)
                log_debug("Message %s (%s), attempt %u: %s", m->uuid, channel, m->n_attempts,
                                strempty(r->error));
        else
                log_info("Message %s with %zu alerts (%s) was delivered.", m->uuid, m->n_notices, channel);
}

/* One attempt, and its record. */
static int attempt(
                DbSync *db, const AlertCarrier *c, const AlertMessage *m, AlertResult *ret, Error *reterr) {
        usec_t wait;

        c->send(m, ret, c->userdata);
        alert_result_judge(ret, m, randombytes_random(), &wait);
        log_result(c, m, ret);
        return alert_queue_note(db, m->id, ret->outcome, ret->error, wait, reterr);
}

static bool is_refused(const AlertMessage *m, const AlertResult *r) {
        return r->outcome == ALERT_OUTCOME_RETRY && r->answered && !m->test &&
                        m->n_attempts >= ALERT_REFUSALS_MAX;
}

/* The message 'id' was refused again and again: if another one gets through, it is that message that is refused, and not
 * the receiver that is ill. */
static int try_next(DbSync *db, const AlertCarrier *c, uint64_t id, Error *reterr) {
        uint64_t last = id;

        for (;;) {
                _cleanup_alert_message_ AlertMessage m = {};
                _cleanup_alert_result_ AlertResult result = {};
                int r;

                r = alert_queue_claim(db, c->channel, last, c->notices_max, &m, reterr);
                if (r < 0 || m.id == 0)
                        return r;
                r = attempt(db, c, &m, &result, reterr);
                if (r < 0)
                        return r;

                if (result.outcome == ALERT_OUTCOME_DELIVERED) {
                        log_error("A message is given up: the receiver refuses it and takes others.");
                        return alert_queue_note(db, id, ALERT_OUTCOME_FAILED,
                                        "The receiver refused it again and again, and took a later one.", 0,
                                        reterr);
                }
                if (!is_refused(&m, &result))
                        return 0;
                last = m.id;
        }
}

int alert_deliver(DbSync *db, const AlertCarrier *c, Error *reterr) {
        for (;;) {
                _cleanup_alert_message_ AlertMessage m = {};
                _cleanup_alert_result_ AlertResult result = {};
                int r;

                r = alert_queue_claim(db, c->channel, 0, c->notices_max, &m, reterr);
                if (r < 0 || m.id == 0)
                        return r;
                if (!c->is_on(m.settings))
                        return alert_queue_drop(db, c->channel, "The channel was switched off.", reterr);

                r = attempt(db, c, &m, &result, reterr);
                if (r >= 0 && is_refused(&m, &result))
                        r = try_next(db, c, m.id, reterr);
                else if (r >= 0 && m.test && result.outcome == ALERT_OUTCOME_DELIVERED)
                        r = alert_queue_hurry(db, reterr);
                if (r < 0)
                        return r;
        }
}
