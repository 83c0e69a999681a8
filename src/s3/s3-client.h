/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A client for storage that speaks S3: whole files in, ranges out. All calls block, and try again by themselves what
 * another attempt may mend. Keys are relative to the prefix, and as s3_key_is_valid() has them.
 *
 * Errors name bucket and key, tell what the storage said, and what to do: StorageFailed; NoSuchBackup where a key is not
 * there; Cancelled; InvalidArgument for keys and configuration; Internal for what is the matter here. Nothing is logged
 * but, for debugging, that a clean-up was refused. */

#include "s3-config.h"
#include "time-util.h"

typedef struct S3Client S3Client;

typedef struct S3Progress {
        /* Called at least once a second while a call lasts; what is not 0 ends it with Cancelled. NULL: nothing does. */
        int (*poll)(void *userdata);
        /* Bytes so far, and of how many; goes back where something is sent again. May be NULL. */
        void (*progress)(uint64_t done, uint64_t size, void *userdata);
        void *userdata;
} S3Progress;

typedef struct S3Limits {
        uint64_t part_size; /* bytes: what is larger goes in parts, of this size at least */
        unsigned attempts;  /* of each request */
        usec_t backoff;     /* after the first attempt; doubles */
        usec_t backoff_max;
        usec_t retry_after_max; /* so much of what a storage asks to wait is obeyed */
        usec_t connect_timeout;
        usec_t stall_timeout;  /* with less than 1 KiB/s; in whole seconds */
        usec_t answer_timeout; /* for the end of an upload in parts, over which a storage may take its time */
} S3Limits;

/* Takes copies of what it is given, the credentials in memory that is locked and wiped. Connects to nothing yet. */
int s3_client_new(const S3Config *config, S3Client **ret, Error *reterr);
/* Returns NULL. */
S3Client *s3_client_free(S3Client *c);
DEFINE_CLEANUP_FUNC(S3Client *, s3_client_free);
#define _cleanup_s3_client_ _cleanup_(s3_client_freep)

/* The defaults suit storage across the Internet; tests have less time. */
extern const S3Limits s3_limits_default;
void s3_client_set_limits(S3Client *c, const S3Limits *limits);

/* In all calls: 'progress' may be NULL, and tells bytes where a call says so. */

/* Stores the first 'size' bytes of a file, read by offset, so that its position does not matter. It must not change.
 * Success means that the storage has an object of this size at this key: if there was one already, it is taken for the
 * same, for keys are made of what they hold; one of another size stays, and is a StorageFailed. What an upload of this key left
 * that was never completed is removed. Tells bytes. */
int s3_put_file(S3Client *c, const char *key, int fd, uint64_t size, const S3Progress *progress,
                Error *reterr);

/* Size in bytes, and the ETag as it goes to s3_get(), to be freed; NULL if the storage gives none. Both may be NULL. */
int s3_head(S3Client *c, const char *key, uint64_t *ret_size, char **ret_etag, const S3Progress *progress,
                Error *reterr);

/* Takes bytes in order. A negative errno with the error set ends the call, which returns it. */
typedef int (*s3_sink_t)(const void *data, size_t size, void *userdata, Error *reterr);

/* Gives exactly 'size' bytes from an offset to a sink, or, for UINT64_MAX, all to the end. What came is never given
 * again: a broken connection is taken up at the byte that was reached. With the ETag of a former call an object that
 * was replaced since is a StorageFailed; with NULL one that is replaced meanwhile. Tells bytes. */
int s3_get(S3Client *c, const char *key, const char *etag, uint64_t offset, uint64_t size, s3_sink_t sink,
                void *userdata, const S3Progress *progress, Error *reterr);

/* One object: key, bytes, CLOCK_REALTIME of the storage. A negative errno with the error set ends the list, and what is
 * positive does as well: that is enough, and no failure. */
typedef int (*s3_list_t)(
                const char *key, uint64_t size, usec_t last_modified, void *userdata, Error *reterr);

/* All objects whose keys begin with 'prefix' (NULL: all), in the storage's order. Keys that are none of ours, by their
 * characters, are left out. */
int s3_list(S3Client *c, const char *prefix, s3_list_t handler, void *userdata, const S3Progress *progress,
                Error *reterr);

/* What is not there is no error. -EPERM, as StorageFailed, where the storage keeps what it has, or the credentials may not
 * delete: that stays so, however often it is tried. */
int s3_delete(S3Client *c, const char *key, const S3Progress *progress, Error *reterr);

/* Ends uploads in parts that began longer ago than this and were never completed, whose parts are paid for until then. The
 * storage's clock decides, for it says when they began: of one that does not tell its time none is ended. One that may not be
 * ended is left. ret_n, how many were ended, may be NULL. */
int s3_sweep_uploads(S3Client *c, usec_t age, const S3Progress *progress, unsigned *ret_n, Error *reterr);
