/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "role.h"

#include "alloc-util.h"
#include "string-util.h"

static const char *const role_table[_ROLE_MAX] = {
        [ROLE_CLIENT] = "client",
        [ROLE_VIEWER] = "viewer",
        [ROLE_OPERATOR] = "operator",
        [ROLE_ADMIN] = "admin",
};
DEFINE_STRING_TABLE(role, Role);

static const char *const subject_kind_table[_SUBJECT_KIND_MAX] = {
        [SUBJECT_USER] = "user",
        [SUBJECT_GROUP] = "group",
};
DEFINE_STRING_TABLE(subject_kind, SubjectKind);

void subject_done(Subject *s) {
        FOREACH_ARRAY(g, s->groups, s->n_groups)
                free(g->name);
        free(s->groups);
        free(s->user);
        *s = (Subject) {};
}

bool role_grant_applies(const RoleGrant *g, const Subject *s) {
        if (g->subject == SUBJECT_USER)
                return g->id == s->uid && s->user && streq(g->name, s->user);

        FOREACH_ARRAY(group, s->groups, s->n_groups)
                if (g->id == group->gid && group->name && streq(g->name, group->name))
                        return true;
        return false;
}

Role role_evaluate(const RoleGrant *const *grants, size_t n, const Subject *s, const char *instance) {
        Role best = _ROLE_INVALID;

        if (s->uid == 0)
                return ROLE_ADMIN;

        FOREACH_ARRAY(g, grants, n) {
                Role role = (*g)->role;

                if (!role_grant_applies(*g, s))
                        continue;
                if ((*g)->instance && !instance)
                        role = ROLE_CLIENT;
                else if ((*g)->instance && !streq((*g)->instance, instance))
                        continue;
                best = MAX(best, role);
        }

        return best;
}
