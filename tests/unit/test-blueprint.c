/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "blueprint.h"
#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"
#include "test.h"

#define HEAD "name: demo\ntitle: Demo\nversion: \"1.0\"\n"
#define FILES "files: [{template: c.hbs, target: docker-compose.yml, format: yaml}]\n"

static int parse(const char *text, Blueprint **ret, char ***ret_problems) {
        return blueprint_parse("b.yaml", text, strlen(text), ret, ret_problems, NULL);
}

static const char full[] = HEAD
                "description: |\n"
                "  Two\n"
                "  lines\n"
                "engine: compose\n"
                "compose: compose.yaml\n"
                "parameters:\n"
                "  image_tag: { type: string, default: \"latest\", pattern: \"[A-Za-z0-9._-]{1,128}\", "
                "help: Tag }\n"
                "  smtp_port: { type: integer, default: 587, minimum: 1, maximum: 65535, group: email }\n"
                "  use_mailhog: { type: boolean, default: true }\n"
                "  email_from: { type: string, required: true, group: email }\n"
                "  extra: { type: string, default: \"\", raw: true, multiline: true, max_length: 65536 }\n"
                "  size: { type: enum, values: [small, large], default: large, secret: true }\n"
                "features:\n"
                "  media: { title: \"Media Manager\", profiles: [media, gallery], default: true }\n"
                "ports: { web: nginx, debug: \"20000-20099\" }\n"
                "secrets:\n"
                "  POSTGRES_PASSWORD: { length: 48, alphabet: hex, rotates: postgres }\n"
                "  TOKEN: {}\n"
                "files:\n"
                "  - { template: compose.hbs, target: compose.yaml, format: yaml, mode: \"0640\" }\n"
                "  - { template: env.hbs, target: .env, format: dotenv }\n"
                "static: [{ file: nginx/nginx.conf, target: nginx/nginx.conf }]\n"
                "source: { path: /srv/app }\n"
                "services:\n"
                "  postgres: { stage: infrastructure, timeout: 5min, health: { type: container } }\n"
                "  migrate: { kind: oneshot, stage: application, health: { type: command, command: [a, b] } "
                "}\n"
                "  web: { feature: media, health: { type: http, port: web, host: \"api.{{domain}}\", "
                "status: 204 } }\n"
                "state:\n"
                "  databases: [{ service: postgres, kind: postgresql, password: POSTGRES_PASSWORD }]\n"
                "  volumes: [{ name: uploads, every: daily }]\n"
                "upgrade: { image_tag: image_tag, before: [[a, b], [c]], backup: false }\n"
                "limits: { memory: 512M, cpus: 1.5, pids: 512 }\n"
                "allow: [devices, host-network]\n";

START_TEST(everything_is_read) {
        _cleanup_blueprint_ Blueprint *b = NULL;
        const BlueprintParameter *p;
        const BlueprintService *s;

        ASSERT_OK(parse(full, &b, NULL));
        ck_assert_str_eq(b->name, "demo");
        ck_assert_str_eq(b->description, "Two\nlines\n");
        ck_assert_str_eq(b->compose, "compose.yaml");
        ck_assert_uint_eq(b->n_parameters, 6);

        p = blueprint_find_parameter(b, "smtp_port");
        ck_assert_int_eq(p->type, PARAMETER_INTEGER);
        ck_assert_int_eq(p->group, PARAMETER_GROUP_EMAIL);
        ck_assert_str_eq(p->fallback, "587");
        ck_assert_int_eq(p->maximum, 65535);
        p = blueprint_find_parameter(b, "email_from");
        ck_assert(p->required);
        ck_assert_ptr_null(p->fallback);
        ck_assert_uint_eq(p->max_length, 1024);
        p = blueprint_find_parameter(b, "extra");
        ck_assert(p->raw && p->multiline);

        ck_assert_uint_eq(strv_length(b->features[0].profiles), 2);
        ck_assert(b->features[0].fallback);
        ck_assert_str_eq(blueprint_find_port(b, "debug")->range, "20000-20099");
        ck_assert_uint_eq(blueprint_find_secret(b, "TOKEN")->length, 32);
        ck_assert_int_eq(blueprint_find_secret(b, "POSTGRES_PASSWORD")->alphabet, SECRET_HEX);
        ck_assert_uint_eq(b->files[0].mode, 0640);
        ck_assert_uint_eq(b->files[1].mode, 0600);
        ck_assert_uint_eq(b->statics[0].mode, 0644);
        ck_assert_str_eq(b->source.target, "source");
        ck_assert_uint_eq(strv_length(b->source.exclude), 3);

        s = blueprint_find_service(b, "postgres");
        ck_assert_int_eq(s->stage, SERVICE_STAGE_INFRASTRUCTURE);
        ck_assert_uint_eq(s->timeout, 5 * USEC_PER_MINUTE);
        s = blueprint_find_service(b, "web");
        ck_assert_int_eq(s->stage, SERVICE_STAGE_REST);
        ck_assert_uint_eq(s->timeout, 120 * USEC_PER_SEC);
        ck_assert_str_eq(s->health.path, "/");
        ck_assert_uint_eq(s->health.status, 204);
        ck_assert_str_eq(blueprint_find_service(b, "migrate")->health.command[1], "b");

        ck_assert_str_eq(b->state.databases[0].password, "POSTGRES_PASSWORD");
        ck_assert_str_eq(b->state.volumes[0].name, "uploads");
        ck_assert_uint_eq(b->upgrade.n_before, 2);
        ck_assert(!b->upgrade.backup);
        ck_assert_uint_eq(b->limits.memory, 512ULL << 20);
        ck_assert_uint_eq(b->limits.cpus, 1500);
        ck_assert_uint_eq(b->allow, POLICY_RULE_BIT(POLICY_DEVICES) | POLICY_RULE_BIT(POLICY_HOST_NETWORK));
}
END_TEST

START_TEST(exceptions_count_only_in_a_local_copy) {
        _cleanup_blueprint_ Blueprint *b = NULL;

        ASSERT_OK(parse(full, &b, NULL));
        ck_assert_uint_eq(blueprint_exceptions(b), 0);
        b->local = true;
        ck_assert_uint_ne(blueprint_exceptions(b), 0);
}
END_TEST

START_TEST(the_smallest_blueprint_has_defaults) {
        _cleanup_blueprint_ Blueprint *b = NULL;

        ASSERT_OK(parse(HEAD FILES, &b, NULL));
        ck_assert_str_eq(b->engine, "compose");
        ck_assert_str_eq(b->compose, "docker-compose.yml");
        ck_assert(b->upgrade.backup);
        ck_assert_ptr_null(b->source.path);
        /* Of a tree that comes with the request. */
        ck_assert_str_eq(b->source.target, "source");
        ck_assert_uint_eq(strv_length(b->source.exclude), 3);
        ck_assert_uint_eq(b->limits.memory, 0);
}
END_TEST

START_TEST(problems_have_their_place) {
        static const struct {
                const char *text, *problem;
        } cases[] = {
                { HEAD FILES "nmae: x\n",
                                "b.yaml:5:1: The key 'nmae' is unknown here; there are: name, title" },
                { "title: x\nversion: \"1\"\n" FILES, "b.yaml:1:1: The key 'name' is missing." },
                { "name: demo\ntitle: Demo\nversion: 1.0\n" FILES,
                                "b.yaml:3:10: This should be text, but is a number; put it in quotes." },
                { "name: Demo\ntitle: Demo\nversion: \"1\"\n" FILES,
                                "b.yaml:1:7: 'Demo' is not valid here" },
                { "name: ../x\ntitle: Demo\nversion: \"1\"\n" FILES,
                                "b.yaml:1:7: '../x' is not valid here" },
                { "name: demo\ntitle: \"a\\nb\"\nversion: \"1\"\n" FILES,
                                "b.yaml:2:8: The text should be one line" },
                { "- a\n", "b.yaml:1:1: This should be a mapping, but is a list." },
                { HEAD, "b.yaml:1:1: None of the files has the target docker-compose.yml" },
                { HEAD FILES "engine: swarm\n", "b.yaml:5:9: 'swarm' is not valid here" },
                { HEAD FILES "parameters: {A: {type: string}}\n", "b.yaml:5:14: 'A' cannot be a name here" },
                { HEAD FILES "parameters: {a: {}}\n", "b.yaml:5:17: The key 'type' is missing." },
                { HEAD FILES "parameters: {a: {type: text}}\n",
                                "b.yaml:5:24: This should be one of: string, integer, boolean, enum." },
                { HEAD FILES "parameters: {a: {type: string, default: 5}}\n",
                                "b.yaml:5:41: The default of a parameter of type string should be text in "
                                "quotes" },
                { HEAD FILES "parameters: {a: {type: integer, default: \"5\"}}\n",
                                "b.yaml:5:42: The default of a parameter of type integer should be a "
                                "number" },
                { HEAD FILES "parameters: {a: {type: integer, default: 5, minimum: 6}}\n",
                                "b.yaml:5:42: The default does not obey" },
                { HEAD FILES "parameters: {a: {type: integer}}\n",
                                "b.yaml:5:17: A parameter of type integer needs" },
                { HEAD FILES "parameters: {a: {type: integer, default: 1, minimum: 6, maximum: 5}}\n",
                                "b.yaml:5:17: The minimum is above" },
                { HEAD FILES "parameters: {a: {type: boolean, pattern: x}}\n",
                                "b.yaml:5:33: Only a parameter of type string" },
                { HEAD FILES "parameters: {a: {type: enum}}\n",
                                "b.yaml:5:17: A parameter of type enum needs" },
                { HEAD FILES "parameters: {a: {type: string, required: true, default: x}}\n",
                                "b.yaml:5:57: A required parameter can't have a default." },
                { HEAD FILES "parameters: {a: {type: string, pattern: \"(\"}}\n",
                                "b.yaml:5:41: The pattern can't be used" },
                { HEAD FILES "parameters: {a: {type: string, pattern: \"((a{1,255}){1,255}){1,255}\"}}\n",
                                "b.yaml:5:41: The pattern can't be used: its repetitions are too large." },
                { HEAD FILES "parameters: {a: {type: string, pattern: \"(a)\\\\1\"}}\n",
                                "b.yaml:5:41: The pattern can't be used: back references" },
                { HEAD FILES "parameters: {a: {type: string, max_length: 70000}}\n",
                                "b.yaml:5:44: This should be a whole number from 1 to 65536." },
                { HEAD FILES "ports: {web: \"0-\"}\n", "b.yaml:5:14: '0-' is not valid here" },
                { HEAD FILES "ports: [web]\n", "b.yaml:5:8: This should be a mapping" },
                { HEAD FILES "secrets: {A: {length: 7}}\n",
                                "b.yaml:5:23: This should be a whole number from 8 to 256." },
                { HEAD FILES "secrets: {a: {}}\n", "b.yaml:5:11: 'a' cannot be a name here" },
                { HEAD "files: [{template: ../x, target: docker-compose.yml, format: yaml}]\n",
                                "b.yaml:4:20: '../x' is not valid here" },
                { HEAD "files: [{template: x, target: /etc/passwd, format: yaml}]\n",
                                "b.yaml:4:31: '/etc/passwd' is not valid here" },
                { HEAD "files: [{template: x, target: docker-compose.yml, format: json}]\n",
                                "b.yaml:1:1: None of the files has the target" },
                { HEAD "files: [{template: x, target: docker-compose.yml, format: yaml, mode: 0644}]\n",
                                "b.yaml:4:71: This should be a file mode in quotes" },
                { HEAD "files: [{template: x, target: docker-compose.yml, format: yaml, mode: \"0666\"}]\n",
                                "b.yaml:4:71: The mode should let the owner read" },
                { HEAD "files: [{template: x, target: docker-compose.yml, format: yaml, mode: \"4755\"}]\n",
                                "b.yaml:4:71: This should be a file mode in quotes" },
                { HEAD FILES "static: [{file: x, target: docker-compose.yml}]\n",
                                "b.yaml:5:10: Another file has the target" },
                { HEAD FILES "static: [{file: x, target: docker-compose.yml/x}]\n",
                                "b.yaml:5:10: The target docker-compose.yml/x can't be" },
                { HEAD FILES "static: [{file: x, target: ccp.override.yml}]\n",
                                "b.yaml:5:10: The file ccp.override.yml is written by ccpd" },
                { HEAD FILES "static: [{file: x, target: .ccp-blueprint.yaml}]\n",
                                "b.yaml:5:10: The file .ccp-blueprint.yaml is written by ccpd" },
                { HEAD FILES "static: [{file: x, target: .env}]\n",
                                "b.yaml:5:10: The file .env must be rendered" },
                { HEAD FILES "source: {path: srv}\n", "b.yaml:5:16: 'srv' is not valid here" },
                { HEAD FILES "services: {a: {feature: x}}\n", "b.yaml:5:15: There is no feature 'x'." },
                { HEAD FILES "services: {a: {timeout: 5}}\nports: []\n",
                                "b.yaml:6:8: This should be a mapping" },
                { HEAD FILES "services: {a: {timeout: 0}}\n", "b.yaml:5:25: This should be a time" },
                { HEAD FILES "services: {a: {timeout: 99999999999999999999s}}\n",
                                "b.yaml:5:25: This should be a time" },
                { HEAD FILES "services: {a: {health: {type: tcp}}}\n",
                                "b.yaml:5:24: A health check of type tcp needs the key 'port'." },
                { HEAD FILES "services: {a: {health: {type: tcp, port: x}}}\n",
                                "b.yaml:5:15: There is no port 'x'." },
                { HEAD FILES "services: {a: {health: {type: container, port: x}}}\n",
                                "b.yaml:5:24: A health check of type container does not have the key "
                                "'port'." },
                { HEAD FILES "services: {a: {health: {type: command, command: []}}}\n",
                                "b.yaml:5:24: The command of a health check" },
                { HEAD FILES "services: {a: {health: {type: http, port: x, path: \"/ x\"}}}\nports: {x: "
                             "api}\n",
                                "b.yaml:5:52: '/ x' is not valid here" },
                { HEAD FILES "state: {databases: [{service: a, kind: redis, password: P}]}\n",
                                "b.yaml:5:21: There is no secret 'P'." },
                { HEAD FILES "state: {databases: [{service: a, kind: oracle}]}\n",
                                "b.yaml:5:40: This should be one of: postgresql, mysql, mariadb, mongodb, "
                                "redis, sqlite." },
                { HEAD FILES "state: {databases: [{service: a, kind: mysql, user: u}]}\n",
                                "b.yaml:5:21: A database of the kind mysql needs the key 'database': the "
                                "name" },
                { HEAD FILES "state: {databases: [{service: a, kind: mariadb, database: d}]}\n",
                                "b.yaml:5:21: A database of the kind mariadb needs the key 'user': who "
                                "may" },
                { HEAD FILES "state: {databases: [{service: a, kind: sqlite}]}\n",
                                "b.yaml:5:21: A database of the kind sqlite needs the key 'path': where" },
                { HEAD FILES "state: {databases: [{service: a, kind: sqlite, path: /x, user: u}]}\n",
                                "b.yaml:5:58: A database of the kind sqlite does not have the key 'user'." },
                { HEAD FILES "state: {databases: [{service: a, kind: redis, path: /x}]}\n",
                                "b.yaml:5:47: A database of the kind redis does not have the key 'path'." },
                { HEAD FILES "state: {databases: [{service: a, kind: sqlite, path: \"/x'y\"}]}\n",
                                "b.yaml:5:54: '/x'y' is not valid here" },
                { HEAD FILES "state: {databases: [{service: a, kind: sqlite, path: x/../y}]}\n",
                                "b.yaml:5:54: 'x/../y' is not valid here" },
                { HEAD FILES "state: {databases: [{service: a, kind: redis, database: a/b}]}\n",
                                "b.yaml:5:57: 'a/b' is not valid here" },
                { HEAD FILES "state: {databases: [{service: a, kind: sqlite, path: /x}, {service: a, kind: "
                             "sqlite, path: /y}]}\n",
                                "b.yaml:5:59: The service 'a' has this database twice. Give each a name" },
                { HEAD FILES "upgrade: {image_tag: t}\n", "b.yaml:5:10: There is no parameter 't'." },
                { HEAD FILES "upgrade: {before: [[]]}\n",
                                "b.yaml:5:20: A command should be a list of its words." },
                { HEAD FILES "upgrade: {before: [x]}\n",
                                "b.yaml:5:20: A command should be a list of its words." },
                { HEAD FILES "limits: {memory: 1M}\n", "b.yaml:5:18: This should be a size of 16M or more" },
                { HEAD FILES "limits: {memory: 99999999999T}\n", "b.yaml:5:18: This should be a size" },
                { HEAD FILES "limits: {cpus: 1.5555}\n",
                                "b.yaml:5:16: This should be a number from 0.01 to 1024" },
                { HEAD FILES "limits: {cpus: 0}\n",
                                "b.yaml:5:16: This should be a number from 0.01 to 1024" },
                { HEAD FILES "allow: [everything]\n", "b.yaml:5:9: This is not the name of a policy rule" },
                { HEAD FILES "allow: devices\n", "b.yaml:5:8: This should be a list of policy rules" },
                { HEAD FILES "features: {a: {default: yes}}\n",
                                "b.yaml:5:25: This should be true or false." },
                { HEAD FILES "features: {a: {profiles: x}}\n",
                                "b.yaml:5:26: This should be a list, but is text." },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_strv_free_ char **problems = NULL;
                Blueprint *b = NULL;

                ck_assert_msg(parse(c->text, &b, &problems) == -EBADMSG, "%s", c->text);
                ck_assert_ptr_null(b);
                ck_assert_msg(problems && startswith(problems[0], c->problem), "%s\nexpected %s\ngot %s",
                                c->text, c->problem, problems ? problems[0] : "none");
                STRV_FOREACH(p, problems)
                        ck_assert(string_is_safe(*p));
        }
}
END_TEST

START_TEST(all_problems_are_found_at_once) {
        static const char text[] = "name: Demo\nversion: 1\nfoo: bar\nports: {x: y z}\n";
        _cleanup_strv_free_ char **problems = NULL;
        _cleanup_error_ Error e = {};
        Blueprint *b = NULL;

        ASSERT_ERROR(blueprint_parse("b.yaml", text, strlen(text), &b, &problems, &e), EBADMSG);
        ck_assert_uint_eq(strv_length(problems), 6);
        ck_assert_ptr_nonnull(startswith(e.message, "b.yaml:1:7: "));
        ck_assert_ptr_nonnull(strstr(e.message, "(5 more"));
}
END_TEST

/* Makes a temporary directory with two directories of blueprints, /tmp/X/local and /tmp/X/shipped. */
static char *make_directories(char *const *ret_list[static 1]) {
        static char local[64], shipped[64], root[32];
        static char *list[] = { local, shipped, NULL };

        memcpy(root, "/tmp/test-blueprint.XXXXXX", sizeof("/tmp/test-blueprint.XXXXXX"));
        ck_assert_ptr_nonnull(mkdtemp(root));
        (void) snprintf(local, sizeof(local), "%s/local", root);
        (void) snprintf(shipped, sizeof(shipped), "%s/shipped", root);
        *ret_list = list;
        return root;
}

static void write_blueprint(const char *root, const char *path, const char *text) {
        _cleanup_close_ int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_free_ char *file = strjoin(path, "/blueprint.yaml");

        ASSERT_OK(mkdir_parents_beneath(fd, file, 0755));
        ASSERT_OK(write_file_beneath(fd, file, text, strlen(text), 0644));
}

static void remove_directories(const char *root) {
        _cleanup_close_ int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        ASSERT_OK(rm_rf_at(fd, root + STRLEN("/tmp/")));
}

START_TEST(a_broken_blueprint_does_not_hide_the_others) {
        BlueprintEntry *entries = NULL;
        char *const *list;
        const char *root = make_directories(&list);
        size_t n;

        write_blueprint(root, "shipped/demo", HEAD FILES);
        write_blueprint(root, "shipped/broken", "a: [\n");
        write_blueprint(root, "shipped/other", HEAD FILES); /* calls itself demo */
        write_blueprint(root, "shipped/.hidden", HEAD FILES);

        ASSERT_OK(blueprint_list(list, &entries, &n));
        ck_assert_uint_eq(n, 3);
        ck_assert_str_eq(entries[0].name, "broken");
        ck_assert_ptr_null(entries[0].blueprint);
        ck_assert_str_eq(entries[0].error.name, CCP_ERROR_BLUEPRINT_INVALID);
        ck_assert_str_eq(entries[1].name, "demo");
        ck_assert_ptr_nonnull(entries[1].blueprint);
        ck_assert(!entries[1].blueprint->local);
        ck_assert_ptr_null(entries[2].blueprint);
        ck_assert_ptr_nonnull(strstr(entries[2].error.message, "calls itself demo"));

        blueprint_entries_free(entries, n);
        remove_directories(root);
}
END_TEST

START_TEST(a_local_copy_hides_the_shipped_one_even_when_broken) {
        _cleanup_blueprint_ Blueprint *b = NULL, *c = NULL;
        _cleanup_error_ Error e = {}, f = {};
        char *const *list;
        const char *root = make_directories(&list);

        write_blueprint(root, "shipped/demo", HEAD FILES);
        ASSERT_OK(blueprint_load_by_name(list, "demo", &b, NULL));
        ck_assert(!b->local);

        write_blueprint(root, "local/demo", HEAD FILES "allow: [devices]\n");
        ASSERT_OK(blueprint_load_by_name(list, "demo", &c, NULL));
        ck_assert(c->local);
        ck_assert_uint_eq(blueprint_exceptions(c), POLICY_RULE_BIT(POLICY_DEVICES));

        c = blueprint_free(c);
        write_blueprint(root, "local/demo", HEAD);
        ASSERT_ERROR(blueprint_load_by_name(list, "demo", &c, &e), EBADMSG);
        ck_assert_str_eq(e.name, CCP_ERROR_BLUEPRINT_INVALID);

        ASSERT_ERROR(blueprint_load_by_name(list, "nosuch", &c, &f), ENOENT);
        ck_assert_str_eq(f.name, CCP_ERROR_NO_SUCH_BLUEPRINT);
        ASSERT_ERROR(blueprint_load_by_name(list, "../demo", &c, NULL), EINVAL);
        remove_directories(root);
}
END_TEST

START_TEST(files_are_read_without_following_links) {
        _cleanup_blueprint_ Blueprint *b = NULL;
        _cleanup_free_ char *text = NULL, *link = NULL;
        char *const *list;
        const char *root = make_directories(&list);
        size_t n;

        write_blueprint(root, "local/demo", HEAD FILES);
        link = strjoin(root, "/local/demo/link");
        ASSERT_OK(symlink("/etc/passwd", link));
        ASSERT_OK(blueprint_load_by_name(list, "demo", &b, NULL));

        ASSERT_OK(blueprint_read_text(b, "blueprint.yaml", &text, &n, NULL));
        ck_assert_str_eq(text, HEAD FILES);
        text = mfree(text);
        ASSERT_ERROR(blueprint_read_text(b, "link", &text, &n, NULL), EBADMSG);
        ASSERT_ERROR(blueprint_read_text(b, "../../x", &text, &n, NULL), EBADMSG);
        ASSERT_ERROR(blueprint_read_text(b, "nosuch", &text, &n, NULL), EBADMSG);
        remove_directories(root);
}
END_TEST

START_TEST(directories_may_be_missing) {
        char *const list[] = { (char *) "/nonexistent/a", (char *) "/nonexistent/b", NULL };
        BlueprintEntry *entries = NULL;
        size_t n;

        ASSERT_OK(blueprint_list(list, &entries, &n));
        ck_assert_uint_eq(n, 0);
        blueprint_entries_free(entries, n);
}
END_TEST

TESTS("blueprint", everything_is_read, exceptions_count_only_in_a_local_copy,
                the_smallest_blueprint_has_defaults, problems_have_their_place,
                all_problems_are_found_at_once, a_broken_blueprint_does_not_hide_the_others,
                a_local_copy_hides_the_shipped_one_even_when_broken, files_are_read_without_following_links,
                directories_may_be_missing)
