/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "aside.h"
#include "string-util.h"
#include "test.h"

static json_t *parse(const char *text) {
        json_t *json = json_loads(text, 0, NULL);

        ck_assert_msg(json != NULL, "%s", text);
        return json;
}

static json_t *make(const char *config, char *const *services, const char *volumes) {
        _cleanup_json_ json_t *c = parse(config), *v = parse(volumes);
        const AsideInput input = {
                .project = "oslo_ccp",
                .slug = "oslo",
                .id = "0b6e5b0c-6f0a-4a52-9d0a-000000000001",
                .services = services,
                .volumes = v,
        };
        _cleanup_error_ Error e = {};
        json_t *result = NULL;
        int r;

        r = aside_make(c, &input, &result, &e);
        ck_assert_msg(r >= 0, "%s", strempty(e.message));
        return result;
}

static json_t *at(json_t *o, const char *service) {
        return json_object_get(json_object_get(o, "services"), service);
}

START_TEST(nothing_leads_outside) {
        _cleanup_json_ json_t *o =
                        make("{\"services\": {\"web\": {\"image\": \"nginx\", \"ports\": [{\"published\": "
                             "\"80\"}], \"container_name\": \"x\","
                             " \"restart\": \"unless-stopped\", \"depends_on\": {\"db\": {}}, \"profiles\": "
                             "[\"p\"],"
                             " \"networks\": {\"default\": {\"ipv4_address\": \"10.200.0.5\", \"aliases\": "
                             "[\"www\"]}},"
                             " \"volumes\": [{\"type\": \"bind\", \"source\": \"/x\", \"target\": \"/y\"},"
                             " {\"type\": \"volume\", \"source\": \"data\", \"target\": \"/z\"}],"
                             " \"labels\": {\"ccp.id\": \"of the instance\", \"own\": \"1\"}}},"
                             " \"networks\": {\"default\": {\"name\": \"oslo_ccp_default\", \"ipam\": "
                             "{\"config\": [{\"subnet\": \"10.200.0.0/26\"}]}}},"
                             " \"volumes\": {\"data\": {\"name\": \"oslo_ccp_data\"}}, \"configs\": {\"c\": "
                             "{\"content\": \"x\"}}}",
                                        NULL, "{\"data\": \"oslo_ccp_data.r7\"}");
        json_t *web = at(o, "web");
        static const char *const gone[] = { "ports", "container_name", "restart", "depends_on", "profiles" };

        FOREACH_ARRAY(key, gone, ELEMENTSOF(gone))
                ck_assert_msg(!json_object_get(web, *key), "%s", *key);
        ck_assert(json_is_true(json_object_get(
                        json_object_get(json_object_get(o, "networks"), "default"), "internal")));
        ck_assert_ptr_null(
                        json_object_get(json_object_get(json_object_get(o, "networks"), "default"), "ipam"));
        ck_assert_ptr_null(
                        json_object_get(json_object_get(json_object_get(o, "networks"), "default"), "name"));
        ck_assert_ptr_null(json_object_get(
                        json_object_get(json_object_get(web, "networks"), "default"), "ipv4_address"));
        ck_assert_uint_eq(json_array_size(json_object_get(
                                          json_object_get(json_object_get(web, "networks"), "default"),
                                          "aliases")),
                        1);
        ck_assert(json_is_true(
                        json_object_get(json_array_get(json_object_get(web, "volumes"), 0), "read_only")));
        ck_assert_ptr_null(json_object_get(json_array_get(json_object_get(web, "volumes"), 1), "read_only"));
        ck_assert_str_eq(json_object_get_string(json_object_get(web, "labels"), "ccp.id"),
                        "0b6e5b0c-6f0a-4a52-9d0a-000000000001");
        ck_assert_str_eq(json_object_get_string(json_object_get(web, "labels"), "own"), "1");
        ck_assert_str_eq(json_object_get_string(
                                         json_object_get(json_object_get(o, "volumes"), "data"), "name"),
                        "oslo_ccp_data.r7");
        ck_assert(json_is_true(json_object_get(
                        json_object_get(json_object_get(o, "volumes"), "data"), "external")));
        ck_assert_ptr_nonnull(json_object_get(json_object_get(o, "configs"), "c"));
}
END_TEST

START_TEST(limits_and_built_images_stay) {
        _cleanup_json_ json_t *o = make("{\"services\": {\"api\": {\"build\": {\"context\": \"/x\"}, "
                                        "\"deploy\": {\"resources\": {\"limits\":"
                                        " {\"memory\": \"1024\", \"pids\": 5}}}}, \"web\": {\"image\": "
                                        "\"w\", \"mem_limit\": \"77\"}}}",
                        NULL, "{}");

        ck_assert_str_eq(json_object_get_string(at(o, "api"), "image"), "oslo_ccp-api");
        ck_assert_ptr_null(json_object_get(at(o, "api"), "build"));
        ck_assert_str_eq(json_object_get_string(at(o, "api"), "mem_limit"), "1024");
        ck_assert_int_eq(json_integer_value(json_object_get(at(o, "api"), "pids_limit")), 5);
        ck_assert_str_eq(json_object_get_string(at(o, "web"), "mem_limit"), "77");
}
END_TEST

START_TEST(services_can_be_chosen) {
        char *chosen[] = { (char *) "db", NULL };
        _cleanup_json_ json_t *o =
                        make("{\"services\": {\"db\": {\"image\": \"p\"}, \"web\": {\"image\": \"w\"}}}",
                                        chosen, "{}");

        ck_assert_uint_eq(json_object_size(json_object_get(o, "services")), 1);
        ck_assert_ptr_nonnull(at(o, "db"));
}
END_TEST

static void assert_refused(const char *config, const char *name) {
        _cleanup_json_ json_t *c = parse(config), *v = json_object(), *result = NULL;
        const AsideInput input = { .project = "p", .slug = "s", .id = "i", .volumes = v };
        _cleanup_error_ Error e = {};

        ck_assert_int_lt(aside_make(c, &input, &result, &e), 0);
        ck_assert_str_eq(e.name, name);
}

START_TEST(what_cannot_be_kept_apart_is_refused) {
        assert_refused("{\"services\": {\"w\": {\"image\": \"x\", \"network_mode\": \"host\"}}}",
                        CCP_ERROR_POLICY_VIOLATION);
        assert_refused("{\"services\": {\"w\": {\"image\": \"x\", \"network_mode\": \"service:y\"}}}",
                        CCP_ERROR_POLICY_VIOLATION);
        /* A volume without a new name would be the instance's own. */
        assert_refused("{\"services\": {\"w\": {\"image\": \"x\"}}, \"volumes\": {\"data\": {\"name\": "
                       "\"live\"}}}",
                        CCP_ERROR_INTERNAL);
}
END_TEST

TESTS("aside", nothing_leads_outside, limits_and_built_images_stay, services_can_be_chosen,
                what_cannot_be_kept_apart_is_refused)
