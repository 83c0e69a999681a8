/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log-request.h"

#include <errno.h>

#include "alloc-util.h"
#include "json-util.h"
#include "string-util.h"
#include "strv.h"
#include "validate.h"

#define ID_FORM "00000000-0000-0000-0000-000000000000"

void log_request_done(LogRequest *q) {
        q->id = mfree(q->id);
        q->services = strv_free(q->services);
        q->cursor = mfree(q->cursor);
        q->pattern = mfree(q->pattern);
}

static bool id_is_valid(const char *s) {
        if (strlen(strempty(s)) != STRLEN(ID_FORM))
                return false;

        for (size_t i = 0; s[i]; i++)
                if (ID_FORM[i] == '-' ? s[i] != '-' : !strchr("0123456789abcdef", s[i]))
                        return false;
        return true;
}

static int check_services(char *const *services, Error *reterr) {
        if (strv_length(services) > LOG_SERVICES_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED, "At most %u services can be named.",
                                LOG_SERVICES_MAX);

        STRV_FOREACH(s, services)
                if (!service_name_is_valid(*s))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "'%s' cannot be the name of a service.", TEXT_FOR_ERROR(*s));
        return 0;
}

int log_request_validate(const LogRequest *q, Error *reterr) {
        if (!id_is_valid(q->id))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "An instance is named by its UUID.");
        if (q->since > q->until)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "Nothing can be found: 'since' is after 'until'.");
        if (q->follow && q->until != USEC_INFINITY)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "To follow shows what is to come, 'until' only what was.");
        if (q->cursor &&
                        (isempty(q->cursor) || strlen(q->cursor) > LOG_CURSOR_MAX ||
                                        !string_is_safe(q->cursor)))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "That is no cursor. Take one that an earlier answer had.");
        if (q->pattern && (isempty(q->pattern) || strlen(q->pattern) > LOG_PATTERN_MAX))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "A pattern has 1 to %u bytes.",
                                LOG_PATTERN_MAX);
        if (q->wait > LOG_WAIT_MAX)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "One can wait for %u seconds at the most; then ask again.",
                                (unsigned) (LOG_WAIT_MAX / USEC_PER_SEC));

        return check_services(q->services, reterr);
}

static int set_text(json_t *o, const char *key, const char *value) {
        return value ? json_object_set_new(o, key, json_string(value)) : 0;
}

/* Numbers of JSON are signed here. */
static int set_number(json_t *o, const char *key, uint64_t value, uint64_t none) {
        return value != none ? json_object_set_new(o, key,
                                               json_integer((json_int_t) MIN(value, (uint64_t) INT64_MAX)))
                             : 0;
}

static int set_flag(json_t *o, const char *key, bool value) {
        return value ? json_object_set_new(o, key, json_true()) : 0;
}

static int set_services(json_t *o, char *const *services) {
        json_t *list;

        if (!services)
                return 0;

        list = json_array();
        STRV_FOREACH(s, services)
                if (json_array_append_new(list, json_string(*s)) < 0) {
                        json_decref(list);
                        return -1;
                }
        return json_object_set_new(o, "services", list);
}

int log_request_format(const LogRequest *q, char **ret, size_t *ret_size) {
        _cleanup_json_ json_t *o = json_object();
        _cleanup_free_ char *text = NULL;
        char *line;

        if (set_text(o, "id", q->id) < 0 || set_services(o, q->services) < 0 ||
                        set_number(o, "lines", q->lines, LOG_LINES_ALL) < 0 ||
                        set_number(o, "since", q->since, 0) < 0 ||
                        set_number(o, "until", q->until, USEC_INFINITY) < 0 ||
                        set_text(o, "cursor", q->cursor) < 0 || set_text(o, "pattern", q->pattern) < 0 ||
                        set_flag(o, "follow", q->follow) < 0 || set_flag(o, "all", q->all) < 0 ||
                        set_flag(o, "audit", q->audit) < 0 || set_number(o, "wait", q->wait, 0) < 0 ||
                        set_number(o, "limit", q->limit, 0) < 0 || set_number(o, "size", q->size, 0) < 0 ||
                        set_number(o, "message", q->message, 0) < 0)
                return -ENOMEM;

        text = json_format(o, JSON_COMPACT);
        line = text ? strjoin(text, "\n") : NULL;
        if (!line)
                return -ENOMEM;

        *ret_size = strlen(line);
        *ret = line;
        return 0;
}

/* --- reading --- */

typedef struct Field {
        const char *key;
        size_t offset;
        int (*read)(const json_t *value, void *target);
} Field;

static int read_text(const json_t *value, void *target) {
        return json_is_string(value) ? free_and_strdup(target, json_string_value(value)) : -EINVAL;
}

static int read_number(const json_t *value, void *target) {
        if (!json_is_integer(value) || json_integer_value(value) < 0)
                return -EINVAL;

        *(uint64_t *) target = (uint64_t) json_integer_value(value);
        return 0;
}

static int read_flag(const json_t *value, void *target) {
        if (!json_is_boolean(value))
                return -EINVAL;

        *(bool *) target = json_is_true(value);
        return 0;
}

static int read_list(const json_t *value, void *target) {
        json_t *item;
        size_t i;
        int r;

        if (!json_is_array(value) || json_array_size(value) > LOG_SERVICES_MAX)
                return -EINVAL;

        json_array_foreach(value, i, item) {
                if (!json_is_string(item))
                        return -EINVAL;
                r = strv_extend(target, json_string_value(item));
                if (r < 0)
                        return r;
        }
        return 0;
}

static const Field fields[] = {
        { "id", offsetof(LogRequest, id), read_text },
        { "services", offsetof(LogRequest, services), read_list },
        { "lines", offsetof(LogRequest, lines), read_number },
        { "since", offsetof(LogRequest, since), read_number },
        { "until", offsetof(LogRequest, until), read_number },
        { "cursor", offsetof(LogRequest, cursor), read_text },
        { "pattern", offsetof(LogRequest, pattern), read_text },
        { "follow", offsetof(LogRequest, follow), read_flag },
        { "all", offsetof(LogRequest, all), read_flag },
        { "audit", offsetof(LogRequest, audit), read_flag },
        { "wait", offsetof(LogRequest, wait), read_number },
        { "limit", offsetof(LogRequest, limit), read_number },
        { "size", offsetof(LogRequest, size), read_number },
        { "message", offsetof(LogRequest, message), read_number },
};

static int read_field(LogRequest *q, const char *key, const json_t *value) {
        FOREACH_ARRAY(f, fields, ELEMENTSOF(fields))
                if (streq(f->key, key))
                        return f->read(value, (char *) q + f->offset);
        return -EINVAL;
}

int log_request_parse(const char *data, size_t size, LogRequest *ret, Error *reterr) {
        _cleanup_log_request_ LogRequest q = LOG_REQUEST_NEW;
        _cleanup_json_ json_t *o = NULL;
        const char *key;
        json_t *value;
        int r;

        r = json_parse(data, size, JSON_REJECT_DUPLICATES, &o);
        if (r == -ENOMEM)
                return error_set_errnof(reterr, r, "Cannot read the request: %m");
        if (!json_is_object(o))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "The request is no JSON object.");

        json_object_foreach(o, key, value) {
                r = read_field(&q, key, value);
                if (r == -ENOMEM)
                        return error_set_errnof(reterr, r, "Cannot read the request: %m");
                if (r < 0)
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "The request has a wrong value, or one that is unknown: '%s'.",
                                        TEXT_FOR_ERROR(key));
        }

        r = log_request_validate(&q, reterr);
        if (r < 0)
                return r;

        *ret = q;
        q = (LogRequest) {};
        return 0;
}
