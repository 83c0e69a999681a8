/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "archive-writer.h"

#include <errno.h>
#include <string.h>

#include "alloc-util.h"
#include "archive-pool.h"
#include "archive-root.h"
#include "archive-trailer.h"
#include "fd-util.h"
#include "json-util.h"

struct ArchiveWriter {
        int fd;
        const uint8_t *signing_key;
        ArchiveSecrets *secrets;
        uint8_t header_mac[ARCHIVE_MAC_SIZE];
        ArchivePool *pool;
        ArchiveRoot root;
        uint64_t size;

        json_t *streams; /* of the manifest */
        uint16_t n_streams;
        bool in_stream;
        ArchiveFrameType type;
        uint64_t stream_size, index;
        ArchiveSlot *slot; /* that is being filled */
};

ArchiveWriter *archive_writer_free(ArchiveWriter *w) {
        if (!w)
                return NULL;

        archive_pool_free(w->pool);
        archive_secrets_free(w->secrets);
        json_decref(w->streams);
        return mfree(w);
}

static int put(ArchiveWriter *w, const void *data, size_t size, Error *reterr) {
        int r;

        r = loop_write(w->fd, data, size);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot write the backup: %m");
        w->size += size;
        return 0;
}

static void seal_slot(ArchiveCodec *codec, ArchiveSlot *s) {
        s->out_size = archive_frame_seal(codec, &s->frame, s->in, s->in_size, s->out);
        archive_root_hash(s->out, s->out_size, s->hash);
}

int archive_writer_new(int fd, ArchiveHeader *header, const ArchiveSealers *sealers,
                const ArchiveWriterOptions *options, ArchiveWriter **ret, Error *reterr) {
        _cleanup_(archive_writer_freep) ArchiveWriter *w = new0(ArchiveWriter, 1);
        _cleanup_free_ uint8_t *head = NULL;
        uint8_t hash[ARCHIVE_HASH_SIZE];
        size_t n;
        int r;

        if (!w)
                return error_set_errnof(reterr, ENOMEM, "%m");

        w->fd = fd;
        w->signing_key = sealers->signing_key;
        w->streams = json_array();
        if (!w->streams)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = archive_header_write(header, sealers, &head, &n, &w->secrets, reterr);
        if (r < 0)
                return r;
        memcpy(w->header_mac, head + n - ARCHIVE_MAC_SIZE, ARCHIVE_MAC_SIZE);
        archive_root_init(&w->root);
        archive_root_hash(head, n, hash);
        archive_root_add(&w->root, hash);

        r = archive_pool_new(
                        options->n_threads, w->secrets, w->header_mac, options->level, seal_slot, &w->pool);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot start the threads that seal a backup: %m");
        r = put(w, head, n, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(w);
        return 0;
}

/* Waits for the oldest frame, and writes it. 0 if there was none. */
static int put_oldest(ArchiveWriter *w, Error *reterr) {
        ArchiveSlot *s = archive_pool_wait(w->pool);
        int r;

        if (!s)
                return 0;

        archive_root_add(&w->root, s->hash);
        r = put(w, s->out, s->out_size, reterr);
        archive_pool_release(w->pool);
        return r < 0 ? r : 1;
}

static int put_all(ArchiveWriter *w, Error *reterr) {
        int r;

        do
                r = put_oldest(w, reterr);
        while (r > 0);
        return r;
}

static int next_slot(ArchiveWriter *w, Error *reterr) {
        int r;

        while (!(w->slot = archive_pool_next(w->pool))) {
                r = put_oldest(w, reterr);
                if (r < 0)
                        return r;
        }

        w->slot->in_size = 0;
        return 0;
}

static void submit(ArchiveWriter *w, bool final) {
        w->slot->frame = (ArchiveFrame) {
                .type = (uint8_t) w->type,
                .flags = final ? ARCHIVE_FRAME_FINAL : 0,
                .stream = w->n_streams,
                .index = w->index++,
        };
        w->slot = NULL;
        archive_pool_submit(w->pool);
}

static int begin(ArchiveWriter *w, ArchiveFrameType type, Error *reterr) {
        w->type = type;
        w->index = 0;
        w->stream_size = 0;
        w->in_stream = true;
        return next_slot(w, reterr);
}

int archive_writer_begin(ArchiveWriter *w, const char *name, json_t **ret_entry, Error *reterr) {
        json_t *entry;

        assert(!w->in_stream);
        if (w->n_streams >= ARCHIVE_STREAMS_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "A backup holds no more than %u databases, volumes and folders.",
                                ARCHIVE_STREAMS_MAX);

        entry = json_pack("{s:s, s:i}", "name", name, "number", (int) w->n_streams);
        if (!entry || json_array_append_new(w->streams, entry) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        if (ret_entry)
                *ret_entry = entry;

        return begin(w, ARCHIVE_FRAME_DATA, reterr);
}

int archive_writer_room(ArchiveWriter *w, uint8_t **ret, size_t *ret_size, Error *reterr) {
        int r;

        assert(w->in_stream);
        if (w->slot->in_size == ARCHIVE_CHUNK_SIZE) {
                submit(w, /* final= */ false);
                r = next_slot(w, reterr);
                if (r < 0)
                        return r;
        }

        *ret = w->slot->in + w->slot->in_size;
        *ret_size = ARCHIVE_CHUNK_SIZE - w->slot->in_size;
        return 0;
}

void archive_writer_advance(ArchiveWriter *w, size_t size) {
        w->slot->in_size += size;
        w->stream_size += size;
        assert(w->slot->in_size <= ARCHIVE_CHUNK_SIZE);
}

int archive_writer_write(ArchiveWriter *w, const void *data, size_t size, Error *reterr) {
        const uint8_t *p = data;

        while (size > 0) {
                uint8_t *to;
                size_t n;
                int r;

                r = archive_writer_room(w, &to, &n, reterr);
                if (r < 0)
                        return r;
                n = MIN(n, size);
                memcpy(to, p, n);
                archive_writer_advance(w, n);
                p += n;
                size -= n;
        }

        return 0;
}

int archive_writer_end(ArchiveWriter *w, Error *reterr) {
        json_t *entry = json_array_get(w->streams, w->n_streams);

        assert(w->in_stream);
        submit(w, /* final= */ true);
        w->in_stream = false;
        w->n_streams++;
        if (w->type == ARCHIVE_FRAME_DATA &&
                        json_object_set_new(entry, "size", json_integer((json_int_t) w->stream_size)) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        return 0;
}

static int put_manifest(ArchiveWriter *w, json_t *manifest, Error *reterr) {
        _cleanup_free_ char *text = NULL;
        size_t n;
        int r;

        if (json_object_set(manifest, "streams", w->streams) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        text = json_format(manifest, JSON_COMPACT | JSON_SORT_KEYS);
        if (!text)
                return error_set_errnof(reterr, ENOMEM, "%m");
        n = strlen(text);
        if (n > ARCHIVE_MANIFEST_SIZE_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "The manifest of the backup is larger than %u MiB.",
                                ARCHIVE_MANIFEST_SIZE_MAX / 1024 / 1024);

        r = begin(w, ARCHIVE_FRAME_MANIFEST, reterr);
        if (r >= 0)
                r = archive_writer_write(w, text, n, reterr);
        return r < 0 ? r : archive_writer_end(w, reterr);
}

int archive_writer_finish(ArchiveWriter *w, json_t *manifest, Error *reterr) {
        uint8_t trailer[ARCHIVE_TRAILER_SIZE];
        ArchiveTrailer t = {};
        int r;

        assert(!w->in_stream);
        r = put_all(w, reterr);
        if (r < 0)
                return r;
        t.manifest_offset = w->size;
        r = put_manifest(w, manifest, reterr);
        if (r >= 0)
                r = put_all(w, reterr);
        if (r < 0)
                return r;

        t.file_size = w->size + ARCHIVE_TRAILER_SIZE;
        archive_root_finish(&w->root, t.root);
        archive_trailer_sign(&t, w->signing_key);
        archive_trailer_write(&t, trailer);
        return put(w, trailer, sizeof(trailer), reterr);
}

uint64_t archive_writer_size(const ArchiveWriter *w) {
        return w->size;
}
