/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "pax.h"
#include "volume-format.h"
#include "volume-header.h"

#define XATTR_PREFIX "SCHILY.xattr."
#define SYMLINK_MODE 0777U
/* (uid_t) -1 means "leave it" to chown(2). */
#define ID_MAX (UINT32_MAX - 1)
#define MAP_DIGITS_MAX 19U

/* What the records say beside the entry. */
typedef struct Records {
        uint64_t size, sparse_major, sparse_minor;
        bool has_size;
} Records;

static int take_text(const PaxRecord *p, char **ret) {
        if (*ret || memchr(p->value, 0, p->value_size))
                return -EBADMSG;

        *ret = strndup(p->value, p->value_size);
        return *ret ? 0 : -ENOMEM;
}

static int take_id(const PaxRecord *p, uint32_t *ret) {
        uint64_t n;
        int r;

        r = pax_record_get_number(p, &n);
        if (r < 0)
                return r;
        if (n > ID_MAX)
                return -EBADMSG;

        *ret = (uint32_t) n;
        return 0;
}

/* The name as the kernel has it, out of the record's key. */
static char *decode_xattr_name(const char *s, size_t n) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *result;

        for (size_t i = 0; i < n; i++) {
                bool percent = n - i >= 3 && memcmp(s + i, "%25", 3) == 0;

                if (percent || (n - i >= 3 && memcmp(s + i, "%3D", 3) == 0)) {
                        string_builder_append(&b, percent ? "%" : "=");
                        i += 2;
                } else
                        string_builder_append_n(&b, s + i, 1);
        }

        return string_builder_finish(&b, &result, NULL) < 0 ? NULL : result;
}

static int take_xattr(const PaxRecord *p, VolumeEntry *e, const char **ret_why) {
        _cleanup_free_ char *name = NULL;

        name = decode_xattr_name(p->key + STRLEN(XATTR_PREFIX), p->key_size - STRLEN(XATTR_PREFIX));
        if (!name)
                return -ENOMEM;
        if (!volume_xattr_is_kept(name)) {
                *ret_why = "an extended attribute is of a kind that is not kept";
                return -EOPNOTSUPP;
        }
        if (strlen(name) > VOLUME_NAME_MAX || p->value_size > VOLUME_XATTR_MAX ||
                        (e->n_xattrs > 0 && strcmp(e->xattrs[e->n_xattrs - 1].name, name) >= 0))
                return -EBADMSG;

        return volume_entry_add_xattr(e, name, strlen(name), p->value, p->value_size);
}

static int take_record(const PaxRecord *p, VolumeEntry *e, Records *ret, const char **ret_why) {
        if (pax_record_is(p, "hdrcharset"))
                return 0;
        if (pax_record_is(p, "GNU.sparse.major")) {
                e->sparse = true;
                return pax_record_get_number(p, &ret->sparse_major);
        }
        if (pax_record_is(p, "GNU.sparse.minor"))
                return pax_record_get_number(p, &ret->sparse_minor);
        if (pax_record_is(p, "GNU.sparse.realsize"))
                return pax_record_get_number(p, &e->size);
        if (pax_record_is(p, "path") || pax_record_is(p, "GNU.sparse.name"))
                return take_text(p, &e->name);
        if (pax_record_is(p, "linkpath"))
                return take_text(p, &e->link);
        if (pax_record_is(p, "size")) {
                ret->has_size = true;
                return pax_record_get_number(p, &ret->size);
        }
        if (pax_record_is(p, "uid"))
                return take_id(p, &e->uid);
        if (pax_record_is(p, "gid"))
                return take_id(p, &e->gid);
        if (pax_record_is(p, "mtime"))
                return pax_record_get_time(p, &e->mtime);
        if (p->key_size > STRLEN(XATTR_PREFIX) && memcmp(p->key, XATTR_PREFIX, STRLEN(XATTR_PREFIX)) == 0)
                return take_xattr(p, e, ret_why);

        *ret_why = "the extended header has a record of a kind that is not written here";
        return -EOPNOTSUPP;
}

static int take_records(const char *pax, size_t size, VolumeEntry *e, Records *ret, const char **ret_why) {
        PaxRecord p;
        int r;

        for (;;) {
                r = pax_next(&pax, &size, &p);
                if (r <= 0)
                        return r;
                r = take_record(&p, e, ret, ret_why);
                if (r < 0)
                        return r;
        }
}

static bool type_is_known(char type) {
        return IN_SET(type, VOLUME_FILE, VOLUME_HARD_LINK, VOLUME_SYMLINK, VOLUME_FOLDER, VOLUME_FIFO);
}

static bool link_is_valid(const VolumeEntry *e) {
        switch (e->type) {
        case VOLUME_HARD_LINK:
                return e->link && volume_name_is_valid(e->link, VOLUME_FILE);
        case VOLUME_SYMLINK:
                return !isempty(e->link) && strlen(e->link) <= VOLUME_LINK_MAX;
        case VOLUME_FILE:
        case VOLUME_FOLDER:
        case VOLUME_FIFO:
        default:
                return !e->link;
        }
}

/* What each field says by itself is right; whether they agree. */
static int check_entry(const VolumeEntry *e, const Records *records, const char **ret_why) {
        bool is_link = IN_SET(e->type, VOLUME_HARD_LINK, VOLUME_SYMLINK);

        if (!volume_name_is_valid(e->name, e->type)) {
                *ret_why = "the name is none that a volume can have";
                return -EBADMSG;
        }
        if (!link_is_valid(e)) {
                *ret_why = "the name that it links to is none that a volume can have";
                return -EBADMSG;
        }
        if (e->mode > 07777 || (e->type == VOLUME_SYMLINK && e->mode != SYMLINK_MODE) ||
                        (e->type != VOLUME_FILE && (e->size > 0 || e->sparse)) ||
                        (is_link && e->n_xattrs > 0))
                return -EBADMSG;
        if (e->sparse && (records->sparse_major != 1 || records->sparse_minor != 0)) {
                *ret_why = "its holes are described in another version of that format";
                return -EOPNOTSUPP;
        }

        return 0;
}

/* What is in both is the extended header's. */
static int take_header(const TarHeader *h, const Records *records, VolumeEntry *e) {
        if (!e->name)
                e->name = strdup(h->name);
        if (!e->link && h->link[0])
                e->link = strdup(h->link);
        if (!e->name || (h->link[0] && !e->link))
                return -ENOMEM;

        e->type = (VolumeType) h->type;
        e->mode = h->mode;
        if (e->uid == 0)
                e->uid = h->uid;
        if (e->gid == 0)
                e->gid = h->gid;
        if (!e->sparse)
                e->size = records->has_size ? records->size : h->size;
        if (e->mtime.tv_sec == 0 && e->mtime.tv_nsec == 0)
                e->mtime.tv_sec = (time_t) h->mtime;
        return 0;
}

int volume_header_parse(
                const TarHeader *h, const char *pax, size_t size, VolumeEntry *ret, const char **ret_why) {
        Records records = {};
        int r;

        *ret_why = "its header is not as it is written here";

        r = take_records(pax, size, ret, &records, ret_why);
        if (r < 0)
                return r;
        r = take_header(h, &records, ret);
        if (r < 0)
                return r;
        if (!type_is_known(h->type)) {
                *ret_why = "it is of a type that is not kept";
                return -EOPNOTSUPP;
        }

        return check_entry(ret, &records, ret_why);
}

static uint64_t segments_end(const VolumeEntry *e) {
        const VolumeSegment *last;

        if (e->n_segments == 0)
                return 0;

        last = e->segments + e->n_segments - 1;
        return last->offset + last->size;
}

static int take_segment(const VolumeMap *m, VolumeEntry *e) {
        bool is_last = m->n_numbers == m->n_expected;
        uint64_t size = m->number, end;

        /* The hole at the end. */
        if (is_last && size == 0 && m->offset == e->size && segments_end(e) < e->size)
                return 0;

        if (__builtin_add_overflow(m->offset, size, &end) || end > e->size || size == 0 ||
                        m->offset % TAR_BLOCK != 0 || (size % TAR_BLOCK != 0 && end != e->size) ||
                        (e->n_segments > 0 && m->offset <= segments_end(e)) || size == e->size)
                return -EBADMSG;

        return volume_entry_add_segment(e, m->offset, size);
}

static int take_number(VolumeMap *m, VolumeEntry *e) {
        m->n_numbers++;
        if (m->n_numbers == 1) {
                if (m->number == 0 || m->number > VOLUME_SEGMENTS_MAX + 1)
                        return -EBADMSG;
                m->n_expected = 1 + 2 * m->number;
                return 0;
        }
        if (m->n_numbers % 2 == 0) {
                m->offset = m->number;
                return 0;
        }

        return take_segment(m, e);
}

int volume_map_feed(VolumeMap *m, VolumeEntry *e, char c) {
        int r;

        if (c >= '0' && c <= '9') {
                if (++m->n_digits > MAP_DIGITS_MAX)
                        return -EBADMSG;
                m->number = m->number * 10 + (uint64_t) (c - '0');
                return 0;
        }
        if (c != '\n' || m->n_digits == 0)
                return -EBADMSG;

        r = take_number(m, e);
        if (r < 0)
                return r;
        m->number = 0;
        m->n_digits = 0;
        return m->n_expected > 0 && m->n_numbers == m->n_expected ? 1 : 0;
}
