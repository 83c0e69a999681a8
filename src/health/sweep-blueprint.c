/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "sweep-blueprint.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "context.h"
#include "fd-util.h"
#include "fs-util.h"
#include "parameters.h"
#include "string-util.h"
#include "template.h"
#include "validate.h"

typedef struct Entry {
        char *name; /* of the blueprint; of a copy: the slug */
        bool is_copy;
        Blueprint *blueprint; /* NULL: can't be read */
} Entry;

struct SweepBlueprints {
        char *const *templates;
        const char *instances_dir;
        Entry *entries;
        size_t n, n_allocated;
};

int sweep_blueprints_new(char *const *templates, const char *instances_dir, SweepBlueprints **ret) {
        SweepBlueprints *b;

        b = new0(SweepBlueprints, 1);
        if (!b)
                return -ENOMEM;

        b->templates = templates;
        b->instances_dir = instances_dir ?: CCP_INSTANCES_DIR;
        *ret = b;
        return 0;
}

SweepBlueprints *sweep_blueprints_free(SweepBlueprints *b) {
        if (!b)
                return NULL;

        FOREACH_ARRAY(e, b->entries, b->n) {
                free(e->name);
                blueprint_free(e->blueprint);
        }
        free(b->entries);
        return mfree(b);
}

static Blueprint *load_copy(const SweepBlueprints *b, const InstanceRecord *i) {
        char path[STRLEN("/" CCP_REVISIONS_FOLDER "/4294967295/" BLUEPRINT_COPY_FILE) + SLUG_MAX + 1];
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        Blueprint *copy = NULL;
        size_t size;

        (void) snprintf(path, sizeof(path), "%s/" CCP_REVISIONS_FOLDER "/%" PRIu32 "/" BLUEPRINT_COPY_FILE,
                        i->slug, i->revision);
        fd = open(b->instances_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || read_file_beneath(fd, path, BLUEPRINT_FILE_SIZE_MAX, &text, &size) < 0)
                return NULL;

        return blueprint_parse(path, text, size, &copy, NULL, NULL) < 0 ? NULL : copy;
}

static const Blueprint *find(SweepBlueprints *b, const InstanceRecord *i, bool copy) {
        const char *name = copy ? i->slug : i->blueprint;
        Blueprint *loaded = NULL;
        Entry *e;

        FOREACH_ARRAY(known, b->entries, b->n)
                if (known->is_copy == copy && streq(known->name, name))
                        return known->blueprint;

        if (!GREEDY_REALLOC(b->entries, b->n_allocated, b->n + 1))
                return NULL;
        e = b->entries + b->n;
        *e = (Entry) { .name = strdup(name), .is_copy = copy };
        if (!e->name)
                return NULL;

        if (copy)
                loaded = load_copy(b, i);
        else if (blueprint_load_by_name(b->templates, name, &loaded, NULL) < 0)
                loaded = NULL;
        e->blueprint = loaded;
        b->n++;
        return loaded;
}

const Blueprint *sweep_blueprints_find(SweepBlueprints *b, const InstanceRecord *i) {
        const Blueprint *installed = find(b, i, /* copy= */ false);

        if (installed && streq(installed->version, i->blueprint_version))
                return installed;

        return find(b, i, /* copy= */ true) ?: installed;
}

/* As they were recorded, and the defaults of the others; those that are secrets are left out. */
static int build_parameters(const Blueprint *b, const InstanceRecord *i, json_t *ret) {
        FOREACH_ARRAY(p, b->parameters, b->n_parameters) {
                json_t *recorded = json_object_get(i->parameters, p->name), *value = NULL;

                if (p->secret)
                        continue;
                if (recorded && !json_is_string(recorded))
                        value = json_incref(recorded);
                else if (recorded || p->fallback)
                        (void) parameter_parse_value(
                                        p, json_string_value(recorded) ?: p->fallback, &value, NULL);
                if (value && json_object_set_new(ret, p->name, value) < 0)
                        return -ENOMEM;
        }

        return 0;
}

static int make_context(const Blueprint *b, const InstanceRecord *i, json_t **ret) {
        _cleanup_json_ json_t *parameters = json_object(), *features = json_object(), *ports = json_object(),
                              *secrets = json_object();
        _cleanup_free_ char *directory = strjoin(CCP_INSTANCES_DIR "/", i->slug);
        int r = 0;

        if (!parameters || !secrets || !directory)
                return -ENOMEM;
        FOREACH_ARRAY(f, b->features, b->n_features)
                r |= json_object_set_new(
                                features, f->name, json_boolean(strv_contains(i->features, f->name)));
        FOREACH_ARRAY(p, i->ports, i->n_ports)
                r |= json_object_set_new(ports, p->name, json_integer(p->number));
        if (r < 0)
                return -ENOMEM;

        r = build_parameters(b, i, parameters);
        if (r < 0)
                return r;

        return context_make(
                        &(ContextInput) {
                                        .blueprint = b,
                                        .id = i->id,
                                        .slug = i->slug,
                                        .name = i->name,
                                        .domain = strempty(i->domain),
                                        .revision = i->revision,
                                        .directory = directory,
                                        .bind = i->bind_address,
                                        .subnet = &i->subnet,
                                        .ports = ports,
                                        .secrets = secrets,
                                        .parameters = parameters,
                                        .features = features,
                        },
                        ret);
}

int sweep_render_host(
                const Blueprint *b, const InstanceRecord *i, const char *host, char **ret, Error *reterr) {
        const TemplateOptions options = { .format = TEMPLATE_TEXT };
        const TemplateEnvironment env = { .strict = true };
        _cleanup_json_ json_t *context = NULL;
        _cleanup_template_ Template *t = NULL;
        int r;

        r = template_parse("health.host", host, strlen(host), &options, &t, reterr);
        if (r < 0)
                return r;
        r = make_context(b, i, &context);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot make the values for a template: %m");

        return template_render(t, context, &env, ret, NULL, reterr);
}
