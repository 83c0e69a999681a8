/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-storage: speaks to the storage of backups for ccpd, which may not reach the network. PID 1 starts it for each connection to
 * its socket: a JSON object comes in, {"do": …}, and one goes out; of "get" a line of JSON, and then the copy. What failed is
 * {"error": {"name", "message"}}. The number "seconds" in the request is how long the caller waits: after that, and when it hangs
 * up, there is no more work on it. A descriptor that comes with the request is held up to the end, by which ccpd sees it. */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "alloc-util.h"
#include "ccp-storage.h"
#include "fd-util.h"
#include "json-util.h"
#include "log.h"
#include "storage-open.h"
#include "string-util.h"

#define REQUEST_MAX 4096U
/* Nobody waits longer. */
#define SECONDS_MAX 86400U
/* ccpd starts us again when the records are back. */
#define STORE_PATIENCE_USEC (5 * USEC_PER_SEC)

/* Somebody waits: not as long as an upload may take. */
static const S3Limits short_limits = {
        .part_size = 16ULL * 1024 * 1024,
        .attempts = 2,
        .backoff = 500 * USEC_PER_MSEC,
        .backoff_max = USEC_PER_SEC,
        .retry_after_max = 2 * USEC_PER_SEC,
        .connect_timeout = 4 * USEC_PER_SEC,
        .stall_timeout = 8 * USEC_PER_SEC,
        .answer_timeout = 8 * USEC_PER_SEC,
};

typedef struct Work {
        StorageCaller caller;
        S3Progress progress; /* by which it is seen whether that waits */
        const json_t *request;
        json_t *answer; /* an object, to be filled */
        DbSync *db;
        StorageRecord storage;
        S3Client *client;
} Work;

static int oom(Error *reterr) {
        return error_set_errnof(reterr, ENOMEM, "Cannot write an answer: %m");
}

/* An array in the answer, which owns it; NULL when out of memory. */
static json_t *answer_array(Work *w, const char *key) {
        json_t *array = json_array();

        return array && json_object_set_new(w->answer, key, array) >= 0 ? array : NULL;
}

static int do_test(Work *w, Error *reterr) {
        json_t *findings = answer_array(w, "findings");

        return findings ? storage_try(w->client, findings, &w->progress, reterr) : oom(reterr);
}

static int do_check(Work *w, Error *reterr) {
        json_t *findings = answer_array(w, "findings");

        return findings ? storage_check(w->client, &w->storage, findings, &w->progress, reterr)
                        : oom(reterr);
}

static int do_list(Work *w, Error *reterr) {
        const CopyFilter filter = {
                .instance = json_object_get_string(w->request, "instance"),
                .offset = json_get_number(w->request, "offset"),
                .limit = json_get_number(w->request, "limit"),
        };
        json_t *copies = answer_array(w, "copies");

        return copies ? storage_list(w->db, w->client, &filter, copies, &w->progress, reterr) : oom(reterr);
}

static int do_sweep(Work *w, Error *reterr) {
        return storage_sweep(w->db, w->client, &w->progress, reterr);
}

static int do_compare(Work *w, Error *reterr) {
        return storage_compare(w->db, w->client, &w->storage, &w->progress, reterr);
}

static int print(const json_t *answer) {
        return json_dumpf(answer, stdout, JSON_COMPACT) < 0 || fputc('\n', stdout) == EOF ||
                                        fflush(stdout) != 0
                        ? -EIO
                        : 0;
}

static int take(const void *data, size_t size, _unused_ void *userdata, Error *reterr) {
        int r;

        r = loop_write(STDOUT_FILENO, data, size);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot hand over the copy: %m") : 0;
}

/* After the line that says how large it is nothing can be told any more but by an end that comes too early. */
static int do_get(Work *w, Error *reterr) {
        const char *key = json_object_get_string(w->request, "key");
        _cleanup_free_ char *etag = NULL;
        _cleanup_error_ Error error = {};
        uint64_t size;
        int r;

        if (!key)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "There is no key.");
        r = s3_head(w->client, key, &size, &etag, &w->progress, reterr);
        if (r < 0)
                return r;
        s3_client_set_limits(w->client, &s3_limits_default);
        if (json_object_set_new(w->answer, "size", json_integer((json_int_t) size)) < 0)
                return oom(reterr);
        r = print(w->answer);
        if (r >= 0)
                r = s3_get(w->client, key, etag, 0, size, take, NULL, &w->progress, &error);
        if (r < 0 && storage_caller_is_gone(&w->caller))
                log_info("The copy '%s' was not taken to its end.", key);
        else if (r < 0)
                log_warning("The copy '%s' was not handed over: %s", key, strempty(error.message));
        return 1;
}

static const struct {
        const char *verb;
        /* 1: the answer was written. */
        int (*run)(Work *w, Error *reterr);
} verbs[] = {
        { "test", do_test },
        { "check", do_check },
        { "list", do_list },
        { "sweep", do_sweep },
        { "compare", do_compare },
        { "get", do_get },
};

static int work(Work *w, Error *reterr) {
        const char *verb = json_object_get_string(w->request, "do");
        int r;

        r = db_sync_open(&(DbSyncOptions) { .patience = STORE_PATIENCE_USEC }, &w->db, reterr);
        if (r >= 0)
                r = db_sync_check_schema(w->db, reterr);
        if (r >= 0)
                r = storage_open(w->db, &w->storage, &w->client, reterr);
        if (r < 0)
                return r;
        s3_client_set_limits(w->client, &short_limits);

        FOREACH_ARRAY(v, verbs, ELEMENTSOF(verbs))
                if (streq_ptr(v->verb, verb))
                        return v->run(w, reterr);
        return error_setf(reterr, CCP_ERROR_INTERNAL, "The request is none that ccp-storage knows.");
}

/* Nobody else says why there is no answer. */
static int fail_late(const json_t *request, Error *reterr) {
        return error_setf(reterr, CCP_ERROR_STORAGE_FAILED,
                        "The storage is too slow: it did not answer all within %" PRIu64 " s. Try again "
                        "later; if it stays so, ask who runs the storage.",
                        json_get_number(request, "seconds"));
}

static int answer(const json_t *request) {
        const uint64_t seconds = json_get_number(request, "seconds");
        _cleanup_json_ json_t *object = json_object();
        _cleanup_error_ Error error = {};
        Work w = {
                .caller = {
                        .fd = STDOUT_FILENO,
                        .until = seconds > 0 ? now(CLOCK_MONOTONIC) + MIN(seconds, SECONDS_MAX) * USEC_PER_SEC
                                             : USEC_INFINITY,
                },
                .progress = { .poll = storage_caller_poll, .userdata = &w.caller },
                .request = request,
                .answer = object,
        };
        int r;

        if (!object)
                return log_oom();
        r = work(&w, &error);
        s3_client_free(w.client);
        storage_record_done(&w.storage);
        db_sync_free(w.db);
        if (r > 0)
                return 0;
        if (storage_caller_is_gone(&w.caller)) {
                log_debug("Nobody waits for an answer any more.");
                return 0;
        }
        if (r == -ECANCELED) {
                error_done(&error);
                r = fail_late(request, &error);
        }
        if (r < 0 &&
                        json_object_set_new(object, "error",
                                        json_pack("{s:s, s:s}", "name", error.name ?: CCP_ERROR_INTERNAL,
                                                        "message", strempty(error.message))) < 0)
                return log_oom();
        r = print(object);
        return r < 0 ? log_error_errno(r, "Failed to answer: %m") : 0;
}

/* Up to where the caller has no more to say. */
static int read_request(char text[static REQUEST_MAX + 1], int *held) {
        size_t size = 0;

        for (;;) {
                ssize_t n = recv_with_fd(STDIN_FILENO, text + size, REQUEST_MAX - size, 0, held);

                if (n == -EINTR)
                        continue;
                if (n < 0)
                        return (int) n;
                if (n == 0)
                        break;
                size += (size_t) n;
        }
        text[size] = 0;
        return size < REQUEST_MAX ? 0 : -EFBIG;
}

int main(void) {
        _cleanup_json_ json_t *request = NULL;
        _cleanup_close_ int held = -EBADF;
        char text[REQUEST_MAX + 1];
        int r;

        log_open();
        (void) umask(0077);
        if (sodium_init() < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR) {
                log_error("The process cannot be set up.");
                return EXIT_FAILURE;
        }
        r = read_request(text, &held);
        if (r < 0) {
                (void) log_error_errno(r, "Failed to read the request: %m");
                return EXIT_FAILURE;
        }
        r = json_parse(text, strlen(text), 0, &request);
        if (r == -ENOMEM) {
                (void) log_error_errno(r, "Failed to read the request: %m");
                return EXIT_FAILURE;
        }
        if (!json_is_object(request)) {
                log_error("The request is no JSON object.");
                return EXIT_FAILURE;
        }
        return answer(request) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
