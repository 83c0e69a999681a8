/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Backup files without memory, threads or descriptors (fault/fault.h): whatever is missing, writing and reading them fails as
 * what it is, never as damage, which would be put on record; or all is as it should be: a frame for whose compression there is
 * no memory is stored as it is. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "test.h"

#include "alloc-util.h"
#include "archive-test.h"
#include "fault.h"
#include "fs-util.h"
#include "job-archive.h"
#include "string-util.h"

#define FILE_NAME "oslo.ccpb"
#define PART FILE_NAME ".part"
/* One frame that is full, and one that is not. */
#define NOISE_SIZE (ARCHIVE_CHUNK_SIZE + 100U)

typedef struct Scene {
        TestKeys keys;
        unsigned n_threads;
        uint8_t *noise;
        char top[64];
        int folder;
        Error error;

        ArchiveOpener opener;
        int fd;       /* of the file that is read */
        uint64_t got; /* bytes of what was taken out, as long as they are right */
        bool wrong, load_manifest;
} Scene;

static void scene_open(Scene *s) {
        *s = (Scene) { .folder = -EBADF, .fd = -EBADF };
        test_keys(&s->keys, 1);
        s->opener = test_opener(&s->keys);
        s->noise = malloc(NOISE_SIZE);
        test_noise(s->noise, NOISE_SIZE, 1);
        (void) snprintf(s->top, sizeof(s->top), "/tmp/test-archive-faults.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(s->top));
        s->folder = open(s->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(s->folder);
}

static void scene_close(Scene *s) {
        s->folder = safe_close(s->folder);
        s->fd = safe_close(s->fd);
        free(s->noise);
        ASSERT_OK(rmdir(s->top));
}

/* What failed is memory, a thread or a descriptor, and nothing else is said. */
static void check_failure(Scene *s, int r, bool failed) {
        ck_assert_msg(failed, "%s", strempty(s->error.message));
        ck_assert_msg(IN_SET(r, -ENOMEM, -EAGAIN, -EMFILE), "%d: %s", r, strempty(s->error.message));
        ck_assert_str_eq(s->error.name, CCP_ERROR_INTERNAL);
        error_done(&s->error);
}

/* --- reading --- */

static int compare(const void *data, size_t size, void *userdata, _unused_ Error *reterr) {
        Scene *s = userdata;

        s->wrong = s->wrong || size > NOISE_SIZE - s->got || memcmp(s->noise + s->got, data, size) != 0;
        s->got += size;
        return 0;
}

static int read_file(void *userdata) {
        Scene *s = userdata;
        const ArchiveReaderOptions options = { .n_threads = s->n_threads };
        _cleanup_(archive_reader_freep) ArchiveReader *reader = NULL;
        int r;

        s->got = 0;
        s->wrong = false;
        r = archive_reader_new(s->fd, &options, &reader, &s->error);
        if (r >= 0)
                r = archive_reader_unlock(reader, &s->opener, &s->error);
        if (r >= 0 && s->load_manifest)
                r = archive_reader_load_manifest(reader, &s->error);
        if (r >= 0)
                r = archive_reader_verify(reader, &s->error);
        if (r >= 0)
                r = archive_reader_extract(reader, "volume/noise", compare, s, &s->error);
        if (r < 0)
                return r;

        /* The names in the manifest are those of the streams. */
        s->wrong = s->wrong ||
                        json_array_size(json_object_get(archive_reader_manifest(reader), "streams")) != 3 ||
                        !archive_reader_find(reader, "database/text") ||
                        !archive_reader_find(reader, "volume/empty") ||
                        !streq_ptr(json_object_get_string(archive_reader_manifest(reader), "consistency"),
                                        "live") ||
                        json_integer_value(json_object_get(archive_reader_manifest(reader), "created_at")) !=
                                        1700000000000000;
        return 0;
}

static void check_read(int r, bool failed, void *userdata) {
        Scene *s = userdata;

        ck_assert(!s->wrong);
        if (r < 0)
                check_failure(s, r, failed);
        else
                ck_assert_uint_eq(s->got, NOISE_SIZE);
}

/* --- writing --- */

static int put_stream(ArchiveWriter *w, const char *name, const void *data, size_t size, Error *reterr) {
        json_t *entry;
        int r;

        r = archive_writer_begin(w, name, &entry, reterr);
        if (r < 0)
                return r;
        if (json_object_set_new(entry, "kind", json_string("test")) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = archive_writer_write(w, data, size, reterr);
        return r < 0 ? r : archive_writer_end(w, reterr);
}

static int put_all(Scene *s, ArchiveWriter *w) {
        static const char text[TEST_TEXT_SIZE] = "text";
        _cleanup_json_ json_t *manifest = NULL;
        int r;

        r = put_stream(w, "database/text", text, sizeof(text), &s->error);
        if (r >= 0)
                r = put_stream(w, "volume/empty", NULL, 0, &s->error);
        if (r >= 0)
                r = put_stream(w, "volume/noise", s->noise, NOISE_SIZE, &s->error);
        if (r < 0)
                return r;
        manifest = json_pack(
                        "{s:s, s:I}", "consistency", "live", "created_at", (json_int_t) 1700000000000000);
        return manifest ? archive_writer_finish(w, manifest, &s->error)
                        : error_set_errnof(&s->error, ENOMEM, "%m");
}

/* As job-backup.c does it: the file, all that is in it, and its name. */
static int write_file(void *userdata) {
        Scene *s = userdata;
        const ArchiveWriterOptions options = { .n_threads = s->n_threads };
        const ArchiveSealers sealers = test_sealers(&s->keys);
        _cleanup_archive_header_ ArchiveHeader h = { .sequence = 7, .created_at = 1700000000000000 };
        _cleanup_(archive_writer_freep) ArchiveWriter *w = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        h.slug = strdup("oslo");
        h.software = strdup("test");
        if (!h.slug || !h.software)
                return error_set_errnof(&s->error, ENOMEM, "%m");
        fd = job_archive_make_unfinished(s->folder, PART, 0, &s->error);
        if (fd < 0)
                return fd;
        r = archive_writer_new(fd, &h, &sealers, &options, &w, &s->error);
        if (r >= 0)
                r = put_all(s, w);
        if (r >= 0)
                r = job_archive_sync_unfinished(s->folder, PART, fd, &s->error);
        return r < 0 ? r : job_archive_finish(s->folder, PART, FILE_NAME, RENAME_NOREPLACE, &s->error);
}

static void check_written(int r, bool failed, void *userdata) {
        Scene *s = userdata;

        ck_assert_int_eq(faccessat(s->folder, FILE_NAME, F_OK, 0) >= 0, r >= 0);
        if (r < 0)
                check_failure(s, r, failed);
        else {
                s->fd = openat(s->folder, FILE_NAME, O_RDONLY | O_CLOEXEC);
                ASSERT_OK(s->fd);
                ASSERT_OK(read_file(s));
                check_read(0, false, s);
                s->fd = safe_close(s->fd);
        }
        (void) unlinkat(s->folder, FILE_NAME, 0);
        (void) unlinkat(s->folder, PART, 0);
}

START_TEST(a_file_is_written_or_not_there) {
        Scene s;

        scene_open(&s);
        for (s.n_threads = 0; s.n_threads <= 2; s.n_threads += 2) {
                const FaultScenario scenario = { write_file, check_written, &s };

                ck_assert_uint_gt(fault_loop(FAULT_MEMORY | FAULT_THREAD, &scenario), 50);
                ck_assert_uint_ge(fault_loop(FAULT_FILE, &scenario), 1);
        }
        scene_close(&s);
}
END_TEST

START_TEST(a_file_is_read_or_was_not_read) {
        Scene s;

        scene_open(&s);
        ASSERT_OK(write_file(&s));
        s.fd = openat(s.folder, FILE_NAME, O_RDONLY | O_CLOEXEC);
        ASSERT_OK(unlinkat(s.folder, FILE_NAME, 0));
        for (s.n_threads = 0; s.n_threads <= 2; s.n_threads += 2)
                for (unsigned i = 0; i < 2; i++) {
                        const FaultScenario scenario = { read_file, check_read, &s };

                        s.opener = i == 0 ? test_opener(&s.keys)
                                          : (ArchiveOpener) { .recovery_key = s.keys.recovery };
                        s.load_manifest = i == 0;
                        ck_assert_uint_gt(
                                        fault_loop(FAULT_MEMORY | FAULT_THREAD | FAULT_FILE, &scenario), 50);
                }
        scene_close(&s);
}
END_TEST

TESTS("archive-faults", a_file_is_written_or_not_there, a_file_is_read_or_was_not_read)
