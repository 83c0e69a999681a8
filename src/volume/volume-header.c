/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-header.h"

#include <errno.h>
#include <inttypes.h>

#include "pax.h"
#include "volume-format.h"

#define XATTR_PREFIX "SCHILY.xattr."
/* Everybody may read what a program that knows no extended headers makes of one. */
#define PAX_MODE 0644U

static void append_zeros(StringBuilder *b, size_t n) {
        static const char zeros[TAR_BLOCK];

        string_builder_append_n(b, zeros, n);
}

static void append_block(StringBuilder *b, const TarHeader *h) {
        char block[TAR_BLOCK];

        tar_header_format(h, block);
        string_builder_append_n(b, block, sizeof(block));
}

/* Whether a name can stand in the header. */
static bool name_fits(const char *s) {
        size_t n = strlen(s);

        for (size_t i = 0; i < n; i++)
                if ((unsigned char) s[i] >= 0x80)
                        return false;

        return n <= TAR_NAME_MAX;
}

static void put_name(char field[static TAR_NAME_MAX + 1], const char *name, const char *instead) {
        const char *s = name_fits(name) ? name : instead;

        memcpy(field, s, strlen(s) + 1);
}

static bool time_fits(const struct timespec *t) {
        return t->tv_nsec == 0 && t->tv_sec >= 0 && (uint64_t) t->tv_sec <= TAR_NUMBER_MAX;
}

static void append_map(const VolumeEntry *e, StringBuilder *b) {
        const VolumeSegment *last = e->n_segments > 0 ? e->segments + e->n_segments - 1 : NULL;
        bool ends_with_hole = !last || last->offset + last->size < e->size;
        size_t begin = b->size;

        string_builder_appendf(b, "%zu\n", e->n_segments + (ends_with_hole ? 1 : 0));
        FOREACH_ARRAY(s, e->segments, e->n_segments)
                string_builder_appendf(b, "%" PRIu64 "\n%" PRIu64 "\n", s->offset, s->size);
        if (ends_with_hole)
                string_builder_appendf(b, "%" PRIu64 "\n0\n", e->size);
        append_zeros(b, tar_padding(b->size - begin));
}

static void append_xattr(const VolumeXattr *x, StringBuilder *b) {
        _cleanup_string_builder_ StringBuilder key = {};

        string_builder_append(&key, XATTR_PREFIX);
        for (const char *s = x->name; *s; s++) {
                if (*s == '%' || *s == '=')
                        string_builder_append(&key, *s == '%' ? "%25" : "%3D");
                else
                        string_builder_append_n(&key, s, 1);
        }

        if (key.failed)
                b->failed = true;
        else
                pax_append(b, key.data, x->value, x->size);
}

/* Only what does not fit into the header. */
static void append_records(const VolumeEntry *e, uint64_t stored, StringBuilder *b) {
        if (!utf8_is_valid(e->name, strlen(e->name)) ||
                        (e->link && !utf8_is_valid(e->link, strlen(e->link))))
                pax_append(b, "hdrcharset", "BINARY", STRLEN("BINARY"));
        if (e->sparse) {
                pax_append_number(b, "GNU.sparse.major", 1);
                pax_append_number(b, "GNU.sparse.minor", 0);
                pax_append(b, "GNU.sparse.name", e->name, strlen(e->name));
                pax_append_number(b, "GNU.sparse.realsize", e->size);
        } else if (!name_fits(e->name))
                pax_append(b, "path", e->name, strlen(e->name));
        if (e->link && !name_fits(e->link))
                pax_append(b, "linkpath", e->link, strlen(e->link));
        if (stored > TAR_NUMBER_MAX)
                pax_append_number(b, "size", stored);
        if (e->uid > TAR_ID_MAX)
                pax_append_number(b, "uid", e->uid);
        if (e->gid > TAR_ID_MAX)
                pax_append_number(b, "gid", e->gid);
        if (!time_fits(&e->mtime))
                pax_append_time(b, "mtime", &e->mtime);
        FOREACH_ARRAY(x, e->xattrs, e->n_xattrs)
                append_xattr(x, b);
}

static int append_pax(const VolumeEntry *e, uint64_t stored, StringBuilder *b) {
        TarHeader h = { .name = VOLUME_PAX_NAME, .type = 'x', .mode = PAX_MODE };
        _cleanup_string_builder_ StringBuilder records = {};

        append_records(e, stored, &records);
        if (records.failed)
                return -ENOMEM;
        if (records.size > VOLUME_PAX_MAX)
                return -E2BIG;
        if (records.size == 0)
                return 0;

        h.size = records.size;
        append_block(b, &h);
        string_builder_append_n(b, records.data, records.size);
        append_zeros(b, tar_padding(records.size));
        return 0;
}

int volume_header_format(const VolumeEntry *e, StringBuilder *b) {
        _cleanup_string_builder_ StringBuilder map = {};
        uint64_t stored = 0;
        TarHeader h = {};
        int r;

        if (e->sparse) {
                append_map(e, &map);
                if (map.failed)
                        return -ENOMEM;
        }
        if (e->type == VOLUME_FILE)
                stored = map.size + volume_entry_data_size(e);

        r = append_pax(e, stored, b);
        if (r < 0)
                return r;

        put_name(h.name, e->sparse ? VOLUME_SPARSE_NAME : e->name, VOLUME_LONG_NAME);
        put_name(h.link, strempty(e->link), VOLUME_LONG_LINK);
        h.type = (char) e->type;
        h.mode = e->mode;
        h.uid = e->uid <= TAR_ID_MAX ? e->uid : 0;
        h.gid = e->gid <= TAR_ID_MAX ? e->gid : 0;
        h.size = stored <= TAR_NUMBER_MAX ? stored : 0;
        h.mtime = time_fits(&e->mtime) ? (uint64_t) e->mtime.tv_sec : 0;
        append_block(b, &h);
        string_builder_append_n(b, map.data, map.size);

        return b->failed ? -ENOMEM : 0;
}
