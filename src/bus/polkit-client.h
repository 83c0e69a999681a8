/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Asks polkit, without waiting for it. The interface is that of polkit's manual, "D-Bus API Reference",
 * org.freedesktop.PolicyKit1.Authority, of version 121 and later. */

#include <systemd/sd-bus.h>

#include "ccp/macro.h"

/* Questions at the same time; more are refused (-ENOBUFS). dbus-daemon allows 128 calls without an answer on
 * a connection, and others need some. */
#define POLKIT_CHECKS_MAX 64U

typedef struct PolkitClient PolkitClient;
typedef struct PolkitCheck PolkitCheck;

typedef enum PolkitAnswer {
        POLKIT_DENIED,
        POLKIT_ALLOWED,
        POLKIT_CHALLENGE, /* would be allowed to who authenticates, and the call does not allow to ask */
        POLKIT_AWAY,      /* it isn't there, does not answer, or failed: a denial too */
} PolkitAnswer;

/* 'changed' is called when polkit's rules or actions changed, or polkit itself came or went. */
int polkit_client_new(sd_bus *bus, void (*changed)(void *userdata), void *userdata, PolkitClient **ret);
PolkitClient *polkit_client_free(PolkitClient *c);
DEFINE_CLEANUP_FUNC(PolkitClient *, polkit_client_free);

typedef struct PolkitDetail {
        const char *key, *value;
} PolkitDetail;

typedef void (*polkit_handler_t)(PolkitAnswer answer, void *userdata);
/* May the owner of the unique bus name 'sender' do 'action'? With 'interactive' polkit may ask somebody for
 * a password, for up to five minutes. The handler is called once, but not if this fails. */
int polkit_check(PolkitClient *c, const char *sender, const char *action, const PolkitDetail *details,
                size_t n_details, bool interactive, polkit_handler_t handler, void *userdata,
                PolkitCheck **ret);
/* Has a dialogue closed that may be open; the handler is not called. NULL is allowed. */
PolkitCheck *polkit_check_cancel(PolkitCheck *q);
