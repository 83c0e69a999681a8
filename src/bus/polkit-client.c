/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "polkit-client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "log.h"
#include "string-util.h"
#include "time-util.h"

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"

/* CheckAuthorizationFlags */
#define ALLOW_USER_INTERACTION 1U

/* Rules are short programs; who does not answer within this hangs, or the bus dropped the answer. */
#define CHECK_TIMEOUT (5 * USEC_PER_SEC)
/* What it may take to find a password. ccpctl waits as long. */
#define INTERACTIVE_TIMEOUT (5 * USEC_PER_MINUTE)

struct PolkitCheck {
        PolkitClient *client;
        PolkitCheck *prev, *next;
        char cancellation_id[sizeof("ccpd-18446744073709551615")];
        bool interactive;
        sd_bus_slot *slot;
        polkit_handler_t handler;
        void *userdata;
};

struct PolkitClient {
        sd_bus *bus;
        sd_bus_slot *changed_slot, *owner_slot;
        PolkitCheck *checks;
        unsigned n_checks;
        uint64_t last_id;
        bool away_logged;
        void (*changed)(void *userdata);
        void *userdata;
};

static void polkit_check_free(PolkitCheck *q) {
        PolkitClient *c = q->client;

        if (q->prev)
                q->prev->next = q->next;
        else
                c->checks = q->next;
        if (q->next)
                q->next->prev = q->prev;
        c->n_checks--;
        sd_bus_slot_unref(q->slot);
        free(q);
}

static int on_changed(_unused_ sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        PolkitClient *c = userdata;

        c->changed(c->userdata);
        return 0;
}

/* Verdicts are kept for moments only: a match that could not be installed does no harm that lasts. */
static int on_match_installed(
                _unused_ sd_bus_message *m, _unused_ void *userdata, _unused_ sd_bus_error *reterr) {
        return 0;
}

int polkit_client_new(sd_bus *bus, void (*changed)(void *userdata), void *userdata, PolkitClient **ret) {
        _cleanup_(polkit_client_freep) PolkitClient *c = NULL;
        int r;

        c = new0(PolkitClient, 1);
        if (!c)
                return -ENOMEM;

        *c = (PolkitClient) { .bus = bus, .changed = changed, .userdata = userdata };
        r = sd_bus_add_match_async(bus, &c->changed_slot,
                        "type='signal',sender='" POLKIT_NAME "',path='" POLKIT_PATH
                        "',interface='" POLKIT_INTERFACE "',member='Changed'",
                        on_changed, on_match_installed, c);
        if (r < 0)
                return r;
        r = sd_bus_add_match_async(bus, &c->owner_slot,
                        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
                        "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" POLKIT_NAME "'",
                        on_changed, on_match_installed, c);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(c);
        return 0;
}

PolkitClient *polkit_client_free(PolkitClient *c) {
        if (!c)
                return NULL;

        sd_bus_slot_unref(c->changed_slot);
        sd_bus_slot_unref(c->owner_slot);
        while (c->checks)
                polkit_check_free(c->checks);
        return mfree(c);
}

static void polkit_close_dialogue(const PolkitCheck *q) {
        if (q->interactive)
                (void) sd_bus_call_method_async(q->client->bus, NULL, POLKIT_NAME, POLKIT_PATH,
                                POLKIT_INTERFACE, "CancelCheckAuthorization", NULL, NULL, "s",
                                q->cancellation_id);
}

static PolkitAnswer read_answer(PolkitClient *c, const PolkitCheck *q, sd_bus_message *m) {
        int authorized, challenge, r;

        if (sd_bus_message_is_method_error(m, NULL) > 0) {
                const sd_bus_error *e = sd_bus_message_get_error(m);

                /* What the person who is asked brings about (polkit's manual, PolkitError). */
                if (sd_bus_error_has_name(e, POLKIT_NAME ".Error.Cancelled") ||
                                sd_bus_error_has_name(e, POLKIT_NAME ".Error.NotAuthorized"))
                        return POLKIT_DENIED;

                if (sd_bus_error_has_name(e, SD_BUS_ERROR_NO_REPLY) ||
                                sd_bus_error_has_name(e, SD_BUS_ERROR_TIMEOUT))
                        polkit_close_dialogue(q);
                if (!c->away_logged)
                        log_notice("polkit does not decide, everybody but root is refused: %s",
                                        strempty(e->message));
                c->away_logged = true;
                return POLKIT_AWAY;
        }

        r = sd_bus_message_enter_container(m, 'r', "bba{ss}");
        if (r >= 0)
                r = sd_bus_message_read(m, "bb", &authorized, &challenge);
        if (r < 0) {
                log_debug_errno(r, "Failed to read polkit's answer: %m");
                return POLKIT_AWAY;
        }

        c->away_logged = false;
        return authorized ? POLKIT_ALLOWED : challenge ? POLKIT_CHALLENGE : POLKIT_DENIED;
}

static int on_answer(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        PolkitCheck *q = userdata;
        polkit_handler_t handler = q->handler;
        void *handler_data = q->userdata;
        PolkitAnswer answer = read_answer(q->client, q, m);

        polkit_check_free(q);
        handler(answer, handler_data);
        return 0;
}

static int append_question(sd_bus_message *m, const PolkitCheck *q, const char *sender, const char *action,
                const PolkitDetail *details, size_t n_details) {
        int r;

        r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s", sender, action);
        if (r < 0)
                return r;

        r = sd_bus_message_open_container(m, 'a', "{ss}");
        if (r < 0)
                return r;
        FOREACH_ARRAY(d, details, n_details) {
                r = sd_bus_message_append(m, "{ss}", d->key, d->value);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;

        return sd_bus_message_append(
                        m, "us", q->interactive ? ALLOW_USER_INTERACTION : 0U, q->cancellation_id);
}

int polkit_check(PolkitClient *c, const char *sender, const char *action, const PolkitDetail *details,
                size_t n_details, bool interactive, polkit_handler_t handler, void *userdata,
                PolkitCheck **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        PolkitCheck *q;
        int r;

        if (c->n_checks >= POLKIT_CHECKS_MAX)
                return -ENOBUFS;

        r = sd_bus_message_new_method_call(
                        c->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE, "CheckAuthorization");
        if (r < 0)
                return r;

        q = new0(PolkitCheck, 1);
        if (!q)
                return -ENOMEM;
        *q = (PolkitCheck) {
                .client = c,
                .next = c->checks,
                .interactive = interactive,
                .handler = handler,
                .userdata = userdata,
        };
        /* polkit takes no two of the same name from one connection. Without a dialogue there is nothing to
         * cancel. */
        if (interactive)
                (void) snprintf(q->cancellation_id, sizeof(q->cancellation_id), "ccpd-%" PRIu64,
                                ++c->last_id);
        if (c->checks)
                c->checks->prev = q;
        c->checks = q;
        c->n_checks++;

        r = append_question(m, q, sender, action, details, n_details);
        if (r >= 0)
                r = sd_bus_call_async(c->bus, &q->slot, m, on_answer, q,
                                interactive ? INTERACTIVE_TIMEOUT : CHECK_TIMEOUT);
        if (r < 0) {
                polkit_check_free(q);
                return r;
        }

        *ret = q;
        return 0;
}

PolkitCheck *polkit_check_cancel(PolkitCheck *q) {
        if (!q)
                return NULL;

        polkit_close_dialogue(q);
        polkit_check_free(q);
        return NULL;
}
