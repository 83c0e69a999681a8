/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who was granted which role, in the records. As in store.h nothing blocks. */

#include "audit.h"
#include "role.h"
#include "store.h"

/* A notification on it (any payload): the grants changed. */
#define STORE_CHANNEL_ROLE "ccpd_role"

/* More are refused (LimitExceeded): they are all kept in memory, and gone through at each call. */
#define STORE_ROLES_MAX 1000U

/* A grant as it is on record; 'grant' points into the rest. */
typedef struct RoleRecord {
        RoleGrant grant;
        char *name;
        char instance[STORE_ID_MAX]; /* "": the fleet */
        char *slug;                  /* of the instance; NULL: the fleet */
        usec_t granted_at;
        char *granted_by;
} RoleRecord;

/* By scope (the fleet first, then slugs), kind and name. 'grants' are those of the items, in their order, as
 * role_evaluate() wants them. */
typedef struct RoleRecords {
        RoleRecord **items;
        const RoleGrant **grants;
        size_t n;
} RoleRecords;

RoleRecords *role_records_free(RoleRecords *l);
DEFINE_CLEANUP_FUNC(RoleRecords *, role_records_free);

typedef void (*StoreRolesCallback)(int r, RoleRecords *roles, Error *error, void *userdata);
int store_load_roles(Db *db, StoreRolesCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);

/* Grants a role, in place of what the subject has for the same scope (grant->instance is the id of an instance
 * or NULL; grant->role is _ROLE_INVALID to revoke), and puts it on record as USER_CREATE, USER_UPDATE or
 * USER_DELETE, with role, subject and instance among the details. Gives all roles as they then are. The same
 * grant again changes and records nothing. To revoke, subject, name and scope are compared, not the number: a
 * name may have lost its number. NoSuchInstance; NoSuchRole if there is none to revoke; LimitExceeded. */
int store_set_role(Db *db, const RoleGrant *grant, const AuditActor *actor, StoreRolesCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);
