/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "ccp-storage.h"
#include "copy-key.h"
#include "json-util.h"
#include "string-util.h"

typedef struct List {
        const CopyFilter *filter;
        json_t *copies;
        uint64_t n_seen;
} List;

static int oom(Error *reterr) {
        return error_set_errnof(reterr, ENOMEM, "Cannot list what is in the storage: %m");
}

static int take(const char *key, uint64_t size, usec_t last_modified, void *userdata, Error *reterr) {
        List *l = userdata;
        const CopyFilter *f = l->filter;
        json_t *copy;
        CopyKey k;

        if (copy_key_parse(key, &k) < 0 ||
                        (f->instance && !streq(f->instance, k.slug) && !streq(f->instance, k.instance)))
                return 0;
        if (l->n_seen++ < f->offset)
                return 0;

        copy = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "key", key, "instance", k.slug,
                        "instance_id", k.instance, "archive", k.archive, "created_at",
                        (json_int_t) k.created_at, "size", (json_int_t) size, "modified_at",
                        (json_int_t) last_modified);
        if (!copy || json_array_append_new(l->copies, copy) < 0)
                return oom(reterr);
        return json_array_size(l->copies) >= f->limit;
}

/* Which of them this server has. */
static int note_known(DbSync *db, json_t *copies, Error *reterr) {
        _cleanup_free_ const char **archives = new0(const char *, json_array_size(copies) + 1);
        _cleanup_free_ uint64_t *ids = NULL;
        json_t *copy;
        size_t i;
        int r;

        if (!archives)
                return oom(reterr);
        json_array_foreach(copies, i, copy)
                archives[i] = json_object_get_string(copy, "archive");
        r = copies_find(db, archives, json_array_size(copies), &ids, reterr);
        if (r < 0)
                return r;
        json_array_foreach(copies, i, copy)
                if (json_object_set_new(copy, "backup", json_integer((json_int_t) ids[i])) < 0)
                        return oom(reterr);
        return 0;
}

int storage_list(DbSync *db, S3Client *client, const CopyFilter *filter, json_t *copies,
                const S3Progress *progress, Error *reterr) {
        List l = { .filter = filter, .copies = copies };
        _cleanup_free_ char *prefix = NULL;
        int r;

        /* Of a slug it is not known what keys begin with: the id is before it. */
        if (filter->instance && copy_key_prefix(filter->instance, &prefix) == -ENOMEM)
                return oom(reterr);
        r = s3_list(client, prefix, take, &l, progress, reterr);
        return r < 0 ? r : note_known(db, copies, reterr);
}
