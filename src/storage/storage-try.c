/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ccp-storage.h"
#include "fd-util.h"
#include "finding.h"
#include "string-util.h"

#define TRY_SIZE 64U
#define TRY_KEY_MAX (STRLEN("ccpd-test-") + 32 + 1)
/* Nothing is called so: to ask for it tells who may ask. */
#define NO_KEY "ccpd-test-"

typedef struct Trial {
        S3Client *client;
        const S3Progress *progress;
        char key[TRY_KEY_MAX];
        uint8_t content[TRY_SIZE];
        size_t n_read; /* of what is as it was written */
        bool listed, kept;
} Trial;

static int put(Trial *t, Error *reterr) {
        _cleanup_close_ int fd = memfd_new_sealed("trial", t->content, sizeof(t->content));

        return fd < 0 ? error_set_errnof(reterr, fd, "Cannot make something to write: %m")
                      : s3_put_file(t->client, t->key, fd, sizeof(t->content), t->progress, reterr);
}

static int fail_differs(Error *reterr) {
        return error_setf(reterr, CCP_ERROR_STORAGE_FAILED,
                        "The storage gives back something else than what was written.");
}

/* How much comes is the storage's choice: nothing is taken beyond what is known. */
static int take_content(const void *data, size_t size, void *userdata, Error *reterr) {
        Trial *t = userdata;

        if (size > sizeof(t->content) - t->n_read || memcmp(t->content + t->n_read, data, size) != 0)
                return fail_differs(reterr);
        t->n_read += size;
        return 0;
}

static int get(Trial *t, Error *reterr) {
        int r;

        r = s3_get(t->client, t->key, NULL, 0, UINT64_MAX, take_content, t, t->progress, reterr);
        if (r < 0)
                return r;
        return t->n_read == sizeof(t->content) ? 0 : fail_differs(reterr);
}

static int take_key(const char *key, _unused_ uint64_t size, _unused_ usec_t at, void *userdata,
                _unused_ Error *reterr) {
        Trial *t = userdata;

        t->listed = t->listed || streq(key, t->key);
        return 0;
}

static int list(Trial *t, Error *reterr) {
        int r;

        r = s3_list(t->client, t->key, take_key, t, t->progress, reterr);
        if (r < 0)
                return r;
        return t->listed ? 0
                         : error_setf(reterr, CCP_ERROR_STORAGE_FAILED,
                                           "The storage does not list what was just written.");
}

/* That it refuses is no failure: whoever takes this server over cannot take the copies with it. */
static int delete(Trial *t, Error *reterr) {
        int r;

        r = s3_delete(t->client, t->key, t->progress, reterr);
        t->kept = r == -EPERM;
        return t->kept ? 0 : r;
}

static const struct {
        const char *check;
        int (*run)(Trial *t, Error *reterr);
        const char *good, *advice;
} trials[] = {
        { "write", put, "The credentials may write.",
                        "Nothing can be copied there. With other credentials: ccpctl storage set with the "
                        "options of 'ccpctl storage show', and --credentials-file=FILE" },
        { "read", get, "The credentials may read.",
                        "No copy is compared, and none comes back, without the right to read." },
        { "list", list, "The credentials may list.",
                        "Without the right to list, nobody sees here what the storage has." },
        { "delete", delete,
                        "The credentials may delete: copies go with their backups, and whoever takes this "
                        "server over can remove them all.",
                        "See: ccpctl storage show" },
};

/* 0: there is no point in trying the others. */
static int try_one(Trial *t, size_t i, json_t *findings, Error *reterr) {
        _cleanup_error_ Error error = {};
        int r, k;

        r = trials[i].run(t, &error);
        if (r == -ECANCELED) {
                error_move(reterr, &error);
                return r;
        }
        if (r < 0)
                k = findings_addf(findings, trials[i].check, FINDING_FAILED, trials[i].advice, "%s",
                                strempty(error.message));
        else if (t->kept)
                k = findings_addf(findings, trials[i].check, FINDING_OK, NULL,
                                "The storage deletes nothing for these credentials: whoever takes this "
                                "server over cannot remove the copies, and that is good. They stay until "
                                "the storage's own rules remove them, and '%s' stays, too.",
                                t->key);
        else
                k = findings_addf(findings, trials[i].check, FINDING_OK, NULL, "%s", trials[i].good);
        if (k < 0)
                return error_set_errnof(reterr, k, "Cannot tell what was found: %m");
        return i > 0 || r >= 0;
}

int storage_try(S3Client *client, json_t *findings, const S3Progress *progress, Error *reterr) {
        Trial t = { .client = client, .progress = progress };
        uint8_t random[16];
        int r = 1;

        randombytes_buf(t.content, sizeof(t.content));
        randombytes_buf(random, sizeof(random));
        (void) snprintf(t.key, sizeof(t.key), NO_KEY);
        (void) sodium_bin2hex(t.key + strlen(t.key), 2 * sizeof(random) + 1, random, sizeof(random));

        for (size_t i = 0; r > 0 && i < ELEMENTSOF(trials); i++)
                r = try_one(&t, i, findings, reterr);
        return r < 0 ? r : 0;
}

static int ignore(_unused_ const char *key, _unused_ uint64_t size, _unused_ usec_t at,
                _unused_ void *userdata, _unused_ Error *reterr) {
        return 0;
}

int storage_check(S3Client *client, const StorageRecord *storage, json_t *findings,
                const S3Progress *progress, Error *reterr) {
        _cleanup_error_ Error error = {};
        int r;

        r = s3_list(client, NO_KEY, ignore, NULL, progress, &error);
        if (r == -ECANCELED) {
                error_move(reterr, &error);
                return r;
        }
        if (r < 0)
                r = findings_addf(findings, "storage", FINDING_FAILED, "See: ccpctl storage test", "%s",
                                strempty(error.message));
        else
                r = findings_addf(findings, "storage", FINDING_OK, NULL,
                                "The storage of copies answers: the bucket '%s' at %s.", storage->bucket,
                                storage->endpoint);
        if (r >= 0 && storage->n_missing > 0 && storage->error)
                r = findings_addf(findings, "copies", FINDING_FAILED,
                                "See: ccpctl storage test, ccpctl job list --kind=replicate",
                                "%" PRIu64 " verified backups are not in the storage: %s",
                                storage->n_missing, storage->error);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot tell what was found: %m") : 0;
}
