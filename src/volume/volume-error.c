/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-error.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "json-write.h"
#include "string-util.h"

#define ESCAPED_MAX 1024U

static const struct {
        const char *name;
        int error;
} kinds[_VOLUME_ERROR_MAX] = {
        [VOLUME_ERROR_NO_SPACE] = { "NoSpace", ENOSPC },
        [VOLUME_ERROR_DAMAGED] = { "Damaged", EBADMSG },
        [VOLUME_ERROR_UNSUPPORTED] = { "Unsupported", EOPNOTSUPP },
        [VOLUME_ERROR_FAILED] = { "Failed", EIO },
        [VOLUME_ERROR_USAGE] = { "Usage", EINVAL },
};

void volume_error_done(VolumeError *e) {
        free(e->message);
        free(e->path);
        *e = (VolumeError) {};
}

char *volume_escape(const char *path) {
        const unsigned char *s = (const unsigned char *) path;
        _cleanup_string_builder_ StringBuilder b = {};
        size_t size = strlen(path);
        char *result;

        for (size_t i = 0, n; i < size; i += MAX(n, (size_t) 1)) {
                if (b.size >= ESCAPED_MAX) {
                        string_builder_append(&b, "...");
                        break;
                }

                n = utf8_sequence_length(s + i, size - i);
                if (n == 0 || s[i] < ' ' || IN_SET(s[i], 0x7F, '\\'))
                        string_builder_appendf(&b, "\\x%02x", (unsigned) s[i]);
                else
                        string_builder_append_n(&b, path + i, n);
        }

        return string_builder_finish(&b, &result, NULL) < 0 ? NULL : result;
}

_printf_(4, 0) static int set(
                VolumeError *e, VolumeErrorKind kind, const char *path, const char *format, va_list ap) {
        _cleanup_free_ char *text = NULL, *escaped = NULL, *message = NULL;

        assert(!e->message);

        if (vasprintf(&text, format, ap) < 0) {
                text = NULL;
                return volume_error_oom(e);
        }
        if (path) {
                escaped = volume_escape(path);
                message = escaped ? strjoin(escaped, ": ", text) : NULL;
                if (!message)
                        return volume_error_oom(e);
        }

        e->kind = kind;
        e->message = message ? TAKE_PTR(message) : TAKE_PTR(text);
        e->path = TAKE_PTR(escaped);
        return -kinds[kind].error;
}

int volume_error_setf(VolumeError *e, VolumeErrorKind kind, const char *path, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = set(e, kind, path, format, ap);
        va_end(ap);

        return r;
}

int volume_error_set_errnof(VolumeError *e, int error, const char *path, const char *format, ...) {
        VolumeErrorKind kind;
        va_list ap;
        int r;

        error = error < 0 ? -error : error;
        kind = IN_SET(error, ENOSPC, EDQUOT) ? VOLUME_ERROR_NO_SPACE : VOLUME_ERROR_FAILED;

        va_start(ap, format);
        errno = error;
        r = set(e, kind, path, format, ap);
        va_end(ap);

        return r;
}

int volume_error_oom(VolumeError *e) {
        /* If even this fails, volume_error_to_json() says it. */
        e->kind = VOLUME_ERROR_FAILED;
        e->message = strdup("Out of memory");
        return -ENOMEM;
}

char *volume_error_to_json(const VolumeError *e) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *result;

        string_builder_append(&b, "{\"error\":");
        json_append_string(&b, kinds[e->kind].name);
        string_builder_append(&b, ",\"message\":");
        json_append_string(&b, e->message ?: "Out of memory");
        if (e->path) {
                string_builder_append(&b, ",\"path\":");
                json_append_string(&b, e->path);
        }
        if (e->has_space)
                string_builder_appendf(&b, ",\"needed\":%" PRIu64 ",\"free\":%" PRIu64, e->needed,
                                MIN(e->available, (uint64_t) INT64_MAX));
        string_builder_append(&b, "}");

        return string_builder_finish(&b, &result, NULL) < 0 ? NULL : result;
}
