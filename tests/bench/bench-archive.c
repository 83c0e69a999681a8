/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* bench-archive write FILE < DATA; verify FILE; extract FILE > DATA: what a job does with a backup file, with keys that
 * everybody knows. */

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive-pool.h"
#include "archive-reader.h"
#include "archive-writer.h"
#include "fd-util.h"
#include "json-util.h"
#include "string-util.h"

static const uint8_t instance_key[ARCHIVE_KEY_SIZE] = { 1 }, recipient[ARCHIVE_KEY_SIZE] = { 9 };

static int copy_in(ArchiveWriter *w, Error *reterr) {
        for (;;) {
                uint8_t *room;
                size_t size;
                ssize_t n;
                int r;

                r = archive_writer_room(w, &room, &size, reterr);
                if (r < 0)
                        return r;
                n = read(STDIN_FILENO, room, size);
                if (n < 0)
                        return error_set_errnof(reterr, errno, "Cannot read: %m");
                if (n == 0)
                        return 0;
                archive_writer_advance(w, (size_t) n);
        }
}

static int write_file(const char *path, Error *reterr) {
        const ArchiveWriterOptions options = { .n_threads = archive_pool_threads() };
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        _cleanup_(archive_writer_freep) ArchiveWriter *w = NULL;
        uint8_t signing_key[ARCHIVE_SIGNING_KEY_SIZE], public_key[ARCHIVE_KEY_SIZE];
        _cleanup_json_ json_t *manifest = json_object();
        ArchiveHeader h = {};
        int r;

        (void) crypto_sign_keypair(public_key, signing_key);
        r = archive_writer_new(fd, &h,
                        &(ArchiveSealers) {
                                        .instance_key = instance_key,
                                        .recipients = &recipient,
                                        .n_recipients = 1,
                                        .signing_key = signing_key,
                        },
                        &options, &w, reterr);
        if (r >= 0)
                r = archive_writer_begin(w, "data", NULL, reterr);
        if (r >= 0)
                r = copy_in(w, reterr);
        if (r >= 0)
                r = archive_writer_end(w, reterr);
        if (r >= 0)
                r = archive_writer_finish(w, manifest, reterr);
        if (r >= 0 && fsync(fd) < 0)
                r = error_set_errnof(reterr, errno, "Cannot write: %m");
        return r;
}

static int put(const void *data, size_t size, _unused_ void *userdata, Error *reterr) {
        int r;

        r = loop_write(STDOUT_FILENO, data, size);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot write: %m") : 0;
}

static int read_file(const char *path, bool extract, Error *reterr) {
        const ArchiveReaderOptions options = { .n_threads = archive_pool_threads() };
        _cleanup_(archive_reader_freep) ArchiveReader *r = NULL;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        int k;

        k = archive_reader_new(fd, &options, &r, reterr);
        if (k >= 0)
                k = archive_reader_unlock(r, &(ArchiveOpener) { .instance_key = instance_key }, reterr);
        if (k >= 0)
                k = extract ? archive_reader_authenticate(r, reterr) : archive_reader_verify(r, reterr);
        if (k >= 0 && extract)
                k = archive_reader_extract(r, "data", put, NULL, reterr);
        return k;
}

int main(int argc, char *argv[]) {
        _cleanup_error_ Error error = {};
        int r;

        if (argc != 3 || sodium_init() < 0)
                return 2;

        r = streq(argv[1], "write") ? write_file(argv[2], &error)
                                    : read_file(argv[2], streq(argv[1], "extract"), &error);
        if (r < 0)
                (void) fprintf(stderr, "bench-archive: %s\n", strempty(error.message));
        return r < 0;
}
