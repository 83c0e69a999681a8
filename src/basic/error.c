/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "string-util.h"

static const struct {
        const char *name;
        int error;
} error_map[] = {
        { CCP_ERROR_INVALID_ARGUMENT, EINVAL },
        { CCP_ERROR_NO_SUCH_INSTANCE, ENOENT },
        { CCP_ERROR_NO_SUCH_JOB, ENOENT },
        { CCP_ERROR_NO_SUCH_BLUEPRINT, ENOENT },
        { CCP_ERROR_NO_SUCH_ROLE, ENOENT },
        { CCP_ERROR_NO_SUCH_SERVICE, ENOENT },
        { CCP_ERROR_NO_SUCH_SECRET, ENOENT },
        { CCP_ERROR_NO_SUCH_ALERT, ENOENT },
        { CCP_ERROR_NO_SUCH_BACKUP, ENOENT },
        { CCP_ERROR_NO_SUCH_KEY, ENOENT },
        { CCP_ERROR_NO_SUCH_CHALLENGE, ENOENT },
        { CCP_ERROR_SLUG_TAKEN, EEXIST },
        { CCP_ERROR_DOMAIN_TAKEN, EEXIST },
        { CCP_ERROR_PORTS_EXHAUSTED, EADDRNOTAVAIL },
        { CCP_ERROR_SUBNETS_EXHAUSTED, EADDRNOTAVAIL },
        { CCP_ERROR_BUSY, EBUSY },
        { CCP_ERROR_WRONG_STATE, ESTALE },
        { CCP_ERROR_NOT_AUTHORIZED, EACCES },
        { CCP_ERROR_STORE_UNAVAILABLE, EHOSTDOWN },
        { CCP_ERROR_ENGINE_UNAVAILABLE, EHOSTDOWN },
        { CCP_ERROR_ENGINE_FAILED, EPROTO },
        { CCP_ERROR_POLICY_VIOLATION, EPERM },
        { CCP_ERROR_BLUEPRINT_INVALID, EBADMSG },
        { CCP_ERROR_RENDER_FAILED, EBADMSG },
        { CCP_ERROR_UNHEALTHY, ETIME },
        { CCP_ERROR_KEY_MISSING, ENOKEY },
        { CCP_ERROR_BACKUP_DAMAGED, EBADMSG },
        { CCP_ERROR_BACKUP_TOO_NEW, EPROTONOSUPPORT },
        { CCP_ERROR_LIMIT_EXCEEDED, E2BIG },
        { CCP_ERROR_STORAGE_FAILED, EREMOTEIO },
        { CCP_ERROR_NO_SPACE, ENOSPC },
        { CCP_ERROR_CANCELLED, ECANCELED },
        { CCP_ERROR_INTERNAL, EIO },
};

void error_done(Error *e) {
        e->name = NULL;
        e->message = mfree(e->message);
}

int error_name_to_errno(const char *name) {
        FOREACH_ARRAY(i, error_map, ELEMENTSOF(error_map))
                if (streq_ptr(i->name, name))
                        return -i->error;

        return -EIO;
}

const char *error_name_intern(const char *name) {
        FOREACH_ARRAY(i, error_map, ELEMENTSOF(error_map))
                if (streq_ptr(i->name, name))
                        return i->name;

        return CCP_ERROR_INTERNAL;
}

_printf_(3, 0) static void error_setv(Error *reterr, const char *name, const char *format, va_list ap) {
        if (!reterr)
                return;

        assert(!error_is_set(reterr));
        reterr->name = name;
        /* Out of memory leaves the name without a sentence; readers cope with NULL. */
        if (vasprintf(&reterr->message, format, ap) < 0)
                reterr->message = NULL;
        else
                utf8_make_valid(reterr->message);
}

int error_setf(Error *reterr, const char *name, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        error_setv(reterr, name, format, ap);
        va_end(ap);

        return error_name_to_errno(name);
}

int error_set_errnof(Error *reterr, int error, const char *format, ...) {
        va_list ap;

        error = abs(error);
        errno = error; /* for %m */
        va_start(ap, format);
        error_setv(reterr, IN_SET(error, ENOSPC, EDQUOT) ? CCP_ERROR_NO_SPACE : CCP_ERROR_INTERNAL, format,
                        ap);
        va_end(ap);

        return -error;
}

int error_prefixf(Error *reterr, int r, const char *format, ...) {
        _cleanup_free_ char *prefix = NULL;
        char *message;
        va_list ap;
        int k;

        if (!error_is_set(reterr) || !reterr->message)
                return r;

        va_start(ap, format);
        k = vasprintf(&prefix, format, ap);
        va_end(ap);
        if (k < 0) {
                prefix = NULL;
                return r;
        }

        message = strjoin(prefix, ": ", reterr->message);
        if (!message)
                return r;

        utf8_make_valid(message);
        free(reterr->message);
        reterr->message = message;
        return r;
}

void error_move(Error *reterr, Error *from) {
        if (reterr) {
                assert(!error_is_set(reterr));
                *reterr = *from;
        } else
                free(from->message);
        *from = (Error) {};
}
