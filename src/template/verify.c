/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "verify.h"

#include <errno.h>
#include <string.h>

#include "alloc-util.h"
#include "dotenv.h"

#define JSON_DEPTH_MAX 512U

int verify_fail(const Template *t, const WrittenValue *v, const char *what, Error *reterr) {
        if (!v)
                return error_setf(reterr, CCP_ERROR_RENDER_FAILED, "%s: %s", t->name, what);
        return error_setf(reterr, CCP_ERROR_RENDER_FAILED, "%s:%u:%u: '%s': %s", v->template_name,
                        v->location.line, v->location.column, v->path, what);
}

/* Compares the text of a value; $ may be doubled. Returns the bytes of 'actual' that it takes, or -1. */
static ssize_t match_value(const WrittenValue *v, const char *actual, size_t size, VerifyFlags flags) {
        size_t k = 0;

        for (size_t i = 0; i < v->size; i++) {
                if (k >= size || actual[k++] != v->text[i])
                        return -1;
                if ((flags & VERIFY_DOLLARS) && v->text[i] == '$' && (k >= size || actual[k++] != '$'))
                        return -1;
        }
        return (ssize_t) k;
}

/* The marker at s: *ret is the value it stands for. Returns its size, 0 if it is none. */
static size_t parse_marker(const Trace *trace, const char *s, size_t n, size_t *ret) {
        size_t k = MARKER_TOKEN_SIZE, i = 0;

        if (n <= k || memcmp(s, trace->token, k) != 0)
                return 0;
        for (; k < n && s[k] >= '0' && s[k] <= '9' && i < trace->n_values; k++)
                i = i * 10 + (size_t) (s[k] - '0');
        if (k == n || s[k] != 'z' || i >= trace->n_values)
                return 0;

        *ret = i;
        return k + 1;
}

VerifyMatch verify_text(const Trace *trace, unsigned *seen, const char *actual, size_t actual_size,
                const char *marked, size_t marked_size, VerifyFlags flags) {
        const char *a = actual, *m = marked, *a_end = actual + actual_size, *m_end = marked + marked_size;
        VerifyMatch match = { .equal = true };

        while (m < m_end) {
                const char *next = memmem(m, (size_t) (m_end - m), trace->token, MARKER_TOKEN_SIZE) ?: m_end;
                size_t n = (size_t) (next - m), i, k;
                const WrittenValue *v;
                ssize_t size;

                if ((size_t) (a_end - a) < n || memcmp(a, m, n) != 0)
                        match.equal = false;
                else
                        a += n;
                m = next;
                if (m == m_end)
                        break;
                k = parse_marker(trace, m, (size_t) (m_end - m), &i);
                if (k == 0) {
                        match.equal = false;
                        break;
                }

                v = &trace->values[i];
                seen[i]++;
                match.whole = k == marked_size;
                match.first = match.first ?: v;
                match.has_string = match.has_string || v->kind == ESCAPE_STRING;
                match.has_dollar = match.has_dollar || memchr(v->text, '$', v->size);
                size = match.equal ? match_value(v, a, (size_t) (a_end - a), flags) : -1;
                if (size < 0)
                        match.equal = false;
                else
                        a += size;
                m += k;
        }

        match.equal = match.equal && a == a_end;
        return match;
}

int verify_seen(const Template *t, const Trace *trace, const unsigned *seen, Error *reterr) {
        for (size_t i = 0; i < trace->n_values; i++)
                if (seen[i] != 1 && !trace->values[i].in_comment)
                        return verify_fail(t, &trace->values[i],
                                        "reading the file back does not find this value where it was "
                                        "written",
                                        reterr);
        return 0;
}

static int verify_json_value(const Template *t, const Trace *trace, unsigned *seen, const json_t *actual,
                const json_t *marked, unsigned depth, Error *reterr);

static int shape_differs(const Template *t, Error *reterr) {
        return verify_fail(t, NULL,
                        "read back, the file has another structure than its template: a value has changed "
                        "it",
                        reterr);
}

static int verify_json_object(const Template *t, const Trace *trace, unsigned *seen, const json_t *actual,
                const json_t *marked, unsigned depth, Error *reterr) {
        void *ai = json_object_iter((json_t *) actual), *mi = json_object_iter((json_t *) marked);
        int r;

        /* Both are in the order of the file. */
        for (; ai && mi; ai = json_object_iter_next((json_t *) actual, ai),
                         mi = json_object_iter_next((json_t *) marked, mi)) {
                VerifyMatch k = verify_text(trace, seen, json_object_iter_key(ai),
                                json_object_iter_key_len(ai), json_object_iter_key(mi),
                                json_object_iter_key_len(mi), 0);

                if (!k.equal)
                        return k.first ? verify_fail(t, k.first, "read back, this key is another one",
                                                         reterr)
                                       : shape_differs(t, reterr);
                r = verify_json_value(t, trace, seen, json_object_iter_value(ai), json_object_iter_value(mi),
                                depth + 1, reterr);
                if (r < 0)
                        return r;
        }
        return ai || mi ? shape_differs(t, reterr) : 0;
}

/* A marker alone in a string: the value may be of any type. */
static int verify_json_marker(
                const Template *t, const WrittenValue *v, const json_t *actual, Error *reterr) {
        _cleanup_json_ json_t *expected = NULL;
        bool same;
        int r;

        if (v->kind == ESCAPE_STRING)
                same = false;
        else if (json_is_string(actual)) /* a number or boolean in the author's quotes */
                same = json_string_length(actual) == v->size &&
                                memcmp(json_string_value(actual), v->text, v->size) == 0;
        else {
                r = json_parse(v->text, v->size, JSON_DECODE_ANY, &expected);
                if (r == -ENOMEM)
                        return r;
                same = expected && json_equal(expected, actual);
        }
        return same ? 0 : verify_fail(t, v, "read back, this value is another one", reterr);
}

static int verify_json_string(const Template *t, const Trace *trace, unsigned *seen, const json_t *actual,
                const json_t *marked, Error *reterr) {
        const char *s = json_is_string(actual) ? json_string_value(actual) : "";
        VerifyMatch m = verify_text(trace, seen, s, json_is_string(actual) ? json_string_length(actual) : 0,
                        json_string_value(marked), json_string_length(marked), 0);

        if (m.equal && json_is_string(actual))
                return 0;
        if (m.first && m.whole)
                return verify_json_marker(t, m.first, actual, reterr);
        return m.first ? verify_fail(t, m.first, "read back, this value is another one", reterr)
                       : shape_differs(t, reterr);
}

static int verify_json_value(const Template *t, const Trace *trace, unsigned *seen, const json_t *actual,
                const json_t *marked, unsigned depth, Error *reterr) {
        int r;

        if (depth > JSON_DEPTH_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED, "%s: JSON is nested more than %u deep",
                                t->name, JSON_DEPTH_MAX);
        if (json_is_string(marked))
                return verify_json_string(t, trace, seen, actual, marked, reterr);
        if (json_typeof(actual) != json_typeof(marked))
                return shape_differs(t, reterr);
        if (json_is_object(marked))
                return verify_json_object(t, trace, seen, actual, marked, depth, reterr);
        if (!json_is_array(marked))
                return json_equal(actual, marked) ? 0 : shape_differs(t, reterr);

        if (json_array_size(actual) != json_array_size(marked))
                return shape_differs(t, reterr);
        for (size_t i = 0; i < json_array_size(marked); i++) {
                r = verify_json_value(t, trace, seen, json_array_get(actual, i), json_array_get(marked, i),
                                depth + 1, reterr);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* jansson's messages quote the text, which may be a secret; only the place is passed on. */
static int load_json(const Template *t, const char *s, size_t n, json_t **ret, Error *reterr) {
        json_error_t e;
        int r;

        r = json_parse_full(s, n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, ret, &e);
        if (r == -EBADMSG)
                (void) error_setf(reterr, CCP_ERROR_RENDER_FAILED,
                                "%s: the result is not JSON (line %d, column %d of it)%s", t->name, e.line,
                                e.column,
                                json_error_code(&e) == json_error_duplicate_key ? ": a key is there twice"
                                                                                : "");
        return r;
}

int verify_json(const Template *t, const Trace *trace, const char *actual, size_t actual_size,
                const char *marked, size_t marked_size, Error *reterr) {
        _cleanup_free_ unsigned *seen = NULL;
        _cleanup_json_ json_t *a = NULL, *m = NULL;
        int r;

        seen = new0(unsigned, trace->n_values);
        if (!seen)
                return -ENOMEM;
        r = load_json(t, actual, actual_size, &a, reterr);
        if (r >= 0)
                r = load_json(t, marked, marked_size, &m, reterr);
        if (r < 0)
                return r;

        r = verify_json_value(t, trace, seen, a, m, 0, reterr);
        if (r < 0)
                return r;
        return verify_seen(t, trace, seen, reterr);
}

static int verify_entry(const Template *t, const Trace *trace, unsigned *seen, const DotenvEntry *a,
                const DotenvEntry *m, Error *reterr) {
        VerifyMatch k = verify_text(trace, seen, a->key, strlen(a->key), m->key, strlen(m->key), 0), v;

        if (!k.equal)
                return k.first ? verify_fail(t, k.first, "read back, this name is another one", reterr)
                               : shape_differs(t, reterr);
        if (!a->value != !m->value)
                return shape_differs(t, reterr);
        if (!a->value)
                return 0;

        v = verify_text(trace, seen, a->value, strlen(a->value), m->value, strlen(m->value),
                        a->expands ? VERIFY_DOLLARS : 0);
        if (v.equal && (v.first || a->expands == m->expands))
                return 0;
        return v.first ? verify_fail(t, v.first, "read back, this value is another one", reterr)
                       : shape_differs(t, reterr);
}

int verify_dotenv(const Template *t, const Trace *trace, const char *actual, size_t actual_size,
                const char *marked, size_t marked_size, Error *reterr) {
        _cleanup_free_ unsigned *seen = NULL;
        _cleanup_error_ Error e = {};
        DotenvEntry *a = NULL, *m = NULL;
        size_t a_n = 0, m_n = 0;
        int r;

        seen = new0(unsigned, trace->n_values);
        if (!seen)
                return -ENOMEM;
        r = dotenv_read(actual, actual_size, &a, &a_n, &e);
        if (r >= 0)
                r = dotenv_read(marked, marked_size, &m, &m_n, &e);
        if (r < 0 && error_is_set(&e))
                r = error_setf(reterr, CCP_ERROR_RENDER_FAILED, "%s: the result is not a .env file: %s",
                                t->name, e.message ?: "");
        if (r >= 0 && a_n != m_n)
                r = shape_differs(t, reterr);
        for (size_t i = 0; i < MIN(a_n, m_n) && r >= 0; i++)
                r = verify_entry(t, trace, seen, &a[i], &m[i], reterr);
        if (r >= 0)
                r = verify_seen(t, trace, seen, reterr);
        dotenv_entries_free(a, a_n);
        dotenv_entries_free(m, m_n);
        return r;
}
