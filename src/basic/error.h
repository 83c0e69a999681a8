/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The one way to report a failure that a person will read: a name from ccp/names.h and a sentence that says
 * what, why and what to do. It travels unchanged to the records, the bus and ccpctl. A function that takes
 * an Error also returns a negative errno; where the errno says enough it takes none. */

#include "ccp/macro.h"
#include "ccp/names.h"

typedef struct Error {
        const char *name; /* static, NULL as long as nothing is set */
        char *message;
} Error;

void error_done(Error *e);
#define _cleanup_error_ _cleanup_(error_done)

static inline bool error_is_set(const Error *e) {
        return e && e->name;
}

/* Sets *reterr (NULL allowed, must not be set yet) and returns the errno that belongs to the name. */
int error_setf(Error *reterr, const char *name, const char *format, ...) _printf_(3, 4);

/* The same for an errno: ENOSPC and EDQUOT become NoSpace, all others Internal; %m in the format is the
 * error's text. Returns 'error' as a negative. */
int error_set_errnof(Error *reterr, int error, const char *format, ...) _printf_(3, 4);

/* Puts "prefix: " before the message. Keeps the name. Returns r. */
int error_prefixf(Error *reterr, int r, const char *format, ...) _printf_(3, 4);

/* Hands an error over; 'from' is unset afterwards. */
void error_move(Error *reterr, Error *from);

/* The table of names: errno of a name (-EIO if unknown), and the static copy of a name that was read from
 * outside (Internal if unknown). */
int error_name_to_errno(const char *name);
const char *error_name_intern(const char *name);
