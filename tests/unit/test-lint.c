/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "fd-util.h"
#include "fs-util.h"
#include "lint.h"
#include "string-util.h"
#include "test.h"

#define HEAD                                          \
        "name: demo\ntitle: Demo\nversion: \"1.0\"\n" \
        "files: [{template: c.hbs, target: docker-compose.yml, format: yaml}]\n"

static char root[64], folder[128];

static void setup(const char *description, const char *compose) {
        _cleanup_close_ int fd = -EBADF;

        memcpy(root, "/tmp/test-lint.XXXXXX", sizeof("/tmp/test-lint.XXXXXX"));
        ck_assert_ptr_nonnull(mkdtemp(root));
        (void) snprintf(folder, sizeof(folder), "%s/demo", root);

        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(mkdir_parents_beneath(fd, "demo/x", 0755));
        ASSERT_OK(write_file_beneath(fd, "demo/blueprint.yaml", description, strlen(description), 0644));
        if (compose)
                ASSERT_OK(write_file_beneath(fd, "demo/c.hbs", compose, strlen(compose), 0644));
}

/* Lints, and asserts that there are as many problems as given, each with a text in its place. */
static void lint(const char *const *expected) {
        _cleanup_close_ int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_strv_free_ char **problems = NULL;
        _cleanup_blueprint_ Blueprint *b = NULL;
        _cleanup_error_ Error e = {};
        size_t n = 0;

        ck_assert_msg(blueprint_lint(folder, &b, &problems, &e) >= 0, "%s", strempty(e.message));
        STRV_FOREACH(p, problems) {
                ck_assert_msg(expected[n], "unexpected: %s", *p);
                ck_assert_msg(strstr(*p, expected[n]) != NULL, "expected %s: %s", expected[n], *p);
                n++;
        }
        ck_assert_msg(!expected[n], "not found: %s", expected[n]);
        ASSERT_OK(rm_rf_at(fd, root + STRLEN("/tmp/")));
}

START_TEST(a_good_blueprint_has_no_problems) {
        setup(HEAD "services: {web: {}}\nports: {web: nginx}\nfeatures: {media: {}}\nsecrets: {TOKEN: {}}\n"
                   "parameters: {tag: {type: string, required: true}}\n",
                        "services:\n  web:\n    image: \"x:{{parameters.tag}}\"\n"
                        "    ports: [\"{{bind}}:{{ports.web}}:80\"]\n"
                        "    environment: {T: \"{{secrets.TOKEN}}\", M: \"{{features.media}}\"}\n");
        lint((const char *const[]) { NULL });
}
END_TEST

START_TEST(all_problems_of_the_description_are_listed) {
        setup(HEAD "nosuch: 1\nports: []\n", "services: {web: {}}\n");
        lint((const char *const[]) { ":5:1: The key 'nosuch'", ":6:8: This should be a mapping", NULL });
}
END_TEST

START_TEST(a_wrong_folder_is_a_problem) {
        setup("name: other\ntitle: D\nversion: \"1\"\nfiles: [{template: c, target: docker-compose.yml, "
              "format: yaml}]\n",
                        NULL);
        lint((const char *const[]) { "calls itself other", NULL });
}
END_TEST

START_TEST(missing_files_are_problems) {
        setup(HEAD "static: [{file: nosuch, target: a}, {file: blueprint.yaml, target: b}]\n", NULL);
        lint((const char *const[]) { "c.hbs is missing", "nosuch: The file is missing", NULL });
}
END_TEST

START_TEST(values_that_do_not_exist_are_problems_once) {
        setup(HEAD, "services:\n  web:\n    image: \"{{parameters.nosuch}}\"\n");
        lint((const char *const[]) { "nosuch", NULL });
}
END_TEST

START_TEST(branches_of_features_are_rendered_too) {
        setup(HEAD "features: {media: {}}\n",
                        "services:\n  web:\n    image: \"x{{#if features.media}}{{nosuch}}{{/if}}\"\n");
        lint((const char *const[]) { "nosuch", NULL });
}
END_TEST

START_TEST(templates_that_cannot_be_parsed_are_problems) {
        setup(HEAD, "services: {{#if x}}\n");
        lint((const char *const[]) { "c.hbs:", NULL });
}
END_TEST

START_TEST(services_must_be_in_the_compose_file) {
        setup(HEAD "services: {wbe: {}}\n", "services:\n  web: {image: x}\n");
        lint((const char *const[]) { "The compose file has no service 'wbe'.", NULL });
}
END_TEST

START_TEST(files_from_elsewhere_are_problems) {
        setup(HEAD, "services:\n  web: {image: x, env_file: /etc/passwd}\n");
        lint((const char *const[]) { "docker-compose.yml, rendered: Line 2", NULL });
}
END_TEST

START_TEST(no_blueprint_is_an_error) {
        _cleanup_strv_free_ char **problems = NULL;
        _cleanup_error_ Error e = {};
        Blueprint *b = NULL;

        ASSERT_ERROR(blueprint_lint("/nonexistent/demo", &b, &problems, &e), ENOENT);
        ck_assert_str_eq(e.name, CCP_ERROR_NO_SUCH_BLUEPRINT);
}
END_TEST

TESTS("lint", a_good_blueprint_has_no_problems, all_problems_of_the_description_are_listed,
                a_wrong_folder_is_a_problem, missing_files_are_problems,
                values_that_do_not_exist_are_problems_once, branches_of_features_are_rendered_too,
                templates_that_cannot_be_parsed_are_problems, services_must_be_in_the_compose_file,
                files_from_elsewhere_are_problems, no_blueprint_is_an_error)
