/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "archive-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "archive-pool.h"
#include "archive-root.h"
#include "archive-trailer.h"
#include "fs-util.h"
#include "json-util.h"
#include "string-util.h"

/* Of a stream's name, and of what else a manifest says of it: bytes. */
#define NAME_MAX_SIZE 1024U
#define SHOWN_MAX 256U

typedef struct ArchiveStream {
        uint64_t offset; /* of its first frame */
        uint64_t size;   /* of what is in it */
} ArchiveStream;

struct ArchiveReader {
        int fd;
        ArchiveReaderOptions options;
        uint8_t *head; /* prelude, header, MAC */
        size_t head_size;
        ArchiveHeader header;
        ArchiveTrailer trailer;
        ArchiveSecrets *secrets; /* NULL: locked */

        json_t *manifest;
        ArchiveStream *streams; /* by their numbers; of a file that was verified */
        size_t n_streams, n_streams_allocated;
        bool verified;
        atomic_bool damaged; /* whoever extracts may do that in another thread than who asks */
};

ArchiveReader *archive_reader_free(ArchiveReader *r) {
        if (!r)
                return NULL;

        archive_header_done(&r->header);
        archive_secrets_free(r->secrets);
        json_decref(r->manifest);
        free(r->streams);
        free(r->head);
        return mfree(r);
}

static int damaged_at(uint64_t offset, const char *what, Error *reterr) {
        return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED, "The backup is damaged at byte %" PRIu64 ": %s.",
                        offset, what);
}

/* Exactly that many bytes. */
static int read_at(const ArchiveReader *r, uint64_t offset, void *ret, size_t size, Error *reterr) {
        uint8_t *p = ret;

        while (size > 0) {
                ssize_t n;

                n = pread(r->fd, p, size, (off_t) offset);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && ERRNO_IS_NEG_DISK_DAMAGE(-errno))
                        return damaged_at(offset, "the disk cannot read it", reterr);
                if (n < 0)
                        return error_set_errnof(reterr, errno,
                                        "Cannot read the backup at byte %" PRIu64 ": %m", offset);
                if (n == 0)
                        return damaged_at(offset, "the file ends there", reterr);
                p += n;
                offset += (uint64_t) n;
                size -= (size_t) n;
        }

        return 0;
}

/* --- beginning and end --- */

static int read_head(ArchiveReader *r, uint64_t file_size, Error *reterr) {
        uint8_t prelude[ARCHIVE_PRELUDE_SIZE];
        size_t n;
        int k;

        k = read_at(r, 0, prelude, sizeof(prelude), reterr);
        if (k >= 0)
                k = archive_prelude_read(prelude, &n, reterr);
        if (k < 0)
                return k;

        r->head_size = ARCHIVE_PRELUDE_SIZE + n + ARCHIVE_MAC_SIZE;
        if (file_size < r->head_size + ARCHIVE_TRAILER_SIZE)
                return damaged_at(file_size, "the file is cut off", reterr);
        r->head = new0(uint8_t, r->head_size);
        if (!r->head)
                return error_set_errnof(reterr, ENOMEM, "%m");

        k = read_at(r, 0, r->head, r->head_size, reterr);
        return k < 0 ? k : archive_header_read(r->head, r->head_size, &r->header, reterr);
}

static const uint8_t *header_mac(const ArchiveReader *r) {
        return r->head + r->head_size - ARCHIVE_MAC_SIZE;
}

static int read_trailer(ArchiveReader *r, uint64_t file_size, Error *reterr) {
        uint8_t data[ARCHIVE_TRAILER_SIZE];
        int k;

        k = read_at(r, file_size - sizeof(data), data, sizeof(data), reterr);
        if (k < 0)
                return k;
        if (archive_trailer_read(data, &r->trailer) < 0)
                return damaged_at(file_size, "the file is cut off, or was never written to its end", reterr);
        if (r->trailer.file_size != file_size)
                return damaged_at(file_size, "the file was longer or shorter", reterr);
        if (r->trailer.manifest_offset < r->head_size ||
                        r->trailer.manifest_offset >= file_size - ARCHIVE_TRAILER_SIZE ||
                        !archive_trailer_is_signed(&r->trailer, r->header.signer))
                return damaged_at(file_size - sizeof(data), "its end is not what was signed", reterr);

        return 0;
}

int archive_reader_new(int fd, const ArchiveReaderOptions *options, ArchiveReader **ret, Error *reterr) {
        _cleanup_(archive_reader_freep) ArchiveReader *r = new0(ArchiveReader, 1);
        struct stat st;
        int k;

        if (!r)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r->fd = fd;
        r->options = *options;

        if (fstat(fd, &st) < 0)
                return error_set_errnof(reterr, errno, "Cannot read the backup: %m");
        if (!S_ISREG(st.st_mode))
                return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED, "The backup is no regular file.");

        k = sodium_init() < 0
                        ? error_setf(reterr, CCP_ERROR_INTERNAL, "The cryptographic library does not start.")
                        : read_head(r, (uint64_t) st.st_size, reterr);
        if (k >= 0)
                k = read_trailer(r, (uint64_t) st.st_size, reterr);
        if (k < 0)
                return k;

        *ret = TAKE_PTR(r);
        return 0;
}

void archive_reader_be_quiet(ArchiveReader *r) {
        r->options.progress = NULL;
}

const ArchiveHeader *archive_reader_header(const ArchiveReader *r) {
        return &r->header;
}

uint64_t archive_reader_size(const ArchiveReader *r) {
        return r->trailer.file_size;
}

int archive_reader_unlock(ArchiveReader *r, const ArchiveOpener *opener, Error *reterr) {
        ArchiveSecrets *s;
        int k;

        k = archive_header_open(r->head, r->head_size, opener, &s, reterr);
        if (k < 0)
                return k;
        archive_secrets_free(r->secrets);
        r->secrets = s;
        return 0;
}

/* --- frames --- */

/* A walk over frames in the order of the file: which one comes next is known, and no other one is taken. */
typedef struct Walk {
        ArchiveReader *reader;
        ArchivePool *pool;
        uint64_t offset, end;  /* of what was not read yet */
        uint64_t offset_taken; /* of what was not taken yet */
        ArchiveFrame expected; /* its type, stream and index */
        bool manifest_too;     /* after a final data frame either another stream or the manifest may begin */
        bool ended;            /* the last frame of the walk was read */
        int (*take)(struct Walk *w, const ArchiveSlot *s, Error *reterr);
        void *userdata;
} Walk;

static void open_slot(ArchiveCodec *codec, ArchiveSlot *s) {
        archive_root_hash(s->in, s->in_size, s->hash);
        s->out_size = 0;
        s->result = codec ? archive_frame_open(codec, &s->frame, s->in, s->out, &s->out_size) : 0;
}

static void check_slot(ArchiveCodec *codec, ArchiveSlot *s) {
        archive_root_hash(s->in, s->in_size, s->hash);
        s->out_size = 0;
        s->result = codec ? archive_frame_check(codec, &s->frame, s->in, s->out, &s->out_size) : 0;
}

static int walk_new(ArchiveReader *r, Walk *w, archive_work_t work, Error *reterr) {
        int k;

        w->reader = r;
        w->offset_taken = w->offset;
        k = archive_pool_new(r->options.n_threads, r->secrets, header_mac(r), 0, work, &w->pool);
        return k < 0 ? error_set_errnof(reterr, k, "Cannot start the threads that open a backup: %m") : 0;
}

static void walk_done(Walk *w) {
        w->pool = archive_pool_free(w->pool);
}
#define _cleanup_walk_ _cleanup_(walk_done)

static bool is_expected(Walk *w, const ArchiveFrame *f) {
        if (w->manifest_too && f->type == ARCHIVE_FRAME_MANIFEST && f->index == 0 &&
                        f->stream == w->expected.stream) {
                w->expected.type = ARCHIVE_FRAME_MANIFEST;
                w->manifest_too = false;
                return true;
        }

        return f->type == w->expected.type && f->stream == w->expected.stream &&
                        f->index == w->expected.index;
}

/* What comes after a frame: the next of the stream, or another stream; nothing after the manifest. */
static void expect_next(Walk *w, const ArchiveFrame *f) {
        w->manifest_too = false;
        w->expected.index++;
        if (!(f->flags & ARCHIVE_FRAME_FINAL))
                return;

        w->ended = f->type == ARCHIVE_FRAME_MANIFEST;
        w->expected.index = 0;
        w->expected.stream++;
        w->manifest_too = true;
}

static int read_frame(Walk *w, ArchiveSlot *s, Error *reterr) {
        ArchiveReader *r = w->reader;
        int k;

        if (w->end - w->offset < ARCHIVE_FRAME_SIZE)
                return damaged_at(w->offset, "frames are missing", reterr);
        k = read_at(r, w->offset, s->in, ARCHIVE_FRAME_SIZE, reterr);
        if (k < 0)
                return k;
        if (archive_frame_read(s->in, &s->frame) < 0 ||
                        s->frame.size > w->end - w->offset - ARCHIVE_FRAME_SIZE)
                return damaged_at(w->offset, "there is no frame", reterr);
        if (!is_expected(w, &s->frame) || s->frame.stream > ARCHIVE_STREAMS_MAX)
                return damaged_at(w->offset, "another frame belongs there", reterr);

        s->in_size = ARCHIVE_FRAME_SIZE + s->frame.size;
        k = read_at(r, w->offset + ARCHIVE_FRAME_SIZE, s->in + ARCHIVE_FRAME_SIZE, s->frame.size, reterr);
        if (k < 0)
                return k;
        w->offset += s->in_size;
        expect_next(w, &s->frame);
        return 0;
}

/* Every frame but the last is full. */
static bool is_size_right(const ArchiveSlot *s) {
        return (s->frame.flags & ARCHIVE_FRAME_FINAL) || s->out_size == ARCHIVE_CHUNK_SIZE;
}

/* Takes the oldest frame that was read. 0 if there is none. */
static int take_oldest(Walk *w, Error *reterr) {
        ArchiveSlot *s = archive_pool_wait(w->pool);
        ArchiveReader *r = w->reader;
        int k;

        if (!s)
                return 0;
        if (s->result == -ENOMEM)
                return error_set_errnof(reterr, s->result, "%m");
        if (s->result < 0 || (r->secrets && !is_size_right(s)))
                return damaged_at(w->offset_taken, "a frame is not what was written", reterr);

        k = w->take(w, s, reterr);
        if (k < 0)
                return k;
        w->offset_taken += s->in_size;
        archive_pool_release(w->pool);
        k = r->options.progress
                        ? r->options.progress(w->offset_taken, r->trailer.file_size, r->options.userdata)
                        : 0;
        if (k < 0)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "Reading the backup was ended.");
        return 1;
}

/* Until the manifest ends, or the stream with that number. */
static int walk_run(Walk *w, unsigned until_stream, Error *reterr) {
        int k;

        while (!w->ended && w->expected.stream <= until_stream) {
                ArchiveSlot *s;

                while (!(s = archive_pool_next(w->pool))) {
                        k = take_oldest(w, reterr);
                        if (k < 0)
                                return k;
                }
                k = read_frame(w, s, reterr);
                if (k < 0)
                        return k;
                archive_pool_submit(w->pool);
        }

        do
                k = take_oldest(w, reterr);
        while (k > 0);
        return k;
}

/* They are shown to people, if they are there. */
static const struct {
        const char *key;
        size_t size_max;
} shown[] = {
        { "name", NAME_MAX_SIZE },
        { "kind", SHOWN_MAX },
        { "service", SHOWN_MAX },
        { "engine", SHOWN_MAX },
        { "database", SHOWN_MAX },
        { "version", SHOWN_MAX },
};

static bool is_safe(const json_t *value, size_t size_max) {
        return json_is_string(value) && json_string_length(value) <= size_max &&
                        string_is_safe(json_string_value(value));
}

static bool names_are_safe(const json_t *manifest) {
        const json_t *entry, *value;
        size_t i;

        json_array_foreach(json_object_get(manifest, "streams"), i, entry)
                FOREACH_ARRAY(s, shown, ELEMENTSOF(shown)) {
                        value = json_object_get(entry, s->key);
                        if (value && !is_safe(value, s->size_max))
                                return false;
                }
        return true;
}

/* --- manifest --- */

static int parse_manifest(ArchiveReader *r, const StringBuilder *text, Error *reterr) {
        json_t *manifest = NULL;
        int k;

        k = text->failed ? -ENOMEM
                         : json_parse(strempty(text->data), text->size, JSON_REJECT_DUPLICATES, &manifest);
        if (k == -ENOMEM)
                return error_set_errnof(reterr, k, "%m");
        if (!json_is_object(manifest) || !json_is_array(json_object_get(manifest, "streams"))) {
                json_decref(manifest);
                return damaged_at(r->trailer.manifest_offset, "the manifest is none", reterr);
        }
        if (!names_are_safe(manifest)) {
                json_decref(manifest);
                return damaged_at(
                                r->trailer.manifest_offset, "the manifest has names that are none", reterr);
        }

        json_decref(r->manifest);
        r->manifest = manifest;
        return 0;
}

static int append_manifest(const Walk *w, const ArchiveSlot *s, StringBuilder *text, Error *reterr) {
        if (text->size + s->out_size > ARCHIVE_MANIFEST_SIZE_MAX)
                return damaged_at(w->offset_taken, "the manifest is too long", reterr);
        string_builder_append_n(text, (const char *) s->out, s->out_size);
        return 0;
}

static int take_manifest(Walk *w, const ArchiveSlot *s, Error *reterr) {
        return append_manifest(w, s, w->userdata, reterr);
}

int archive_reader_load_manifest(ArchiveReader *r, Error *reterr) {
        _cleanup_string_builder_ StringBuilder text = {};
        uint8_t first[ARCHIVE_FRAME_SIZE];
        ArchiveFrame frame;
        _cleanup_walk_ Walk w = {
                .offset = r->trailer.manifest_offset,
                .end = r->trailer.file_size - ARCHIVE_TRAILER_SIZE,
                .take = take_manifest,
                .userdata = &text,
        };
        int k;

        assert(r->secrets);
        if (w.end - w.offset < sizeof(first))
                return damaged_at(w.offset, "the manifest is missing", reterr);
        /* Its number is the number of streams. */
        k = read_at(r, w.offset, first, sizeof(first), reterr);
        if (k < 0)
                return k;
        if (archive_frame_read(first, &frame) < 0)
                return damaged_at(w.offset, "the manifest is missing", reterr);

        w.expected = (ArchiveFrame) { .type = ARCHIVE_FRAME_MANIFEST, .stream = frame.stream };
        k = walk_new(r, &w, open_slot, reterr);
        if (k >= 0)
                k = walk_run(&w, UINT16_MAX, reterr);
        return k < 0 ? k : parse_manifest(r, &text, reterr);
}

json_t *archive_reader_manifest(const ArchiveReader *r) {
        return r->manifest;
}

json_t *archive_reader_find(const ArchiveReader *r, const char *name) {
        json_t *entry;
        size_t i;

        json_array_foreach(json_object_get(r->manifest, "streams"), i, entry)
                if (streq_ptr(json_object_get_string(entry, "name"), name))
                        return entry;
        return NULL;
}

/* --- the whole --- */

typedef struct Verification {
        ArchiveRoot root;
        StringBuilder manifest;
} Verification;

static void verification_done(Verification *v) {
        string_builder_done(&v->manifest);
}

static int take_any(Walk *w, const ArchiveSlot *s, Error *reterr) {
        ArchiveReader *r = w->reader;
        Verification *v = w->userdata;

        archive_root_add(&v->root, s->hash);
        if (s->frame.type == ARCHIVE_FRAME_MANIFEST) {
                if (s->frame.index == 0 && w->offset_taken != r->trailer.manifest_offset)
                        return damaged_at(w->offset_taken, "the manifest belongs elsewhere", reterr);
                return append_manifest(w, s, &v->manifest, reterr);
        }

        if (s->frame.index == 0) {
                if (!GREEDY_REALLOC(r->streams, r->n_streams_allocated, r->n_streams + 1))
                        return error_set_errnof(reterr, ENOMEM, "%m");
                r->streams[r->n_streams++] = (ArchiveStream) { .offset = w->offset_taken };
        }
        r->streams[r->n_streams - 1].size += s->out_size;
        return 0;
}

static bool is_integer(const json_t *value, uint64_t expected) {
        return json_is_integer(value) && (uint64_t) json_integer_value(value) == expected;
}

/* The manifest and the streams are about the same. */
static bool streams_match(const ArchiveReader *r) {
        json_t *entries = json_object_get(r->manifest, "streams"), *entry;
        size_t i;

        if (json_array_size(entries) != r->n_streams)
                return false;
        json_array_foreach(entries, i, entry)
                if (!json_object_get_string(entry, "name") ||
                                !is_integer(json_object_get(entry, "number"), i) ||
                                !is_integer(json_object_get(entry, "size"), r->streams[i].size))
                        return false;
        return true;
}

static int read_all(ArchiveReader *r, archive_work_t work, Error *reterr) {
        _cleanup_(verification_done) Verification v = {};
        uint8_t root[ARCHIVE_HASH_SIZE];
        _cleanup_walk_ Walk w = {
                .offset = r->head_size,
                .end = r->trailer.file_size - ARCHIVE_TRAILER_SIZE,
                .expected = { .type = ARCHIVE_FRAME_DATA },
                .manifest_too = true,
                .take = take_any,
                .userdata = &v,
        };
        int k;

        r->verified = false;
        r->n_streams = 0;
        /* What counts is what is on the disk. */
        (void) posix_fadvise(r->fd, 0, 0, POSIX_FADV_DONTNEED);
        (void) posix_fadvise(r->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
        archive_root_init(&v.root);
        archive_root_hash(r->head, r->head_size, root);
        archive_root_add(&v.root, root);

        k = walk_new(r, &w, work, reterr);
        if (k >= 0)
                k = walk_run(&w, UINT16_MAX, reterr);
        if (k < 0)
                return k;
        if (w.offset != w.end)
                return damaged_at(w.offset, "something lies behind the manifest", reterr);

        archive_root_finish(&v.root, root);
        if (memcmp(root, r->trailer.root, sizeof(root)) != 0)
                return damaged_at(w.end, "something before it is not what was signed", reterr);
        if (!r->secrets)
                return 0;

        k = parse_manifest(r, &v.manifest, reterr);
        if (k < 0)
                return k;
        if (!streams_match(r))
                return damaged_at(
                                r->trailer.manifest_offset, "the manifest is about something else", reterr);
        r->verified = true;
        return 0;
}

int archive_reader_verify(ArchiveReader *r, Error *reterr) {
        return read_all(r, open_slot, reterr);
}

int archive_reader_authenticate(ArchiveReader *r, Error *reterr) {
        return read_all(r, check_slot, reterr);
}

/* --- extraction --- */

typedef struct Extraction {
        archive_sink_t sink;
        void *userdata;
} Extraction;

static int take_data(Walk *w, const ArchiveSlot *s, Error *reterr) {
        const Extraction *x = w->userdata;

        return s->out_size > 0 ? x->sink(s->out, s->out_size, x->userdata, reterr) : 0;
}

int archive_reader_extract(
                ArchiveReader *r, const char *name, archive_sink_t sink, void *userdata, Error *reterr) {
        Extraction x = { .sink = sink, .userdata = userdata };
        _cleanup_error_ Error error = {};
        json_t *entry = archive_reader_find(r, name);
        _cleanup_walk_ Walk w = {
                .end = r->trailer.file_size - ARCHIVE_TRAILER_SIZE,
                .take = take_data,
                .userdata = &x,
        };
        size_t number;
        int k;

        assert(r->verified);
        if (!entry)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "The backup holds no '%s'.", name);

        number = (size_t) json_integer_value(json_object_get(entry, "number"));
        w.offset = r->streams[number].offset;
        w.expected = (ArchiveFrame) { .type = ARCHIVE_FRAME_DATA, .stream = (uint16_t) number };
        k = walk_new(r, &w, open_slot, &error);
        if (k >= 0)
                k = walk_run(&w, (unsigned) number, &error);
        if (k >= 0)
                return 0;

        if (streq_ptr(error.name, CCP_ERROR_BACKUP_DAMAGED))
                r->damaged = true;
        error_move(reterr, &error);
        return k;
}

bool archive_reader_found_damage(const ArchiveReader *r) {
        return r->damaged;
}
