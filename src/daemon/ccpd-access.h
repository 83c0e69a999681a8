/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What each call needs, as a table; who sees which objects; and what is put on record of those who were
 * turned away. How it is decided is bus-auth's. */

#include "bus-auth.h"
#include "store-role.h"

typedef struct Manager Manager;
typedef struct Instance Instance;
typedef struct Job Job;
typedef struct Access Access;

/* Guards the manager's bus. */
int access_new(Manager *m, Access **ret);
Access *access_free(Access *a);
DEFINE_CLEANUP_FUNC(Access *, access_free);

/* Who asks right now: the sender of the call that is being dispatched, or the receiver of the signal that is
 * being made. NULL: nobody, who sees nothing. */
Caller *access_viewer(const Manager *m);

bool access_sees_instance(const Manager *m, Caller *viewer, const Instance *i);
bool access_sees_job(const Manager *m, Caller *viewer, const Job *j);
/* Whether who has this name on the bus is known, and not gone. */
bool access_knows(const Manager *m, const char *name);
/* Everything there is, by a role for the fleet. */
bool access_sees_fleet(const Manager *m, Caller *viewer);
/* The ids (UUIDs) of the instances that he sees; the array is the caller's, what is in it is borrowed. */
int access_visible_instances(const Manager *m, Caller *viewer, char ***ret);

/* What is granted now; NULL: not read yet. */
const RoleRecords *access_roles(const Access *a);
UserLookup *access_user_lookup(const Access *a);

/* Replaces the grants, takes them. Subscribers are told of what they see from now on, or no longer. */
void access_set_roles(Manager *m, RoleRecords *roles);

/* A signal goes to each of these. */
Caller *access_next_subscriber(const Manager *m, Caller *after);

/* Handlers of Manager.Subscribe and Unsubscribe. */
int method_subscribe(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int method_unsubscribe(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
