/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What s3-moto drives: one call of the client, with its configuration from the environment. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "s3-client.h"
#include "string-util.h"

static int do_put(S3Client *c, char **args, Error *reterr) {
        _cleanup_close_ int fd = open(args[1], O_RDONLY | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return error_set_errnof(reterr, errno, "%s: %m", args[1]);
        return s3_put_file(c, args[0], fd, (uint64_t) st.st_size, NULL, reterr);
}

static int on_data(const void *data, size_t size, _unused_ void *userdata, Error *reterr) {
        return loop_write(STDOUT_FILENO, data, size) < 0 ? error_set_errnof(reterr, EIO, "Cannot write: %m")
                                                         : 0;
}

static int do_get(S3Client *c, char **args, Error *reterr) {
        uint64_t size = streq(args[2], "all") ? UINT64_MAX : strtoull(args[2], NULL, 10);

        return s3_get(c, args[0], streq(args[3], "-") ? NULL : args[3], strtoull(args[1], NULL, 10), size,
                        on_data, NULL, NULL, reterr);
}

static int do_head(S3Client *c, char **args, Error *reterr) {
        _cleanup_free_ char *etag = NULL;
        uint64_t size;
        int r;

        r = s3_head(c, args[0], &size, &etag, NULL, reterr);
        if (r >= 0)
                (void) printf("%" PRIu64 " %s\n", size, etag);
        return r;
}

static int on_object(const char *key, uint64_t size, usec_t last_modified, _unused_ void *userdata,
                _unused_ Error *reterr) {
        (void) printf("%s %" PRIu64 " %" PRIu64 "\n", key, size, last_modified / USEC_PER_SEC);
        return 0;
}

static int do_list(S3Client *c, char **args, Error *reterr) {
        return s3_list(c, args[0], on_object, NULL, NULL, reterr);
}

static int do_delete(S3Client *c, char **args, Error *reterr) {
        return s3_delete(c, args[0], NULL, reterr);
}

static int do_sweep(S3Client *c, char **args, Error *reterr) {
        unsigned n;
        int r;

        r = s3_sweep_uploads(c, strtoull(args[0], NULL, 10) * USEC_PER_SEC, NULL, &n, reterr);
        if (r >= 0)
                (void) printf("%u\n", n);
        return r;
}

int main(int argc, char **argv) {
        static const struct {
                const char *verb;
                int n_args;
                int (*call)(S3Client *c, char **args, Error *reterr);
        } verbs[] = {
                { "put", 2, do_put },       /* KEY FILE */
                { "get", 4, do_get },       /* KEY OFFSET SIZE|all ETAG|- */
                { "head", 1, do_head },     /* KEY */
                { "list", 1, do_list },     /* PREFIX */
                { "delete", 1, do_delete }, /* KEY */
                { "sweep", 1, do_sweep },   /* SECONDS-SINCE-1970 */
        };
        const S3Config config = {
                .endpoint = getenv("S3_ENDPOINT"),
                .region = getenv("S3_REGION"),
                .bucket = getenv("S3_BUCKET"),
                .prefix = getenv("S3_PREFIX"),
                .access_key = getenv("S3_ACCESS_KEY"),
                .secret_key = getenv("S3_SECRET_KEY"),
                .ca_file = getenv("S3_CA_FILE"),
                .path_style = true,
        };
        _cleanup_s3_client_ S3Client *c = NULL;
        _cleanup_error_ Error e = {};
        int r = -EINVAL;

        FOREACH_ARRAY(v, verbs, ELEMENTSOF(verbs))
                if (argc == v->n_args + 2 && streq(argv[1], v->verb)) {
                        r = s3_client_new(&config, &c, &e);
                        if (r >= 0)
                                r = v->call(c, argv + 2, &e);
                        break;
                }

        if (r < 0)
                (void) fprintf(stderr, "%s\n%s\n", strempty(e.name), strempty(e.message));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
