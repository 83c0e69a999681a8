/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Backup files of who has the keys and means harm: every byte is authentic, and signed. What they announce is not believed, and
 * no memory is taken for it. */

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <zstd.h>

#include "test.h"

#include "alloc-util.h"
#include "archive-frame.h"
#include "archive-root.h"
#include "archive-test.h"
#include "archive-trailer.h"
#include "fault.h"
#include "string-util.h"

/* Of what is asked for at once: a chunk, sealed or compressed. And for the text of a manifest, which grows. */
#define PIECE_MAX (2U * 1024U * 1024U)
#define MANIFEST_PIECE_MAX (4U * ARCHIVE_MANIFEST_SIZE_MAX)

#define TIB (UINT64_C(1) << 40)

/* --- files by hand --- */

typedef struct Craft {
        TestKeys keys;
        ArchiveSecrets *secrets;
        StringBuilder file;
        size_t head_size;
        ArchiveRoot root;
        ArchiveTrailer trailer;
} Craft;

static void craft_done(Craft *c) {
        c->secrets = archive_secrets_free(c->secrets);
        string_builder_done(&c->file);
}
#define _cleanup_craft_ _cleanup_(craft_done)

static uint8_t *bytes(Craft *c) {
        return (uint8_t *) c->file.data;
}

static const uint8_t *header_mac(Craft *c) {
        return bytes(c) + c->head_size - ARCHIVE_MAC_SIZE;
}

/* A part of the file, and of what is signed. */
static void add_part(Craft *c, const void *data, size_t size) {
        uint8_t hash[ARCHIVE_HASH_SIZE];

        archive_root_hash(data, size, hash);
        archive_root_add(&c->root, hash);
        string_builder_append_n(&c->file, data, size);
        ck_assert(!c->file.failed);
}

/* Fields instead of those that a header has, or NULL. Its prelude may be changed, before it is authentic. */
static void craft_begin(Craft *c, const StringBuilder *fields, void (*change)(uint8_t *prelude)) {
        _cleanup_archive_header_ ArchiveHeader h = test_header();
        _cleanup_string_builder_ StringBuilder head = {};
        _cleanup_free_ uint8_t *written = NULL;
        uint8_t mac[ARCHIVE_MAC_SIZE];
        ArchiveSealers sealers;
        uint32_t n_fields;
        size_t n;

        *c = (Craft) {};
        test_keys(&c->keys, 1);
        sealers = test_sealers(&c->keys);
        ASSERT_OK(archive_header_write(&h, &sealers, &written, &n, &c->secrets, NULL));
        string_builder_append_n(&head, (const char *) written, n - ARCHIVE_MAC_SIZE);
        if (fields)
                string_builder_append_n(&head, fields->data, fields->size);
        n_fields = htole32((uint32_t) (head.size - ARCHIVE_PRELUDE_SIZE));
        memcpy(head.data + 12, &n_fields, sizeof(n_fields));
        if (change)
                change((uint8_t *) head.data);

        (void) crypto_generichash(mac, sizeof(mac), (const uint8_t *) head.data, head.size,
                        c->secrets->header, sizeof(c->secrets->header));
        string_builder_append_n(&head, (const char *) mac, sizeof(mac));
        archive_root_init(&c->root);
        c->head_size = head.size;
        add_part(c, head.data, head.size);
}

/* A frame around what is sealed, whatever that is; its size is set. */
static void craft_frame(Craft *c, const ArchiveFrame *f, const void *sealed, size_t size) {
        uint8_t head[ARCHIVE_FRAME_SIZE], nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES] = {},
                                          about[ARCHIVE_MAC_SIZE + ARCHIVE_FRAME_SIZE];
        size_t n = ARCHIVE_FRAME_SIZE + size + ARCHIVE_TAG_SIZE;
        uint32_t size_le = htole32((uint32_t) (size + ARCHIVE_TAG_SIZE));
        uint16_t stream = htole16(f->stream);
        uint64_t index = htole64(f->index);
        _cleanup_free_ uint8_t *frame = malloc(n);

        ck_assert_ptr_nonnull(frame);
        memcpy(head, &size_le, sizeof(size_le));
        head[4] = f->type;
        head[5] = f->flags;
        memcpy(head + 6, &stream, sizeof(stream));
        memcpy(head + 8, &index, sizeof(index));
        memcpy(nonce, head + 4, sizeof(head) - 4);
        memcpy(about, header_mac(c), ARCHIVE_MAC_SIZE);
        memcpy(about + ARCHIVE_MAC_SIZE, head, sizeof(head));

        memcpy(frame, head, sizeof(head));
        (void) crypto_aead_xchacha20poly1305_ietf_encrypt(frame + ARCHIVE_FRAME_SIZE, NULL, sealed, size,
                        about, sizeof(about), NULL, nonce, c->secrets->payload);
        if (f->type == ARCHIVE_FRAME_MANIFEST && f->index == 0)
                c->trailer.manifest_offset = c->file.size;
        add_part(c, frame, n);
}

static void craft_data(
                Craft *c, uint16_t stream, uint64_t index, unsigned flags, const void *sealed, size_t size) {
        const ArchiveFrame f = {
                .type = ARCHIVE_FRAME_DATA,
                .flags = (uint8_t) flags,
                .stream = stream,
                .index = index,
        };

        craft_frame(c, &f, sealed, size);
}

static void craft_manifest(Craft *c, uint16_t n_streams, const char *text) {
        const ArchiveFrame f = {
                .type = ARCHIVE_FRAME_MANIFEST,
                .flags = ARCHIVE_FRAME_FINAL,
                .stream = n_streams,
        };

        craft_frame(c, &f, text, strlen(text));
}

/* The end, signed as it is. */
static void craft_end_as(Craft *c, uint64_t manifest_offset, uint64_t file_size) {
        uint8_t trailer[ARCHIVE_TRAILER_SIZE];

        c->trailer.manifest_offset = manifest_offset;
        c->trailer.file_size = file_size;
        archive_root_finish(&c->root, c->trailer.root);
        archive_trailer_sign(&c->trailer, c->keys.signing);
        archive_trailer_write(&c->trailer, trailer);
        string_builder_append_n(&c->file, (const char *) trailer, sizeof(trailer));
}

static void craft_end(Craft *c) {
        craft_end_as(c, c->trailer.manifest_offset, c->file.size + ARCHIVE_TRAILER_SIZE);
}

/* --- reading them --- */

static int count(_unused_ const void *data, size_t size, void *userdata, _unused_ Error *reterr) {
        *(uint64_t *) userdata += size;
        return 0;
}

/* The name of the error, or NULL. What was given of the stream "x" is counted. */
static const char *read_file(const Craft *c, int fd, bool extract, uint64_t *ret_given, Error *ret_error) {
        const ArchiveReaderOptions options = {};
        _cleanup_(archive_reader_freep) ArchiveReader *r = NULL;
        const ArchiveOpener opener = test_opener(&c->keys);
        int k;

        *ret_given = 0;
        k = archive_reader_new(fd, &options, &r, ret_error);
        if (k >= 0)
                k = archive_reader_unlock(r, &opener, ret_error);
        if (k >= 0)
                k = extract ? archive_reader_authenticate(r, ret_error)
                            : archive_reader_verify(r, ret_error);
        if (k >= 0 && extract)
                k = archive_reader_extract(r, "x", count, ret_given, ret_error);
        ck_assert_int_eq(k < 0, ret_error->name != NULL);
        return ret_error->name;
}

static int file_of(const Craft *c) {
        int fd = memfd_create("hostile", MFD_CLOEXEC);

        ASSERT_OK(fd);
        ASSERT_OK(loop_write(fd, c->file.data, c->file.size));
        return fd;
}

/* Who verifies it and who extracts from it are both told that it is damaged, and where; at most 'given' bytes come out. */
static void expect_refused(
                const Craft *c, const char *what, const char *words, uint64_t given, size_t piece) {
        _cleanup_close_ int fd = file_of(c);

        for (unsigned extract = 0; extract < 2; extract++) {
                _cleanup_error_ Error error = {};
                uint64_t got;
                const char *name;
                size_t largest;

                (void) fault_largest();
                name = read_file(c, fd, extract, &got, &error);
                largest = fault_largest();
                ck_assert_msg(streq_ptr(name, CCP_ERROR_BACKUP_DAMAGED), "%s: %s", what, strempty(name));
                ck_assert_msg(strstr(error.message, words), "%s: %s", what, error.message);
                ck_assert_msg(largest <= piece, "%s: %zu bytes were asked for", what, largest);
                ck_assert_uint_le(got, given);
        }
}

/* All of this is as it should be, so that what is refused below is so for the one thing that is not. */
START_TEST(a_sound_file_by_hand_is_taken) {
        static uint8_t chunk[ARCHIVE_CHUNK_SIZE];
        size_t bound = ZSTD_compressBound(sizeof(chunk)), n;
        _cleanup_free_ uint8_t *packed = malloc(bound);
        _cleanup_craft_ Craft c;
        _cleanup_close_ int fd = -EBADF;

        craft_begin(&c, NULL, NULL);
        n = ZSTD_compress(packed, bound, chunk, sizeof(chunk), 3);
        craft_data(&c, 0, 0, ARCHIVE_FRAME_ZSTD, packed, n);
        craft_data(&c, 0, 1, ARCHIVE_FRAME_FINAL, "abc", 3);
        craft_manifest(&c, 1, "{\"streams\":[{\"name\":\"x\",\"number\":0,\"size\":1048579}]}");
        craft_end(&c);
        fd = file_of(&c);
        for (unsigned extract = 0; extract < 2; extract++) {
                _cleanup_error_ Error error = {};
                uint64_t got;

                ck_assert_ptr_null(read_file(&c, fd, extract, &got, &error));
                ck_assert_uint_eq(got, extract ? sizeof(chunk) + 3 : 0);
        }
}
END_TEST

/* --- frames --- */

/* A frame of zstd's: its header, and blocks of one byte 128 KiB times each, up to 'size' bytes. 'end': the last says so. */
static void zstd_blocks(StringBuilder *b, const void *header, size_t header_size, size_t size, bool end) {
        const uint32_t rle = 1, block = 128U * 1024U;

        string_builder_append_n(b, header, header_size);
        while (b->size + 4 <= size) {
                bool last = end && b->size + 8 > size;
                uint32_t n = htole32((last ? 1U : 0U) | rle << 1 | block << 3);
                char data[4] = { 0, 0, 0, 'x' };

                memcpy(data, &n, 3);
                string_builder_append_n(b, data, sizeof(data));
        }
}

static void zstd_announce(
                StringBuilder *b, uint8_t descriptor, uint8_t window, uint64_t size, size_t size_of_all) {
        uint8_t header[4 + 1 + 1 + 8] = { 0x28, 0xb5, 0x2f, 0xfd, descriptor };
        size_t n = 5;

        if (!(descriptor & 0x20))
                header[n++] = window;
        if (descriptor >> 6 == 3) {
                size = htole64(size);
                memcpy(header + n, &size, sizeof(size));
                n += sizeof(size);
        }
        zstd_blocks(b, header, n, size_of_all, true);
}

typedef struct Bomb {
        const char *what;
        StringBuilder sealed;
} Bomb;

static void zstd_append(StringBuilder *b, size_t size) {
        size_t bound = ZSTD_compressBound(size), n;
        _cleanup_free_ uint8_t *plain = new0(uint8_t, size), *packed = malloc(bound);

        ck_assert(plain && packed);
        n = ZSTD_compress(packed, bound, plain, size, 3);
        ck_assert(!ZSTD_isError(n));
        string_builder_append_n(b, (const char *) packed, n);
}

static void make_bombs(Bomb bombs[static 10]) {
        static const char skipped[] = "\x50\x2a\x4d\x18\x04\0\0\0skip";

        bombs[0].what = "one that announces a TiB, and a window of as much";
        zstd_announce(&bombs[0].sealed, 0xc0, 31 << 3, TIB, ARCHIVE_CHUNK_SIZE);
        bombs[1].what = "one that announces a TiB in one piece";
        zstd_announce(&bombs[1].sealed, 0xe0, 0, TIB, ARCHIVE_CHUNK_SIZE);
        bombs[2].what = "one that announces 2^64 - 1";
        zstd_announce(&bombs[2].sealed, 0xe0, 0, UINT64_MAX, 64);
        bombs[3].what = "one that does not say how long it is, and is 32 GiB";
        zstd_announce(&bombs[3].sealed, 0, 11 << 3, 0, ARCHIVE_CHUNK_SIZE);
        bombs[4].what = "one that does not say how long it is, and does not end";
        zstd_blocks(&bombs[4].sealed, "\x28\xb5\x2f\xfd\0\x58", 6, ARCHIVE_CHUNK_SIZE, false);
        bombs[5].what = "one byte more than a chunk";
        zstd_append(&bombs[5].sealed, ARCHIVE_CHUNK_SIZE + 1);
        bombs[6].what = "two chunks, one behind the other";
        zstd_append(&bombs[6].sealed, ARCHIVE_CHUNK_SIZE);
        zstd_append(&bombs[6].sealed, ARCHIVE_CHUNK_SIZE);
        bombs[7].what = "a chunk with something behind it";
        zstd_append(&bombs[7].sealed, ARCHIVE_CHUNK_SIZE);
        string_builder_append(&bombs[7].sealed, "more");
        bombs[8].what = "one that needs a dictionary";
        zstd_blocks(&bombs[8].sealed, "\x28\xb5\x2f\xfd\x01\x58\x07", 7, 64, true);
        bombs[9].what = "nothing but what is skipped, and a beginning";
        string_builder_append_n(&bombs[9].sealed, skipped, sizeof(skipped) - 1);
        string_builder_append_n(&bombs[9].sealed, "\x28\xb5\x2f\xfd", 4);
        for (unsigned i = 0; i < 10; i++)
                ck_assert(!bombs[i].sealed.failed && bombs[i].sealed.size <= ARCHIVE_CHUNK_SIZE);
}

START_TEST(no_frame_becomes_more_than_a_chunk) {
        static const char manifest[] = "{\"streams\":[{\"name\":\"x\",\"number\":0,\"size\":1048579}]}";
        Bomb bombs[10] = {};

        make_bombs(bombs);
        FOREACH_ARRAY(b, bombs, ELEMENTSOF(bombs)) {
                _cleanup_craft_ Craft first, last, only;
                const ArchiveFrame f = {
                        .type = ARCHIVE_FRAME_MANIFEST,
                        .flags = ARCHIVE_FRAME_ZSTD | ARCHIVE_FRAME_FINAL,
                };

                craft_begin(&first, NULL, NULL);
                craft_data(&first, 0, 0, ARCHIVE_FRAME_ZSTD, b->sealed.data, b->sealed.size);
                craft_data(&first, 0, 1, ARCHIVE_FRAME_FINAL, "abc", 3);
                craft_manifest(&first, 1, manifest);
                craft_end(&first);
                expect_refused(&first, b->what, "a frame is not what was written", 0, PIECE_MAX);

                craft_begin(&last, NULL, NULL);
                craft_data(&last, 0, 0, ARCHIVE_FRAME_ZSTD | ARCHIVE_FRAME_FINAL, b->sealed.data,
                                b->sealed.size);
                craft_manifest(&last, 1, manifest);
                craft_end(&last);
                expect_refused(&last, b->what, "a frame is not what was written", 0, PIECE_MAX);

                craft_begin(&only, NULL, NULL);
                craft_frame(&only, &f, b->sealed.data, b->sealed.size);
                craft_end(&only);
                expect_refused(&only, b->what, "a frame is not what was written", 0, PIECE_MAX);
                string_builder_done(&b->sealed);
        }
}
END_TEST

/* Who only authenticates takes a chunk for full that is packed. Who extracts finds out. */
START_TEST(chunks_are_full_and_frames_few) {
        _cleanup_string_builder_ StringBuilder shorter = {};
        _cleanup_craft_ Craft packed, plain, empty, many;

        zstd_append(&shorter, 1000);
        craft_begin(&packed, NULL, NULL);
        craft_data(&packed, 0, 0, ARCHIVE_FRAME_ZSTD, shorter.data, shorter.size);
        craft_data(&packed, 0, 1, ARCHIVE_FRAME_FINAL, "abc", 3);
        craft_manifest(&packed, 1, "{\"streams\":[{\"name\":\"x\",\"number\":0,\"size\":1048579}]}");
        craft_end(&packed);
        expect_refused(&packed, "a short chunk, packed", "a frame is not what was written", 0, PIECE_MAX);

        craft_begin(&plain, NULL, NULL);
        craft_data(&plain, 0, 0, 0, "abc", 3);
        craft_data(&plain, 0, 1, ARCHIVE_FRAME_FINAL, "abc", 3);
        craft_manifest(&plain, 1, "{\"streams\":[{\"name\":\"x\",\"number\":0,\"size\":6}]}");
        craft_end(&plain);
        expect_refused(&plain, "a short chunk", "a frame is not what was written", 0, PIECE_MAX);

        craft_begin(&empty, NULL, NULL);
        for (unsigned i = 0; i < 100; i++)
                craft_data(&empty, 0, i, 0, NULL, 0);
        craft_data(&empty, 0, 100, ARCHIVE_FRAME_FINAL, NULL, 0);
        craft_manifest(&empty, 1, "{\"streams\":[{\"name\":\"x\",\"number\":0,\"size\":0}]}");
        craft_end(&empty);
        expect_refused(&empty, "chunks of nothing", "a frame is not what was written", 0, PIECE_MAX);

        craft_begin(&many, NULL, NULL);
        for (unsigned i = 0; i <= ARCHIVE_STREAMS_MAX + 1; i++)
                craft_data(&many, (uint16_t) i, 0, ARCHIVE_FRAME_FINAL, NULL, 0);
        craft_manifest(&many, ARCHIVE_STREAMS_MAX + 2, "{\"streams\":[]}");
        craft_end(&many);
        expect_refused(&many, "more streams than there can be", "another frame belongs there", 0, PIECE_MAX);
}
END_TEST

/* --- manifests --- */

static void expect_manifest_refused(const char *text, const char *words) {
        _cleanup_craft_ Craft c;

        craft_begin(&c, NULL, NULL);
        craft_data(&c, 0, 0, ARCHIVE_FRAME_FINAL, "abc", 3);
        craft_manifest(&c, 1, text);
        craft_end(&c);
        expect_refused(&c, text, words, 0, PIECE_MAX);
}

#define TWO_STREAMS                                               \
        "{\"streams\":[{\"name\":\"x\",\"number\":0,\"size\":3}," \
        "{\"name\":\"y\",\"number\":1,\"size\":0}]}"

START_TEST(no_manifest_is_believed) {
        static const char *const about_something_else[] = {
                "{\"streams\":[]}",
                "{\"streams\":[{\"name\":\"x\",\"number\":0,\"size\":9223372036854775807}]}",
                "{\"streams\":[{\"name\":\"x\",\"number\":0,\"size\":-1}]}",
                "{\"streams\":[{\"name\":\"x\",\"number\":0,\"size\":4}]}",
                "{\"streams\":[{\"name\":\"x\",\"number\":0}]}",
                "{\"streams\":[{\"name\":\"x\",\"number\":9223372036854775807,\"size\":3}]}",
                "{\"streams\":[{\"name\":\"x\",\"number\":-1,\"size\":3}]}",
                "{\"streams\":[{\"name\":\"x\",\"number\":0.0,\"size\":3}]}",
                "{\"streams\":[{\"name\":\"x\",\"number\":\"0\",\"size\":3}]}",
                "{\"streams\":[{\"name\":\"x\",\"size\":3}]}",
                "{\"streams\":[{\"name\":\"x\",\"number\":0,\"size\":3.0}]}",
                "{\"streams\":[{\"number\":0,\"size\":3}]}",
                "{\"streams\":[[\"name\"]]}",
                TWO_STREAMS,
        };
        static const char *const none[] = { "", "[]", "{\"streams\":{}}", "{\"streams\":[]",
                "{\"streams\":[]} x", "{\"streams\":[],\"streams\":[]}", "{\"streams\":[1e999]}" };
        _cleanup_free_ char *deep = malloc(ARCHIVE_CHUNK_SIZE);

        FOREACH_ARRAY(s, about_something_else, ELEMENTSOF(about_something_else))
                expect_manifest_refused(*s, "the manifest is about something else");
        FOREACH_ARRAY(s, none, ELEMENTSOF(none))
                expect_manifest_refused(*s, "the manifest is none");
        expect_manifest_refused("{\"streams\":[{\"name\":\"x\\n\",\"number\":0,\"size\":3}]}",
                        "names that are none");

        ck_assert_ptr_nonnull(deep);
        memset(deep, '[', ARCHIVE_CHUNK_SIZE - 1);
        deep[ARCHIVE_CHUNK_SIZE - 1] = 0;
        expect_manifest_refused(deep, "the manifest is none");
}
END_TEST

/* As 0 they would be right. */
START_TEST(an_empty_stream_has_a_size) {
        static const char *const sizes[] = { ",\"size\":0", ",\"size\":\"x\"", ",\"size\":\"0\"",
                ",\"size\":0.0", ",\"size\":1.5", ",\"size\":null", ",\"size\":[0]", ",\"size\":false", "" };

        FOREACH_ARRAY(size, sizes, ELEMENTSOF(sizes)) {
                _cleanup_free_ char *text =
                                strjoin("{\"streams\":[{\"name\":\"x\",\"number\":0", *size, "}]}");
                _cleanup_close_ int fd = -EBADF;
                _cleanup_error_ Error error = {};
                _cleanup_craft_ Craft c;
                uint64_t got;

                ck_assert_ptr_nonnull(text);
                craft_begin(&c, NULL, NULL);
                craft_data(&c, 0, 0, ARCHIVE_FRAME_FINAL, NULL, 0);
                craft_manifest(&c, 1, text);
                craft_end(&c);
                fd = file_of(&c);
                if (size == sizes)
                        ck_assert_ptr_null(read_file(&c, fd, false, &got, &error));
                else
                        expect_refused(&c, text, "the manifest is about something else", 0, PIECE_MAX);
        }
}
END_TEST

/* The text of a manifest with one more value. To be freed. */
static char *manifest_with(const char *key, const char *value) {
        char *text = strjoin("{\"streams\":[{\"name\":\"x\",\"number\":0,\"size\":3,\"", key, "\":", value,
                        "}]}");

        ck_assert_ptr_nonnull(text);
        return text;
}

static void expect_taken(const char *text) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_error_ Error error = {};
        _cleanup_craft_ Craft c;
        uint64_t got;

        craft_begin(&c, NULL, NULL);
        craft_data(&c, 0, 0, ARCHIVE_FRAME_FINAL, "abc", 3);
        craft_manifest(&c, 1, text);
        craft_end(&c);
        fd = file_of(&c);
        ck_assert_ptr_null(read_file(&c, fd, true, &got, &error));
        ck_assert_uint_eq(got, 3);
}

START_TEST(what_is_shown_is_short_text) {
        static const char *const keys[] = { "kind", "service", "engine", "database", "version" };
        static const char *const values[] = { "\"a\\nb\"", "\"\\u001b[2J\"", "\"\\u007f\"", "\"\\u009b\"",
                "\"\\ufffe\"", "\"\\ufdd0\"", "7", "1.5", "null", "true", "[\"a\"]", "{\"a\":\"b\"}" };
        char longest[1 + 256 + 1 + 1], longer[1 + 257 + 1 + 1];

        (void) snprintf(longest, sizeof(longest), "\"%0256d\"", 0);
        (void) snprintf(longer, sizeof(longer), "\"%0257d\"", 0);
        FOREACH_ARRAY(key, keys, ELEMENTSOF(keys)) {
                _cleanup_free_ char *empty = manifest_with(*key, "\"\""),
                                    *full = manifest_with(*key, longest),
                                    *over = manifest_with(*key, longer);

                expect_taken(empty);
                expect_taken(full);
                expect_manifest_refused(over, "names that are none");
                FOREACH_ARRAY(value, values, ELEMENTSOF(values)) {
                        _cleanup_free_ char *text = manifest_with(*key, *value);

                        expect_manifest_refused(text, "names that are none");
                }
        }
        expect_manifest_refused(
                        "{\"streams\":[{\"name\":7,\"number\":0,\"size\":3}]}", "names that are none");
}
END_TEST

/* A few KiB in the file. */
START_TEST(a_manifest_does_not_grow_without_end) {
        _cleanup_string_builder_ StringBuilder spaces = {};
        _cleanup_craft_ Craft c;

        zstd_append(&spaces, ARCHIVE_CHUNK_SIZE);
        craft_begin(&c, NULL, NULL);
        for (unsigned i = 0; i < 1000; i++) {
                const ArchiveFrame f = {
                        .type = ARCHIVE_FRAME_MANIFEST,
                        .flags = ARCHIVE_FRAME_ZSTD | (i == 999 ? ARCHIVE_FRAME_FINAL : 0),
                        .index = i,
                };

                craft_frame(&c, &f, spaces.data, spaces.size);
        }
        craft_end(&c);
        ck_assert_uint_lt(c.file.size, ARCHIVE_CHUNK_SIZE);
        expect_refused(&c, "a manifest of 1000 MiB", "the manifest is too long", 0, MANIFEST_PIECE_MAX);
}
END_TEST

/* --- beginning and end --- */

static void append_field(StringBuilder *b, ArchiveField type, uint32_t announced, size_t size) {
        uint16_t head[] = { htole16((uint16_t) type), 0 };
        _cleanup_free_ char *value = new0(char, size);

        announced = htole32(announced);
        string_builder_append_n(b, (const char *) head, sizeof(head));
        string_builder_append_n(b, (const char *) &announced, sizeof(announced));
        string_builder_append_n(b, value, size);
}

/* What a recovery key takes in the header. */
#define RECIPIENT_SIZE 104U

static bool takes_recipients(unsigned n) {
        _cleanup_string_builder_ StringBuilder fields = {};
        _cleanup_close_ int fd = -EBADF;
        _cleanup_error_ Error error = {};
        _cleanup_craft_ Craft c;
        const char *name;
        uint64_t got;

        for (unsigned i = 0; i < n; i++)
                append_field(&fields, ARCHIVE_FIELD_RECIPIENT, RECIPIENT_SIZE, RECIPIENT_SIZE);
        craft_begin(&c, &fields, NULL);
        craft_manifest(&c, 0, "{\"streams\":[]}");
        craft_end(&c);
        fd = file_of(&c);
        (void) fault_largest();
        name = read_file(&c, fd, false, &got, &error);
        ck_assert_uint_le(fault_largest(), PIECE_MAX);
        ck_assert(!name ||
                        (streq(name, CCP_ERROR_BACKUP_DAMAGED) &&
                                        startswith(error.message, "The backup is damaged or no backup: ")));
        return !name;
}

/* One is there already. */
START_TEST(few_recipients_are_taken) {
        ck_assert(takes_recipients(0));
        ck_assert(takes_recipients(ARCHIVE_RECIPIENTS_MAX - 1));
        ck_assert(!takes_recipients(ARCHIVE_RECIPIENTS_MAX));
        ck_assert(!takes_recipients(500));
        ck_assert(!takes_recipients(1000 * 1000));
}
END_TEST

static void set_chunk_63(uint8_t *prelude) {
        prelude[11] = 63;
}

static void set_chunk_0(uint8_t *prelude) {
        prelude[11] = 0;
}

static void set_suite(uint8_t *prelude) {
        prelude[10] = 2;
}

static void set_header_max(uint8_t *prelude) {
        memset(prelude + 12, 0xff, 4);
}

static void set_header_beyond(uint8_t *prelude) {
        static const uint8_t size[] = { 0, 0, 1, 0 }; /* 64 KiB */

        memcpy(prelude + 12, size, sizeof(size));
}

static void set_header_0(uint8_t *prelude) {
        memset(prelude + 12, 0, 4);
}

static void set_version_0(uint8_t *prelude) {
        prelude[8] = 0;
}

START_TEST(no_prelude_is_believed) {
        void (*const changes[])(uint8_t *prelude) = {
                set_chunk_63,
                set_chunk_0,
                set_suite,
                set_header_max,
                set_header_beyond,
                set_header_0,
                set_version_0,
        };
        FOREACH_ARRAY(change, changes, ELEMENTSOF(changes)) {
                _cleanup_craft_ Craft c;

                craft_begin(&c, NULL, *change);
                craft_manifest(&c, 0, "{\"streams\":[]}");
                craft_end(&c);
                expect_refused(&c, "a prelude", "The backup is damaged", 0, PIECE_MAX);
        }
}
END_TEST

START_TEST(no_field_is_believed) {
        static const struct {
                ArchiveField type;
                uint32_t announced;
                size_t size;
        } fields[] = {
                { ARCHIVE_FIELD_RECIPIENT, UINT32_MAX, RECIPIENT_SIZE },
                { ARCHIVE_FIELD_RECIPIENT, RECIPIENT_SIZE + 1, RECIPIENT_SIZE },
                { ARCHIVE_FIELD_RECIPIENT, RECIPIENT_SIZE - 1, RECIPIENT_SIZE },
                { ARCHIVE_FIELD_RECIPIENT, 0, 0 },
                { ARCHIVE_FIELD_RECIPIENT + 1, 0, 0 },
                { (ArchiveField) 63, 0, 0 },
                { (ArchiveField) 64, 0, 0 },
                { (ArchiveField) UINT16_MAX, 0, 0 },
                { ARCHIVE_FIELD_SLUG, 1, 1 },
        };

        FOREACH_ARRAY(f, fields, ELEMENTSOF(fields)) {
                _cleanup_string_builder_ StringBuilder b = {};
                _cleanup_craft_ Craft c;

                append_field(&b, f->type, f->announced, f->size);
                craft_begin(&c, &b, NULL);
                craft_manifest(&c, 0, "{\"streams\":[]}");
                craft_end(&c);
                expect_refused(&c, "a field", "its header is none that was ever written", 0, PIECE_MAX);
        }
}
END_TEST

START_TEST(no_end_is_believed) {
        static const uint64_t large[] = { UINT64_C(1) << 63, UINT64_MAX, INT64_MAX, TIB, 0, 1 };

        for (unsigned i = 0; i < 2; i++)
                FOREACH_ARRAY(n, large, ELEMENTSOF(large)) {
                        _cleanup_craft_ Craft c;

                        craft_begin(&c, NULL, NULL);
                        craft_manifest(&c, 0, "{\"streams\":[]}");
                        craft_end_as(&c, i == 0 ? *n : c.trailer.manifest_offset,
                                        i == 0 ? c.file.size + ARCHIVE_TRAILER_SIZE : *n);
                        expect_refused(&c, "an end",
                                        i == 0 ? "its end is not what was signed"
                                               : "the file was longer or shorter",
                                        0, PIECE_MAX);
                }
}
END_TEST

TESTS("archive-hostile", a_sound_file_by_hand_is_taken, no_frame_becomes_more_than_a_chunk,
                chunks_are_full_and_frames_few, no_manifest_is_believed, an_empty_stream_has_a_size,
                what_is_shown_is_short_text, a_manifest_does_not_grow_without_end, few_recipients_are_taken,
                no_prelude_is_believed, no_field_is_believed, no_end_is_believed)
