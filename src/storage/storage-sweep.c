/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "ccp-storage.h"
#include "log.h"
#include "storage-open.h"
#include "string-util.h"

/* So many are removed before ccpd hears of it. */
#define SWEEP_MAX 100U

/* That it may not go, and stays, is nobody's failure. */
static int remove_copy(
                DbSync *db, S3Client *client, const char *key, const S3Progress *progress, Error *reterr) {
        _cleanup_error_ Error error = {};
        int r, k;

        r = s3_delete(client, key, progress, &error);
        if (r == -EPERM) {
                log_info("The storage keeps the copy '%s' of a backup that was deleted: it does not let us "
                         "remove it.",
                                key);
                return doomed_copy_end(db, key, reterr);
        }
        /* Whatever the answer was, and whether there was one: it may be gone, or go later. */
        k = doomed_copy_lost(db, key, r < 0 ? NULL : reterr);
        if (r < 0) {
                error_move(reterr, &error);
                return r;
        }
        return k < 0 ? k : doomed_copy_end(db, key, reterr);
}

int storage_sweep(DbSync *db, S3Client *client, const S3Progress *progress, Error *reterr) {
        for (unsigned i = 0; i < SWEEP_MAX; i++) {
                _cleanup_free_ char *key = NULL;
                int r;

                /* The rest is still due. */
                if (progress && progress->poll && progress->poll(progress->userdata) != 0)
                        return 0;
                r = doomed_copy_claim(db, &key, reterr);
                if (r < 0)
                        return r;
                if (!key)
                        break;
                r = remove_copy(db, client, key, progress, reterr);
                if (r < 0)
                        return r;
        }
        storage_sweep_uploads(client, progress);
        return 0;
}
