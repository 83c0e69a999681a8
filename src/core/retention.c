/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "retention.h"

#include <stdlib.h>
#include <time.h>

#include "alloc-util.h"
#include "string-util.h"

/* 1970-01-01 was a Thursday, three days after a Monday. */
#define DAYS_FROM_MONDAY 3

typedef int64_t (*period_t)(usec_t t);

static int64_t day_of(usec_t t) {
        time_t seconds = (time_t) (t / USEC_PER_SEC);
        struct tm tm;

        if (!localtime_r(&seconds, &tm))
                return (int64_t) (t / USEC_PER_DAY);
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        return timegm(&tm) / (int64_t) (USEC_PER_DAY / USEC_PER_SEC);
}

static int64_t week_of(usec_t t) {
        int64_t days = day_of(t) + DAYS_FROM_MONDAY;

        return days >= 0 ? days / 7 : -1;
}

static int64_t month_of(usec_t t) {
        time_t seconds = (time_t) (t / USEC_PER_SEC);
        struct tm tm;

        return localtime_r(&seconds, &tm) ? tm.tm_year * (int64_t) 12 + tm.tm_mon : 0;
}

static int compare_newest_first(const void *a, const void *b, void *userdata) {
        const RetentionItem *items = userdata, *x = items + *(const size_t *) a,
                            *y = items + *(const size_t *) b;

        return x->sequence > y->sequence ? -1 : x->sequence < y->sequence;
}

/* The newest one of each of the last n periods that have one. A clock that went back brings an earlier period up again: the
 * newest in it is kept already, so that those before it live longer, not shorter. */
static int keep_periods(const RetentionItem *items, const size_t *order, size_t n_ordered, period_t period,
                unsigned n, RetentionReason reason, unsigned *ret) {
        _cleanup_free_ int64_t *seen = NULL;
        unsigned n_seen = 0;

        seen = new0(int64_t, n);
        if (!seen)
                return -ENOMEM;

        for (size_t i = 0; i < n_ordered && n_seen < n; i++) {
                int64_t p = period(items[order[i]].created_at);
                bool known = false;

                for (unsigned k = 0; k < n_seen; k++)
                        known = known || seen[k] == p;
                if (known)
                        continue;
                seen[n_seen++] = p;
                ret[order[i]] |= reason;
        }
        return 0;
}

static int keep_ordered(const RetentionItem *items, const size_t *order, size_t n_ordered,
                const RetentionPolicy *policy, unsigned *ret) {
        const struct {
                unsigned n;
                period_t period;
                RetentionReason reason;
        } rules[] = {
                { policy->daily, day_of, RETENTION_DAILY },
                { policy->weekly, week_of, RETENTION_WEEKLY },
                { policy->monthly, month_of, RETENTION_MONTHLY },
        };
        int r;

        for (size_t i = 0; i < MIN(n_ordered, (size_t) policy->last); i++)
                ret[order[i]] |= RETENTION_LAST;
        FOREACH_ARRAY(rule, rules, ELEMENTSOF(rules)) {
                r = keep_periods(items, order, n_ordered, rule->period, rule->n, rule->reason, ret);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* Those made here, the newest first: the verified ones, and, if that is asked for, the damaged ones. */
static size_t put_in_order(const RetentionItem *items, size_t n, bool with_damaged, size_t *order) {
        size_t k = 0;

        for (size_t i = 0; i < n; i++)
                if (!items[i].imported && (items[i].verified || (with_damaged && items[i].damaged)))
                        order[k++] = i;
        qsort_r(order, k, sizeof(*order), compare_newest_first, (void *) items);
        return k;
}

/* What is wrong with a disk, or with a file system that is not mounted, must not make them go, nor their copies: that is for
 * a person to see, who can bring most of them back. */
static int keep_damaged(const RetentionItem *items, size_t n, const RetentionPolicy *policy, size_t *order,
                unsigned *ret) {
        _cleanup_free_ unsigned *reasons = new0(unsigned, n);
        int r;

        if (!reasons)
                return -ENOMEM;
        r = keep_ordered(items, order, put_in_order(items, n, true, order), policy, reasons);
        for (size_t i = 0; r >= 0 && i < n; i++)
                if (items[i].damaged)
                        ret[i] |= reasons[i];
        return r;
}

static void keep_unverified(const RetentionItem *items, size_t n, uint64_t newest, bool any, unsigned *ret) {
        for (size_t i = 0; i < n; i++) {
                if (items[i].verified || items[i].imported)
                        continue;
                if (!any || items[i].sequence > newest)
                        ret[i] |= RETENTION_UNPROVEN;
                else if (!items[i].damaged)
                        ret[i] |= RETENTION_SUPERSEDED;
        }
}

int retention_plan(const RetentionItem *items, size_t n, const RetentionPolicy *policy, unsigned *ret) {
        _cleanup_free_ size_t *order = NULL;
        size_t n_verified;
        int r;

        order = new0(size_t, n);
        if (!order)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                ret[i] = items[i].imported ? RETENTION_IMPORTED : 0;

        n_verified = put_in_order(items, n, false, order);
        r = keep_ordered(items, order, n_verified, policy, ret);
        if (r < 0)
                return r;
        if (n_verified > 0)
                ret[order[0]] |= RETENTION_NEWEST;
        keep_unverified(items, n, n_verified > 0 ? items[order[0]].sequence : 0, n_verified > 0, ret);
        r = keep_damaged(items, n, policy, order, ret);
        if (r < 0)
                return r;

        if (policy->last == 0 && policy->daily == 0 && policy->weekly == 0 && policy->monthly == 0)
                for (size_t i = 0; i < n; i++)
                        ret[i] |= RETENTION_NO_POLICY;
        return 0;
}

char *retention_describe(unsigned reasons, const RetentionPolicy *policy) {
        const struct {
                const char *text, *unit;
                RetentionReason reason;
                unsigned n; /* 0: the text is all there is */
        } texts[] = {
                { "everything is kept", "", RETENTION_NO_POLICY, 0 },
                { "the newest that is verified", "", RETENTION_NEWEST, 0 },
                { "one of the last", "", RETENTION_LAST, policy->last },
                { "the newest of one of", " days", RETENTION_DAILY, policy->daily },
                { "the newest of one of", " weeks", RETENTION_WEEKLY, policy->weekly },
                { "the newest of one of", " months", RETENTION_MONTHLY, policy->monthly },
                { "no newer one is verified", "", RETENTION_UNPROVEN, 0 },
                { "never verified, and a newer one is", "", RETENTION_SUPERSEDED, 0 },
                { "imported", "", RETENTION_IMPORTED, 0 },
        };
        _cleanup_string_builder_ StringBuilder b = {};
        bool first = true;
        char *s;

        string_builder_append(&b, reasons == 0 ? "more than are to be kept" : "");
        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts)) {
                if (!(reasons & t->reason))
                        continue;
                string_builder_appendf(&b, "%s%s", first ? "" : ", ", t->text);
                if (t->n > 0)
                        string_builder_appendf(&b, " %u%s", t->n, t->unit);
                first = false;
        }
        return string_builder_finish(&b, &s, NULL) < 0 ? NULL : s;
}

json_t *retention_policy_to_json(const RetentionPolicy *p) {
        return json_pack("{s:i, s:i, s:i, s:i}", "last", (int) p->last, "daily", (int) p->daily, "weekly",
                        (int) p->weekly, "monthly", (int) p->monthly);
}

bool retention_policy_from_json(const json_t *object, RetentionPolicy *ret) {
        const struct {
                const char *key;
                unsigned *value;
        } counts[] = {
                { "last", &ret->last },
                { "daily", &ret->daily },
                { "weekly", &ret->weekly },
                { "monthly", &ret->monthly },
        };

        FOREACH_ARRAY(c, counts, ELEMENTSOF(counts)) {
                const json_t *value = json_object_get(object, c->key);
                json_int_t n = json_integer_value(value);

                if (!json_is_integer(value) || n < 0 || n > (json_int_t) RETENTION_COUNT_MAX)
                        return false;
                *c->value = (unsigned) n;
        }
        return true;
}
