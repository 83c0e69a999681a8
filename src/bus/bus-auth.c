/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus-auth.h"

#include <errno.h>

#include "ccp/names.h"
#include "log.h"

int bus_sender_uid(sd_bus_message *m, uid_t *ret) {
        _cleanup_(sd_bus_creds_unrefp) sd_bus_creds *creds = NULL;
        int r;

        r = sd_bus_query_sender_creds(m, SD_BUS_CREDS_EUID, &creds);
        if (r < 0)
                return r;

        /* What was added from /proc belongs to whatever process has the PID by now. */
        if (sd_bus_creds_get_augmented_mask(creds) & SD_BUS_CREDS_EUID)
                return -EPERM;

        return sd_bus_creds_get_euid(creds, ret);
}

int bus_authorize(sd_bus_message *m, const char *action, const AuthDetails *details, sd_bus_error *reterr) {
        uid_t uid;
        int r;

        assert(action);
        assert(details);

        r = bus_sender_uid(m, &uid);
        if (r >= 0 && uid == 0) {
                log_debug("Allowed %s (%s of %s) to %s.", action, details->verb,
                                details->instance ?: "the fleet", sd_bus_message_get_sender(m));
                return 0;
        }

        log_debug("Denied %s (%s of %s) to %s.", action, details->verb, details->instance ?: "the fleet",
                        sd_bus_message_get_sender(m));
        (void) sd_bus_error_setf(reterr, CCP_ERROR_NOT_AUTHORIZED,
                        "Not authorized. Only root may call ccpd; try again with sudo.");
        return -EACCES;
}

static int door(sd_bus_message *m, _unused_ void *userdata, _unused_ sd_bus_error *reterr) {
        _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
        int r;

        if (sd_bus_message_is_method_call(m, NULL, NULL) <= 0)
                return 0;

        r = bus_authorize(m, CCP_ACTION_VIEW,
                        &(AuthDetails) { .verb = sd_bus_message_get_member(m) ?: "call" }, &error);
        if (r >= 0)
                return 0;

        r = sd_bus_reply_method_error(m, &error);
        if (r < 0)
                log_debug_errno(r, "Failed to refuse a call, ignoring: %m");
        return 1;
}

int bus_auth_install(sd_bus *bus) {
        return sd_bus_add_filter(bus, NULL, door, NULL);
}
