/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ctl.h"
#include "string-util.h"

static const ListColumn blueprint_columns[] = {
        { { "NAME" }, "name" },
        { { "VERSION" }, "version" },
        { { "TITLE", 2 }, "title" },
        { { "FOLDER", 3 }, "folder" },
};

int verb_blueprint_list(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *rows = NULL;
        int r;

        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ListBlueprints", &reply, reterr, NULL);
        if (r < 0)
                return r;
        r = json_from_rows(reply, CCP_INTERFACE_MANAGER, "ListBlueprints", &rows);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        return ctl_print_list(c, rows, blueprint_columns, ELEMENTSOF(blueprint_columns), "blueprint");
}

static char *format_default(const json_t *row, _unused_ Color *ret_color) {
        const json_t *v = json_object_get(row, "default");

        if (json_is_true(json_object_get(row, "secret")))
                return strdup("(secret)");
        if (json_is_true(json_object_get(row, "required")))
                return strdup("(required)");

        return v ? json_to_text(v) : strdup("");
}

static const ListColumn parameter_columns[] = {
        { { "PARAMETER" }, "name" },
        { { "TYPE" }, "type" },
        { { "DEFAULT", 2 }, "default", format_default },
        { { "GROUP" }, "group" },
        { { "HELP", 3 }, "help" },
};

static const ListColumn feature_columns[] = {
        { { "FEATURE" }, "name" },
        { { "DEFAULT" }, "default" },
        { { "TITLE", 1 }, "title" },
        { { "HELP", 3 }, "help" },
};

static const ListColumn port_columns[] = {
        { { "PORT" }, "name" },
        { { "RANGE" }, "range" },
};

static const ListColumn service_columns[] = {
        { { "SERVICE" }, "service" },
        { { "KIND" }, "kind" },
        { { "STAGE" }, "stage" },
};

static const struct {
        const char *key;
        const ListColumn *columns;
        size_t n_columns;
} tables[] = {
        { "parameters", parameter_columns, ELEMENTSOF(parameter_columns) },
        { "features", feature_columns, ELEMENTSOF(feature_columns) },
        { "ports", port_columns, ELEMENTSOF(port_columns) },
        { "services", service_columns, ELEMENTSOF(service_columns) },
};

int verb_blueprint_show(Ctl *c, char **args, Error *reterr) {
        _cleanup_json_ json_t *b = NULL;
        _cleanup_free_ char *path = NULL, *secrets = NULL, *files = NULL;
        int r;

        r = ctl_look_up(c, "GetBlueprint", args[0], &path, reterr);
        if (r < 0)
                return r;
        r = ctl_get_all(c, path, CCP_INTERFACE_BLUEPRINT, &b, reterr);
        if (r < 0)
                return r;
        if (ctl_prints_json(c))
                return ctl_print_json(c, b);

        ctl_open_pager(c);
        secrets = json_object_get(b, "secret_names") ? json_to_text(json_object_get(b, "secret_names"))
                                                     : NULL;
        files = json_object_get(b, "files") ? json_to_text(json_object_get(b, "files")) : NULL;
        (void) printf("%s %s - ", json_get_text(b, "name"), json_get_text(b, "version"));
        (void) printf("%s\n", json_get_text(b, "title"));
        print_field("Description", json_get_text(b, "description"));
        print_field("Folder", json_get_text(b, "folder"));
        print_field("Files", files);
        print_field("Secrets", secrets);

        for (size_t i = 0; i < ELEMENTSOF(tables); i++) {
                const json_t *rows = json_object_get(b, tables[i].key);

                if (json_array_size(rows) == 0)
                        continue;
                (void) putchar('\n');
                r = ctl_print_table(c, rows, tables[i].columns, tables[i].n_columns);
                if (r < 0)
                        return r;
        }

        return EXIT_DONE;
}
