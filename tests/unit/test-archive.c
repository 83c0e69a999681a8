/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

#include "alloc-util.h"
#include "archive-frame.h"
#include "archive-root.h"
#include "archive-test.h"
#include "archive-trailer.h"
#include "string-util.h"

static int append(const void *data, size_t size, void *userdata, _unused_ Error *reterr) {
        string_builder_append_n(userdata, data, size);
        return 0;
}

/* Whether the file is what was written; the error is its name, or NULL. Who takes something out of it has it authenticated
 * before. */
static const char *read_all(int fd, const ArchiveOpener *opener, unsigned n_threads, StringBuilder *ret,
                char **ret_message) {
        const ArchiveReaderOptions options = { .n_threads = n_threads };
        _cleanup_(archive_reader_freep) ArchiveReader *r = NULL;
        _cleanup_error_ Error error = {};
        const char *name;
        int k;

        k = archive_reader_new(fd, &options, &r, &error);
        if (k >= 0 && opener)
                k = archive_reader_unlock(r, opener, &error);
        if (k >= 0)
                k = ret ? archive_reader_authenticate(r, &error) : archive_reader_verify(r, &error);
        if (k >= 0 && ret)
                k = archive_reader_extract(r, "volume/noise", append, ret, &error);
        ck_assert_int_eq(k < 0, error.name != NULL);
        if (k < 0)
                ck_assert_int_eq(k, error_name_to_errno(error.name));
        if (ret_message)
                *ret_message = TAKE_PTR(error.message);
        name = error.name;
        return name;
}

START_TEST(what_was_written_is_read) {
        static const size_t sizes[] = { 0, 1, ARCHIVE_CHUNK_SIZE - 1, ARCHIVE_CHUNK_SIZE,
                ARCHIVE_CHUNK_SIZE + 1, 9 * ARCHIVE_CHUNK_SIZE + 12345 };
        const ArchiveReaderOptions options = { .n_threads = 2 };
        TestKeys k;

        test_keys(&k, 1);
        FOREACH_ARRAY(size, sizes, ELEMENTSOF(sizes)) {
                _cleanup_(archive_reader_freep) ArchiveReader *r = NULL;
                _cleanup_string_builder_ StringBuilder noise = {}, text = {}, empty = {};
                _cleanup_close_ int fd = test_archive(&k, *size, 2);
                const ArchiveOpener opener = test_opener(&k);
                _cleanup_free_ char *expected = malloc(*size + 1);
                const ArchiveHeader *h;

                ASSERT_OK(archive_reader_new(fd, &options, &r, NULL));
                h = archive_reader_header(r);
                ck_assert_str_eq(h->slug, "oslo");
                ck_assert_str_eq(h->software, "test");
                ck_assert_uint_eq(h->sequence, 7);
                ck_assert_uint_eq(h->created_at, 1700000000000000);
                ck_assert_int_eq(memcmp(h->signer, k.signer, sizeof(k.signer)), 0);

                ASSERT_OK(archive_reader_unlock(r, &opener, NULL));
                ck_assert_ptr_null(archive_reader_manifest(r));
                ASSERT_OK(archive_reader_load_manifest(r, NULL));
                ck_assert_str_eq(json_object_get_string(archive_reader_manifest(r), "consistency"), "live");
                ck_assert_str_eq(json_object_get_string(archive_reader_find(r, "volume/noise"), "kind"),
                                "test");

                ASSERT_OK(archive_reader_verify(r, NULL));
                test_noise(expected, *size, 1);
                ASSERT_OK(archive_reader_extract(r, "volume/noise", append, &noise, NULL));
                ck_assert_uint_eq(noise.size, *size);
                ck_assert(*size == 0 || memcmp(noise.data, expected, *size) == 0);
                ASSERT_OK(archive_reader_extract(r, "volume/empty", append, &empty, NULL));
                ck_assert_uint_eq(empty.size, 0);
                ASSERT_OK(archive_reader_extract(r, "database/text", append, &text, NULL));
                ck_assert_uint_eq(text.size, TEST_TEXT_SIZE);
                ASSERT_ERROR(archive_reader_extract(r, "volume/none", append, &text, NULL), EINVAL);
        }
}
END_TEST

/* version-1.ccpb was made once, by test_archive(&k, 2000, …), and is never made anew: every later version reads it. */
START_TEST(the_golden_file_is_read) {
        static const uint8_t id[] = { 0x77, 0x4f, 0xc9, 0x1f, 0xec, 0x3b, 0xd9, 0xaa, 0xfe, 0xbd, 0x16, 0x2f,
                0x92, 0x8a, 0x93, 0xd3 };
        static const char manifest[] =
                        "{\"consistency\": \"live\", \"streams\": ["
                        "{\"kind\": \"test\", \"name\": \"database/text\", \"number\": 0, \"size\": 5000},"
                        "{\"kind\": \"test\", \"name\": \"volume/empty\", \"number\": 1, \"size\": 0},"
                        "{\"kind\": \"test\", \"name\": \"volume/noise\", \"number\": 2, \"size\": 2000}]}";
        const ArchiveReaderOptions options = { .n_threads = 2 };
        TestKeys k;

        test_keys(&k, 1);
        for (unsigned i = 0; i < 2; i++) {
                const ArchiveOpener opener =
                                i == 0 ? test_opener(&k) : (ArchiveOpener) { .recovery_key = k.recovery };
                _cleanup_(archive_reader_freep) ArchiveReader *r = NULL;
                _cleanup_string_builder_ StringBuilder noise = {}, text = {}, empty = {};
                _cleanup_archive_header_ ArchiveHeader expected = test_header();
                _cleanup_json_ json_t *expected_manifest = json_loads(manifest, 0, NULL);
                _cleanup_close_ int fd = open(GOLDEN_FILE, O_RDONLY | O_CLOEXEC);
                uint8_t bytes[2000];
                const ArchiveHeader *h;

                ck_assert_int_ge(fd, 0);
                ck_assert_ptr_nonnull(expected_manifest);
                ASSERT_OK(archive_reader_new(fd, &options, &r, NULL));
                h = archive_reader_header(r);
                ck_assert_mem_eq(h->id, id, sizeof(id));
                ck_assert_mem_eq(h->instance, expected.instance, sizeof(h->instance));
                ck_assert_uint_eq(h->sequence, expected.sequence);
                ck_assert_uint_eq(h->created_at, expected.created_at);
                ck_assert_str_eq(h->slug, expected.slug);
                ck_assert_str_eq(h->software, expected.software);
                ck_assert_mem_eq(h->signer, k.signer, sizeof(k.signer));

                ASSERT_OK(archive_reader_unlock(r, &opener, NULL));
                ASSERT_OK(archive_reader_verify(r, NULL));
                ck_assert(json_equal(archive_reader_manifest(r), expected_manifest));

                ASSERT_OK(archive_reader_extract(r, "database/text", append, &text, NULL));
                ck_assert_uint_eq(text.size, TEST_TEXT_SIZE);
                ck_assert_uint_eq(strspn(text.data, "a"), TEST_TEXT_SIZE);
                ASSERT_OK(archive_reader_extract(r, "volume/empty", append, &empty, NULL));
                ck_assert_uint_eq(empty.size, 0);
                test_noise(bytes, sizeof(bytes), 1);
                ASSERT_OK(archive_reader_extract(r, "volume/noise", append, &noise, NULL));
                ck_assert_uint_eq(noise.size, sizeof(bytes));
                ck_assert_mem_eq(noise.data, bytes, sizeof(bytes));
        }
}
END_TEST

/* As a pipe is read: there is room before it is known that nothing comes. */
START_TEST(a_stream_may_end_where_a_frame_does) {
        const ArchiveWriterOptions options = { .n_threads = 1 };
        _cleanup_archive_header_ ArchiveHeader h = test_header();
        _cleanup_(archive_writer_freep) ArchiveWriter *w = NULL;
        _cleanup_close_ int fd = memfd_create("archive", MFD_CLOEXEC);
        _cleanup_json_ json_t *manifest = json_object();
        _cleanup_string_builder_ StringBuilder got = {};
        ArchiveSealers sealers;
        ArchiveOpener opener;
        uint8_t *room;
        size_t size;
        TestKeys k;

        test_keys(&k, 1);
        sealers = test_sealers(&k);
        opener = test_opener(&k);
        ASSERT_OK(archive_writer_new(fd, &h, &sealers, &options, &w, NULL));
        ASSERT_OK(archive_writer_begin(w, "volume/noise", NULL, NULL));
        for (unsigned i = 0; i < 2; i++) {
                ASSERT_OK(archive_writer_room(w, &room, &size, NULL));
                ck_assert_uint_eq(size, ARCHIVE_CHUNK_SIZE);
                test_noise(room, size, (uint8_t) i);
                archive_writer_advance(w, size);
        }
        ASSERT_OK(archive_writer_room(w, &room, &size, NULL));
        ASSERT_OK(archive_writer_end(w, NULL));
        ASSERT_OK(archive_writer_finish(w, manifest, NULL));
        ck_assert_ptr_null(read_all(fd, &opener, 0, &got, NULL));
        ck_assert_uint_eq(got.size, 2 * ARCHIVE_CHUNK_SIZE);
}
END_TEST

START_TEST(threads_make_no_difference) {
        TestKeys k;
        uint64_t size[2];

        test_keys(&k, 1);
        for (unsigned n = 0; n < 2; n++) {
                _cleanup_close_ int fd = test_archive(&k, 3 * ARCHIVE_CHUNK_SIZE, n * 3);
                const ArchiveOpener opener = test_opener(&k);

                size[n] = (uint64_t) lseek(fd, 0, SEEK_END);
                ck_assert_ptr_null(read_all(fd, &opener, 3 - n * 3, NULL, NULL));
        }
        ck_assert_uint_eq(size[0], size[1]);
}
END_TEST

START_TEST(each_key_opens_and_no_other) {
        TestKeys k, other;
        ArchiveOpener opener;

        test_keys(&k, 1);
        test_keys(&other, 50);
        {
                _cleanup_close_ int fd = test_archive(&k, 10, 0);
                _cleanup_free_ char *message = NULL;

                opener = (ArchiveOpener) { .recovery_key = k.recovery };
                ck_assert_ptr_null(read_all(fd, &opener, 0, NULL, NULL));
                /* A wrong key is no damage. */
                opener = (ArchiveOpener) { .recovery_key = other.recovery,
                        .instance_key = other.instance,
                        .instance_key_id = "another" };
                ck_assert_str_eq(read_all(fd, &opener, 0, NULL, &message), CCP_ERROR_KEY_MISSING);
                ck_assert_ptr_nonnull(
                                strstr(message, "the instance's key 696e7374616e6365, the recovery key "));
                /* One that says it is the right one, and is not. */
                opener = (ArchiveOpener) { .instance_key = other.instance, .instance_key_id = "instance" };
                ck_assert_str_eq(read_all(fd, &opener, 0, NULL, NULL), CCP_ERROR_BACKUP_DAMAGED);
                /* Without a key it can be told that nothing was changed. */
                ck_assert_ptr_null(read_all(fd, NULL, 0, NULL, NULL));
        }
}
END_TEST

/* A file whose frames are known: where each begins, and the end of the last. */
typedef struct Frames {
        uint8_t *data;
        size_t size, offsets[16], n;
} Frames;

static void frames_done(Frames *f) {
        free(f->data);
}

static void frames_of(int fd, Frames *ret) {
        Frames f = { .size = (size_t) lseek(fd, 0, SEEK_END) };
        size_t at, header_size;

        f.data = malloc(f.size);
        ck_assert_int_eq(pread(fd, f.data, f.size, 0), (ssize_t) f.size);
        ASSERT_OK(archive_prelude_read(f.data, &header_size, NULL));
        for (at = ARCHIVE_PRELUDE_SIZE + header_size + ARCHIVE_MAC_SIZE;
                        at < f.size - ARCHIVE_TRAILER_SIZE;) {
                uint32_t size;

                memcpy(&size, f.data + at, sizeof(size));
                f.offsets[f.n++] = at;
                at += ARCHIVE_FRAME_SIZE + size;
        }
        f.offsets[f.n] = at;
        *ret = f;
}

static int file_of(const void *data, size_t size) {
        int fd = memfd_create("damaged", MFD_CLOEXEC);

        ck_assert_int_ge(fd, 0);
        ASSERT_OK(loop_write(fd, data, size));
        return fd;
}

/* Nothing of a damaged file is given to anybody. */
static void expect_damaged_with_key(const TestKeys *k, const void *data, size_t size, const char *what) {
        _cleanup_close_ int fd = file_of(data, size);
        _cleanup_string_builder_ StringBuilder got = {};
        const ArchiveOpener opener = test_opener(k);
        const char *name, *verified;

        name = read_all(fd, &opener, 0, &got, NULL);
        verified = read_all(fd, &opener, 0, NULL, NULL);
        ck_assert_msg(streq_ptr(name, verified), "%s: %s, verified: %s", what, strempty(name),
                        strempty(verified));
        ck_assert_msg(name &&
                                        (streq(name, CCP_ERROR_BACKUP_DAMAGED) ||
                                                        streq(name, CCP_ERROR_BACKUP_TOO_NEW) ||
                                                        streq(name, CCP_ERROR_KEY_MISSING)),
                        "%s: %s", what, strempty(name));
        ck_assert_uint_eq(got.size, 0);
}

/* The same, and who has no key sees the damage, too. */
static void expect_damaged(const TestKeys *k, const void *data, size_t size, const char *what) {
        _cleanup_close_ int fd = file_of(data, size);

        expect_damaged_with_key(k, data, size, what);
        ck_assert_msg(read_all(fd, NULL, 0, NULL, NULL), "%s is not seen without the key", what);
}

/* Gives a file that was put together an end that fits it, and is signed: as who has the key that signs, and not those of the
 * frames, could. The frames themselves must tell then. */
static void sign_again(const TestKeys *k, uint8_t *data, size_t size) {
        ArchiveTrailer t = { .file_size = size };
        size_t at = 0, n, header_size;
        ArchiveRoot root;

        ASSERT_OK(archive_prelude_read(data, &header_size, NULL));
        archive_root_init(&root);
        for (n = ARCHIVE_PRELUDE_SIZE + header_size + ARCHIVE_MAC_SIZE; at < size - ARCHIVE_TRAILER_SIZE;
                        at += n) {
                uint8_t hash[ARCHIVE_HASH_SIZE];
                ArchiveFrame f;

                if (at > 0) {
                        ASSERT_OK(archive_frame_read(data + at, &f));
                        n = ARCHIVE_FRAME_SIZE + f.size;
                        if (f.type == ARCHIVE_FRAME_MANIFEST)
                                t.manifest_offset = at;
                }
                archive_root_hash(data + at, n, hash);
                archive_root_add(&root, hash);
        }
        ck_assert_uint_eq(at, size - ARCHIVE_TRAILER_SIZE);
        /* There is none in some of them. */
        if (t.manifest_offset == 0)
                t.manifest_offset = at - n;
        archive_root_finish(&root, t.root);
        archive_trailer_sign(&t, k->signing);
        archive_trailer_write(&t, data + at);
}

/* It is damaged, whether or not its end was made anew by who can sign. */
static void expect_splice_found(const TestKeys *k, StringBuilder *b, const char *what) {
        ck_assert(!b->failed);
        expect_damaged(k, b->data, b->size, what);
        sign_again(k, (uint8_t *) b->data, b->size);
        expect_damaged_with_key(k, b->data, b->size, what);
}

START_TEST(every_changed_byte_is_found) {
        uint64_t x = 42;
        TestKeys k;

        test_keys(&k, 1);
        {
                _cleanup_close_ int fd = test_archive(&k, 2000, 0);
                _cleanup_(frames_done) Frames f = {};

                frames_of(fd, &f);
                for (unsigned i = 0; i < 10000; i++) {
                        char what[64];
                        uint8_t bit;
                        size_t at;

                        /* Each byte, then any. */
                        x = x * 6364136223846793005U + 1442695040888963407U;
                        at = i < f.size ? i : (size_t) (x >> 33) % f.size;
                        bit = (uint8_t) (1U << (x >> 61));
                        f.data[at] ^= bit;
                        (void) snprintf(what, sizeof(what), "bit %u of byte %zu", bit, at);
                        if (i < f.size)
                                expect_damaged(&k, f.data, f.size, what);
                        else
                                expect_damaged_with_key(&k, f.data, f.size, what);
                        f.data[at] ^= bit;
                }
        }
}
END_TEST

START_TEST(damage_that_comes_later_is_known) {
        const ArchiveReaderOptions options = { .n_threads = 1 };
        _cleanup_(archive_reader_freep) ArchiveReader *r = NULL;
        _cleanup_string_builder_ StringBuilder text = {};
        _cleanup_close_ int fd = -EBADF;
        _cleanup_error_ Error error = {};
        ArchiveOpener opener;
        struct stat st;
        TestKeys k;

        test_keys(&k, 1);
        fd = test_archive(&k, 9 * ARCHIVE_CHUNK_SIZE, 0);
        opener = test_opener(&k);
        ASSERT_OK(archive_reader_new(fd, &options, &r, NULL));
        ASSERT_OK(archive_reader_unlock(r, &opener, NULL));
        ASSERT_OK(archive_reader_authenticate(r, NULL));
        ASSERT_OK(archive_reader_extract(r, "volume/noise", append, &text, NULL));
        ck_assert(!archive_reader_found_damage(r));
        ASSERT_ERROR(archive_reader_extract(r, "no such stream", append, &text, NULL), EINVAL);
        ck_assert(!archive_reader_found_damage(r));

        ASSERT_OK(fstat(fd, &st));
        ck_assert_int_eq(pwrite(fd, "damage", 6, st.st_size / 2), 6);
        ASSERT_ERROR(archive_reader_extract(r, "volume/noise", append, &text, &error), EBADMSG);
        ck_assert_str_eq(error.name, CCP_ERROR_BACKUP_DAMAGED);
        ck_assert(archive_reader_found_damage(r));
}
END_TEST

/* Whatever is a size there, in either order of bytes: it is large, or negative. */
START_TEST(no_size_is_believed) {
        static const uint8_t values[][8] = {
                { 0xff, 0xff, 0xff, 0x7f },
                { 0x7f, 0xff, 0xff, 0xff },
                { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f },
                { 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
                { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },
        };
        TestKeys k;

        test_keys(&k, 1);
        {
                _cleanup_close_ int fd = test_archive(&k, 200, 0);
                _cleanup_(frames_done) Frames f = {};

                frames_of(fd, &f);
                for (size_t at = 0; at + 8 <= f.size; at++)
                        FOREACH_ARRAY(v, values, ELEMENTSOF(values)) {
                                size_t size = v - values < 2 ? 4 : 8;
                                uint8_t was[8];
                                char what[64];

                                memcpy(was, f.data + at, size);
                                if (memcmp(was, *v, size) == 0)
                                        continue;
                                memcpy(f.data + at, *v, size);
                                (void) snprintf(what, sizeof(what), "value %zu at byte %zu",
                                                (size_t) (v - values), at);
                                expect_damaged(&k, f.data, f.size, what);
                                memcpy(f.data + at, was, size);
                        }
        }
}
END_TEST

START_TEST(every_cut_is_found) {
        TestKeys k;

        test_keys(&k, 1);
        {
                _cleanup_close_ int fd = test_archive(&k, 500, 0);
                _cleanup_(frames_done) Frames f = {};
                uint8_t *longer;

                frames_of(fd, &f);
                for (size_t size = 0; size < f.size; size++)
                        expect_damaged(&k, f.data, size, "a cut");

                longer = calloc(1, f.size + 1);
                memcpy(longer, f.data, f.size);
                expect_damaged(&k, longer, f.size + 1, "a byte more");
                free(longer);
        }
}
END_TEST

/* Puts a file together from parts of others. */
static void put_part(StringBuilder *b, const Frames *f, size_t from, size_t to) {
        string_builder_append_n(b, (const char *) f->data + from, to - from);
}

/* Parts of one file in the places of those of another. */
static void check_foreign_parts(const TestKeys *k, const Frames *f, const Frames *g) {
        _cleanup_string_builder_ StringBuilder head = {}, tail = {}, frames = {};

        for (size_t i = 0; i < f->n; i++) {
                _cleanup_string_builder_ StringBuilder foreign = {};

                put_part(&foreign, f, 0, f->offsets[i]);
                put_part(&foreign, g, g->offsets[i], g->offsets[i + 1]);
                put_part(&foreign, f, f->offsets[i + 1], f->size);
                expect_splice_found(k, &foreign, "a frame of another file");
        }

        put_part(&head, g, 0, g->offsets[0]);
        put_part(&head, f, f->offsets[0], f->size);
        expect_splice_found(k, &head, "the header of another file");
        put_part(&frames, f, 0, f->offsets[0]);
        put_part(&frames, g, g->offsets[0], g->size);
        expect_splice_found(k, &frames, "all frames of another file");
        put_part(&tail, f, 0, f->offsets[f->n]);
        put_part(&tail, g, g->offsets[g->n], g->size);
        expect_damaged(k, tail.data, tail.size, "the end of another file");
}

START_TEST(every_splice_is_found) {
        TestKeys k, other;

        test_keys(&k, 1);
        test_keys(&other, 60);
        {
                _cleanup_close_ int fd = test_archive(&k, 3 * ARCHIVE_CHUNK_SIZE, 0),
                                    fd2 = test_archive(&k, 3 * ARCHIVE_CHUNK_SIZE, 0),
                                    fd3 = test_archive(&other, 3 * ARCHIVE_CHUNK_SIZE, 0);
                _cleanup_(frames_done) Frames f = {}, g = {}, h = {};

                frames_of(fd, &f);
                frames_of(fd2, &g);
                frames_of(fd3, &h);
                ck_assert_uint_eq(f.n, 6);
                for (size_t i = 0; i < f.n; i++) {
                        _cleanup_string_builder_ StringBuilder without = {}, twice = {};

                        put_part(&without, &f, 0, f.offsets[i]);
                        put_part(&without, &f, f.offsets[i + 1], f.size);
                        expect_splice_found(&k, &without, "a frame less");
                        put_part(&twice, &f, 0, f.offsets[i + 1]);
                        put_part(&twice, &f, f.offsets[i], f.size);
                        expect_splice_found(&k, &twice, "a frame twice");

                        for (size_t j = i + 1; j < f.n; j++) {
                                _cleanup_string_builder_ StringBuilder swapped = {};

                                put_part(&swapped, &f, 0, f.offsets[i]);
                                put_part(&swapped, &f, f.offsets[j], f.offsets[j + 1]);
                                put_part(&swapped, &f, f.offsets[i + 1], f.offsets[j]);
                                put_part(&swapped, &f, f.offsets[i], f.offsets[i + 1]);
                                put_part(&swapped, &f, f.offsets[j + 1], f.size);
                                expect_splice_found(&k, &swapped, "two frames swapped");
                        }
                }
                /* Of the same instance, and of another tenant. */
                check_foreign_parts(&k, &f, &g);
                check_foreign_parts(&k, &f, &h);
        }
}
END_TEST

/* The key of another file of the same instance, sealed for the same: it says of which file it is. */
START_TEST(a_key_is_of_one_file) {
        static const struct {
                uint16_t type;
                uint32_t size;
        } fields[] = { { ARCHIVE_FIELD_INSTANCE_KEY, 80 }, { ARCHIVE_FIELD_RECIPIENT, 104 } };
        TestKeys k;

        test_keys(&k, 1);
        for (unsigned i = 0; i < ELEMENTSOF(fields); i++) {
                const ArchiveOpener opener =
                                i == 0 ? test_opener(&k) : (ArchiveOpener) { .recovery_key = k.recovery };
                _cleanup_close_ int fd = test_archive(&k, 10, 0), fd2 = test_archive(&k, 10, 0),
                                    fd3 = -EBADF;
                _cleanup_(frames_done) Frames f = {}, g = {};
                uint8_t head[8];
                size_t at;

                memcpy(head, &(uint16_t[]) { htole16(fields[i].type), 0 }, 4);
                memcpy(head + 4, &(uint32_t) { htole32(fields[i].size) }, 4);
                frames_of(fd, &f);
                frames_of(fd2, &g);
                for (at = ARCHIVE_PRELUDE_SIZE; memcmp(f.data + at, head, sizeof(head)) != 0; at++)
                        ck_assert_uint_lt(at, f.offsets[0]);
                memcpy(f.data + at, g.data + at, sizeof(head) + fields[i].size);
                sign_again(&k, f.data, f.size);
                fd3 = file_of(f.data, f.size);
                ck_assert_str_eq(read_all(fd3, &opener, 0, NULL, NULL), CCP_ERROR_BACKUP_DAMAGED);
                ck_assert_ptr_null(read_all(fd3, NULL, 0, NULL, NULL));
        }
}
END_TEST

/* Without a name, unlike that of an instance or a recovery key. */
START_TEST(the_key_of_the_file_itself_opens_it) {
        TestKeys k;

        test_keys(&k, 1);
        {
                _cleanup_close_ int fd = test_archive(&k, 10, 0), fd2 = test_archive(&k, 10, 0);
                const ArchiveOpener recovery = { .recovery_key = k.recovery };
                _cleanup_(archive_secrets_freep) ArchiveSecrets *secrets = NULL;
                _cleanup_free_ uint8_t *head = NULL;
                ArchiveOpener own;
                size_t n;

                ASSERT_OK(archive_header_load(fd, &head, &n, NULL));
                ASSERT_OK(archive_header_open(head, n, &recovery, &secrets, NULL));
                own = (ArchiveOpener) { .archive_key = secrets->archive };
                ck_assert_ptr_null(read_all(fd, &own, 0, NULL, NULL));
                ck_assert_str_eq(read_all(fd2, &own, 0, NULL, NULL), CCP_ERROR_BACKUP_DAMAGED);
        }
}
END_TEST

/* Who has the public recovery key can seal a file, not sign it as somebody else. */
START_TEST(a_forged_file_has_another_signer) {
        TestKeys k, forger;

        test_keys(&k, 1);
        test_keys(&forger, 90);
        memcpy(forger.recovery_public, k.recovery_public, sizeof(k.recovery_public));
        {
                const ArchiveReaderOptions options = {};
                _cleanup_(archive_reader_freep) ArchiveReader *r = NULL;
                _cleanup_close_ int fd = test_archive(&forger, 10, 0);
                const ArchiveOpener opener = { .recovery_key = k.recovery };
                _cleanup_(frames_done) Frames f = {};
                size_t signer;

                ASSERT_OK(archive_reader_new(fd, &options, &r, NULL));
                ASSERT_OK(archive_reader_unlock(r, &opener, NULL));
                ASSERT_OK(archive_reader_verify(r, NULL));
                ck_assert_int_ne(memcmp(archive_reader_header(r)->signer, k.signer, sizeof(k.signer)), 0);

                /* With the name of the other signer in it, it is not signed. */
                frames_of(fd, &f);
                for (signer = 0; memcmp(f.data + signer, forger.signer, sizeof(forger.signer)) != 0;
                                signer++)
                        ck_assert_uint_lt(signer, f.size - sizeof(forger.signer));
                memcpy(f.data + signer, k.signer, sizeof(k.signer));
                expect_damaged(&k, f.data, f.size, "a forged signer");
        }
}
END_TEST

START_TEST(a_newer_version_is_named) {
        TestKeys k;

        test_keys(&k, 1);
        {
                _cleanup_close_ int fd = test_archive(&k, 10, 0);
                _cleanup_free_ char *message = NULL;

                ck_assert_int_eq(pwrite(fd, "\x02\x00", 2, 8), 2);
                ck_assert_str_eq(read_all(fd, NULL, 0, NULL, &message), CCP_ERROR_BACKUP_TOO_NEW);
                ck_assert_ptr_nonnull(strstr(message, "version 2"));
        }
}
END_TEST

START_TEST(what_is_no_file_is_no_backup) {
        _cleanup_close_ int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC), none = file_of("", 0);
        TestKeys k;

        test_keys(&k, 1);
        ck_assert_str_eq(read_all(zero, NULL, 0, NULL, NULL), CCP_ERROR_BACKUP_DAMAGED);
        ck_assert_str_eq(read_all(none, NULL, 0, NULL, NULL), CCP_ERROR_BACKUP_DAMAGED);
}
END_TEST

/* The first page of a process is never mapped, and to read it from this file is EIO, as a bad sector is. */
START_TEST(what_the_disk_does_not_give_is_damage) {
        _cleanup_close_ int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *message = NULL;

        ck_assert_str_eq(read_all(fd, NULL, 0, NULL, &message), CCP_ERROR_BACKUP_DAMAGED);
        ck_assert_ptr_nonnull(strstr(message, "at byte 0: the disk cannot read it"));
}
END_TEST

START_TEST(a_full_disk_is_said) {
        const ArchiveWriterOptions options = {};
        _cleanup_archive_header_ ArchiveHeader h = test_header();
        _cleanup_(archive_writer_freep) ArchiveWriter *w = NULL;
        _cleanup_close_ int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
        _cleanup_error_ Error error = {};
        ArchiveSealers sealers;
        TestKeys k;

        test_keys(&k, 1);
        sealers = test_sealers(&k);
        ASSERT_ERROR(archive_writer_new(fd, &h, &sealers, &options, &w, &error), ENOSPC);
        ck_assert_str_eq(error.name, CCP_ERROR_NO_SPACE);
}
END_TEST

static int give_up(uint64_t at, uint64_t size, _unused_ void *userdata) {
        ck_assert_uint_le(at, size);
        return -1;
}

START_TEST(reading_can_be_ended) {
        const ArchiveReaderOptions options = { .progress = give_up, .n_threads = 2 };
        _cleanup_(archive_reader_freep) ArchiveReader *r = NULL;
        TestKeys k;

        test_keys(&k, 1);
        {
                _cleanup_close_ int fd = test_archive(&k, 10, 0);

                ASSERT_OK(archive_reader_new(fd, &options, &r, NULL));
                ASSERT_ERROR(archive_reader_verify(r, NULL), ECANCELED);
        }
}
END_TEST

TESTS("archive", what_was_written_is_read, the_golden_file_is_read, a_stream_may_end_where_a_frame_does,
                threads_make_no_difference, each_key_opens_and_no_other, every_changed_byte_is_found,
                damage_that_comes_later_is_known, no_size_is_believed, every_cut_is_found,
                every_splice_is_found, a_key_is_of_one_file, the_key_of_the_file_itself_opens_it,
                a_forged_file_has_another_signer, a_newer_version_is_named, what_is_no_file_is_no_backup,
                what_the_disk_does_not_give_is_damage, a_full_disk_is_said, reading_can_be_ended)
