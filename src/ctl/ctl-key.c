/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccpctl key: recovery keys. They are made, and shown to be kept, on the side of whoever calls: ccpd never has a secret
 * half. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ctl-key.h"
#include "ctl.h"
#include "fd-util.h"
#include "polkit-agent.h"
#include "prompt.h"
#include "recovery-challenge.h"
#include "recovery-key.h"
#include "string-util.h"

/* For as long as a challenge waits where a person has something to do: the most that ccpd gives. */
#define PATIENT_TIMEOUT_USEC USEC_PER_HOUR
#define KEY_FILE_SIZE_MAX 4096U
/* ccpd is started anew on the way; longer, and something is wrong. */
#define AWAY_TIMEOUT_USEC USEC_PER_MINUTE
#define NEWS_TIMEOUT_USEC USEC_PER_SEC

/* In guarded memory. */
typedef struct KeyPair {
        uint8_t secret[ARCHIVE_KEY_SIZE], public[ARCHIVE_KEY_SIZE];
} KeyPair;

static KeyPair *key_pair_free(KeyPair *p) {
        sodium_free(p);
        return NULL;
}
DEFINE_CLEANUP_FUNC(KeyPair *, key_pair_free);

/* NULL, with the error set, if it cannot be held. */
static KeyPair *key_pair_new(Error *reterr) {
        KeyPair *p = sodium_init() < 0 ? NULL : sodium_malloc(sizeof(KeyPair));

        if (!p)
                (void) error_set_errnof(reterr, ENOMEM, "Cannot hold the recovery key: %m.");
        return p;
}

/* --- what ccpd asks, and is answered --- */

typedef struct Challenge {
        char *id, *text;
} Challenge;

static void challenge_done(Challenge *c) {
        free(c->id);
        free(c->text);
}

/* 'timeout' 0: as long as ccpd likes. */
static int ask_for_challenge(Ctl *c, const char *public, uint64_t timeout, Challenge *ret, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(challenge_done) Challenge challenge = {};
        const char *id, *text;
        int r;

        polkit_agent_open(c);
        if (timeout > 0)
                r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "EnrollRecoveryKey", &reply, reterr,
                                "sa{sv}", public, 1, "timeout", "t", timeout);
        else
                r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "EnrollRecoveryKey", &reply, reterr,
                                "sa{sv}", public, 0);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "ss", &id, &text);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        challenge.id = strdup(id);
        challenge.text = strdup(text);
        if (!challenge.id || !challenge.text)
                return -ENOMEM;
        *ret = TAKE_GENERIC(challenge, (Challenge) {});
        return 0;
}

static int ask_for_challenge_of(
                Ctl *c, const KeyPair *pair, uint64_t timeout, Challenge *ret, Error *reterr) {
        char public[RECOVERY_KEY_TEXT_MAX];

        recovery_key_format(RECOVERY_KEY_PUBLIC, pair->public, public);
        return ask_for_challenge(c, public, timeout, ret, reterr);
}

static int confirm(Ctl *c, const Challenge *challenge, const char *answer, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *key;
        int r;

        polkit_agent_open(c);
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ConfirmRecoveryKey", &reply, reterr, "ssa{sv}",
                        challenge->id, answer, 0);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "s", &key);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        ctl_say(c,
                        "The recovery key %s is enrolled. It opens every backup that is made as long as\n"
                        "it is, on any machine, with ccp-backup-extract. Of which instances there is none\n"
                        "yet, 'ccpctl doctor' says.\n",
                        key);
        return EXIT_DONE;
}

/* Answers with the secret half itself. */
static int prove(Ctl *c, const Challenge *challenge, const uint8_t secret[ARCHIVE_KEY_SIZE], Error *reterr) {
        uint8_t sealed[RECOVERY_CHALLENGE_SIZE], answer[RECOVERY_ANSWER_SIZE];
        char text[RECOVERY_TEXT_SIZE(RECOVERY_ANSWER_SIZE)];

        if (recovery_text_parse(RECOVERY_TEXT_CHALLENGE, challenge->text, sealed) < 0 ||
                        recovery_challenge_answer(secret, sealed, answer) < 0)
                return ctl_bad_reply(reterr, -EBADMSG);

        recovery_text_format(RECOVERY_TEXT_ANSWER, answer, text);
        return confirm(c, challenge, text, reterr);
}

/* --- a key that is there already --- */

static int fail_parse(int r, Error *reterr) {
        if (r == -EBADMSG)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is a mistake in the recovery key: its last four digits say so.");
        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                        "That is no recovery key: one begins with CCPR1 and has 17 groups of four digits.");
}

int ctl_read_recovery_key(const char *path, uint8_t ret[ARCHIVE_KEY_SIZE], Error *reterr) {
        _cleanup_close_ int fd = streq(path, "-") ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_erase_ char *text = NULL;
        int r;

        if (fd < 0)
                return error_set_errnof(reterr, errno, "Cannot open the key file '%s': %m.", path);
        r = read_full_fd(fd, KEY_FILE_SIZE_MAX, &text, NULL);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read the key file '%s': %m.", path);

        r = recovery_key_parse(RECOVERY_KEY_SECRET, text, ret);
        return r < 0 ? fail_parse(r, reterr) : 0;
}

static int enroll_from_file(Ctl *c, const char *path, Error *reterr) {
        _cleanup_(key_pair_freep) KeyPair *pair = key_pair_new(reterr);
        _cleanup_(challenge_done) Challenge challenge = {};
        int r;

        if (!pair)
                return -ENOMEM;
        r = ctl_read_recovery_key(path, pair->secret, reterr);
        if (r < 0)
                return r;

        recovery_key_public(pair->secret, pair->public);
        r = ask_for_challenge_of(c, pair, 0, &challenge, reterr);
        return r < 0 ? r : prove(c, &challenge, pair->secret, reterr);
}

/* --- a new one, in a file --- */

/* A name that is there already is somebody's. */
static int write_key_file(const char *path, const KeyPair *pair, Error *reterr) {
        char text[RECOVERY_KEY_TEXT_MAX + 1];
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return error_set_errnof(reterr, errno, "Cannot make the file '%s': %m.", path);

        recovery_key_format(RECOVERY_KEY_SECRET, pair->secret, text);
        text[RECOVERY_KEY_TEXT_MAX - 1] = '\n';
        r = loop_write(fd, text, RECOVERY_KEY_TEXT_MAX);
        explicit_bzero(text, sizeof(text));
        if (r >= 0 && fsync(fd) < 0)
                r = -errno;
        if (r >= 0)
                return 0;

        (void) unlink(path);
        return error_set_errnof(reterr, r, "Cannot write the recovery key to '%s': %m.", path);
}

/* The file stays whatever comes: where the answer was lost, the key may be enrolled. */
static int prove_by_file(
                Ctl *c, const Challenge *challenge, const char *path, KeyPair *pair, Error *reterr) {
        uint8_t public[ARCHIVE_KEY_SIZE];
        _cleanup_error_ Error e = {};
        int r;

        r = ctl_read_recovery_key(path, pair->secret, &e);
        if (r >= 0) {
                recovery_key_public(pair->secret, public);
                if (memcmp(public, pair->public, sizeof(public)) != 0)
                        return error_setf(reterr, CCP_ERROR_INTERNAL,
                                        "In '%s' is not what was written to it. Nothing was enrolled.",
                                        path);
                r = prove(c, challenge, pair->secret, &e);
        }
        if (r >= 0)
                return r;
        return error_setf(reterr, e.name ?: CCP_ERROR_INTERNAL,
                        "%s The recovery key in '%s' is perhaps not enrolled. To enroll it: ccpctl key "
                        "enroll-recovery --recovery-key-file=%s",
                        strempty(e.message), path, path);
}

static int enroll_to_file(Ctl *c, const char *path, Error *reterr) {
        _cleanup_(key_pair_freep) KeyPair *pair = key_pair_new(reterr);
        _cleanup_(challenge_done) Challenge challenge = {};
        int r;

        if (!pair)
                return -ENOMEM;

        recovery_key_generate(pair->secret, pair->public);
        r = ask_for_challenge_of(c, pair, 0, &challenge, reterr);
        if (r >= 0)
                r = write_key_file(path, pair, reterr);
        if (r >= 0)
                r = prove_by_file(c, &challenge, path, pair, reterr);
        if (r >= 0)
                ctl_say(c, "Move '%s' off this server: whoever has it can open the backups.\n", path);
        return r;
}

/* --- a new one, on the terminal --- */

static int show_key(const KeyPair *pair, Error *reterr) {
        char text[RECOVERY_KEY_TEXT_MAX + 1];
        int r;

        (void) printf("This is the recovery key. It is shown this once, and kept nowhere:\n\n");
        (void) fflush(stdout);
        recovery_key_format(RECOVERY_KEY_SECRET, pair->secret, text);
        text[RECOVERY_KEY_TEXT_MAX - 1] = '\n';
        r = loop_write(STDOUT_FILENO, text, RECOVERY_KEY_TEXT_MAX);
        explicit_bzero(text, sizeof(text));
        (void) printf("\nWrite it down, or keep it in a password manager, but not on this server. Whoever "
                      "has it\n"
                      "can open all backups that are made from now on; without it, nobody can once this "
                      "server\n"
                      "is lost.\n\n");
        return r < 0 ? error_set_errnof(reterr, r, "Cannot show the recovery key: %m.") : 0;
}

static int fail_prompt(int r, Error *reterr) {
        if (IN_SET(r, -ECANCELED, -EINTR))
                return error_setf(reterr, CCP_ERROR_CANCELLED, "Nothing was enrolled.");
        return error_set_errnof(reterr, r, "Cannot read from the terminal: %m.");
}

/* Until what is typed is the key: it is of no use if it was not kept. */
static int ask_for_key(const KeyPair *pair, Error *reterr) {
        for (;;) {
                uint8_t typed[ARCHIVE_KEY_SIZE];
                _cleanup_erase_ char *line = NULL;
                bool same;
                int r;

                r = prompt_line("Type or paste it from where you keep it: ", NULL, &line);
                if (r < 0)
                        return fail_prompt(r, reterr);
                r = recovery_key_parse(RECOVERY_KEY_SECRET, line, typed);
                same = r >= 0 && sodium_memcmp(typed, pair->secret, sizeof(typed)) == 0;
                explicit_bzero(typed, sizeof(typed));
                if (same)
                        return 0;

                (void) fprintf(stderr, "%s\n",
                                r >= 0                          ? "That is another recovery key."
                                                : r == -EBADMSG ? "There is a mistake in it."
                                                                : "That is not it: it begins with CCPR1 and "
                                                                  "has 17 groups of four digits.");
        }
}

static int enroll_on_terminal(Ctl *c, Error *reterr) {
        _cleanup_(key_pair_freep) KeyPair *pair = NULL;
        _cleanup_(challenge_done) Challenge challenge = {};
        int r;

        if (!terminal_is_output() || !terminal_is_input())
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The recovery key is shown on a terminal only. To have it written to a new "
                                "file: --output=FILE");
        pair = key_pair_new(reterr);
        if (!pair)
                return -ENOMEM;

        /* Before it is shown: who may not, or has too many, shall not write anything down. */
        recovery_key_generate(pair->secret, pair->public);
        r = ask_for_challenge_of(c, pair, PATIENT_TIMEOUT_USEC, &challenge, reterr);
        if (r >= 0)
                r = show_key(pair, reterr);
        if (r >= 0)
                r = ask_for_key(pair, reterr);
        return r < 0 ? r : prove(c, &challenge, pair->secret, reterr);
}

/* --- one whose secret half is elsewhere --- */

static int ask_for_answer(char **ret, Error *reterr) {
        for (;;) {
                uint8_t answer[RECOVERY_ANSWER_SIZE];
                _cleanup_free_ char *line = NULL;
                int r;

                r = prompt_line("The answer: ", NULL, &line);
                if (r < 0)
                        return fail_prompt(r, reterr);
                if (recovery_text_parse(RECOVERY_TEXT_ANSWER, line, answer) >= 0) {
                        *ret = TAKE_PTR(line);
                        return 0;
                }
                (void) fprintf(stderr,
                                "That is no answer, or there is a mistake in it: one begins with CCPA1 and "
                                "has 9 groups of four digits.\n");
        }
}

static int enroll_from_elsewhere(Ctl *c, const char *public, Error *reterr) {
        _cleanup_(challenge_done) Challenge challenge = {};
        _cleanup_free_ char *answer = NULL;
        int r;

        r = ask_for_challenge(c, public, PATIENT_TIMEOUT_USEC, &challenge, reterr);
        if (r < 0)
                return r;

        (void) printf("Within the hour, where the secret half is:\n\n"
                      "ccp-backup-extract answer --key=FILE %s\n\n",
                        challenge.text);
        r = ask_for_answer(&answer, reterr);
        return r < 0 ? r : confirm(c, &challenge, answer, reterr);
}

int verb_key_enroll_recovery(Ctl *c, _unused_ char **args, Error *reterr) {
        const char *output = c->arguments.values[OPTION_OUTPUT],
                   *file = c->arguments.values[OPTION_RECOVERY_KEY_FILE],
                   *public = c->arguments.values[OPTION_PUBLIC];

        if (!!output + !!file + !!public > 1)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "Say one of --output=FILE, for a new key; --recovery-key-file=FILE, for one "
                                "that is there; and --public=KEY, for one that is elsewhere.");

        return output            ? enroll_to_file(c, output, reterr)
                        : file   ? enroll_from_file(c, file, reterr)
                        : public ? enroll_from_elsewhere(c, public, reterr)
                                 : enroll_on_terminal(c, reterr);
}

/* --- which there are --- */

static int list_keys(Ctl *c, json_t **ret, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ListRecoveryKeys", &reply, reterr, NULL);
        if (r < 0)
                return r;
        r = json_from_rows(reply, CCP_INTERFACE_MANAGER, "ListRecoveryKeys", ret);
        return r < 0 ? ctl_bad_reply(reterr, r) : 0;
}

static char *format_enrolled(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_AGO(json_get_number(row, "enrolled_at")));
}

static const ListColumn key_columns[] = {
        { { "ID" }, "id" },
        { { "ENROLLED" }, "enrolled_at", format_enrolled },
        { { "BY" }, "enrolled_by" },
        { { "PUBLIC", 1 }, "public" },
};

int verb_key_list(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_json_ json_t *rows = NULL;
        int r;

        r = list_keys(c, &rows, reterr);
        return r < 0 ? r : ctl_print_list(c, rows, key_columns, ELEMENTSOF(key_columns), "recovery key");
}

/* "0123456789abcdef, replaces fedcba9876543210: 12 secrets left" */
static int print_master_key(const json_t *key) {
        const char *former = json_get_text(key, "former"), *error = json_get_text(key, "error");
        uint64_t n = json_get_number(key, "left");
        _cleanup_free_ char *text = NULL;
        char left[64] = "";

        if (n > 0)
                (void) snprintf(left, sizeof(left), ": %" PRIu64 " secrets left", n);
        text = isempty(former) ? strdup(json_get_text(key, "id"))
                               : strjoin(json_get_text(key, "id"), ", replaces ", former, left);
        if (!text)
                return -ENOMEM;
        print_field("Master key", text);
        print_field("Stopped", error);
        return 0;
}

static int print_status(const json_t *master_key, const json_t *keys) {
        const json_t *row;
        size_t i;
        int r;

        r = print_master_key(master_key);
        if (r < 0)
                return r;
        print_field("Disaster ready",
                        json_array_size(keys) > 0
                                        ? "yes: backups that are made now can be opened on another machine"
                                        : "no: if this server is lost, no backup can be opened");
        json_array_foreach((json_t *) keys, i, row) {
                _cleanup_free_ char *text = strjoin(json_get_text(row, "id"), ", enrolled ",
                                FORMAT_AGO(json_get_number(row, "enrolled_at")), " by ",
                                json_get_text(row, "enrolled_by"));

                if (!text)
                        return -ENOMEM;
                print_field(i == 0 ? "Recovery keys" : "", text);
        }
        if (json_array_size(keys) == 0)
                print_field("Next step", "ccpctl key enroll-recovery");
        return EXIT_DONE;
}

/* What the manager says of it. */
static int get_master_key(Ctl *c, json_t **ret, Error *reterr) {
        _cleanup_json_ json_t *manager = NULL;
        json_t *key;
        int r;

        r = ctl_get_all(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, &manager, reterr);
        if (r < 0)
                return r;
        key = json_object_get(manager, "master_key");
        *ret = json_is_object(key) ? json_incref(key) : json_object();
        return *ret ? 0 : -ENOMEM;
}

int verb_key_status(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_json_ json_t *master_key = NULL, *keys = NULL, *status = NULL;
        int r;

        r = get_master_key(c, &master_key, reterr);
        if (r >= 0)
                r = list_keys(c, &keys, reterr);
        if (r < 0)
                return r;
        if (!ctl_prints_json(c))
                return print_status(master_key, keys);

        status = json_pack("{s:O, s:b, s:O}", "master_key", master_key, "disaster_ready",
                        json_array_size(keys) > 0, "recovery_keys", keys);
        return status ? ctl_print_json(c, status) : -ENOMEM;
}

/* --- the master key --- */

/* Until something is told, or ccpd has come or gone, or a moment has passed. */
static int wait_for_news(Ctl *c) {
        int r;

        r = sd_bus_wait(c->bus, NEWS_TIMEOUT_USEC);
        while (r > 0)
                r = sd_bus_process(c->bus, NULL);
        return r;
}

typedef struct Rotation {
        char *before; /* the id of the key */
        char *peer;   /* the ccpd that began it */
        usec_t seen;  /* when one was there last */
} Rotation;

static void rotation_done(Rotation *r) {
        free(r->before);
        free(r->peer);
}

/* Returns 1 once the key is another one, and the only one; 0 as long as it is not. 'peer' is the ccpd that says so. */
static int judge_rotation(const Rotation *rotation, const json_t *key, const char *peer, Error *reterr) {
        const char *id = json_get_text(key, "id"), *former = json_get_text(key, "former"),
                   *error = json_get_text(key, "error");

        if (!isempty(error))
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "The master key is not replaced any further, both stay in use: %s", error);
        if (!isempty(former))
                return 0;
        if (streq(id, rotation->before) && peer && rotation->peer && !streq(peer, rotation->peer))
                return error_setf(reterr, CCP_ERROR_KEY_MISSING,
                                "ccpd was started anew, but was not given the next master key. See: "
                                "systemctl cat ccpd; journalctl -b -u 'ccp-master-key@*'");
        return !streq(id, rotation->before);
}

static int look_at_rotation(Ctl *c, Rotation *rotation, Error *reterr) {
        _cleanup_error_ Error e = {}, no_signals = {};
        _cleanup_json_ json_t *key = NULL;
        _cleanup_free_ char *peer = NULL;
        int r;

        /* Each ccpd that comes has to be asked for its signals; without them it only takes a little longer. */
        (void) ctl_subscribe(c, &peer, &no_signals);
        r = get_master_key(c, &key, &e);
        if (r < 0 && error_is_away(e.name) && now(CLOCK_MONOTONIC) - rotation->seen < AWAY_TIMEOUT_USEC)
                return 0;
        if (r < 0) {
                error_move(reterr, &e);
                return r;
        }

        rotation->seen = now(CLOCK_MONOTONIC);
        return judge_rotation(rotation, key, peer, reterr);
}

static int wait_for_rotation(Ctl *c, Rotation *rotation, Error *reterr) {
        int r;

        while ((r = look_at_rotation(c, rotation, reterr)) == 0) {
                r = wait_for_news(c);
                if (r < 0)
                        return error_set_errnof(reterr, r, "Cannot wait for ccpd: %m.");
        }
        return r;
}

static int begin_rotation(Ctl *c, Rotation *ret, Error *reterr) {
        _cleanup_json_ json_t *key = NULL;
        int r;

        r = ctl_subscribe(c, &ret->peer, reterr);
        if (r >= 0)
                r = get_master_key(c, &key, reterr);
        if (r < 0)
                return r;
        ret->before = strdup(json_get_text(key, "id"));
        if (!ret->before)
                return -ENOMEM;

        polkit_agent_open(c);
        return ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "RotateMasterKey", NULL, reterr, "a{sv}", 0);
}

int verb_key_rotate(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_(rotation_done) Rotation rotation = {};
        int r;

        r = begin_rotation(c, &rotation, reterr);
        if (r < 0)
                return r;
        if (arguments_have(&c->arguments, OPTION(NO_WAIT))) {
                ctl_say(c, "The master key is being replaced. See: ccpctl key status\n");
                return EXIT_DONE;
        }

        rotation.seen = now(CLOCK_MONOTONIC);
        r = wait_for_rotation(c, &rotation, reterr);
        if (r < 0)
                return r;
        ctl_say(c,
                        "The master key was replaced, and all secrets are sealed with the new one. Keep a "
                        "copy of it\n"
                        "elsewhere, as you did with the former one: see ccpd(8).\n");
        return EXIT_DONE;
}

/* --- forgetting --- */

int verb_key_forget(Ctl *c, char **args, Error *reterr) {
        int r;

        polkit_agent_open(c);
        if (arguments_have(&c->arguments, OPTION(LAST)))
                r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ForgetRecoveryKey", NULL, reterr,
                                "sa{sv}", args[0], 1, "last", "b", true);
        else
                r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ForgetRecoveryKey", NULL, reterr,
                                "sa{sv}", args[0], 0);
        if (r < 0)
                return r;

        ctl_say(c,
                        "The recovery key %s is forgotten: new backups are not sealed for it. It still "
                        "opens "
                        "those\n"
                        "that were: where it was stolen, delete them.\n",
                        args[0]);
        return EXIT_DONE;
}
