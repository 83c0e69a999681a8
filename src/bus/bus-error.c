/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus-error.h"

#include <errno.h>

#include "string-util.h"

int bus_error_move(sd_bus_error *reterr, Error *from) {
        int r;

        r = error_name_to_errno(from->name);
        (void) sd_bus_error_set(reterr, from->name, strempty(from->message));
        error_done(from);
        return r;
}

int bus_reply_error(sd_bus_message *m, const Error *e) {
        return sd_bus_reply_method_errorf(m, e->name ?: CCP_ERROR_INTERNAL, "%s",
                        isempty(e->message) ? "Internal error." : e->message);
}
