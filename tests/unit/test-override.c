/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "override.h"
#include "string-util.h"
#include "test.h"
#include "yaml-node.h"
#include "yaml-write.h"

static const Subnet subnet = { 0x0AC80040, 26 };

static const OverrideInput input = {
        .slug = "my-chapter",
        .id = "0b6e5b0c-6f0a-4a52-9d0a-000000000001",
        .revision = 7,
        .subnet = &subnet,
};

static json_t *parse_json(const char *text) {
        _cleanup_free_ char *copy = strdup(text);
        json_t *json;

        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        json = json_loads(copy, 0, NULL);
        ck_assert_msg(json != NULL, "%s", text);
        return json;
}

/* Makes the file and reads it back. */
static YamlNode *make(const char *config, const ResourceLimits *limits) {
        _cleanup_json_ json_t *json = parse_json(config);
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ Error e = {};
        OverrideInput in = input;
        YamlNode *root;
        int r;

        in.limits = limits;
        r = override_make(json, &in, &text, &e);
        ck_assert_msg(r >= 0, "%s", strempty(e.message));
        ck_assert_ptr_nonnull(startswith(text, "# Written by ccpd"));
        ASSERT_OK(yaml_node_parse("f", text, strlen(text), &root, &e));
        return root;
}

/* The scalar at a path whose parts are separated by '/'. A number is an index. */
static const char *at(const YamlNode *node, const char *path) {
        _cleanup_free_ char *copy = strdup(path);
        char *saveptr = NULL;

        for (char *part = strtok_r(copy, "/", &saveptr); part && node; part = strtok_r(NULL, "/", &saveptr))
                if (node->type == YAML_TYPE_SEQUENCE)
                        node = node->n_children > (size_t) (part[0] - '0') ? node->children[part[0] - '0']
                                                                           : NULL;
                else
                        node = yaml_node_get(node, part);

        return node ? strempty(node->text) : NULL;
}

START_TEST(services_get_what_is_ours) {
        _cleanup_yaml_node_ YamlNode *root =
                        make("{'services': {'web': {'image': 'x'}, 'db': {}}, 'networks': {'default': {}},"
                             " 'volumes': {'data': {'name': 'x'}}}",
                                        NULL);

        ck_assert_str_eq(at(root, "services/web/labels/ccp.instance"), "my-chapter");
        ck_assert_str_eq(at(root, "services/web/labels/ccp.id"), input.id);
        ck_assert_str_eq(at(root, "services/web/labels/ccp.revision"), "7");
        ck_assert_str_eq(at(root, "services/db/labels/ccp.service"), "db");
        ck_assert_str_eq(at(root, "services/web/logging/driver"), "journald");
        ck_assert_str_eq(at(root, "services/web/logging/options/labels"), "ccp.instance,ccp.service,ccp.id");
        ck_assert_str_eq(at(root, "services/web/logging/options/tag"), "ccp-my-chapter/web");
        ck_assert_str_eq(at(root, "services/web/cgroup_parent"), "ccp-my\\x2dchapter.slice");
        ck_assert_ptr_null(at(root, "services/web/mem_limit"));
        ck_assert_ptr_null(at(root, "services/web/image"));

        /* Compose makes a network or volume anew when its labels change, so they do not bear the revision. */
        ck_assert_str_eq(at(root, "volumes/data/labels/ccp.instance"), "my-chapter");
        ck_assert_ptr_null(at(root, "volumes/data/labels/ccp.revision"));
        ck_assert_ptr_null(at(root, "networks/default/labels/ccp.revision"));
}
END_TEST

START_TEST(only_what_crashed_is_started_again_by_docker) {
        static const char *const own[] = { "", ", 'restart': 'always'", ", 'restart': 'on-failure:3'",
                ", 'restart': 'unless-stopped'", ", 'restart': 'no'" };
        BlueprintService services[] = {
                { .name = (char *) "web", .kind = SERVICE_KIND_OPTIONAL },
                { .name = (char *) "migrate", .kind = SERVICE_KIND_ONESHOT },
        };
        const Blueprint blueprint = { .services = services, .n_services = ELEMENTSOF(services) };

        FOREACH_ARRAY(o, own, ELEMENTSOF(own)) {
                _cleanup_free_ char *config = strjoin("{'services': {'web': {'image': 'x'", *o,
                                                    "}, 'migrate': {'image': 'x'", *o,
                                                    "}, 'unknown': {'image': 'x'", *o, "}}}"),
                                    *text = NULL;
                _cleanup_json_ json_t *json = parse_json(config);
                const char *expected = strstr(*o, "'no'") ? "no" : "unless-stopped";
                _cleanup_yaml_node_ YamlNode *root = NULL;
                OverrideInput in = input;

                in.blueprint = &blueprint;
                ASSERT_OK(override_make(json, &in, &text, NULL));
                ASSERT_OK(yaml_node_parse("f", text, strlen(text), &root, NULL));
                ck_assert_str_eq(at(root, "services/web/restart"), expected);
                ck_assert_str_eq(at(root, "services/unknown/restart"), expected);
                ck_assert_str_eq(at(root, "services/migrate/restart"), "no");
        }
}
END_TEST

START_TEST(one_network_gets_the_whole_subnet) {
        _cleanup_yaml_node_ YamlNode *root =
                        make("{'services': {'web': {}}, 'networks': {'default': {'ipam': {}}}}", NULL);

        ck_assert_str_eq(at(root, "networks/default/ipam/config/0/subnet"), "10.200.0.64/26");
        ck_assert_str_eq(at(root, "networks/default/ipam/config/0/gateway"), "10.200.0.65");
}
END_TEST

START_TEST(several_networks_share_the_subnet_in_order_of_names) {
        _cleanup_yaml_node_ YamlNode *two =
                        make("{'services': {'w': {}}, 'networks': {'front': {}, 'back': null}}", NULL);
        _cleanup_yaml_node_ YamlNode *three =
                        make("{'services': {'w': {}}, 'networks': {'c': {}, 'b': {}, 'a': {}}}", NULL);

        ck_assert_str_eq(at(two, "networks/back/ipam/config/0/subnet"), "10.200.0.64/27");
        ck_assert_str_eq(at(two, "networks/front/ipam/config/0/subnet"), "10.200.0.96/27");
        ck_assert_str_eq(at(three, "networks/a/ipam/config/0/subnet"), "10.200.0.64/28");
        ck_assert_str_eq(at(three, "networks/b/ipam/config/0/subnet"), "10.200.0.80/28");
        ck_assert_str_eq(at(three, "networks/c/ipam/config/0/subnet"), "10.200.0.96/28");
}
END_TEST

START_TEST(networks_keep_a_part_that_they_name) {
        _cleanup_yaml_node_ YamlNode *root =
                        make("{'services': {'w': {}}, 'networks': {'a': {}, 'b': {'ipam': {'config':"
                             " [{'subnet': '10.200.0.64/27'}]}}}}",
                                        NULL);

        ck_assert_str_eq(at(root, "networks/a/ipam/config/0/subnet"), "10.200.0.96/27");
        ck_assert_ptr_null(at(root, "networks/b/ipam/config/0/subnet"));
        ck_assert_str_eq(at(root, "networks/b/labels/ccp.instance"), "my-chapter");
}
END_TEST

START_TEST(too_many_networks_are_refused) {
        static const char *const texts[] = {
                "{'services': {'w': {}}, 'networks': {'a': {}, 'b': {}, 'c': {}, 'd': {}, 'e': {}}}",
                "{'services': {'w': {}}, 'networks': {'a': {}, 'b': {'ipam': {'config': [{'subnet': "
                "'10.200.0.64/26'}]}}}}",
                "{'services': {'w': {}}, 'networks': "
                "{'a':{},'b':{},'c':{},'d':{},'e':{},'f':{},'g':{},'h':{},"
                "'i':{},'j':{},'k':{},'l':{},'m':{},'n':{},'o':{},'p':{},'q':{}}}",
        };

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts)) {
                _cleanup_json_ json_t *json = parse_json(*t);
                _cleanup_error_ Error e = {};
                char *text = NULL;

                ASSERT_ERROR(override_make(json, &input, &text, &e), EBADMSG);
                ck_assert_str_eq(e.name, CCP_ERROR_BLUEPRINT_INVALID);
                ck_assert_ptr_null(text);
        }
}
END_TEST

START_TEST(volumes_get_the_names_that_a_restore_gave) {
        _cleanup_json_ json_t *config = parse_json("{'services': {'w': {}}, 'volumes': {'data': {'name': "
                                                   "'x'}, 'other': {}}}"),
                              *volumes = parse_json("{'data': 'my-chapter_ccp_data.r7', 'gone': 'y'}");
        _cleanup_free_ char *text = NULL;
        _cleanup_yaml_node_ YamlNode *root = NULL;
        _cleanup_error_ Error e = {};
        OverrideInput in = input;

        in.volumes = volumes;
        ASSERT_OK(override_make(config, &in, &text, &e));
        ASSERT_OK(yaml_node_parse("f", text, strlen(text), &root, &e));
        ck_assert_str_eq(at(root, "volumes/data/name"), "my-chapter_ccp_data.r7");
        ck_assert_ptr_null(at(root, "volumes/other/name"));
        ck_assert_ptr_null(at(root, "volumes/gone"));
}
END_TEST

START_TEST(what_is_external_stays_as_it_is) {
        _cleanup_yaml_node_ YamlNode *root =
                        make("{'services': {'w': {}}, 'networks': {'e': {'external': true, 'name': 'e'},"
                             " 'm': {'driver': 'macvlan'}, 'default': {}},"
                             " 'volumes': {'v': {'external': true, 'name': 'v'}}}",
                                        NULL);

        ck_assert_ptr_null(at(root, "networks/e"));
        ck_assert_ptr_null(at(root, "networks/m/ipam"));
        ck_assert_str_eq(at(root, "networks/default/ipam/config/0/subnet"), "10.200.0.64/26");
        ck_assert_ptr_null(at(root, "volumes"));
}
END_TEST

START_TEST(limits_are_ceilings) {
        static const ResourceLimits limits = { .memory = 512 << 20, .cpus = 1500, .pids = 100 };
        _cleanup_yaml_node_ YamlNode *root =
                        make("{'services': {'none': {}, 'lower': {'mem_limit': '104857600', 'cpus': 0.5, "
                             "'pids_limit': 10},"
                             " 'higher': {'mem_limit': '1073741824', 'cpus': 2, 'pids_limit': -1},"
                             " 'deploy': {'deploy': {'resources': {'limits': {'cpus': '4', 'memory': "
                             "'104857600'}}}}}}",
                                        &limits);

        ck_assert_str_eq(at(root, "services/none/mem_limit"), "536870912");
        ck_assert_str_eq(at(root, "services/none/cpus"), "1.5");
        ck_assert_str_eq(at(root, "services/none/pids_limit"), "100");
        ck_assert_ptr_null(at(root, "services/none/deploy"));
        ck_assert_ptr_null(at(root, "services/lower/mem_limit"));
        ck_assert_ptr_null(at(root, "services/lower/cpus"));
        ck_assert_ptr_null(at(root, "services/lower/pids_limit"));
        ck_assert_str_eq(at(root, "services/higher/mem_limit"), "536870912");
        ck_assert_str_eq(at(root, "services/higher/pids_limit"), "100");

        ck_assert_ptr_null(at(root, "services/deploy/cpus"));
        ck_assert_str_eq(at(root, "services/deploy/deploy/resources/limits/cpus"), "1.5");
        ck_assert_str_eq(at(root, "services/deploy/deploy/resources/limits/pids"), "100");
        ck_assert_ptr_null(at(root, "services/deploy/deploy/resources/limits/memory"));
}
END_TEST

START_TEST(hostile_names_do_not_become_yaml) {
        _cleanup_json_ json_t *json = parse_json("{'services': {'a: b\\n  c': {}}}");
        char *text = NULL;

        ASSERT_ERROR(override_make(json, &input, &text, NULL), EINVAL);
        ck_assert_ptr_null(text);
}
END_TEST

START_TEST(yaml_reads_back_what_was_written) {
        static const char *const strings[] = { "", "a", "true", "1", "a: b", "# x", "a\nb\n", "\"q\" 'r' \\",
                "${X} $$", "tab\t", "Zürich 東京", "\x7f\x1b", "- x", "%", "@", "`", " lead", "trail " };
        _cleanup_json_ json_t *object = json_object();
        _cleanup_yaml_node_ YamlNode *root = NULL;
        _cleanup_free_ char *text = NULL;

        FOREACH_ARRAY(s, strings, ELEMENTSOF(strings))
                ASSERT_OK(json_object_set_new(object, isempty(*s) ? "empty" : *s, json_string(*s)));
        ASSERT_OK(yaml_from_json(object, NULL, &text));
        ASSERT_OK(yaml_node_parse("f", text, strlen(text), &root, NULL));
        ck_assert_uint_eq(root->n_children, ELEMENTSOF(strings));
        for (size_t i = 0; i < ELEMENTSOF(strings); i++) {
                ck_assert(root->children[i]->quoted);
                ck_assert_str_eq(root->children[i]->text, strings[i]);
        }
        ASSERT_ERROR(yaml_from_json(json_object_get(object, "a"), NULL, &text), EINVAL);
}
END_TEST

TESTS("override", services_get_what_is_ours, only_what_crashed_is_started_again_by_docker,
                one_network_gets_the_whole_subnet, several_networks_share_the_subnet_in_order_of_names,
                networks_keep_a_part_that_they_name, too_many_networks_are_refused,
                volumes_get_the_names_that_a_restore_gave, what_is_external_stays_as_it_is,
                limits_are_ceilings, hostile_names_do_not_become_yaml, yaml_reads_back_what_was_written)
