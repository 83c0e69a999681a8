/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Roles: what they are called, who holds which, and what somebody comes to by all that was granted to him
 * and his groups. What a role may do is not said here: that is up to polkit's rules. */

#include <errno.h>
#include <sys/types.h>

#include "ccp/macro.h"

/* From the least to the most. No role at all is _ROLE_INVALID, and "" on the bus and towards polkit. */
typedef enum Role {
        ROLE_CLIENT,
        ROLE_VIEWER,
        ROLE_OPERATOR,
        ROLE_ADMIN,
        _ROLE_MAX,
        _ROLE_INVALID = -EINVAL,
} Role;
DECLARE_STRING_TABLE(role, Role);

typedef enum SubjectKind {
        SUBJECT_USER,
        SUBJECT_GROUP,
        _SUBJECT_KIND_MAX,
        _SUBJECT_KIND_INVALID = -EINVAL,
} SubjectKind;
DECLARE_STRING_TABLE(subject_kind, SubjectKind);

/* One grant. Number and name must both be the holder's: a number is given to somebody else once its user is
 * removed, a name too. */
typedef struct RoleGrant {
        SubjectKind subject;
        uint32_t id; /* uid or gid */
        const char *name;
        Role role;
        const char *instance; /* UUID; NULL: the whole fleet */
} RoleGrant;

typedef struct SubjectGroup {
        gid_t gid;
        char *name; /* NULL: it has none, and no grant */
} SubjectGroup;

/* Who asks. */
typedef struct Subject {
        uid_t uid;
        char *user; /* NULL: the number has no name, and no grant */
        SubjectGroup *groups;
        size_t n_groups;
} Subject;

/* Frees what it holds, and empties it. */
void subject_done(Subject *s);

/* True if the grant is to this subject. */
bool role_grant_applies(const RoleGrant *g, const Subject *s);

/* The highest role that the grants give on one instance (a UUID). For the fleet (NULL) grants for one
 * instance come to ROLE_CLIENT, whatever they are: their holder may ask, and is told of his own. root is
 * admin always. _ROLE_INVALID for none. */
Role role_evaluate(const RoleGrant *const *grants, size_t n, const Subject *s, const char *instance);
