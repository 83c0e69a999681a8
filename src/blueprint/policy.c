/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "policy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "path.h"
#include "policy-check.h"
#include "validate.h"

/* Sentences in one error */
#define ERROR_SENTENCES_MAX 5U
#define NAME_IN_PATH_MAX 64U

void policy_violations_done(PolicyViolations *violations) {
        FOREACH_ARRAY(v, violations->items, violations->n) {
                free(v->service);
                free(v->path);
                free(v->message);
        }
        free(violations->items);
        *violations = (PolicyViolations) {};
}

/* Appends a violation; takes message over. */
static int add_violation(PolicyViolations *violations, PolicyRule rule, const char *service,
                const char *path, char *message) {
        _cleanup_free_ char *m = message, *s = NULL, *p = NULL;

        if (service) {
                s = strdup(service);
                if (!s)
                        return -ENOMEM;
        }
        p = strdup(path);
        if (!p || !GREEDY_REALLOC(violations->items, violations->n_allocated, violations->n + 1))
                return -ENOMEM;

        violations->items[violations->n++] = (PolicyViolation) {
                .rule = rule,
                .service = TAKE_PTR(s),
                .path = TAKE_PTR(p),
                .message = TAKE_PTR(m),
        };
        return 0;
}

int report(PolicyCheck *c, PolicyRule rule, const char *format, ...) {
        va_list ap;
        char *message;
        int n;

        if ((c->input->allowed & POLICY_RULE_BIT(rule)) || c->violations->n >= POLICY_VIOLATIONS_MAX)
                return 0;

        va_start(ap, format);
        n = vasprintf(&message, format, ap);
        va_end(ap);
        if (n < 0)
                return -ENOMEM;
        if (c->path.failed) {
                free(message);
                return -ENOMEM;
        }

        return add_violation(c->violations, rule, c->service, strempty(c->path.data), message);
}

size_t path_push_key(PolicyCheck *c, const char *key) {
        size_t size = c->path.size;

        string_builder_appendf(&c->path, "%s%s", size > 0 ? "." : "", TEXT_FOR_ERROR(key));
        return size;
}

size_t path_push_index(PolicyCheck *c, size_t i) {
        size_t size = c->path.size;

        string_builder_appendf(&c->path, "[%zu]", i);
        return size;
}

void path_pop(PolicyCheck *c, size_t size) {
        if (c->path.failed)
                return;

        c->path.size = size;
        c->path.data[size] = 0;
}

static bool is_empty(const json_t *value) {
        switch (json_typeof(value)) {
        case JSON_NULL:
        case JSON_FALSE:
                return true;
        case JSON_STRING:
                return json_string_length(value) == 0;
        case JSON_ARRAY:
                return json_array_size(value) == 0;
        case JSON_OBJECT:
                return json_object_size(value) == 0;
        default:
                return false;
        }
}

static int report_type(PolicyCheck *c, const char *expected) {
        return report(c, POLICY_UNKNOWN_KEY, "This is not %s, as was expected.", expected);
}

int check_keys(PolicyCheck *c, const KeyRule *keys, const json_t *mapping) {
        const char *key;
        json_t *value;
        int r = 0;

        if (json_is_null(mapping))
                return 0;
        if (!json_is_object(mapping))
                return report_type(c, "a mapping");

        json_object_foreach((json_t *) mapping, key, value) {
                const KeyRule *rule = keys;
                size_t size;

                size = path_push_key(c, key);
                while (rule->key && !streq(rule->key, key))
                        rule++;

                if (rule->check)
                        r = rule->check(c, rule, value);
                else if (!rule->key && !startswith(key, "x-"))
                        r = report(c, POLICY_UNKNOWN_KEY,
                                        "This key is not known to be harmless; remove it.");
                path_pop(c, size);
                if (r < 0)
                        return r;
        }

        return 0;
}

int check_mapping(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        return check_keys(c, rule->keys, value);
}

int check_list_of_mappings(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        json_t *item;
        size_t i;

        if (json_is_null(value))
                return 0;
        if (!json_is_array(value))
                return report_type(c, "a list");

        json_array_foreach(value, i, item) {
                size_t size;
                int r;

                size = path_push_index(c, i);
                r = check_keys(c, rule->keys, item);
                path_pop(c, size);
                if (r < 0)
                        return r;
        }

        return 0;
}

int check_map_of_mappings(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        const char *key;
        json_t *item;

        if (json_is_null(value))
                return 0;
        if (!json_is_object(value))
                return report_type(c, "a mapping");

        json_object_foreach((json_t *) value, key, item) {
                size_t size;
                int r;

                size = path_push_key(c, key);
                r = check_keys(c, rule->keys, item);
                path_pop(c, size);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* Why each rule that refuses a key outright does so. */
static const char *const refusals[_POLICY_RULE_MAX] = {
        [POLICY_PRIVILEGED] = "A privileged container or build owns the host.",
        [POLICY_DEVICES] = "Devices of the host are not given to instances.",
        [POLICY_DOCKER_SOCKET] = "Who reaches the engine's socket owns the host.",
        [POLICY_CONTAINER_NAME] =
                        ("Names of containers are chosen by compose, so that instances don't collide; "
                         "remove this."),
        [POLICY_CGROUP_PARENT] = "The slice of the containers is chosen by ccpd; remove this.",
        [POLICY_RUNTIME] = "Another container runtime is not allowed.",
        [POLICY_SYSCTLS] = "Kernel settings are not changed for instances.",
        [POLICY_VOLUMES_FROM] = "Volumes are not taken from other containers; name the volumes themselves.",
        [POLICY_EXTERNAL_NETWORK] = "A network from outside of the instance would join it with others.",
        [POLICY_EXTERNAL_VOLUME] = "A volume from outside of the instance is another one's data.",
        [POLICY_VOLUME_DRIVER_OPTS] = "Options of a volume's driver can mount any folder of the host.",
        [POLICY_LOGGING] = "Logs go to the journal, where ccpd looks for them; remove this.",
        [POLICY_HOST_USERNS] = "The user name space is chosen by the engine; remove this.",
        [POLICY_EXTRA_FILE] = "This would be read from outside of the instance.",
};

int check_refused(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        if (is_empty(value))
                return 0;

        return report(c, rule->rule, "%s",
                        refusals[rule->rule] ?: "This key is not known to be harmless; remove it.");
}

int check_values(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        const char *s = json_string_value(value);

        if (is_empty(value))
                return 0;
        if (s)
                for (const char *const *v = rule->values; *v; v++)
                        if (streq(*v, s))
                                return 0;

        return report(c, rule->rule, "The value '%s' is not allowed here.", TEXT_FOR_ERROR(strempty(s)));
}

static int check_label(PolicyCheck *c, const char *key) {
        if (!startswith(key, "ccp."))
                return 0;

        return report(c, POLICY_LABELS, "Labels that begin with ccp. are ccpd's own; '%s' must go.",
                        TEXT_FOR_ERROR(key));
}

int check_labels(PolicyCheck *c, _unused_ const KeyRule *rule, const json_t *value) {
        const char *key;
        json_t *item;
        size_t i;
        int r;

        if (is_empty(value))
                return 0;

        if (json_is_object(value)) {
                json_object_foreach((json_t *) value, key, item) {
                        r = check_label(c, key);
                        if (r < 0)
                                return r;
                }
                return 0;
        }

        if (!json_is_array(value))
                return report_type(c, "a mapping");

        json_array_foreach(value, i, item) {
                r = json_is_string(item) ? check_label(c, json_string_value(item)) : report_type(c, "text");
                if (r < 0)
                        return r;
        }

        return 0;
}

int check_inside(PolicyCheck *c, PolicyRule rule, const char *path, const char *what) {
        int r;

        if (path_is_beneath(c->input->directory, path))
                return 1;

        r = report(c, rule, "%s '%s' lies outside of the instance's folder.", what, TEXT_FOR_ERROR(path));
        return r < 0 ? r : 0;
}

int check_file_path(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        int r;

        if (json_is_null(value))
                return 0;
        if (!json_is_string(value))
                return report_type(c, "a path");

        r = check_inside(c, rule->rule, json_string_value(value), "The file");
        return MIN(r, 0);
}

/* The name of a network or volume must begin with the project's, as compose would name it. No other project's
 * name begins so. */
static int check_object_name(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        const char *rest = json_is_string(value) ? startswith(json_string_value(value), c->input->project)
                                                 : NULL;

        if (rest && rest[0] == '_')
                return 0;

        return report(c, rule->rule, "The name must begin with %s_, or be left to compose.",
                        c->input->project);
}

static int check_volume_driver(PolicyCheck *c, const KeyRule *rule, const json_t *value) {
        static const char *const local[] = { "local", NULL };

        return check_values(c, &(const KeyRule) { .rule = rule->rule, .values = local }, value);
}

/* A subnet that is named must be part of the instance's own. */
static int check_ipam_subnet(PolicyCheck *c, _unused_ const KeyRule *rule, const json_t *value) {
        Subnet subnet;

        if (is_empty(value))
                return 0;
        if (c->input->subnet && json_is_string(value) &&
                        subnet_parse(json_string_value(value), &subnet) >= 0 &&
                        subnet_contains(c->input->subnet, &subnet))
                return 0;

        return report(c, POLICY_FOREIGN_SUBNET,
                        "The subnet is not the instance's own; use {{subnet}}, or leave it to ccpd.");
}

static int check_network_options(PolicyCheck *c, _unused_ const KeyRule *rule, const json_t *value) {
        static const KeyRule options[] = {
                { "com.docker.network.driver.mtu" },
                { "com.docker.network.bridge.enable_icc" },
                { "com.docker.network.bridge.enable_ip_masquerade" },
                {},
        };

        return check_keys(c, options, value);
}

static const char *const network_drivers[] = { "bridge", NULL };
static const char *const ipam_drivers[] = { "default", NULL };

static const KeyRule ipam_config_keys[] = {
        { "subnet", check_ipam_subnet },
        { "gateway" },
        { "ip_range" },
        { "aux_addresses" },
        {},
};

static const KeyRule ipam_keys[] = {
        { "driver", check_values, POLICY_UNKNOWN_KEY, .values = ipam_drivers },
        { "config", check_list_of_mappings, .keys = ipam_config_keys },
        {},
};

static const KeyRule network_keys[] = {
        { "name", check_object_name, POLICY_EXTERNAL_NETWORK },
        { "driver", check_values, POLICY_HOST_NETWORK, .values = network_drivers },
        { "driver_opts", check_network_options },
        { "ipam", check_mapping, .keys = ipam_keys },
        { "external", check_refused, POLICY_EXTERNAL_NETWORK },
        { "internal" },
        { "attachable" },
        { "enable_ipv4" },
        { "enable_ipv6" },
        { "labels", check_labels },
        {},
};

static const KeyRule volume_keys[] = {
        { "name", check_object_name, POLICY_EXTERNAL_VOLUME },
        { "driver", check_volume_driver, POLICY_VOLUME_DRIVER_OPTS },
        { "driver_opts", check_refused, POLICY_VOLUME_DRIVER_OPTS },
        { "external", check_refused, POLICY_EXTERNAL_VOLUME },
        { "labels", check_labels },
        {},
};

/* secrets and configs */
static const KeyRule file_object_keys[] = {
        { "name" },
        { "file", check_file_path, POLICY_EXTRA_FILE },
        { "content" },
        { "environment" },
        { "external", check_refused, POLICY_EXTRA_FILE },
        { "labels", check_labels },
        {},
};

static int check_project_name(PolicyCheck *c, _unused_ const KeyRule *rule, const json_t *value) {
        if (streq_ptr(json_string_value(value), c->input->project))
                return 0;

        return report(c, POLICY_EXTERNAL_NETWORK, "The project must be called %s; remove the name.",
                        c->input->project);
}

/* Images are the engine's, not the project's: one that is built by the name of another is what all instances
 * with that name in their files run from then on. Without a name, compose makes one of the project's. */
static int check_built_image(PolicyCheck *c, const json_t *service) {
        const json_t *build = json_object_get(service, "build");
        const char *image = json_object_get_string(service, "image");
        const char *rest = image ? startswith(image, c->input->project) : NULL;
        size_t size;
        int r;

        if (!image || !build || is_empty(build) || (rest && IN_SET(*rest, '-', '/', '_')))
                return 0;

        size = path_push_key(c, "image");
        r = report(c, POLICY_BUILD_OUTSIDE,
                        "An image that is built must be called %s-NAME, or have no name; '%s' may be what "
                        "others run.",
                        c->input->project, TEXT_FOR_ERROR(image));
        path_pop(c, size);
        return r;
}

static int check_service_map(PolicyCheck *c, _unused_ const KeyRule *rule, const json_t *value) {
        const char *name;
        json_t *service;
        int r = 0;

        if (!json_is_object(value) || json_object_size(value) == 0)
                return report_type(c, "a mapping with services");

        json_object_foreach((json_t *) value, name, service) {
                size_t size;

                size = path_push_key(c, name);
                if (!service_name_is_valid(name))
                        r = report(c, POLICY_UNKNOWN_KEY, "This cannot be the name of a service.");
                if (r >= 0) {
                        c->service = string_is_safe(name) ? name : "?";
                        r = json_is_object(service) ? check_keys(c, policy_service_keys, service)
                                                    : report_type(c, "a mapping");
                        if (r >= 0)
                                r = check_built_image(c, service);
                        c->service = NULL;
                }
                path_pop(c, size);
                if (r < 0)
                        return r;
        }

        return check_writable_folders(c);
}

static const KeyRule top_keys[] = {
        { "name", check_project_name },
        { "version" },
        { "services", check_service_map },
        { "networks", check_map_of_mappings, .keys = network_keys },
        { "volumes", check_map_of_mappings, .keys = volume_keys },
        { "secrets", check_map_of_mappings, .keys = file_object_keys },
        { "configs", check_map_of_mappings, .keys = file_object_keys },
        {},
};

static void policy_check_done(PolicyCheck *c) {
        string_builder_done(&c->path);
}

int policy_check(const json_t *config, const PolicyInput *input, PolicyViolations *violations) {
        _cleanup_(policy_check_done) PolicyCheck c = {
                .input = input,
                .config = config,
                .violations = violations,
        };

        if (!json_is_object(config))
                return report_type(&c, "a mapping");
        if (!json_object_get(config, "services"))
                return report(&c, POLICY_UNKNOWN_KEY, "There are no services.");

        return check_keys(&c, top_keys, config);
}

int policy_violations_to_error(const PolicyViolations *violations, Error *reterr) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_free_ char *text = NULL;
        int r;

        if (violations->n == 0)
                return 0;

        for (size_t i = 0; i < MIN(violations->n, (size_t) ERROR_SENTENCES_MAX); i++) {
                const PolicyViolation *v = violations->items + i;

                string_builder_appendf(&b, "%s%s%s%s (rule %s)", i > 0 ? " " : "", v->path,
                                v->path[0] ? ": " : "", v->message, policy_rule_to_string(v->rule));
        }
        if (violations->n > ERROR_SENTENCES_MAX)
                string_builder_appendf(&b, " And %zu more.", violations->n - ERROR_SENTENCES_MAX);

        r = string_builder_finish(&b, &text, NULL);
        if (r < 0)
                return r;

        return error_setf(reterr, CCP_ERROR_POLICY_VIOLATION,
                        "The policy forbids what the compose file asks for: %s", text);
}
