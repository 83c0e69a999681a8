/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "aside.h"

#include <errno.h>

#include "string-util.h"
#include "strv.h"

/* What a service has only where it runs for people. Stages are started one by one, so nothing depends on another. */
static const char *const dropped_keys[] = { "ports", "expose", "container_name", "depends_on", "profiles",
        "build", "links", "external_links", "restart", "deploy" };

static int set_new(json_t *object, const char *key, json_t *value) {
        return json_object_set_new(object, key, value) < 0 ? -ENOMEM : 0;
}

/* What compose built for the instance is called after its project. */
static int set_image(json_t *service, const char *name, const AsideInput *input) {
        _cleanup_free_ char *image = NULL;

        if (json_object_get_string(service, "image"))
                return 0;
        image = strjoin(input->project, "-", name);
        return image ? set_new(service, "image", json_string(image)) : -ENOMEM;
}

/* Its limits, where compose has them for one machine. */
static int keep_limits(json_t *service) {
        static const struct {
                const char *deploy_key, *key;
        } limits[] = {
                { "memory", "mem_limit" },
                { "cpus", "cpus" },
                { "pids", "pids_limit" },
        };
        const json_t *deploy = json_object_get(
                        json_object_get(json_object_get(service, "deploy"), "resources"), "limits");

        FOREACH_ARRAY(l, limits, ELEMENTSOF(limits)) {
                json_t *limit = json_object_get(deploy, l->deploy_key);

                if (limit && json_object_set(service, l->key, limit) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int set_labels(json_t *service, const AsideInput *input) {
        json_t *labels = json_object_get(service, "labels");

        if (!json_is_object(labels)) {
                labels = json_object();
                if (!labels || set_new(service, "labels", labels) < 0)
                        return -ENOMEM;
        }
        return set_new(labels, CCP_LABEL_INSTANCE, json_string(input->slug)) < 0 ||
                                        set_new(labels, CCP_LABEL_ID, json_string(input->id)) < 0
                        ? -ENOMEM
                        : 0;
}

/* Its names in the networks stay, its addresses do not. */
static int set_networks(json_t *service, const char *name, Error *reterr) {
        const char *mode = json_object_get_string(service, "network_mode");
        json_t *networks = json_object_get(service, "networks"), *network;
        const char *key;
        void *next;

        if (mode && !streq(mode, "none"))
                return error_setf(reterr, CCP_ERROR_POLICY_VIOLATION,
                                "The service '%s' has a network that is not its own (network_mode: %s), so "
                                "it cannot be run beside the instance.",
                                name, mode);

        json_object_foreach_safe(networks, next, key, network) {
                const json_t *aliases = json_object_get(network, "aliases");

                if (json_object_set_new(networks, key,
                                    aliases ? json_pack("{s:O}", "aliases", aliases) : json_object()) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int set_mounts(json_t *service) {
        json_t *mount;
        size_t i;

        json_array_foreach(json_object_get(service, "volumes"), i, mount)
                if (streq_ptr(json_object_get_string(mount, "type"), "bind") &&
                                set_new(mount, "read_only", json_true()) < 0)
                        return -ENOMEM;
        return 0;
}

static int make_service(const char *name, const json_t *source, const AsideInput *input, json_t **ret,
                Error *reterr) {
        _cleanup_json_ json_t *service = json_deep_copy(source);
        int r;

        if (!service)
                return -ENOMEM;
        r = keep_limits(service);
        if (r >= 0)
                r = set_image(service, name, input);
        if (r >= 0)
                r = set_labels(service, input);
        if (r >= 0)
                r = set_networks(service, name, reterr);
        if (r >= 0)
                r = set_mounts(service);
        if (r < 0)
                return r;
        FOREACH_ARRAY(key, dropped_keys, ELEMENTSOF(dropped_keys))
                (void) json_object_del(service, *key);

        *ret = TAKE_PTR(service);
        return 0;
}

static int make_services(const json_t *config, const AsideInput *input, json_t **ret, Error *reterr) {
        _cleanup_json_ json_t *services = json_object();
        const char *name;
        json_t *source;
        int r;

        if (!services)
                return -ENOMEM;
        json_object_foreach(json_object_get(config, "services"), name, source) {
                json_t *service = NULL;

                if (input->services && !strv_contains(input->services, name))
                        continue;
                r = make_service(name, source, input, &service, reterr);
                if (r >= 0)
                        r = set_new(services, name, service);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(services);
        return 0;
}

static int make_networks(const json_t *config, const AsideInput *input, json_t **ret) {
        _cleanup_json_ json_t *networks = json_object();
        const char *key;
        json_t *network;

        if (!networks)
                return -ENOMEM;
        json_object_foreach(json_object_get(config, "networks"), key, network)
                if (set_new(networks, key,
                                    json_pack("{s:b, s:{s:s, s:s}}", "internal", 1, "labels",
                                                    CCP_LABEL_INSTANCE, input->slug, CCP_LABEL_ID,
                                                    input->id)) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(networks);
        return 0;
}

static int make_volumes(const json_t *config, const AsideInput *input, json_t **ret, Error *reterr) {
        _cleanup_json_ json_t *volumes = json_object();
        const char *key;
        json_t *volume;

        if (!volumes)
                return -ENOMEM;
        json_object_foreach(json_object_get(config, "volumes"), key, volume) {
                const char *name = json_object_get_string(input->volumes, key);

                if (!name)
                        return error_setf(reterr, CCP_ERROR_INTERNAL, "No volume was made for '%s'.", key);
                if (set_new(volumes, key, json_pack("{s:b, s:s}", "external", 1, "name", name)) < 0)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(volumes);
        return 0;
}

int aside_make(const json_t *config, const AsideInput *input, json_t **ret, Error *reterr) {
        static const char *const kept[] = { "configs", "secrets" };
        _cleanup_json_ json_t *services = NULL, *networks = NULL, *volumes = NULL, *result = NULL;
        int r;

        r = make_services(config, input, &services, reterr);
        if (r >= 0)
                r = make_networks(config, input, &networks);
        if (r >= 0)
                r = make_volumes(config, input, &volumes, reterr);
        if (r < 0)
                return error_is_set(reterr) ? r : error_set_errnof(reterr, r, "%m");

        result = json_pack(
                        "{s:O, s:O, s:O}", "services", services, "networks", networks, "volumes", volumes);
        if (!result)
                return error_set_errnof(reterr, ENOMEM, "%m");
        FOREACH_ARRAY(key, kept, ELEMENTSOF(kept)) {
                json_t *value = json_object_get(config, *key);

                if (value && json_object_set(result, *key, value) < 0)
                        return error_set_errnof(reterr, ENOMEM, "%m");
        }

        *ret = TAKE_PTR(result);
        return 0;
}
