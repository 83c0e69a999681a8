/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Those who are about to enroll a recovery key, and have to show that somebody has its secret half. What they were asked
 * is kept in memory alone, for some minutes, and is of use only to who was asked: the connection, and the user. */

#include <sys/types.h>

#include "error.h"
#include "recovery-challenge.h"
#include "recovery-text.h"
#include "time-util.h"

/* How many may be open at once: of one user, and in all. */
#define KEY_CHALLENGES_OF_USER_MAX 4U
#define KEY_CHALLENGES_MAX 16U
/* For how long, unless asked for longer, and at the most: somebody may have to walk to where the key is. */
#define KEY_CHALLENGE_TIMEOUT (10U * USEC_PER_MINUTE)
#define KEY_CHALLENGE_TIMEOUT_MAX USEC_PER_HOUR
/* The id in hex, with the NUL. */
#define KEY_CHALLENGE_ID_MAX 17U

typedef struct KeyChallenges KeyChallenges;

/* Who was asked. The name is that of a connection, which no other ever gets. */
typedef struct KeyChallengeOwner {
        const char *name;
        uid_t uid;
} KeyChallengeOwner;

/* NULL: out of memory. */
KeyChallenges *key_challenges_new(void);
/* Wipes. Returns NULL. */
KeyChallenges *key_challenges_free(KeyChallenges *l);
DEFINE_CLEANUP_FUNC(KeyChallenges *, key_challenges_free);

/* Forgets those whose owner is gone. */
void key_challenges_sweep(
                KeyChallenges *l, bool (*is_here)(const char *name, void *userdata), void *userdata);

/* Makes a challenge for a public half, good until 'when' (monotonic) and the timeout. InvalidArgument if that is the half of
 * no key; LimitExceeded. */
int key_challenges_add(KeyChallenges *l, const KeyChallengeOwner *owner,
                const uint8_t public_key[ARCHIVE_KEY_SIZE], usec_t when, usec_t timeout,
                char ret_id[KEY_CHALLENGE_ID_MAX],
                char ret_text[RECOVERY_TEXT_SIZE(RECOVERY_CHALLENGE_SIZE)], Error *reterr);

/* Takes an answer, which ends the challenge whether it is right or not; one with a typing mistake in it (InvalidArgument)
 * does not. *ret_public is the half that was shown to belong to a key. NoSuchChallenge if there is none of this id and
 * owner (any more); KeyMissing if the answer is wrong. */
int key_challenges_answer(KeyChallenges *l, const KeyChallengeOwner *owner, const char *id,
                const char *answer, usec_t when, uint8_t ret_public[ARCHIVE_KEY_SIZE], Error *reterr);
