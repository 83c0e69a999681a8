/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Why a run of ccp-vol failed, for the one line of JSON that its caller reads. */

#include <stdint.h>

#include "ccp/macro.h"

typedef enum VolumeErrorKind {
        VOLUME_ERROR_NO_SPACE,    /* -ENOSPC */
        VOLUME_ERROR_DAMAGED,     /* -EBADMSG: not what pack wrote */
        VOLUME_ERROR_UNSUPPORTED, /* -EOPNOTSUPP: of a kind that is not kept here */
        VOLUME_ERROR_FAILED,      /* -EIO */
        VOLUME_ERROR_USAGE,       /* -EINVAL */
        _VOLUME_ERROR_MAX,
        _VOLUME_ERROR_INVALID = -22,
} VolumeErrorKind;

typedef struct VolumeError {
        VolumeErrorKind kind;
        char *message;              /* NULL as long as nothing is set */
        char *path;                 /* of the entry, escaped as volume_escape() does; may be NULL */
        uint64_t needed, available; /* bytes, for VOLUME_ERROR_NO_SPACE, if they are known */
        bool has_space;
} VolumeError;

void volume_error_done(VolumeError *e);
#define _cleanup_volume_error_ _cleanup_(volume_error_done)

/* Sets an error that is not set yet, and returns its kind's errno. The message is the text, after the path
 * and a colon if there is a path; of that, bytes of any kind are taken. */
int volume_error_setf(VolumeError *e, VolumeErrorKind kind, const char *path, const char *format, ...)
                _printf_(4, 5);
/* The same for an errno: a full disk or quota is VOLUME_ERROR_NO_SPACE, anything else VOLUME_ERROR_FAILED.
 * %m in the format is the error's text. */
int volume_error_set_errnof(VolumeError *e, int error, const char *path, const char *format, ...)
                _printf_(4, 5);
int volume_error_oom(VolumeError *e);

/* A path as text: control characters, backslashes and what is not UTF-8 become \xNN, and what is too long
 * is cut and ends in "...". NULL when out of memory. */
char *volume_escape(const char *path);

/* {"error":…}, one line without its end, ASCII. NULL when out of memory. */
char *volume_error_to_json(const VolumeError *e);
