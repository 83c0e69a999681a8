/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log.h"
#include "storage-open.h"
#include "string-util.h"

/* Longer than any upload takes (RuntimeMaxSec= of ccp-transfer@.service): what began before is nobody's. */
#define UPLOAD_AGE_MAX (2 * USEC_PER_DAY)

void storage_sweep_uploads(S3Client *client, const S3Progress *progress) {
        _cleanup_error_ Error error = {};
        unsigned n = 0;

        if (s3_sweep_uploads(client, UPLOAD_AGE_MAX, progress, &n, &error) < 0)
                log_debug("Could not look for uploads without an end: %s", strempty(error.message));
        else if (n > 0)
                log_info("%u uploads that never came to their end were removed.", n);
}
