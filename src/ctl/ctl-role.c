/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "ctl.h"
#include "polkit-agent.h"
#include "role.h"
#include "string-util.h"

static char *format_instance(const json_t *row, Color *ret_color) {
        const char *slug = json_get_text(row, "instance");

        if (!isempty(slug))
                return strdup(slug);

        *ret_color = COLOR_BOLD;
        return strdup("(fleet)");
}

static char *format_granted(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_AGO(json_get_number(row, "granted_at")));
}

static const ListColumn role_columns[] = {
        { { "ROLE" }, "role" },
        { { "KIND" }, "kind" },
        { { "NAME", 1 }, "name" },
        { { "ID", .right = true }, "id" },
        { { "INSTANCE", 1 }, "instance", format_instance },
        { { "GRANTED", 2 }, "granted_at", format_granted },
        { { "BY", 2 }, "granted_by" },
};

static void remove_other_instances(json_t *rows, const char *slug) {
        for (size_t i = json_array_size(rows); i-- > 0;)
                if (!streq(json_get_text(json_array_get(rows, i), "instance"), slug))
                        (void) json_array_remove(rows, i);
}

int verb_role_list(Ctl *c, _unused_ char **args, Error *reterr) {
        const char *slug = c->arguments.values[OPTION_INSTANCE];
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *rows = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        polkit_agent_open(c);
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ListRoles", &reply, reterr, NULL);
        if (r < 0)
                return r;
        r = json_from_rows(reply, CCP_INTERFACE_MANAGER, "ListRoles", &rows);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        if (slug) {
                remove_other_instances(rows, slug);
                /* An instance without roles is told from one that is not there. */
                if (json_array_size(rows) == 0) {
                        r = ctl_look_up(c, "GetInstance", slug, &path, reterr);
                        if (r < 0)
                                return r;
                }
        }

        return ctl_print_list(c, rows, role_columns, ELEMENTSOF(role_columns), "role");
}

/* Who gets a role, or loses it. */
typedef struct Grantee {
        SubjectKind kind;
        const char *name, *instance; /* instance: "" for the fleet */
} Grantee;

static int grantee_from_arguments(const Ctl *c, Grantee *ret, Error *reterr) {
        const char *const *values = c->arguments.values;
        const char *user = values[OPTION_USER], *group = values[OPTION_GROUP];

        if (!user == !group)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "%s: say --user=USER or --group=GROUP.",
                                user ? "A role is granted to a user or to a group, not to both at once"
                                     : "Whose role");

        *ret = (Grantee) {
                .kind = user ? SUBJECT_USER : SUBJECT_GROUP,
                .name = user ?: group,
                .instance = strempty(values[OPTION_INSTANCE]),
        };
        return 0;
}

static int check_role(const char *name, const Grantee *g, Error *reterr) {
        Role role = role_from_string(name);

        if (role < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is no role '%s', only: admin, operator, viewer, client.", name);
        if (role == ROLE_CLIENT && isempty(g->instance))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The role client is for one instance: say --instance=SLUG.");

        return 0;
}

int verb_role_grant(Ctl *c, char **args, Error *reterr) {
        Grantee g = {};
        int r;

        r = grantee_from_arguments(c, &g, reterr);
        if (r < 0)
                return r;
        r = check_role(args[0], &g, reterr);
        if (r < 0)
                return r;

        polkit_agent_open(c);
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "GrantRole", NULL, reterr, "ssssa{sv}", args[0],
                        subject_kind_to_string(g.kind), g.name, g.instance, 0);
        if (r < 0)
                return r;

        ctl_say(c, "The %s %s is %s of %s now.\n", subject_kind_to_string(g.kind), g.name, args[0],
                        isempty(g.instance) ? "the fleet" : g.instance);
        return EXIT_DONE;
}

int verb_role_revoke(Ctl *c, _unused_ char **args, Error *reterr) {
        Grantee g = {};
        int r;

        r = grantee_from_arguments(c, &g, reterr);
        if (r < 0)
                return r;

        polkit_agent_open(c);
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "RevokeRole", NULL, reterr, "sssa{sv}",
                        subject_kind_to_string(g.kind), g.name, g.instance, 0);
        if (r < 0)
                return r;

        ctl_say(c, "The %s %s has no role for %s any more.\n", subject_kind_to_string(g.kind), g.name,
                        isempty(g.instance) ? "the fleet" : g.instance);
        return EXIT_DONE;
}
