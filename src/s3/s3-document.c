/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "s3-document.h"

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "s3-xml.h"
#include "string-util.h"

/* The parts of a document are told by their paths beneath its root. */
typedef struct Document {
        const char *root;
        int (*open)(const char *path, void *userdata);
        int (*text)(const char *path, const char *text, void *userdata);
        int (*close)(const char *path, void *userdata);
} Document;

static int document_event(const Document *d, const S3XmlReader *x, int event, void *userdata) {
        const char *text = event == S3_XML_CLOSE ? s3_xml_text(x) : NULL, *path;
        int r = 0;

        path = startswith(x->path, d->root);
        if (!path || !IN_SET(*path, '/', 0))
                return -EBADMSG;
        if (*path == 0)
                return 0;

        path++;
        if (event == S3_XML_OPEN)
                return d->open ? d->open(path, userdata) : 0;
        if (text && d->text)
                r = d->text(path, text, userdata);
        return r >= 0 && d->close ? d->close(path, userdata) : r;
}

static int document_parse(const Document *d, const char *data, size_t size, void *userdata) {
        _cleanup_s3_xml_ S3XmlReader x = {};
        int r;

        r = s3_xml_init(&x, data, size);
        while (r >= 0) {
                r = s3_xml_next(&x);
                if (r == S3_XML_END)
                        return 0;
                if (r > 0)
                        r = document_event(d, &x, r, userdata);
        }

        return r;
}

/* --- values --- */

static bool read_digits(const char **s, unsigned n, int *ret) {
        int v = 0;

        for (unsigned i = 0; i < n; i++, (*s)++) {
                if (**s < '0' || **s > '9')
                        return false;
                v = v * 10 + (**s - '0');
        }
        *ret = v;
        return true;
}

int s3_time_parse(const char *s, usec_t *ret) {
        struct tm tm = {};
        time_t t;

        if (!read_digits(&s, 4, &tm.tm_year) || *s++ != '-' || !read_digits(&s, 2, &tm.tm_mon) ||
                        *s++ != '-' || !read_digits(&s, 2, &tm.tm_mday) || *s++ != 'T' ||
                        !read_digits(&s, 2, &tm.tm_hour) || *s++ != ':' || !read_digits(&s, 2, &tm.tm_min) ||
                        *s++ != ':' || !read_digits(&s, 2, &tm.tm_sec))
                return -EINVAL;
        if (*s == '.')
                s += 1 + strspn(s + 1, "0123456789");
        if (!streq(s, "Z") || tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
                        tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
                return -EINVAL;

        tm.tm_year -= 1900;
        tm.tm_mon--;
        t = timegm(&tm);
        if (t < 0)
                return -EINVAL;
        *ret = (usec_t) t * USEC_PER_SEC;
        return 0;
}

static int size_parse(const char *s, uint64_t *ret) {
        uint64_t v = 0;

        if (*s == 0)
                return -EBADMSG;
        for (; *s; s++) {
                if (*s < '0' || *s > '9' || v > (UINT64_MAX - 9) / 10)
                        return -EBADMSG;
                v = v * 10 + (uint64_t) (*s - '0');
        }
        *ret = v;
        return 0;
}

static int boolean_parse(const char *s, bool *ret) {
        if (!streq(s, "true") && !streq(s, "false"))
                return -EBADMSG;
        *ret = streq(s, "true");
        return 0;
}

bool s3_etag_is_valid(const char *s) {
        if (isempty(s) || strlen(s) > S3_ETAG_LENGTH_MAX)
                return false;
        for (; *s; s++)
                if (*s <= ' ' || *s > '~')
                        return false;
        return true;
}

/* --- <Error> --- */

void s3_error_done(S3Error *e) {
        e->code = mfree(e->code);
        e->message = mfree(e->message);
}

static int error_text(const char *path, const char *text, void *userdata) {
        S3Error *e = userdata;

        if (streq(path, "Code"))
                return free_and_strdup(&e->code, text);
        return streq(path, "Message") ? free_and_strdup(&e->message, text) : 0;
}

int s3_error_parse(const char *data, size_t size, S3Error *ret) {
        static const Document document = { .root = "Error", .text = error_text };
        _cleanup_s3_error_ S3Error e = {};
        int r;

        r = document_parse(&document, data, size, &e);
        if (r < 0)
                return r;

        *ret = TAKE_GENERIC(e, (S3Error) {});
        return 0;
}

/* --- <ListBucketResult> --- */

typedef struct ListingState {
        S3Listing listing;
        bool truncated;
        bool has_size, has_time; /* of the current one */
} ListingState;

void s3_listing_done(S3Listing *l) {
        FOREACH_ARRAY(o, l->objects, l->n_objects)
                free(o->key);
        free(l->objects);
        free(l->next);
        *l = (S3Listing) {};
}

static int listing_open(const char *path, void *userdata) {
        ListingState *s = userdata;
        S3Listing *l = &s->listing;

        if (!streq(path, "Contents"))
                return 0;
        if (!GREEDY_REALLOC(l->objects, l->n_allocated, l->n_objects + 1))
                return -ENOMEM;
        l->objects[l->n_objects++] = (S3Object) {};
        s->has_size = s->has_time = false;
        return 0;
}

static int listing_text(const char *path, const char *text, void *userdata) {
        ListingState *s = userdata;
        S3Object *o;

        if (streq(path, "IsTruncated"))
                return boolean_parse(text, &s->truncated);
        if (streq(path, "NextContinuationToken"))
                return free_and_strdup(&s->listing.next, text);

        path = startswith(path, "Contents/");
        if (!path)
                return 0;

        o = s->listing.objects + s->listing.n_objects - 1;
        if (streq(path, "Key"))
                return free_and_strdup(&o->key, text);
        if (streq(path, "Size")) {
                s->has_size = true;
                return size_parse(text, &o->size);
        }
        if (streq(path, "LastModified")) {
                s->has_time = true;
                return s3_time_parse(text, &o->last_modified) < 0 ? -EBADMSG : 0;
        }
        return 0;
}

static int listing_close(const char *path, void *userdata) {
        ListingState *s = userdata;

        if (!streq(path, "Contents"))
                return 0;
        return !isempty(s->listing.objects[s->listing.n_objects - 1].key) && s->has_size && s->has_time
                        ? 0
                        : -EBADMSG;
}

int s3_listing_parse(const char *data, size_t size, S3Listing *ret) {
        static const Document document = {
                .root = "ListBucketResult",
                .open = listing_open,
                .text = listing_text,
                .close = listing_close,
        };
        _cleanup_s3_listing_ S3Listing l = {};
        ListingState s = {};
        int r;

        r = document_parse(&document, data, size, &s);
        l = s.listing;
        if (r < 0)
                return r;
        /* A list that is cut, and does not say how to go on, would be taken for the whole. */
        if (s.truncated && isempty(l.next))
                return -EBADMSG;
        if (!s.truncated)
                l.next = mfree(l.next);

        *ret = TAKE_GENERIC(l, (S3Listing) {});
        return 0;
}

/* --- <ListMultipartUploadsResult> --- */

typedef struct UploadsState {
        S3Uploads list;
        bool truncated;
        bool has_time; /* of the current one */
} UploadsState;

void s3_uploads_done(S3Uploads *u) {
        FOREACH_ARRAY(i, u->uploads, u->n_uploads) {
                free(i->key);
                free(i->id);
        }
        free(u->uploads);
        free(u->next_key);
        free(u->next_id);
        *u = (S3Uploads) {};
}

static int uploads_open(const char *path, void *userdata) {
        UploadsState *s = userdata;
        S3Uploads *l = &s->list;

        if (!streq(path, "Upload"))
                return 0;
        if (!GREEDY_REALLOC(l->uploads, l->n_allocated, l->n_uploads + 1))
                return -ENOMEM;
        l->uploads[l->n_uploads++] = (S3Upload) {};
        s->has_time = false;
        return 0;
}

static int uploads_text(const char *path, const char *text, void *userdata) {
        UploadsState *s = userdata;
        S3Upload *u;

        if (streq(path, "IsTruncated"))
                return boolean_parse(text, &s->truncated);
        if (streq(path, "NextKeyMarker"))
                return free_and_strdup(&s->list.next_key, text);
        if (streq(path, "NextUploadIdMarker"))
                return free_and_strdup(&s->list.next_id, text);

        path = startswith(path, "Upload/");
        if (!path)
                return 0;

        u = s->list.uploads + s->list.n_uploads - 1;
        if (streq(path, "Key"))
                return free_and_strdup(&u->key, text);
        if (streq(path, "UploadId"))
                return free_and_strdup(&u->id, text);
        if (streq(path, "Initiated")) {
                s->has_time = true;
                return s3_time_parse(text, &u->initiated) < 0 ? -EBADMSG : 0;
        }
        return 0;
}

static int uploads_close(const char *path, void *userdata) {
        UploadsState *s = userdata;
        S3Upload *u;

        if (!streq(path, "Upload"))
                return 0;
        u = s->list.uploads + s->list.n_uploads - 1;
        return !isempty(u->key) && !isempty(u->id) && s->has_time ? 0 : -EBADMSG;
}

int s3_uploads_parse(const char *data, size_t size, S3Uploads *ret) {
        static const Document document = {
                .root = "ListMultipartUploadsResult",
                .open = uploads_open,
                .text = uploads_text,
                .close = uploads_close,
        };
        _cleanup_s3_uploads_ S3Uploads l = {};
        UploadsState s = {};
        int r;

        r = document_parse(&document, data, size, &s);
        l = s.list;
        if (r < 0)
                return r;
        if (s.truncated && (isempty(l.next_key) || !l.next_id))
                return -EBADMSG;
        if (!s.truncated) {
                l.next_key = mfree(l.next_key);
                l.next_id = mfree(l.next_id);
        }

        *ret = TAKE_GENERIC(l, (S3Uploads) {});
        return 0;
}

/* --- one value --- */

typedef struct Value {
        const char *name;
        char *text;
} Value;

static int value_text(const char *path, const char *text, void *userdata) {
        Value *v = userdata;

        return streq(path, v->name) ? free_and_strdup(&v->text, text) : 0;
}

/* The text of one element beneath the root. */
static int value_parse(const char *data, size_t size, const char *root, const char *name, char **ret) {
        const Document document = { .root = root, .text = value_text };
        Value v = { .name = name };
        _cleanup_free_ char *text = NULL;
        int r;

        r = document_parse(&document, data, size, &v);
        text = v.text;
        if (r < 0)
                return r;
        if (isempty(text))
                return -EBADMSG;

        *ret = TAKE_PTR(text);
        return 0;
}

int s3_initiated_parse(const char *data, size_t size, char **ret_upload_id) {
        return value_parse(data, size, "InitiateMultipartUploadResult", "UploadId", ret_upload_id);
}

int s3_completed_parse(const char *data, size_t size, char **ret_etag) {
        return value_parse(data, size, "CompleteMultipartUploadResult", "ETag", ret_etag);
}
