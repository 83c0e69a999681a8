/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "key-challenges.h"

#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "alloc-util.h"
#include "string-util.h"

#define ID_SIZE 8U

static_assert(KEY_CHALLENGE_ID_MAX == 2 * ID_SIZE + 1, "id");

typedef struct Challenge {
        char id[KEY_CHALLENGE_ID_MAX]; /* "": there is none */
        char *name;
        uid_t uid;
        usec_t until; /* monotonic */
        uint8_t public_key[ARCHIVE_KEY_SIZE];
        uint8_t answer[RECOVERY_ANSWER_SIZE];
} Challenge;

struct KeyChallenges {
        Challenge items[KEY_CHALLENGES_MAX];
};

static void challenge_done(Challenge *c) {
        free(c->name);
        explicit_bzero(c, sizeof(*c));
}

KeyChallenges *key_challenges_new(void) {
        if (sodium_init() < 0)
                return NULL;

        return new0(KeyChallenges, 1);
}

KeyChallenges *key_challenges_free(KeyChallenges *l) {
        if (!l)
                return NULL;

        FOREACH_ARRAY(c, l->items, ELEMENTSOF(l->items))
                challenge_done(c);
        return mfree(l);
}

void key_challenges_sweep(
                KeyChallenges *l, bool (*is_here)(const char *name, void *userdata), void *userdata) {
        FOREACH_ARRAY(c, l->items, ELEMENTSOF(l->items))
                if (c->name && !is_here(c->name, userdata))
                        challenge_done(c);
}

static void forget_expired(KeyChallenges *l, usec_t when) {
        FOREACH_ARRAY(c, l->items, ELEMENTSOF(l->items))
                if (c->until <= when)
                        challenge_done(c);
}

/* NULL, with LimitExceeded, if the user, or all together, have too many. */
static Challenge *find_place(KeyChallenges *l, uid_t uid, Error *reterr) {
        Challenge *place = NULL;
        unsigned n = 0;

        FOREACH_ARRAY(c, l->items, ELEMENTSOF(l->items))
                if (!*c->id)
                        place = place ?: c;
                else
                        n += c->uid == uid;

        if (n >= KEY_CHALLENGES_OF_USER_MAX) {
                (void) error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "You are about to enroll %u recovery keys already. Bring one of them to its "
                                "end, or try again later.",
                                n);
                return NULL;
        }
        if (!place)
                (void) error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "%u recovery keys are being enrolled already. Try again later.",
                                KEY_CHALLENGES_MAX);
        return place;
}

int key_challenges_add(KeyChallenges *l, const KeyChallengeOwner *owner,
                const uint8_t public_key[ARCHIVE_KEY_SIZE], usec_t when, usec_t timeout,
                char ret_id[KEY_CHALLENGE_ID_MAX],
                char ret_text[RECOVERY_TEXT_SIZE(RECOVERY_CHALLENGE_SIZE)], Error *reterr) {
        uint8_t id[ID_SIZE], challenge[RECOVERY_CHALLENGE_SIZE], answer[RECOVERY_ANSWER_SIZE];
        _cleanup_free_ char *name = strdup(owner->name);
        Challenge *c;
        int r;

        if (!name)
                return error_set_errnof(reterr, ENOMEM, "Cannot keep the challenge: %m");
        forget_expired(l, when);
        c = find_place(l, owner->uid, reterr);
        if (!c)
                return -E2BIG;
        r = recovery_challenge_make(public_key, challenge, answer);
        if (r < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "That is the public half of no key: everybody could open what is sealed for "
                                "it.");

        *c = (Challenge) { .name = TAKE_PTR(name), .uid = owner->uid, .until = when + timeout };
        memcpy(c->public_key, public_key, sizeof(c->public_key));
        memcpy(c->answer, answer, sizeof(c->answer));
        explicit_bzero(answer, sizeof(answer));
        randombytes_buf(id, sizeof(id));
        (void) sodium_bin2hex(c->id, sizeof(c->id), id, sizeof(id));

        memcpy(ret_id, c->id, sizeof(c->id));
        recovery_text_format(RECOVERY_TEXT_CHALLENGE, challenge, ret_text);
        return 0;
}

static Challenge *find(KeyChallenges *l, const KeyChallengeOwner *owner, const char *id) {
        FOREACH_ARRAY(c, l->items, ELEMENTSOF(l->items))
                if (*c->id && streq(c->id, id) && streq(c->name, owner->name) && c->uid == owner->uid)
                        return c;
        return NULL;
}

int key_challenges_answer(KeyChallenges *l, const KeyChallengeOwner *owner, const char *id,
                const char *answer, usec_t when, uint8_t ret_public[ARCHIVE_KEY_SIZE], Error *reterr) {
        uint8_t given[RECOVERY_ANSWER_SIZE];
        Challenge *c;
        bool right;

        forget_expired(l, when);
        c = find(l, owner, id);
        if (!c)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_CHALLENGE,
                                "You were not asked that, or it is too long ago. Nothing was enrolled; "
                                "begin "
                                "anew.");
        if (recovery_text_parse(RECOVERY_TEXT_ANSWER, answer, given) < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "That is no answer, or there is a mistake in it: one begins with CCPA1 and "
                                "has 9 groups of four digits. It can be given again.");

        right = sodium_memcmp(given, c->answer, sizeof(given)) == 0;
        if (right)
                memcpy(ret_public, c->public_key, sizeof(c->public_key));
        challenge_done(c);
        if (right)
                return 0;

        return error_setf(reterr, CCP_ERROR_KEY_MISSING,
                        "The answer is wrong: it was made with another key, or for another challenge. "
                        "Nothing was enrolled; begin anew.");
}
