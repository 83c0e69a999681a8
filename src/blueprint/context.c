/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "context.h"

#include <errno.h>

#include "parameters.h"
#include "port-range.h"
#include "string-util.h"

#define SAMPLE_SLUG "sample"
#define SAMPLE_ID "00000000-0000-4000-8000-000000000000"
#define SAMPLE_PORT 20000U

/* The array of profiles, and the same joined by commas. */
static int make_profiles(const ContextInput *input, json_t **ret, char **ret_csv) {
        _cleanup_strv_free_ char **profiles = NULL;
        _cleanup_json_ json_t *array = NULL;
        int r;

        r = features_to_profiles(input->blueprint, input->features, &profiles);
        if (r < 0)
                return r;

        array = json_array();
        if (!array)
                return -ENOMEM;
        STRV_FOREACH(profile, profiles)
                if (json_array_append_new(array, json_string(*profile)) < 0)
                        return -ENOMEM;

        *ret_csv = strv_join(profiles, ",");
        if (!*ret_csv)
                return -ENOMEM;

        *ret = TAKE_PTR(array);
        return 0;
}

/* An own reference to a given object, or a new empty one. */
static json_t *ref_or_empty(const json_t *object) {
        return object ? json_incref((json_t *) object) : json_object();
}

int context_make(const ContextInput *input, json_t **ret) {
        const Blueprint *b = input->blueprint;
        _cleanup_json_ json_t *profiles = NULL, *context = NULL;
        _cleanup_free_ char *csv = NULL, *project = NULL;
        int r;

        r = make_profiles(input, &profiles, &csv);
        if (r < 0)
                return r;

        project = strjoin(input->slug, CCP_PROJECT_SUFFIX);
        if (!project)
                return -ENOMEM;

        context = json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s}", "id", input->id,
                        "slug", input->slug, "name", input->name, "domain", input->domain, "project",
                        project, "revision", (json_int_t) input->revision, "directory", input->directory,
                        "bind", input->bind, "subnet", SUBNET_FORMAT(input->subnet), "gateway",
                        SUBNET_FORMAT_GATEWAY(input->subnet), "source", strempty(input->source));
        if (!context)
                return -ENOMEM;

        const struct {
                const char *key;
                json_t *value;
        } rows[] = {
                { "blueprint",
                                json_pack("{s:s, s:s, s:s}", "name", b->name, "version", b->version, "title",
                                                b->title) },
                { "ports", ref_or_empty(input->ports) },
                { "secrets", ref_or_empty(input->secrets) },
                { "parameters", ref_or_empty(input->parameters) },
                { "features", ref_or_empty(input->features) },
                { "profiles", TAKE_PTR(profiles) },
                { "profiles_csv", json_string(csv) },
        };

        /* Each of them is handed over, also after a failure. */
        r = 0;
        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows))
                if (json_object_set_new(context, row->key, row->value) < 0)
                        r = -ENOMEM;
        if (r < 0)
                return r;

        *ret = TAKE_PTR(context);
        return 0;
}

static int sample_parameters(const Blueprint *b, json_t **ret) {
        _cleanup_json_ json_t *parameters = NULL;

        parameters = json_object();
        if (!parameters)
                return -ENOMEM;

        FOREACH_ARRAY(p, b->parameters, b->n_parameters) {
                json_t *value = NULL;

                /* A required one has no value to show; its name will do as text. */
                if (!p->fallback || parameter_parse_value(p, p->fallback, &value, NULL) < 0)
                        value = p->type == PARAMETER_INTEGER ? json_integer(MAX(p->minimum, (int64_t) 0))
                                        : p->type == PARAMETER_BOOLEAN ? json_false()
                                        : p->type == PARAMETER_ENUM    ? json_string(p->values[0])
                                                                       : json_string(p->name);
                if (json_object_set_new(parameters, p->name, value) < 0)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(parameters);
        return 0;
}

int context_make_sample(const Blueprint *b, const json_t *features, json_t **ret) {
        _cleanup_json_ json_t *ports = NULL, *secrets = NULL, *parameters = NULL, *defaults = NULL;
        int r;

        ports = json_object();
        secrets = json_object();
        if (!ports || !secrets)
                return -ENOMEM;

        for (size_t i = 0; i < b->n_ports; i++)
                if (json_object_set_new(ports, b->ports[i].name,
                                    json_integer((json_int_t) (SAMPLE_PORT + i))) < 0)
                        return -ENOMEM;
        FOREACH_ARRAY(s, b->secrets, b->n_secrets)
                if (json_object_set_new(secrets, s->name, json_sprintf("sample-%s", s->name)) < 0)
                        return -ENOMEM;

        r = sample_parameters(b, &parameters);
        if (r < 0)
                return r;

        if (!features) {
                r = features_resolve(b, NULL, &defaults, NULL);
                if (r < 0)
                        return r;
        }

        return context_make(
                        &(const ContextInput) {
                                        .blueprint = b,
                                        .id = SAMPLE_ID,
                                        .slug = SAMPLE_SLUG,
                                        .name = "Sample",
                                        .domain = "sample.example.org",
                                        .revision = 1,
                                        .directory = CCP_INSTANCES_DIR "/" SAMPLE_SLUG,
                                        .source = b->source.path ? CCP_INSTANCES_DIR "/" SAMPLE_SLUG
                                                                                     "/source"
                                                                 : NULL,
                                        .bind = "127.0.0.1",
                                        .subnet = &(const Subnet) { 0x0AC80000, INSTANCE_SUBNET_PREFIX },
                                        .ports = ports,
                                        .secrets = secrets,
                                        .parameters = parameters,
                                        .features = features ?: defaults,
                        },
                        ret);
}
