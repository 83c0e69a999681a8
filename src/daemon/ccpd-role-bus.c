/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-role-bus.h"

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-access.h"
#include "ccpd-manager.h"
#include "string-util.h"
#include "user-lookup.h"
#include "validate.h"

/* A user's or group's name: what useradd(8) takes at the most (LOGIN_NAME_MAX). */
#define NAME_LENGTH_MAX 256U

/* A grant on its way: the number of the name is being looked up. */
typedef struct RoleChange {
        Operation *operation;
        SubjectKind subject;
        Role role;
        char instance[STORE_ID_MAX]; /* "": the fleet */
        char name[NAME_LENGTH_MAX + 1];
} RoleChange;

static void on_role_set(int r, RoleRecords *roles, Error *error, void *userdata) {
        Operation *o = userdata;

        if (r < 0) {
                operation_fail(o, error);
                return;
        }

        /* At once, and before the answer. */
        access_set_roles(operation_manager(o), roles);
        operation_reply(o, NULL);
}

static void role_change_submit(const RoleChange *c, uint32_t id) {
        Manager *m = operation_manager(c->operation);
        const RoleGrant grant = {
                .subject = c->subject,
                .id = id,
                .name = c->name,
                .role = c->role,
                .instance = isempty(c->instance) ? NULL : c->instance,
        };
        _cleanup_error_ Error e = {};

        if (store_set_role(m->db, &grant, operation_actor(c->operation), on_role_set, c->operation, NULL,
                            &e) < 0)
                operation_fail(c->operation, &e);
}

static void on_id(int r, uint32_t id, void *userdata) {
        _cleanup_free_ RoleChange *c = userdata;
        _cleanup_error_ Error e = {};

        if (r == -ENOENT)
                (void) error_setf(&e, CCP_ERROR_INVALID_ARGUMENT, "This machine has no %s '%s'.",
                                subject_kind_to_string(c->subject), TEXT_FOR_ERROR(c->name));
        else if (r < 0)
                (void) error_set_errnof(&e, r, "Cannot look up the %s '%s': %m",
                                subject_kind_to_string(c->subject), TEXT_FOR_ERROR(c->name));
        else if (c->subject == SUBJECT_USER && id == 0)
                (void) error_setf(&e, CCP_ERROR_INVALID_ARGUMENT,
                                "root is always admin; no role can be granted to it.");

        if (error_is_set(&e))
                operation_fail(c->operation, &e);
        else
                role_change_submit(c, id);
}

/* "kind", "name", "instance" and the options, which the message is at. */
static int read_change(sd_bus_message *message, const Manager *m, RoleChange *c, Error *reterr) {
        const char *kind, *name, *slug;
        int r;

        r = sd_bus_message_read(message, "sss", &kind, &name, &slug);
        if (r < 0)
                return r;
        r = bus_read_options(message, NULL, 0, NULL, reterr);
        if (r < 0)
                return r;

        c->subject = subject_kind_from_string(kind);
        if (c->subject < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A role is given to a 'user' or a 'group', not to a '%s'.",
                                TEXT_FOR_ERROR(kind));
        if (isempty(name) || strlen(name) > NAME_LENGTH_MAX || !string_is_safe(name))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "'%s' is no name of a %s.",
                                TEXT_FOR_ERROR(name), kind);
        (void) snprintf(c->name, sizeof(c->name), "%s", name);

        if (!isempty(slug)) {
                const Instance *i = instance_find(m, slug);

                if (!i)
                        return error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE,
                                        "There is no instance '%s'. See: ccpctl list", TEXT_FOR_ERROR(slug));
                memcpy(c->instance, i->record->id, sizeof(c->instance));
        }
        return 0;
}

static int check_role(RoleChange *c, const char *role, Error *reterr) {
        c->role = role_from_string(role);
        if (c->role < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is no role '%s', only: admin, operator, viewer, client.",
                                TEXT_FOR_ERROR(role));
        if (c->role == ROLE_CLIENT && isempty(c->instance))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A client is the client of an instance: name it. Who may look at everything "
                                "is a viewer.");
        return 0;
}

static int method_change_role(sd_bus_message *message, Manager *m, bool grant, sd_bus_error *reterr) {
        _cleanup_free_ RoleChange *c = NULL;
        _cleanup_error_ Error e = {};
        const char *role = NULL;
        int r;

        c = new0(RoleChange, 1);
        if (!c)
                return -ENOMEM;
        c->role = _ROLE_INVALID;

        r = grant ? sd_bus_message_read(message, "s", &role) : 0;
        if (r < 0)
                return r;
        r = read_change(message, m, c, &e);
        if (r >= 0 && grant)
                r = check_role(c, role, &e);
        if (r >= 0)
                r = manager_check_store(m, &e);
        if (r < 0)
                return error_is_set(&e) ? bus_error_move(reterr, &e) : r;

        c->operation = operation_new(m, message);
        if (!c->operation)
                return -ENOMEM;

        /* To revoke, the name is enough: its number may be gone. */
        if (!grant) {
                role_change_submit(c, 0);
                return 1;
        }

        r = user_lookup_id(access_user_lookup(m->access), c->subject, c->name, on_id, c);
        if (r < 0) {
                (void) error_set_errnof(&e, r, "Cannot look up '%s': %m", TEXT_FOR_ERROR(c->name));
                operation_fail(c->operation, &e);
                return 1;
        }

        TAKE_PTR(c);
        return 1;
}

int method_grant_role(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return method_change_role(message, userdata, /* grant= */ true, reterr);
}

int method_revoke_role(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        return method_change_role(message, userdata, /* grant= */ false, reterr);
}

int method_list_roles(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        const RoleRecords *roles;
        int r;

        r = manager_check_loaded(m, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        r = sd_bus_message_new_method_return(message, &reply);
        if (r < 0)
                return r;
        r = sd_bus_message_open_container(reply, 'a', "(sssssts)");
        if (r < 0)
                return r;
        roles = access_roles(m->access);
        for (size_t k = 0; roles && k < roles->n; k++) {
                const RoleRecord *g = roles->items[k];
                char id[sizeof("4294967295")];

                (void) snprintf(id, sizeof(id), "%u", (unsigned) g->grant.id);
                r = sd_bus_message_append(reply, "(sssssts)", role_to_string(g->grant.role),
                                subject_kind_to_string(g->grant.subject), g->name, id, strempty(g->slug),
                                g->granted_at, g->granted_by);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(reply);
        if (r < 0)
                return r;
        return sd_bus_message_send(reply);
}
