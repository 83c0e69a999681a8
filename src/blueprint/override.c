/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "override.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "slice.h"
#include "string-util.h"
#include "validate.h"
#include "yaml-write.h"

#define NETWORKS_MAX 16U

#define COMMENT                                                                                            \
        "Written by ccpd for each revision; changes are lost. It adds the labels, the log driver, the\n"   \
        "slice, the restart policy, the limits and the subnet of the instance to the compose file beside " \
        "it."

/* Sets a key of an object to a new value, which may be NULL when out of memory. */
static int set_new(json_t *object, const char *key, json_t *value) {
        return json_object_set_new(object, key, value) < 0 ? -ENOMEM : 0;
}

static int make_labels(const OverrideInput *input, const char *service, json_t **ret) {
        _cleanup_json_ json_t *labels = NULL;
        char revision[STRLEN("18446744073709551615") + 1];
        int r;

        labels = json_object();
        if (!labels)
                return -ENOMEM;

        (void) snprintf(revision, sizeof(revision), "%" PRIu64, input->revision);

        r = set_new(labels, CCP_LABEL_INSTANCE, json_string(input->slug));
        if (r < 0)
                return r;

        r = set_new(labels, CCP_LABEL_ID, json_string(input->id));
        if (r < 0)
                return r;

        /* What outlives a revision does not bear its number: compose would make it anew for each. */
        if (service) {
                r = set_new(labels, CCP_LABEL_REVISION, json_string(revision));
                if (r < 0)
                        return r;

                r = set_new(labels, CCP_LABEL_SERVICE, json_string(service));
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(labels);
        return 0;
}

static int make_logging(const OverrideInput *input, const char *service, json_t **ret) {
        _cleanup_free_ char *tag = NULL;
        json_t *logging;

        tag = strjoin("ccp-", input->slug, "/", service);
        if (!tag)
                return -ENOMEM;

        logging = json_pack("{s:s, s:{s:s, s:s}}", "driver", "journald", "options", "labels",
                        CCP_LABEL_INSTANCE "," CCP_LABEL_SERVICE "," CCP_LABEL_ID, "tag", tag);
        if (!logging)
                return -ENOMEM;

        *ret = logging;
        return 0;
}

/* Docker starts again what crashed, without any help; but nothing at its own start, since then ccpd does, in stages. Of
 * its policies "unless-stopped" alone never starts what was stopped: "on-failure" does so, when the Engine starts, for
 * what ended with another status than 0, as most do by a signal (seen with 26.1). That it starts nothing else then is
 * ccp-gate's work. */
static const char *choose_restart(const char *name, const json_t *service, const Blueprint *blueprint) {
        const BlueprintService *s = blueprint ? blueprint_find_service(blueprint, name) : NULL;
        const char *own = json_object_get_string(service, "restart");

        if (s && s->kind == SERVICE_KIND_ONESHOT)
                return "no";
        return own && streq(own, "no") ? "no" : "unless-stopped";
}

/* A quantity of the resolved file: a number, or a number as text. 0 if it is not there. */
static double read_quantity(const json_t *value) {
        double number;
        char *end;

        if (json_is_number(value))
                return json_number_value(value);
        if (!json_is_string(value))
                return 0;

        number = strtod(json_string_value(value), &end);
        return *end ? 0 : number;
}

/* Compose wants a size as text. */
static json_t *make_text(double value) {
        return json_sprintf("%.0f", value);
}

static json_t *make_integer(double value) {
        return json_integer((json_int_t) value);
}

/* Compose refuses a limit that is there both as a key of the service and below deploy.resources.limits with
 * another value. So ours goes where the service has limits already. */
static int add_limits(json_t *target, const json_t *service, const ResourceLimits *limits) {
        const json_t *deploy = json_object_get_typed(
                        json_object_get(json_object_get(service, "deploy"), "resources"), "limits",
                        JSON_OBJECT);
        const struct {
                const char *key, *deploy_key;
                double limit;
                json_t *(*make)(double value);
        } rows[] = {
                { "mem_limit", "memory", (double) limits->memory, make_text },
                { "cpus", "cpus", (double) limits->cpus / 1000, json_real },
                { "pids_limit", "pids", (double) limits->pids, make_integer },
        };
        _cleanup_json_ json_t *lower = NULL;
        int r;

        lower = json_object();
        if (!lower)
                return -ENOMEM;

        FOREACH_ARRAY(row, rows, ELEMENTSOF(rows)) {
                double own = read_quantity(deploy ? json_object_get(deploy, row->deploy_key)
                                                  : json_object_get(service, row->key));

                /* A negative one means "without limit". */
                if (row->limit <= 0 || (own > 0 && own <= row->limit))
                        continue;

                r = set_new(lower, deploy ? row->deploy_key : row->key, row->make(row->limit));
                if (r < 0)
                        return r;
        }

        if (!deploy)
                return json_object_update(target, lower) < 0 ? -ENOMEM : 0;
        if (json_object_size(lower) == 0)
                return 0;

        return set_new(target, "deploy", json_pack("{s:{s:O}}", "resources", "limits", lower));
}

static int make_service(const char *name, const json_t *service, const OverrideInput *input,
                const char *slice, json_t **ret) {
        _cleanup_json_ json_t *result = NULL;
        json_t *value;
        int r;

        result = json_object();
        if (!result)
                return -ENOMEM;

        r = make_labels(input, name, &value);
        if (r < 0)
                return r;

        r = set_new(result, "labels", value);
        if (r < 0)
                return r;

        r = make_logging(input, name, &value);
        if (r < 0)
                return r;

        r = set_new(result, "logging", value);
        if (r < 0)
                return r;

        r = set_new(result, "cgroup_parent", json_string(slice));
        if (r < 0)
                return r;

        r = set_new(result, "restart", json_string(choose_restart(name, service, input->blueprint)));
        if (r < 0)
                return r;

        if (input->limits) {
                r = add_limits(result, service, input->limits);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(result);
        return 0;
}

static int make_services(const json_t *config, const OverrideInput *input, json_t **ret) {
        _cleanup_json_ json_t *services = NULL;
        _cleanup_free_ char *slice = NULL;
        const char *name;
        json_t *service;
        int r;

        r = slice_from_slug(input->slug, &slice);
        if (r < 0)
                return r;

        services = json_object();
        if (!services)
                return -ENOMEM;

        json_object_foreach(json_object_get(config, "services"), name, service) {
                json_t *value;

                /* The policy has refused others; such a name could be more than a name in the file. */
                if (!service_name_is_valid(name))
                        return -EINVAL;

                r = make_service(name, service, input, slice, &value);
                if (r < 0)
                        return r;

                r = set_new(services, name, value);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(services);
        return 0;
}

/* A network that is ours to give a subnet to: a bridge of this project. */
static bool is_own_bridge(const json_t *network) {
        const char *driver = json_object_get_string(network, "driver");

        return !json_is_true(json_object_get(network, "external")) && (!driver || streq(driver, "bridge"));
}

static const char *declared_subnet(const json_t *network) {
        const json_t *config = json_object_get(json_object_get(network, "ipam"), "config");

        return json_object_get_string(json_array_get(config, 0), "subnet");
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

typedef struct NetworkPlan {
        const char *names[NETWORKS_MAX]; /* that need a part of the subnet */
        size_t n_names;
        Subnet taken[NETWORKS_MAX * 2]; /* declared in the compose file, or given out */
        size_t n_taken;
        uint8_t prefix;
} NetworkPlan;

static int plan_networks(
                const json_t *networks, const OverrideInput *input, NetworkPlan *ret, Error *reterr) {
        NetworkPlan plan = { .prefix = input->subnet->prefix };
        const char *name;
        json_t *network;

        json_object_foreach((json_t *) networks, name, network) {
                const char *declared = declared_subnet(network);

                if (!is_own_bridge(network))
                        continue;
                if (plan.n_names + plan.n_taken >= NETWORKS_MAX)
                        return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                        "The compose file has more than %u networks.", NETWORKS_MAX);

                if (!declared)
                        plan.names[plan.n_names++] = name;
                else if (subnet_parse(declared, plan.taken + plan.n_taken) >= 0)
                        plan.n_taken++;
        }

        for (size_t n = 1; n < plan.n_names + plan.n_taken; n *= 2)
                plan.prefix++;

        qsort(plan.names, plan.n_names, sizeof(plan.names[0]), compare_names);
        *ret = plan;
        return 0;
}

static int add_subnet(json_t *network, const char *name, const OverrideInput *input, NetworkPlan *plan,
                Error *reterr) {
        char text[SUBNET_TEXT_MAX], gateway[SUBNET_TEXT_MAX];
        Subnet subnet;
        int r;

        r = plan->prefix > MAX((uint8_t) NETWORK_PREFIX_MAX, input->subnet->prefix)
                        ? -EADDRNOTAVAIL
                        : subnet_find_free(input->subnet, plan->prefix, plan->taken, plan->n_taken, &subnet);
        if (r < 0)
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                "The subnet %s has no room for the network %s: the compose file has too "
                                "many "
                                "networks, at most four fit in a /26.",
                                SUBNET_FORMAT(input->subnet), name);

        plan->taken[plan->n_taken++] = subnet;
        return set_new(network, "ipam",
                        json_pack("{s:[{s:s, s:s}]}", "config", "subnet",
                                        subnet_format(text, sizeof(text), &subnet), "gateway",
                                        subnet_format_gateway(gateway, sizeof(gateway), &subnet)));
}

/* Networks or volumes with labels; what is external belongs to somebody else. */
static int make_labelled(const json_t *objects, const OverrideInput *input, json_t **ret) {
        _cleanup_json_ json_t *result = NULL;
        const char *name;
        json_t *object;
        int r;

        result = json_object();
        if (!result)
                return -ENOMEM;

        json_object_foreach((json_t *) objects, name, object) {
                json_t *labels;

                if (json_is_true(json_object_get(object, "external")))
                        continue;

                r = make_labels(input, NULL, &labels);
                if (r < 0)
                        return r;

                r = set_new(result, name, json_pack("{s:o}", "labels", labels));
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(result);
        return 0;
}

static int make_networks(const json_t *config, const OverrideInput *input, json_t **ret, Error *reterr) {
        const json_t *networks = json_object_get(config, "networks");
        _cleanup_json_ json_t *result = NULL;
        NetworkPlan plan = {};
        int r;

        r = make_labelled(networks, input, &result);
        if (r < 0)
                return r;

        r = plan_networks(networks, input, &plan, reterr);
        if (r < 0)
                return r;

        for (size_t i = 0; i < plan.n_names; i++) {
                r = add_subnet(json_object_get(result, plan.names[i]), plan.names[i], input, &plan, reterr);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(result);
        return 0;
}

static int make_volumes(const json_t *config, const OverrideInput *input, json_t **ret) {
        _cleanup_json_ json_t *result = NULL;
        const char *key;
        json_t *called;
        int r;

        r = make_labelled(json_object_get(config, "volumes"), input, &result);
        if (r < 0)
                return r;
        json_object_foreach((json_t *) input->volumes, key, called) {
                json_t *made = json_object_get(result, key);

                if (made && json_object_set(made, "name", called) < 0)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(result);
        return 0;
}

static int set_unless_empty(json_t *object, const char *key, json_t *value) {
        if (json_object_size(value) > 0)
                return set_new(object, key, value);

        json_decref(value);
        return 0;
}

int override_make(const json_t *config, const OverrideInput *input, char **ret, Error *reterr) {
        _cleanup_json_ json_t *root = NULL;
        json_t *value;
        int r;

        root = json_object();
        if (!root)
                return -ENOMEM;

        r = make_services(config, input, &value);
        if (r < 0)
                return r;

        r = set_unless_empty(root, "services", value);
        if (r < 0)
                return r;

        r = make_networks(config, input, &value, reterr);
        if (r < 0)
                return r;

        r = set_unless_empty(root, "networks", value);
        if (r < 0)
                return r;

        r = make_volumes(config, input, &value);
        if (r < 0)
                return r;

        r = set_unless_empty(root, "volumes", value);
        if (r < 0)
                return r;

        return yaml_from_json(root, COMMENT, ret);
}
