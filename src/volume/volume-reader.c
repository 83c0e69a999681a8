/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-reader.h"

#include <errno.h>
#include <unistd.h>

#include "alloc-util.h"
#include "volume-format.h"
#include "volume-header.h"

#define BUFFER_SIZE (256U * 1024U)

int volume_reader_init(VolumeReader *r, int fd) {
        *r = (VolumeReader) { .fd = fd, .buffer = malloc(BUFFER_SIZE) };
        return r->buffer ? 0 : -ENOMEM;
}

void volume_reader_done(VolumeReader *r) {
        free(r->buffer);
        free(r->last);
        string_builder_done(&r->raw);
        string_builder_done(&r->again);
        *r = (VolumeReader) {};
}

/* Something in the stream is wrong, in the content of the last entry or behind it. */
static int fail_stream(const VolumeReader *r, VolumeError *e, VolumeErrorKind kind, const char *why) {
        return r->last ? volume_error_setf(e, kind, r->last, "here or in the next header %s", why)
                       : volume_error_setf(e, kind, NULL, "At the beginning of the stream %s", why);
}

static int fail_damaged(const VolumeReader *r, VolumeError *e, const char *why) {
        return fail_stream(r, e, VOLUME_ERROR_DAMAGED, why);
}

/* 1, or 0 at the end of the input. */
static int fill(VolumeReader *r, VolumeError *reterr) {
        ssize_t n;

        if (r->begin < r->end)
                return 1;

        do
                n = read(r->fd, r->buffer, BUFFER_SIZE);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return volume_error_set_errnof(reterr, errno, NULL, "Cannot read the stream: %m");

        r->begin = 0;
        r->end = (size_t) n;
        return n > 0;
}

static int take(VolumeReader *r, size_t max, const char **ret, size_t *ret_size, VolumeError *reterr) {
        int k;

        k = fill(r, reterr);
        if (k < 0)
                return k;
        if (k == 0)
                return fail_damaged(r, reterr, "the stream ends too early");

        *ret = r->buffer + r->begin;
        *ret_size = MIN(max, r->end - r->begin);
        r->begin += *ret_size;
        return 0;
}

/* Appends so many bytes to the headers of the entry. */
static int read_raw(VolumeReader *r, size_t size, VolumeError *reterr) {
        const char *p = NULL;
        int k;

        for (size_t n = 0; size > 0; size -= n) {
                k = take(r, size, &p, &n, reterr);
                if (k < 0)
                        return k;
                string_builder_append_n(&r->raw, p, n);
        }

        return r->raw.failed ? volume_error_oom(reterr) : 0;
}

static bool is_zero(const char *p, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (p[i] != 0)
                        return false;

        return true;
}

/* The second block of zeros, and nothing more. */
static int read_end(VolumeReader *r, VolumeError *reterr) {
        int k;

        k = read_raw(r, TAR_BLOCK, reterr);
        if (k < 0)
                return k;
        if (!is_zero(r->raw.data, r->raw.size))
                return fail_damaged(r, reterr, "one block of zeros is not followed by another one");
        if (!r->last)
                return fail_damaged(r, reterr, "there is no entry");

        k = fill(r, reterr);
        if (k > 0)
                return fail_damaged(r, reterr, "there is something behind the end of the stream");
        return k;
}

static int parse_block(VolumeReader *r, size_t offset, TarHeader *ret, VolumeError *reterr) {
        int k;

        k = tar_header_parse(r->raw.data + offset, ret);
        if (k == -EPROTONOSUPPORT)
                return fail_stream(r, reterr, VOLUME_ERROR_UNSUPPORTED, "is another kind of archive");
        return k < 0 ? fail_damaged(r, reterr, "there is no sound header") : 0;
}

/* Reads the extended header if this is one, and the header then. */
static int read_headers(VolumeReader *r, TarHeader *ret, size_t *ret_pax, VolumeError *reterr) {
        int k;

        *ret_pax = 0;
        k = parse_block(r, 0, ret, reterr);
        if (k < 0 || ret->type != 'x')
                return k;

        if (ret->size == 0 || ret->size > VOLUME_PAX_MAX)
                return fail_damaged(r, reterr, "there is an extended header of a size that is not allowed");
        *ret_pax = (size_t) ret->size;

        k = read_raw(r, *ret_pax + tar_padding(*ret_pax) + TAR_BLOCK, reterr);
        return k < 0 ? k : parse_block(r, r->raw.size - TAR_BLOCK, ret, reterr);
}

static int fail_entry(
                VolumeReader *r, const VolumeEntry *e, int error, const char *why, VolumeError *reterr) {
        if (error == -ENOMEM)
                return volume_error_oom(reterr);

        return volume_error_setf(reterr,
                        error == -EOPNOTSUPP ? VOLUME_ERROR_UNSUPPORTED : VOLUME_ERROR_DAMAGED,
                        e->name ?: r->last, "%s", why);
}

/* Block by block, as only the map itself says how long it is. */
static int read_map(VolumeReader *r, VolumeEntry *e, VolumeError *reterr) {
        size_t begin = r->raw.size;
        VolumeMap map = {};
        int k;

        for (size_t i = 0;; i++) {
                if (begin + i == r->raw.size) {
                        k = read_raw(r, TAR_BLOCK, reterr);
                        if (k < 0)
                                return k;
                }

                k = volume_map_feed(&map, e, r->raw.data[begin + i]);
                if (k < 0)
                        return fail_entry(r, e, k, "the map of its holes is not as it is written here",
                                        reterr);
                if (k > 0)
                        return 0;
        }
}

/* What comes is what would be written for the same entry, or it is not taken: so nothing can be meant that
 * is not read. */
static int check_canonical(VolumeReader *r, const VolumeEntry *e, VolumeError *reterr) {
        int k;

        r->again.size = 0;
        k = volume_header_format(e, &r->again);
        if (k == -ENOMEM)
                return volume_error_oom(reterr);
        if (k < 0 || r->again.size != r->raw.size || memcmp(r->again.data, r->raw.data, r->raw.size) != 0)
                return fail_entry(r, e, -EBADMSG, "its header is not as it is written here", reterr);

        return 0;
}

int volume_reader_next(VolumeReader *r, VolumeEntry *ret, VolumeError *reterr) {
        const char *why;
        size_t pax_size;
        TarHeader h;
        int k;

        assert(r->left == r->padding);
        while (r->left > 0) {
                const char *p = NULL;
                size_t n = 0;

                k = take(r, (size_t) r->left, &p, &n, reterr);
                if (k < 0)
                        return k;
                if (!is_zero(p, n))
                        return fail_damaged(r, reterr, "what fills its last block is not zeros");
                r->left -= n;
        }

        r->raw.size = 0;
        k = read_raw(r, TAR_BLOCK, reterr);
        if (k < 0)
                return k;
        if (is_zero(r->raw.data, TAR_BLOCK))
                return read_end(r, reterr);

        k = read_headers(r, &h, &pax_size, reterr);
        if (k < 0)
                return k;
        k = volume_header_parse(&h, r->raw.data + TAR_BLOCK, pax_size, ret, &why);
        if (k < 0)
                return fail_entry(r, ret, k, why, reterr);
        if (ret->sparse) {
                k = read_map(r, ret, reterr);
                if (k < 0)
                        return k;
        }
        k = check_canonical(r, ret, reterr);
        if (k < 0)
                return k;

        if (free_and_strdup(&r->last, ret->name) < 0)
                return volume_error_oom(reterr);
        r->left = ret->type == VOLUME_FILE ? volume_entry_data_size(ret) : 0;
        r->padding = tar_padding(r->left);
        r->left += r->padding;
        return 1;
}

int volume_reader_take(
                VolumeReader *r, uint64_t max, const char **ret, size_t *ret_size, VolumeError *reterr) {
        int k;

        assert(max > 0 && max <= r->left - r->padding);
        k = take(r, (size_t) max, ret, ret_size, reterr);
        if (k < 0)
                return k;

        r->left -= *ret_size;
        return 0;
}
