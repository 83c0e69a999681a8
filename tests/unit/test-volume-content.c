/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <endian.h>

#include "alloc-util.h"
#include "test.h"
#include "volume-content.h"

#define MIB ((size_t) VOLUME_BLOCK)

typedef struct Hash {
        uint8_t bytes[VOLUME_HASH];
} Hash;

/* In pieces of that size; zeros are told as such if they are whole pieces. */
static Hash hash_pieces(const char *data, size_t size, size_t piece, bool holes) {
        VolumeContent c;
        Hash h;

        volume_content_init(&c, size);
        for (size_t i = 0, n; i < size; i += n) {
                bool zero = true;

                n = MIN(piece, size - i);
                for (size_t k = i; k < i + n && zero; k++)
                        zero = data[k] == 0;
                if (zero && holes)
                        volume_content_add_zeros(&c, n);
                else
                        volume_content_add(&c, data + i, n);
        }
        volume_content_final(&c, h.bytes);
        return h;
}

/* The definition, written down once more. */
static Hash hash_reference(const char *data, size_t size) {
        static const char zeros[VOLUME_BLOCK];
        uint64_t le = htole64(size), row = 0;
        crypto_generichash_state state;
        Hash h, leaf;

        (void) crypto_generichash_init(&state, NULL, 0, VOLUME_HASH);
        (void) crypto_generichash_update(&state, (unsigned char *) &le, 8);
        for (size_t i = 0; i <= size; i += MIB) {
                size_t n = MIN(MIB, size - i);
                bool zero = n > 0 && memcmp(data + i, zeros, n) == 0;

                if (zero)
                        row++;
                if (row > 0 && (!zero || i + MIB >= size)) {
                        le = htole64(row);
                        (void) crypto_generichash_update(&state, (const unsigned char *) "\0", 1);
                        (void) crypto_generichash_update(&state, (unsigned char *) &le, 8);
                        row = 0;
                }
                if (!zero && n > 0) {
                        (void) crypto_generichash(leaf.bytes, VOLUME_HASH, (const unsigned char *) data + i,
                                        n, NULL, 0);
                        (void) crypto_generichash_update(&state, (const unsigned char *) "\1", 1);
                        (void) crypto_generichash_update(&state, leaf.bytes, VOLUME_HASH);
                }
        }
        (void) crypto_generichash_final(&state, h.bytes, VOLUME_HASH);
        return h;
}

static void assert_same(Hash a, Hash b) {
        ck_assert_mem_eq(a.bytes, b.bytes, VOLUME_HASH);
}

static void check_data(const char *data, size_t size) {
        static const size_t pieces[] = { 4096, 64U * 1024U, 100003, MIB - 1, MIB, MIB + 1, 16 * MIB };
        Hash h = hash_reference(data, size);

        FOREACH_ARRAY(p, pieces, ELEMENTSOF(pieces)) {
                assert_same(hash_pieces(data, size, *p, false), h);
                assert_same(hash_pieces(data, size, *p, true), h);
        }
}

START_TEST(definition_holds_for_any_pieces) {
        static const size_t sizes[] = { 0, 1, 4096, MIB - 1, MIB, MIB + 1, 4 * MIB, 4 * MIB + 4097 };

        FOREACH_ARRAY(size, sizes, ELEMENTSOF(sizes)) {
                _cleanup_free_ char *data = calloc(1, *size + 1);

                check_data(data, *size);
                if (*size == 0)
                        continue;
                data[*size - 1] = 1;
                check_data(data, *size);
                data[0] = 1;
                check_data(data, *size);
                data[*size - 1] = 0;
                check_data(data, *size);
                memset(data, 'x', *size / 2);
                check_data(data, *size);
        }
}
END_TEST

START_TEST(holes_cost_nothing) {
        const uint64_t size = 1ULL << 50;
        VolumeContent c;
        Hash a, b;

        volume_content_init(&c, size);
        volume_content_add_zeros(&c, size);
        volume_content_final(&c, a.bytes);

        volume_content_init(&c, size);
        volume_content_add_zeros(&c, 12345);
        volume_content_add(&c, "\0\0\0", 3);
        volume_content_add_zeros(&c, size - 12348);
        volume_content_final(&c, b.bytes);
        assert_same(a, b);

        /* A byte in the middle is not lost. */
        volume_content_init(&c, size);
        volume_content_add_zeros(&c, size / 2 + 77);
        volume_content_add(&c, "x", 1);
        volume_content_add_zeros(&c, size / 2 - 78);
        volume_content_final(&c, b.bytes);
        ck_assert_mem_ne(a.bytes, b.bytes, VOLUME_HASH);
}
END_TEST

START_TEST(sizes_of_zeros_differ) {
        VolumeContent c;
        Hash a, b;

        volume_content_init(&c, 1);
        volume_content_add_zeros(&c, 1);
        volume_content_final(&c, a.bytes);
        volume_content_init(&c, 2);
        volume_content_add_zeros(&c, 2);
        volume_content_final(&c, b.bytes);
        ck_assert_mem_ne(a.bytes, b.bytes, VOLUME_HASH);
}
END_TEST

TESTS("volume-content", definition_holds_for_any_pieces, holes_cost_nothing, sizes_of_zeros_differ)
