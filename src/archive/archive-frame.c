/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "archive-frame.h"

#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <zstd.h>

#include "alloc-util.h"

#define NONCE_SIZE crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define ABOUT_SIZE (ARCHIVE_MAC_SIZE + ARCHIVE_FRAME_SIZE)

struct ArchiveCodec {
        const ArchiveSecrets *secrets;
        uint8_t header_mac[ARCHIVE_MAC_SIZE];
        ZSTD_CCtx *compress; /* made when it is needed */
        ZSTD_DCtx *decompress;
        int level;
        uint8_t *scratch; /* a chunk, compressed */
        size_t scratch_size;
};

ArchiveCodec *archive_codec_new(
                const ArchiveSecrets *secrets, const uint8_t header_mac[ARCHIVE_MAC_SIZE], int level) {
        _cleanup_(archive_codec_freep) ArchiveCodec *c = new0(ArchiveCodec, 1);

        if (!c)
                return NULL;

        c->secrets = secrets;
        c->level = level;
        memcpy(c->header_mac, header_mac, ARCHIVE_MAC_SIZE);
        c->scratch_size = ZSTD_compressBound(ARCHIVE_CHUNK_SIZE);
        c->scratch = malloc(c->scratch_size);
        return c->scratch ? TAKE_PTR(c) : NULL;
}

ArchiveCodec *archive_codec_free(ArchiveCodec *c) {
        if (!c)
                return NULL;

        (void) ZSTD_freeCCtx(c->compress);
        (void) ZSTD_freeDCtx(c->decompress);
        free(c->scratch);
        return mfree(c);
}

static void format_frame(const ArchiveFrame *f, uint8_t ret[ARCHIVE_FRAME_SIZE]) {
        uint32_t size = htole32(f->size);
        uint16_t stream = htole16(f->stream);
        uint64_t index = htole64(f->index);

        memcpy(ret, &size, sizeof(size));
        ret[4] = f->type;
        ret[5] = f->flags;
        memcpy(ret + 6, &stream, sizeof(stream));
        memcpy(ret + 8, &index, sizeof(index));
}

/* What a frame is, without its size: unlike for any other one of the file. */
static void make_nonce(const uint8_t head[ARCHIVE_FRAME_SIZE], uint8_t nonce[NONCE_SIZE]) {
        memset(nonce, 0, NONCE_SIZE);
        memcpy(nonce, head + 4, ARCHIVE_FRAME_SIZE - 4);
}

static void make_about(const ArchiveCodec *c, const uint8_t *head, uint8_t about[ABOUT_SIZE]) {
        memcpy(about, c->header_mac, ARCHIVE_MAC_SIZE);
        memcpy(about + ARCHIVE_MAC_SIZE, head, ARCHIVE_FRAME_SIZE);
}

/* 0 if that makes it no smaller: it is stored as it is then. */
static size_t compress_chunk(ArchiveCodec *c, const uint8_t *plain, size_t size) {
        size_t n;

        if (!c->compress) {
                c->compress = ZSTD_createCCtx();
                if (!c->compress)
                        return 0;
                (void) ZSTD_CCtx_setParameter(c->compress, ZSTD_c_compressionLevel, c->level);
                (void) ZSTD_CCtx_setParameter(c->compress, ZSTD_c_checksumFlag, 1);
        }

        n = ZSTD_compress2(c->compress, c->scratch, c->scratch_size, plain, size);
        return !ZSTD_isError(n) && n < size ? n : 0;
}

size_t archive_frame_seal(
                ArchiveCodec *c, ArchiveFrame *frame, const uint8_t *plain, size_t size, uint8_t *ret) {
        uint8_t nonce[NONCE_SIZE], about[ABOUT_SIZE];
        unsigned long long n_sealed = 0;
        size_t n;

        assert(size <= ARCHIVE_CHUNK_SIZE);
        n = compress_chunk(c, plain, size);
        if (n > 0) {
                frame->flags |= ARCHIVE_FRAME_ZSTD;
                plain = c->scratch;
                size = n;
        }

        frame->size = (uint32_t) (size + ARCHIVE_TAG_SIZE);
        format_frame(frame, ret);
        make_nonce(ret, nonce);
        make_about(c, ret, about);
        (void) crypto_aead_xchacha20poly1305_ietf_encrypt(ret + ARCHIVE_FRAME_SIZE, &n_sealed, plain, size,
                        about, sizeof(about), NULL, nonce, c->secrets->payload);
        return ARCHIVE_FRAME_SIZE + (size_t) n_sealed;
}

int archive_frame_read(const uint8_t data[ARCHIVE_FRAME_SIZE], ArchiveFrame *ret) {
        ArchiveFrame f = { .type = data[4], .flags = data[5] };

        memcpy(&f.size, data, sizeof(f.size));
        memcpy(&f.stream, data + 6, sizeof(f.stream));
        memcpy(&f.index, data + 8, sizeof(f.index));
        f.size = le32toh(f.size);
        f.stream = le16toh(f.stream);
        f.index = le64toh(f.index);
        if (f.size < ARCHIVE_TAG_SIZE || f.size > ARCHIVE_CHUNK_SIZE + ARCHIVE_TAG_SIZE ||
                        !IN_SET(f.type, ARCHIVE_FRAME_DATA, ARCHIVE_FRAME_MANIFEST) ||
                        (f.flags & ~_ARCHIVE_FRAME_FLAGS_ALL))
                return -EBADMSG;

        *ret = f;
        return 0;
}

static int decompress_chunk(ArchiveCodec *c, size_t size, uint8_t *ret, size_t *ret_size) {
        size_t n;

        if (!c->decompress) {
                c->decompress = ZSTD_createDCtx();
                if (!c->decompress)
                        return -ENOMEM;
        }

        n = ZSTD_decompressDCtx(c->decompress, ret, ARCHIVE_CHUNK_SIZE, c->scratch, size);
        if (ZSTD_isError(n))
                return -EBADMSG;
        *ret_size = n;
        return 0;
}

/* The chunk as it was sealed: compressed, if the frame says so. */
static int unseal_chunk(ArchiveCodec *c, const ArchiveFrame *frame, const uint8_t *data, uint8_t *ret,
                size_t *ret_size) {
        uint8_t nonce[NONCE_SIZE], about[ABOUT_SIZE];
        unsigned long long n = 0;

        make_nonce(data, nonce);
        make_about(c, data, about);
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(ret, &n, NULL, data + ARCHIVE_FRAME_SIZE, frame->size,
                            about, sizeof(about), nonce, c->secrets->payload) < 0)
                return -EBADMSG;

        *ret_size = (size_t) n;
        return 0;
}

int archive_frame_open(ArchiveCodec *c, const ArchiveFrame *frame, const uint8_t *data, uint8_t *ret,
                size_t *ret_size) {
        bool compressed = frame->flags & ARCHIVE_FRAME_ZSTD;
        size_t n;
        int r;

        r = unseal_chunk(c, frame, data, compressed ? c->scratch : ret, &n);
        if (r < 0)
                return r;
        if (compressed)
                return decompress_chunk(c, n, ret, ret_size);

        *ret_size = n;
        return 0;
}

int archive_frame_check(ArchiveCodec *c, const ArchiveFrame *frame, const uint8_t *data, uint8_t *ret,
                size_t *ret_size) {
        size_t n;
        int r;

        if (!(frame->flags & ARCHIVE_FRAME_ZSTD) || (frame->flags & ARCHIVE_FRAME_FINAL) ||
                        frame->type != ARCHIVE_FRAME_DATA)
                return archive_frame_open(c, frame, data, ret, ret_size);

        r = unseal_chunk(c, frame, data, c->scratch, &n);
        if (r < 0)
                return r;
        *ret_size = ARCHIVE_CHUNK_SIZE;
        return 0;
}
