/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-key-bus.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>

#include "alloc-util.h"
#include "archive-key.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-access.h"
#include "ccpd-manager.h"
#include "key-challenges.h"
#include "recovery-key.h"
#include "store-recovery-key.h"
#include "string-util.h"
#include "validate.h"

static_assert(STORE_RECOVERY_KEY_ID_MAX == 2 * ARCHIVE_KEY_ID_SIZE + 1, "id");

static void key_id(const uint8_t public_key[ARCHIVE_KEY_SIZE], char ret[STORE_RECOVERY_KEY_ID_MAX]) {
        uint8_t id[ARCHIVE_KEY_ID_SIZE];

        archive_recipient_id(public_key, id);
        (void) sodium_bin2hex(ret, STORE_RECOVERY_KEY_ID_MAX, id, sizeof(id));
}

/* --- enrolling --- */

static KeyChallengeOwner owner_of(const Caller *c) {
        return (KeyChallengeOwner) { .name = c->name, .uid = c->subject.uid };
}

static bool is_here(const char *name, void *userdata) {
        return access_knows(userdata, name);
}

static int read_public(const char *text, uint8_t ret[ARCHIVE_KEY_SIZE], Error *reterr) {
        int r;

        r = recovery_key_parse(RECOVERY_KEY_PUBLIC, text, ret);
        if (r == -EBADMSG)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is a mistake in the public key: its last four digits say so.");
        if (r < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "That is no public half of a recovery key: one begins with CCPP1 and has 17 "
                                "groups of four digits.");
        return 0;
}

/* Said before somebody writes a key down that cannot be enrolled; what counts is counted with the records. */
static int check_room(const Manager *m, const uint8_t public_key[ARCHIVE_KEY_SIZE], Error *reterr) {
        const RecoveryKeyRecords *l = m->recovery_keys;

        if (!l || l->n < STORE_RECOVERY_KEYS_MAX)
                return 0;
        FOREACH_ARRAY(k, l->items, l->n)
                if (memcmp(k->public, public_key, sizeof(k->public)) == 0)
                        return 0;
        return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                        "There are %zu recovery keys already, which is all there can be. Forget one that "
                        "nobody has any more: ccpctl key forget ID",
                        l->n);
}

static int check_timeout(uint64_t timeout, Error *reterr) {
        if (timeout > 0 && timeout <= KEY_CHALLENGE_TIMEOUT_MAX)
                return 0;
        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                        "A challenge is good for an hour at the most: 'timeout' is up to %" PRIu64 " (µs).",
                        (uint64_t) KEY_CHALLENGE_TIMEOUT_MAX);
}

typedef struct EnrollOptions {
        uint64_t timeout;
} EnrollOptions;

static const BusOption enroll_options[] = {
        { "timeout", "t", offsetof(EnrollOptions, timeout) },
};

int method_enroll_recovery_key(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        char id[KEY_CHALLENGE_ID_MAX], text[RECOVERY_TEXT_SIZE(RECOVERY_CHALLENGE_SIZE)];
        EnrollOptions options = { .timeout = KEY_CHALLENGE_TIMEOUT };
        uint8_t public_key[ARCHIVE_KEY_SIZE];
        _cleanup_error_ Error e = {};
        KeyChallengeOwner owner;
        Manager *m = userdata;
        const char *key;
        int r;

        r = sd_bus_message_read(message, "s", &key);
        if (r < 0)
                return r;
        r = bus_read_options(message, enroll_options, ELEMENTSOF(enroll_options), &options, &e);
        if (r >= 0)
                r = check_timeout(options.timeout, &e);
        if (r >= 0)
                r = read_public(key, public_key, &e);
        if (r >= 0)
                r = check_room(m, public_key, &e);
        if (r >= 0) {
                owner = owner_of(access_viewer(m));
                key_challenges_sweep(m->key_challenges, is_here, m);
                r = key_challenges_add(m->key_challenges, &owner, public_key, now(CLOCK_MONOTONIC),
                                options.timeout, id, text, &e);
        }
        if (r < 0)
                return error_is_set(&e) ? bus_error_move(reterr, &e) : r;

        return sd_bus_reply_method_return(message, "ss", id, text);
}

static void on_enrolled(int r, const char *id, RecoveryKeyRecords *keys, Error *error, void *userdata) {
        if (r < 0) {
                operation_fail(userdata, error);
                return;
        }

        manager_set_recovery_keys(operation_manager(userdata), keys);
        operation_reply(userdata, "s", id);
}

int method_confirm_recovery_key(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        char key[STORE_RECOVERY_KEY_ID_MAX];
        uint8_t public_key[ARCHIVE_KEY_SIZE];
        _cleanup_error_ Error e = {};
        const char *id, *answer;
        KeyChallengeOwner owner;
        Manager *m = userdata;
        Operation *o;
        int r;

        r = sd_bus_message_read(message, "ss", &id, &answer);
        if (r < 0)
                return r;
        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r >= 0) {
                owner = owner_of(access_viewer(m));
                r = key_challenges_answer(
                                m->key_challenges, &owner, id, answer, now(CLOCK_MONOTONIC), public_key, &e);
        }
        if (r < 0)
                return error_is_set(&e) ? bus_error_move(reterr, &e) : r;

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        key_id(public_key, key);
        r = store_enroll_recovery_key(m->db, key, public_key, operation_actor(o), on_enrolled, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

/* --- forgetting --- */

typedef struct ForgetOptions {
        bool last;
} ForgetOptions;

static const BusOption forget_options[] = {
        { "last", "b", offsetof(ForgetOptions, last) },
};

static void on_forgotten(
                int r, _unused_ const char *id, RecoveryKeyRecords *keys, Error *error, void *userdata) {
        if (r < 0) {
                operation_fail(userdata, error);
                return;
        }

        manager_set_recovery_keys(operation_manager(userdata), keys);
        operation_reply(userdata, NULL);
}

int method_forget_recovery_key(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        ForgetOptions options = {};
        Manager *m = userdata;
        const char *id;
        Operation *o;
        int r;

        r = sd_bus_message_read(message, "s", &id);
        if (r < 0)
                return r;
        r = bus_read_options(message, forget_options, ELEMENTSOF(forget_options), &options, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_forget_recovery_key(
                        m->db, id, options.last, operation_actor(o), on_forgotten, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

/* --- looking --- */

static int append_key(sd_bus_message *reply, const RecoveryKeyRecord *k) {
        char text[RECOVERY_KEY_TEXT_MAX];

        recovery_key_format(RECOVERY_KEY_PUBLIC, k->public, text);
        return sd_bus_message_append(reply, "a{sv}", 4, "Id", "s", k->id, "Public", "s", text, "EnrolledBy",
                        "s", k->enrolled_by, "EnrolledAt", "t", k->enrolled_at);
}

int method_list_recovery_keys(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        int r;

        r = manager_check_loaded(m, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        r = sd_bus_message_new_method_return(message, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        for (size_t k = 0; r >= 0 && m->recovery_keys && k < m->recovery_keys->n; k++)
                r = append_key(reply, m->recovery_keys->items + k);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        return r < 0 ? r : sd_bus_message_send(reply);
}
