/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-blueprint-bus.h"

#include <errno.h>

#include "alloc-util.h"
#include "bus-append.h"
#include "ccpd-access.h"
#include "ccpd-manager.h"
#include "string-util.h"

#define GETTER(name)                                                                                     \
        static int name(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface, \
                        _unused_ const char *property, sd_bus_message *reply, void *userdata,            \
                        _unused_ sd_bus_error *reterr)

GETTER(get_string) {
        static const struct {
                const char *property;
                size_t offset;
        } strings[] = {
                { "Name", offsetof(Blueprint, name) },
                { "Title", offsetof(Blueprint, title) },
                { "Version", offsetof(Blueprint, version) },
                { "Description", offsetof(Blueprint, description) },
                { "Folder", offsetof(Blueprint, folder) },
                { "Engine", offsetof(Blueprint, engine) },
        };

        FOREACH_ARRAY(s, strings, ELEMENTSOF(strings))
                if (streq(s->property, property))
                        return sd_bus_message_append(
                                        reply, "s", strempty(*(char **) ((char *) userdata + s->offset)));

        return -ENXIO;
}

static int append_parameter(sd_bus_message *reply, const BlueprintParameter *p) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r < 0)
                return r;
        r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "name", "s", p->name,
                        "type", "s", parameter_type_to_string(p->type), "group", "s",
                        parameter_group_to_string(p->group), "title", "s", strempty(p->title), "help", "s",
                        strempty(p->help), "default", "s", strempty(p->fallback), "pattern", "s",
                        strempty(p->pattern), "required", "b", (int) p->required, "secret", "b",
                        (int) p->secret);
        if (r < 0)
                return r;
        r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}", "minimum", "x", p->minimum, "maximum", "x",
                        p->maximum, "max_length", "t", p->max_length, "multiline", "b", (int) p->multiline);
        if (r < 0)
                return r;
        r = bus_append_entry_strv(reply, "values", p->values);
        if (r < 0)
                return r;
        return sd_bus_message_close_container(reply);
}

GETTER(get_parameters) {
        const Blueprint *b = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        if (r < 0)
                return r;
        FOREACH_ARRAY(p, b->parameters, b->n_parameters) {
                r = append_parameter(reply, p);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

GETTER(get_features) {
        const Blueprint *b = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sssb)");
        if (r < 0)
                return r;
        FOREACH_ARRAY(f, b->features, b->n_features) {
                r = sd_bus_message_append(reply, "(sssb)", f->name, strempty(f->title), strempty(f->help),
                                (int) f->fallback);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

GETTER(get_ports) {
        const Blueprint *b = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(ss)");
        if (r < 0)
                return r;
        FOREACH_ARRAY(p, b->ports, b->n_ports) {
                r = sd_bus_message_append(reply, "(ss)", p->name, p->range);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

GETTER(get_secret_names) {
        const Blueprint *b = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        if (r < 0)
                return r;
        FOREACH_ARRAY(s, b->secrets, b->n_secrets) {
                r = sd_bus_message_append(reply, "s", s->name);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

GETTER(get_services) {
        const Blueprint *b = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "(sss)");
        if (r < 0)
                return r;
        FOREACH_ARRAY(s, b->services, b->n_services) {
                r = sd_bus_message_append(reply, "(sss)", s->name, service_kind_to_string(s->kind),
                                service_stage_to_string(s->stage));
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

GETTER(get_files) {
        const Blueprint *b = userdata;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        if (r < 0)
                return r;
        FOREACH_ARRAY(f, b->files, b->n_files) {
                r = sd_bus_message_append(reply, "s", f->target);
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

const sd_bus_vtable blueprint_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Name", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Title", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Version", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Description", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Folder", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Engine", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Parameters", "aa{sv}", get_parameters, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Features", "a(sssb)", get_features, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Ports", "a(ss)", get_ports, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("SecretNames", "as", get_secret_names, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Services", "a(sss)", get_services, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Files", "as", get_files, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_VTABLE_END,
};

int blueprint_object_find(_unused_ sd_bus *bus, const char *path, _unused_ const char *interface,
                void *userdata, void **ret_found, _unused_ sd_bus_error *reterr) {
        _cleanup_free_ char *name = NULL;
        const Manager *m = userdata;
        const Blueprint *b;

        if (sd_bus_path_decode(path, CCP_PATH_BLUEPRINT, &name) <= 0)
                return 0;

        b = blueprint_cache_find(m->blueprints, name);
        if (!b)
                return 0;

        *ret_found = (void *) b;
        return 1;
}

int blueprint_object_enumerate(_unused_ sd_bus *bus, _unused_ const char *prefix, void *userdata,
                char ***ret_nodes, _unused_ sd_bus_error *reterr) {
        const Manager *m = userdata;
        bool visible = access_sees_fleet(m, access_viewer(m));
        char **nodes;
        size_t n = 0;

        nodes = new0(char *, m->blueprints->n_entries + 1);
        if (!nodes)
                return -ENOMEM;

        FOREACH_ARRAY(e, m->blueprints->entries, m->blueprints->n_entries) {
                if (!e->blueprint || !visible)
                        continue;
                if (sd_bus_path_encode(CCP_PATH_BLUEPRINT, e->name, nodes + n) < 0) {
                        strv_free(nodes);
                        return -ENOMEM;
                }
                n++;
        }

        *ret_nodes = nodes;
        return 0;
}
