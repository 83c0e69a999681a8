/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-entry.h"

#include <errno.h>
#include <sys/stat.h>

#include "alloc-util.h"
#include "string-util.h"
#include "volume-format.h"

void volume_entry_done(VolumeEntry *e) {
        FOREACH_ARRAY(x, e->xattrs, e->n_xattrs) {
                free(x->name);
                free(x->value);
        }
        free(e->xattrs);
        free(e->segments);
        free(e->name);
        free(e->link);
        *e = (VolumeEntry) {};
}

static VolumeType type_from_mode(mode_t mode) {
        if (S_ISDIR(mode))
                return VOLUME_FOLDER;
        if (S_ISLNK(mode))
                return VOLUME_SYMLINK;

        return S_ISFIFO(mode) ? VOLUME_FIFO : VOLUME_FILE;
}

void volume_entry_set_stat(VolumeEntry *e, const struct stat *st) {
        e->type = type_from_mode(st->st_mode);
        e->mode = st->st_mode & 07777;
        e->uid = st->st_uid;
        e->gid = st->st_gid;
        e->size = S_ISREG(st->st_mode) ? (uint64_t) st->st_size : 0;
        e->mtime = st->st_mtim;
}

int volume_entry_add_xattr(
                VolumeEntry *e, const char *name, size_t name_size, const void *value, size_t size) {
        _cleanup_free_ char *n = NULL, *v = NULL;

        if (!GREEDY_REALLOC(e->xattrs, e->xattrs_allocated, e->n_xattrs + 1))
                return -ENOMEM;
        n = strndup(name, name_size);
        v = malloc(size ?: 1);
        if (!n || !v)
                return -ENOMEM;
        if (size > 0)
                memcpy(v, value, size);

        e->xattrs[e->n_xattrs++] = (VolumeXattr) { .name = TAKE_PTR(n), .value = TAKE_PTR(v), .size = size };
        return 0;
}

static int compare_xattrs(const void *a, const void *b) {
        const VolumeXattr *x = a, *y = b;

        return strcmp(x->name, y->name);
}

void volume_entry_sort_xattrs(VolumeEntry *e) {
        if (e->n_xattrs > 1)
                qsort(e->xattrs, e->n_xattrs, sizeof(VolumeXattr), compare_xattrs);
}

int volume_entry_add_segment(VolumeEntry *e, uint64_t offset, uint64_t size) {
        if (!GREEDY_REALLOC(e->segments, e->segments_allocated, e->n_segments + 1))
                return -ENOMEM;

        e->segments[e->n_segments++] = (VolumeSegment) { .offset = offset, .size = size };
        return 0;
}

size_t volume_entry_xattrs_size(const VolumeEntry *e) {
        size_t sum = 0;

        FOREACH_ARRAY(x, e->xattrs, e->n_xattrs)
                sum += strlen(x->name) + x->size;

        return sum;
}

uint64_t volume_entry_data_size(const VolumeEntry *e) {
        uint64_t sum = 0;

        if (!e->sparse)
                return e->size;
        FOREACH_ARRAY(s, e->segments, e->n_segments)
                sum += s->size;

        return sum;
}

bool volume_xattr_is_kept(const char *name) {
        return (startswith(name, "user.") && name[STRLEN("user.")]) || streq(name, "security.capability") ||
                        streq(name, "system.posix_acl_access") || streq(name, "system.posix_acl_default");
}

static bool component_is_valid(const char *s, size_t n) {
        return n > 0 && n <= VOLUME_NAME_MAX && !(n == 1 && s[0] == '.') &&
                        !(n == 2 && s[0] == '.' && s[1] == '.');
}

bool volume_name_is_valid(const char *name, VolumeType type) {
        const char *s = startswith(name, "./");
        size_t n;

        if (!s || strlen(name) > VOLUME_PATH_MAX)
                return false;
        if (!s[0])
                return type == VOLUME_FOLDER;

        for (;; s += n + 1) {
                n = strcspn(s, "/");
                if (!component_is_valid(s, n))
                        return false;
                if (!s[n])
                        return type != VOLUME_FOLDER;
                if (!s[n + 1])
                        return type == VOLUME_FOLDER;
        }
}
