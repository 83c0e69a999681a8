/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What tests of backup files share: keys that are the same in each run, files in memory, and a file with three streams:
 * text, nothing, and bytes that cannot be compressed. */

#include <sodium.h>
#include <sys/mman.h>
#include <unistd.h>

#include "archive-reader.h"
#include "archive-writer.h"
#include "fd-util.h"
#include "json-util.h"

typedef struct TestKeys {
        uint8_t instance[ARCHIVE_KEY_SIZE], recovery_public[ARCHIVE_KEY_SIZE], recovery[ARCHIVE_KEY_SIZE],
                        signer[ARCHIVE_KEY_SIZE], signing[ARCHIVE_SIGNING_KEY_SIZE];
} TestKeys;

/* Different for each seed. */
static inline void test_keys(TestKeys *k, uint8_t seed) {
        uint8_t bytes[32];

        ck_assert_int_ge(sodium_init(), 0);
        memset(k->instance, seed, sizeof(k->instance));
        memset(bytes, seed + 1, sizeof(bytes));
        (void) crypto_box_seed_keypair(k->recovery_public, k->recovery, bytes);
        memset(bytes, seed + 2, sizeof(bytes));
        (void) crypto_sign_seed_keypair(k->signer, k->signing, bytes);
}

static inline ArchiveSealers test_sealers(const TestKeys *k) {
        return (ArchiveSealers) {
                .instance_key = k->instance,
                .instance_key_id = "instance",
                .recipients = &k->recovery_public,
                .n_recipients = 1,
                .signing_key = k->signing,
        };
}

static inline ArchiveOpener test_opener(const TestKeys *k) {
        return (ArchiveOpener) { .instance_key = k->instance, .instance_key_id = "instance" };
}

/* The same bytes for the same seed; they cannot be compressed. */
static inline void test_noise(void *p, size_t size, uint8_t seed) {
        uint8_t bytes[randombytes_SEEDBYTES];

        memset(bytes, seed, sizeof(bytes));
        randombytes_buf_deterministic(p, size, bytes);
}

static inline ArchiveHeader test_header(void) {
        ArchiveHeader h = { .sequence = 7, .created_at = 1700000000000000 };

        memset(h.instance, 0xab, sizeof(h.instance));
        h.slug = strdup("oslo");
        h.software = strdup("test");
        return h;
}

static inline void test_put_stream(ArchiveWriter *w, const char *name, const void *data, size_t size) {
        json_t *entry;

        ck_assert_int_ge(archive_writer_begin(w, name, &entry, NULL), 0);
        ck_assert_int_ge(json_object_set_new(entry, "kind", json_string("test")), 0);
        ck_assert_int_ge(archive_writer_write(w, data, size, NULL), 0);
        ck_assert_int_ge(archive_writer_end(w, NULL), 0);
}

#define TEST_TEXT_SIZE 5000U

/* Returns a descriptor of the file. 'size' is that of the last stream. */
static inline int test_archive(const TestKeys *k, size_t size, unsigned n_threads) {
        const ArchiveWriterOptions options = { .n_threads = n_threads };
        _cleanup_archive_header_ ArchiveHeader h = test_header();
        const ArchiveSealers sealers = test_sealers(k);
        _cleanup_(archive_writer_freep) ArchiveWriter *w = NULL;
        _cleanup_json_ json_t *manifest = json_pack("{s:s}", "consistency", "live");
        int fd = memfd_create("archive", MFD_CLOEXEC);
        uint8_t *noise = malloc(size + 1);
        char text[TEST_TEXT_SIZE];

        ck_assert_int_ge(fd, 0);
        ck_assert_ptr_nonnull(noise);
        memset(text, 'a', sizeof(text));
        test_noise(noise, size, 1);
        ck_assert_int_ge(archive_writer_new(fd, &h, &sealers, &options, &w, NULL), 0);
        test_put_stream(w, "database/text", text, sizeof(text));
        test_put_stream(w, "volume/empty", NULL, 0);
        test_put_stream(w, "volume/noise", noise, size);
        ck_assert_int_ge(archive_writer_finish(w, manifest, NULL), 0);
        ck_assert_uint_eq(archive_writer_size(w), (uint64_t) lseek(fd, 0, SEEK_END));
        free(noise);
        return fd;
}
