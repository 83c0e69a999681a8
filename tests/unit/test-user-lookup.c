/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "string-util.h"
#include "test.h"
#include "user-lookup.h"

typedef struct Answer {
        unsigned n;
        int r;
        uint32_t id;
        Subject subject;
} Answer;

static void on_names(Subject *subject, void *userdata) {
        Answer *a = userdata;

        a->n++;
        a->subject = TAKE_GENERIC(*subject, (Subject) {});
}

/* userdata is a copy of the pointer to the answer, which is ours to free. */
static void on_id(int r, uint32_t id, void *userdata) {
        Answer **a = userdata;

        (*a)->n++;
        (*a)->r = r;
        (*a)->id = id;
        free(a);
}

static Answer **boxed(Answer *a) {
        Answer **box = new0(Answer *, 1);

        ck_assert_ptr_nonnull(box);
        *box = a;
        return box;
}

START_TEST(numbers_get_their_names) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(user_lookup_freep) UserLookup *l = NULL;
        SubjectGroup *groups = new0(SubjectGroup, 2);
        UserLookupRequest *q;
        Subject subject = { .uid = 0, .groups = groups, .n_groups = 2 };
        Answer a = {};

        groups[1].gid = 4242424;
        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_ge(user_lookup_new(event, &l), 0);
        ck_assert_int_ge(user_lookup_names(l, &subject, on_names, &a, &q), 0);
        ck_assert_ptr_null(subject.groups);
        while (a.n == 0)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);

        ck_assert_str_eq(a.subject.user, "root");
        ck_assert_uint_eq(a.subject.n_groups, 2);
        ck_assert_str_eq(a.subject.groups[0].name, "root");
        ck_assert_ptr_null(a.subject.groups[1].name);
        subject_done(&a.subject);
}
END_TEST

START_TEST(names_get_their_numbers) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        _cleanup_(user_lookup_freep) UserLookup *l = NULL;
        Answer user = {}, group = {}, none = {};

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_ge(user_lookup_new(event, &l), 0);
        ck_assert_int_ge(user_lookup_id(l, SUBJECT_USER, "daemon", on_id, boxed(&user)), 0);
        ck_assert_int_ge(user_lookup_id(l, SUBJECT_GROUP, "root", on_id, boxed(&group)), 0);
        ck_assert_int_ge(user_lookup_id(l, SUBJECT_USER, "no-such-user", on_id, boxed(&none)), 0);
        while (user.n + group.n + none.n < 3)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);

        ck_assert(user.r == 0 && user.id == 1);
        ck_assert(group.r == 0 && group.id == 0);
        ck_assert_int_eq(none.r, -ENOENT);
}
END_TEST

START_TEST(what_is_cancelled_or_forgotten_is_not_answered) {
        _cleanup_(sd_event_unrefp) sd_event *event = NULL;
        UserLookup *l = NULL;
        UserLookupRequest *q;
        Subject subject = {};
        Answer cancelled = {}, asked = {}, forgotten = {};

        ck_assert_int_ge(sd_event_new(&event), 0);
        ck_assert_int_ge(user_lookup_new(event, &l), 0);
        ck_assert_int_ge(user_lookup_names(l, &subject, on_names, &cancelled, &q), 0);
        ck_assert_ptr_null(user_lookup_request_cancel(q));
        ck_assert_int_ge(user_lookup_id(l, SUBJECT_USER, "root", on_id, boxed(&asked)), 0);
        while (asked.n == 0)
                ck_assert_int_ge(sd_event_run(event, UINT64_MAX), 0);
        ck_assert_uint_eq(cancelled.n, 0);

        ck_assert_int_ge(user_lookup_id(l, SUBJECT_USER, "root", on_id, boxed(&forgotten)), 0);
        user_lookup_free(l);
        ck_assert_uint_eq(forgotten.n, 0);
}
END_TEST

TESTS("user-lookup", numbers_get_their_names, names_get_their_numbers,
                what_is_cancelled_or_forgotten_is_not_answered)
