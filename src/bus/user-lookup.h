/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Names and numbers of users and groups. The name services may ask a directory server and take their time,
 * so a thread asks them, one request after the other, and the loop goes on. */

#include <systemd/sd-event.h>

#include "role.h"

/* More requests than this are refused (-ENOBUFS): somebody opens connections faster than a slow directory
 * answers. */
#define USER_LOOKUPS_MAX 1024U

typedef struct UserLookup UserLookup;
typedef struct UserLookupRequest UserLookupRequest;

int user_lookup_new(sd_event *event, UserLookup **ret);
/* Requests that wait are forgotten. Does not wait for one that the thread is at. */
UserLookup *user_lookup_free(UserLookup *l);
DEFINE_CLEANUP_FUNC(UserLookup *, user_lookup_free);

typedef void (*user_lookup_handler_t)(Subject *subject, void *userdata);
/* Puts names to the numbers of a subject, which the handler gets back and may take from (subject_done() is
 * called after it). A number without a name stays without. The subject is taken, also on failure. */
int user_lookup_names(UserLookup *l, Subject *subject, user_lookup_handler_t handler, void *userdata,
                UserLookupRequest **ret);

typedef void (*user_lookup_id_handler_t)(int r, uint32_t id, void *userdata);
/* The number of a user's or group's name; r is -ENOENT if there is none. If it is forgotten instead, userdata
 * is freed with free(). */
int user_lookup_id(UserLookup *l, SubjectKind kind, const char *name, user_lookup_id_handler_t handler,
                void *userdata);

/* The handler will not be called. NULL is allowed. */
UserLookupRequest *user_lookup_request_cancel(UserLookupRequest *q);
