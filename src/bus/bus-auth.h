/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The door: every method call passes it before any object is looked up, reads of properties and introspection
 * among them. It finds out who calls, limits how much, asks polkit, and lets the call in or answers it. A call
 * whose decision takes time is parked and dispatched anew once there is one; then it is described again, and
 * must still be about the same. Nothing of an object is kept meanwhile. root is let in without a question. */

#include <systemd/sd-bus.h>

#include "bus-caller.h"

typedef struct BusAuth BusAuth;

/* What a call is about. */
typedef struct AuthRequest {
        const char *action;   /* of polkit; NULL: root alone */
        const char *verb;     /* "restart" */
        const char *phrase;   /* "look at": completes "You may not …", with the instance if that is named */
        char instance[64];    /* slug, there or not; "": the fleet */
        char instance_id[37]; /* UUID; "": none, or there is none such */
        bool named;           /* the caller said which instance: it may be in an error */
        Role role;            /* the caller's, for that instance or for the fleet */
        AuditAction audit;    /* _AUDIT_ACTION_INVALID: nothing is changed */
} AuthRequest;

typedef enum AuthScope {
        AUTH_ASK,
        AUTH_OPEN, /* tells nothing: everybody may */
} AuthScope;

typedef struct BusAuthHandlers {
        /* Says what a call is about, or fails (with the error set): then it is refused, whoever calls. It
         * leaves the message as it was. */
        int (*describe)(sd_bus_message *m, Caller *c, AuthRequest *ret, AuthScope *ret_scope, void *userdata,
                        sd_bus_error *reterr);
        /* A change was refused to a caller. */
        void (*denied)(const Caller *c, const AuthRequest *q, const char *error_name, void *userdata);
        /* A call is about to be let in: the last chance to refuse it, whoever calls (negative, with the error
         * set). */
        int (*admit)(const Caller *c, const AuthRequest *q, void *userdata, sd_bus_error *reterr);
        /* Somebody called for the first time on his connection. */
        void (*arrived)(Caller *c, void *userdata);
        /* What polkit answers may have changed. */
        void (*changed)(void *userdata);
} BusAuthHandlers;

typedef struct UserLookup UserLookup;
/* Installs the door on a bus. The handlers must stay. */
int bus_auth_new(sd_bus *bus, UserLookup *lookup, const BusAuthHandlers *handlers, void *userdata,
                BusAuth **ret);
BusAuth *bus_auth_free(BusAuth *a);
DEFINE_CLEANUP_FUNC(BusAuth *, bus_auth_free);

/* Who sent a call that was let in; NULL for anything else. */
Caller *bus_auth_caller(const BusAuth *a, sd_bus_message *m);
/* Everybody who is known. */
Callers *bus_auth_callers(const BusAuth *a);

/* Asks polkit outside of a call, for somebody who is being told of changes; the handler gets true if he may
 * (root: at once). Forgotten if the caller leaves. */
typedef void (*auth_recheck_handler_t)(Caller *c, bool allowed, void *userdata);
int bus_auth_recheck(BusAuth *a, Caller *c, const AuthRequest *q, auth_recheck_handler_t handler);
