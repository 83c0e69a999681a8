/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "key-challenges.h"

#include <errno.h>

#include "test.h"

#include "recovery-key.h"
#include "string-util.h"

#define ALICE ((KeyChallengeOwner) { .name = ":1.7", .uid = 1000 })

typedef struct Scene {
        KeyChallenges *l;
        uint8_t secret[ARCHIVE_KEY_SIZE], public[ARCHIVE_KEY_SIZE];
        char id[KEY_CHALLENGE_ID_MAX], text[RECOVERY_TEXT_SIZE(RECOVERY_CHALLENGE_SIZE)];
        Error error;
} Scene;

static void scene_open(Scene *s) {
        *s = (Scene) { .l = key_challenges_new() };
        ck_assert_ptr_nonnull(s->l);
        recovery_key_generate(s->secret, s->public);
}

static void scene_close(Scene *s) {
        key_challenges_free(s->l);
        error_done(&s->error);
}

static int ask(Scene *s, KeyChallengeOwner owner, usec_t when, usec_t timeout) {
        error_done(&s->error);
        return key_challenges_add(s->l, &owner, s->public, when, timeout, s->id, s->text, &s->error);
}

/* The right one for the last challenge. */
static const char *answer(Scene *s) {
        static char text[RECOVERY_TEXT_SIZE(RECOVERY_ANSWER_SIZE)];
        uint8_t challenge[RECOVERY_CHALLENGE_SIZE], made[RECOVERY_ANSWER_SIZE];

        ASSERT_OK(recovery_text_parse(RECOVERY_TEXT_CHALLENGE, s->text, challenge));
        ASSERT_OK(recovery_challenge_answer(s->secret, challenge, made));
        recovery_text_format(RECOVERY_TEXT_ANSWER, made, text);
        return text;
}

static int give(Scene *s, KeyChallengeOwner owner, const char *id, const char *text, usec_t when) {
        uint8_t public[ARCHIVE_KEY_SIZE] = {};
        int r;

        error_done(&s->error);
        r = key_challenges_answer(s->l, &owner, id, text, when, public, &s->error);
        if (r >= 0)
                ck_assert_mem_eq(public, s->public, sizeof(public));
        return r;
}

static void assert_error(const Scene *s, const char *name) {
        ck_assert_pstr_eq(s->error.name, name);
}

START_TEST(a_right_answer_is_taken_once) {
        Scene s;

        scene_open(&s);
        ASSERT_OK(ask(&s, ALICE, 100, 50));
        ASSERT_OK(give(&s, ALICE, s.id, answer(&s), 149));
        ASSERT_ERROR(give(&s, ALICE, s.id, answer(&s), 149), ENOENT);
        assert_error(&s, CCP_ERROR_NO_SUCH_CHALLENGE);
        scene_close(&s);
}
END_TEST

START_TEST(its_time_ends) {
        Scene s;

        scene_open(&s);
        ASSERT_OK(ask(&s, ALICE, 100, 50));
        ck_assert_int_lt(give(&s, ALICE, s.id, answer(&s), 150), 0);
        assert_error(&s, CCP_ERROR_NO_SUCH_CHALLENGE);
        scene_close(&s);
}
END_TEST

START_TEST(it_is_for_one_connection_and_user) {
        static const KeyChallengeOwner others[] = { { ":1.8", 1000 }, { ":1.7", 1001 }, { "", 1000 } };
        Scene s;

        scene_open(&s);
        ASSERT_OK(ask(&s, ALICE, 0, 50));
        FOREACH_ARRAY(o, others, ELEMENTSOF(others)) {
                ck_assert_int_lt(give(&s, *o, s.id, answer(&s), 1), 0);
                assert_error(&s, CCP_ERROR_NO_SUCH_CHALLENGE);
        }
        ck_assert_int_lt(give(&s, ALICE, "", answer(&s), 1), 0);
        assert_error(&s, CCP_ERROR_NO_SUCH_CHALLENGE);
        ASSERT_OK(give(&s, ALICE, s.id, answer(&s), 1));
        scene_close(&s);
}
END_TEST

START_TEST(a_wrong_answer_ends_it_and_a_mistake_does_not) {
        char wrong[RECOVERY_TEXT_SIZE(RECOVERY_ANSWER_SIZE)];
        uint8_t zero[RECOVERY_ANSWER_SIZE] = {};
        Scene s;

        scene_open(&s);
        recovery_text_format(RECOVERY_TEXT_ANSWER, zero, wrong);
        ASSERT_OK(ask(&s, ALICE, 0, 50));
        ck_assert_int_lt(give(&s, ALICE, s.id, "CCPA1-0000", 1), 0);
        assert_error(&s, CCP_ERROR_INVALID_ARGUMENT);
        ck_assert_int_lt(give(&s, ALICE, s.id, wrong, 1), 0);
        assert_error(&s, CCP_ERROR_KEY_MISSING);
        ck_assert_int_lt(give(&s, ALICE, s.id, answer(&s), 1), 0);
        assert_error(&s, CCP_ERROR_NO_SUCH_CHALLENGE);
        scene_close(&s);
}
END_TEST

static bool is_not_7(const char *name, _unused_ void *userdata) {
        return !streq(name, ":1.7");
}

START_TEST(there_are_few) {
        Scene s;

        scene_open(&s);
        for (unsigned i = 0; i < KEY_CHALLENGES_OF_USER_MAX; i++)
                ASSERT_OK(ask(&s, ALICE, 0, 50));
        ck_assert_int_lt(ask(&s, ALICE, 0, 50), 0);
        assert_error(&s, CCP_ERROR_LIMIT_EXCEEDED);
        /* Over another connection it is the same user. */
        ck_assert_int_lt(ask(&s, (KeyChallengeOwner) { ":1.8", 1000 }, 0, 50), 0);
        for (unsigned i = KEY_CHALLENGES_OF_USER_MAX; i < KEY_CHALLENGES_MAX; i++)
                ASSERT_OK(ask(&s, (KeyChallengeOwner) { ":1.8", 2000 + i }, 0, 50));
        ck_assert_int_lt(ask(&s, (KeyChallengeOwner) { ":1.8", 1 }, 0, 50), 0);
        assert_error(&s, CCP_ERROR_LIMIT_EXCEEDED);

        /* An answer makes room; so does who leaves, and time. */
        key_challenges_sweep(s.l, is_not_7, NULL);
        for (unsigned i = 0; i < KEY_CHALLENGES_OF_USER_MAX; i++)
                ASSERT_OK(ask(&s, ALICE, 0, 50));
        ASSERT_OK(give(&s, ALICE, s.id, answer(&s), 1));
        ASSERT_OK(ask(&s, ALICE, 0, 50));
        ck_assert_int_lt(ask(&s, ALICE, 49, 50), 0);
        ASSERT_OK(ask(&s, ALICE, 50, 50));
        scene_close(&s);
}
END_TEST

START_TEST(what_is_no_key_takes_no_room) {
        Scene s;

        scene_open(&s);
        memset(s.public, 0, sizeof(s.public));
        for (unsigned i = 0; i <= KEY_CHALLENGES_MAX; i++) {
                ck_assert_int_lt(ask(&s, ALICE, 0, 50), 0);
                assert_error(&s, CCP_ERROR_INVALID_ARGUMENT);
        }
        scene_close(&s);
}
END_TEST

TESTS("key-challenges", a_right_answer_is_taken_once, its_time_ends, it_is_for_one_connection_and_user,
                a_wrong_answer_ends_it_and_a_mistake_does_not, there_are_few, what_is_no_key_takes_no_room)
