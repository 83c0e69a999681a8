/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "context.h"
#include "parameters.h"
#include "pattern.h"
#include "string-util.h"
#include "test.h"

static Blueprint *make_blueprint(void) {
        static const char text[] =
                        "name: demo\ntitle: Demo\nversion: \"1.0\"\n"
                        "files: [{template: c.hbs, target: docker-compose.yml, format: yaml}]\n"
                        "parameters:\n"
                        "  tag: { type: string, default: \"latest\", pattern: \"[a-z0-9.]{1,16}|x y\" }\n"
                        "  port: { type: integer, default: 587, minimum: 1, maximum: 65535 }\n"
                        "  low: { type: integer, default: 0, minimum: -5 }\n"
                        "  on: { type: boolean, default: true }\n"
                        "  size: { type: enum, values: [small, large] }\n"
                        "  note: { type: string, multiline: true, max_length: 65536 }\n"
                        "  token: { type: string, secret: true, pattern: \"[0-9]+\" }\n"
                        "features:\n"
                        "  media: { profiles: [media, common] }\n"
                        "  events: { profiles: [events, common], default: true }\n"
                        "ports: { web: nginx, api: api }\n"
                        "secrets: { TOKEN: {} }\n"
                        "services: { m: { feature: media }, all: {} }\n";
        Blueprint *b = NULL;
        _cleanup_error_ Error e = {};

        ck_assert_msg(blueprint_parse("b", text, strlen(text), &b, NULL, &e) >= 0, "%s",
                        strempty(e.message));
        return b;
}

START_TEST(defaults_are_filled_in_with_their_types) {
        _cleanup_blueprint_ Blueprint *b = make_blueprint();
        _cleanup_json_ json_t *p = NULL, *expected = NULL;

        expected = json_pack("{s:s s:i s:i s:b s:s s:s s:s}", "tag", "latest", "port", 587, "low", 0, "on",
                        1, "size", "small", "note", "", "token", "");
        ASSERT_OK(parameters_resolve(b, NULL, false, &p, NULL));
        ck_assert(json_equal(p, expected));
}
END_TEST

START_TEST(given_values_are_checked) {
        static const struct {
                const char *name, *value, *message; /* NULL: good */
        } cases[] = {
                { "tag", "1.2", NULL },
                { "tag", "x y", NULL },
                { "tag", "", NULL },
                { "tag", "1.2;", "'1.2;' cannot be the parameter tag: it must match" },
                { "tag", "x yz", "must match" },
                { "tag", "a\nb", "must be one line" },
                { "tag", "a\x1b[1m", "may not have control characters" },
                { "tag", "\xff", "must be UTF-8 text" },
                { "port", "1", NULL },
                { "port", "0", "must be from 1 to 65535" },
                { "port", "65536", "must be from 1 to 65535" },
                { "port", "99999999999999999999", "must be a whole number" },
                { "port", "0x50", "must be a whole number" },
                { "port", " 80", "must be a whole number" },
                { "port", "+80", "must be a whole number" },
                { "port", "080", "must be a whole number" },
                { "port", "", "must be a whole number" },
                { "low", "-5", NULL },
                { "low", "-6", "must be -5 or more" },
                { "on", "no", NULL },
                { "on", "1", NULL },
                { "on", "True", "must be yes or no" },
                { "size", "large", NULL },
                { "size", "huge", "must be one of: small, large" },
                { "size", "", "must be one of" },
                { "note", "a\n\tb", NULL },
                { "note", "a\rb", "control characters" },
                { "nosuch", "x", "demo has no parameter 'nosuch'; it has: tag, port, low" },
        };
        _cleanup_blueprint_ Blueprint *b = make_blueprint();

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_json_ json_t *given = json_object(), *p = NULL;
                _cleanup_error_ Error e = {};
                int r;

                json_object_set_new_nocheck(given, c->name, json_string_nocheck(c->value));
                r = parameters_resolve(b, given, false, &p, &e);
                if (!c->message) {
                        ck_assert_msg(r >= 0, "%s", strempty(e.message));
                        continue;
                }
                ck_assert_int_eq(r, -EINVAL);
                ck_assert_str_eq(e.name, CCP_ERROR_INVALID_ARGUMENT);
                ck_assert_msg(strstr(e.message, c->message) != NULL, "%s", e.message);
                ck_assert(string_is_safe(e.message));
        }
}
END_TEST

START_TEST(long_values_are_refused) {
        _cleanup_blueprint_ Blueprint *b = make_blueprint();
        _cleanup_free_ char *s = calloc(1, PARAMETER_VALUE_MAX + 2);
        const BlueprintParameter *note = blueprint_find_parameter(b, "note");
        _cleanup_json_ json_t *v = NULL;
        _cleanup_error_ Error e = {};

        memset(s, 'x', PARAMETER_VALUE_MAX);
        ASSERT_OK(parameter_parse_value(note, s, &v, NULL));
        s[PARAMETER_VALUE_MAX] = 'x';
        ASSERT_ERROR(parameter_parse_value(note, s, &v, &e), EINVAL);
        ck_assert_uint_lt(strlen(e.message), 200);
}
END_TEST

START_TEST(secret_values_are_not_told) {
        _cleanup_blueprint_ Blueprint *b = make_blueprint();
        _cleanup_json_ json_t *given = json_pack("{s:s}", "token", "hunter2"), *p = NULL;
        _cleanup_error_ Error e = {};

        ASSERT_ERROR(parameters_resolve(b, given, false, &p, &e), EINVAL);
        ck_assert_ptr_null(strstr(e.message, "hunter2"));
        ck_assert_ptr_nonnull(strstr(e.message, "token"));
}
END_TEST

START_TEST(other_types_than_text_are_refused) {
        _cleanup_blueprint_ Blueprint *b = make_blueprint();
        _cleanup_json_ json_t *number = json_pack("{s:i}", "port", 80), *p = NULL;
        _cleanup_json_ json_t *nul = json_pack("{s:o}", "tag", json_stringn("a\0b", 3));

        ASSERT_ERROR(parameters_resolve(b, number, false, &p, NULL), EINVAL);
        ASSERT_ERROR(parameters_resolve(b, nul, false, &p, NULL), EINVAL);
        ck_assert_ptr_null(p);
}
END_TEST

START_TEST(required_parameters_must_be_given) {
        static const char text[] = "name: demo\ntitle: Demo\nversion: \"1.0\"\n"
                                   "files: [{template: c.hbs, target: docker-compose.yml, format: yaml}]\n"
                                   "parameters: { mail: { type: string, required: true } }\n";
        _cleanup_json_ json_t *empty = json_pack("{s:s}", "mail", ""),
                              *good = json_pack("{s:s}", "mail", "a@b");
        _cleanup_json_ json_t *p = NULL;
        _cleanup_blueprint_ Blueprint *b = NULL;
        _cleanup_error_ Error e = {};

        ASSERT_OK(blueprint_parse("b", text, strlen(text), &b, NULL, NULL));
        ASSERT_ERROR(parameters_resolve(b, NULL, false, &p, &e), EINVAL);
        ck_assert_ptr_nonnull(strstr(e.message, "--set mail=VALUE"));
        ASSERT_ERROR(parameters_resolve(b, empty, false, &p, NULL), EINVAL);
        ASSERT_OK(parameters_resolve(b, good, false, &p, NULL));
}
END_TEST

START_TEST(features_are_turned_on_and_off) {
        _cleanup_blueprint_ Blueprint *b = make_blueprint();
        char *const given[] = { (char *) "media", (char *) "events=no", NULL };
        char *const unknown[] = { (char *) "nosuch", NULL },
                    *const odd[] = { (char *) "media=perhaps", NULL };
        _cleanup_json_ json_t *defaults = NULL, *f = NULL;
        _cleanup_strv_free_ char **profiles = NULL;
        _cleanup_error_ Error e = {};

        ASSERT_OK(features_resolve(b, NULL, &defaults, NULL));
        ck_assert(json_is_false(json_object_get(defaults, "media")));
        ck_assert(json_is_true(json_object_get(defaults, "events")));
        ck_assert(!service_is_enabled(blueprint_find_service(b, "m"), defaults));
        ck_assert(service_is_enabled(blueprint_find_service(b, "all"), defaults));

        ASSERT_OK(features_resolve(b, given, &f, NULL));
        ck_assert(json_is_true(json_object_get(f, "media")));
        ck_assert(json_is_false(json_object_get(f, "events")));
        ck_assert(service_is_enabled(blueprint_find_service(b, "m"), f));
        ASSERT_OK(features_to_profiles(b, f, &profiles));
        ck_assert_uint_eq(strv_length(profiles), 2);

        f = (json_decref(f), NULL);
        ASSERT_ERROR(features_resolve(b, unknown, &f, &e), EINVAL);
        ck_assert_ptr_nonnull(strstr(e.message, "it has: media, events"));
        ASSERT_ERROR(features_resolve(b, odd, &f, NULL), EINVAL);
}
END_TEST

START_TEST(shared_profiles_are_listed_once) {
        _cleanup_blueprint_ Blueprint *b = make_blueprint();
        char *const given[] = { (char *) "media", NULL };
        _cleanup_json_ json_t *f = NULL;
        _cleanup_strv_free_ char **profiles = NULL;
        _cleanup_free_ char *csv = NULL;

        ASSERT_OK(features_resolve(b, given, &f, NULL));
        ASSERT_OK(features_to_profiles(b, f, &profiles));
        csv = strv_join(profiles, ",");
        ck_assert_str_eq(csv, "media,common,events");
}
END_TEST

START_TEST(patterns_match_the_whole_value) {
        ck_assert_int_eq(pattern_matches("a|ab", "ab"), 1);
        ck_assert_int_eq(pattern_matches("a)|(b", "b"), -EINVAL);
        ck_assert_int_eq(pattern_matches("a", "xay"), 0);
        ck_assert_int_eq(pattern_matches("[0-9]*", "12x"), 0);
        ck_assert_int_eq(pattern_matches("", ""), 1);
        ck_assert_int_eq(pattern_matches(".*", "a\nb"), 1);
        ck_assert_int_eq(pattern_matches("([^@[:space:]]+@[^@[:space:]]+)?", "a@b"), 1);
        ck_assert_int_eq(pattern_matches("[]a]{2}", "]a"), 1);
}
END_TEST

START_TEST(dangerous_patterns_are_refused) {
        static const char *const bad[] = { "(", "[a", "[[:alpha:]", "a{", "a{2,1}", "a{30000}", "(a)\\1",
                "\\", "((a{1,255}){1,255}){1,255}", "(a{200}b{200}){100}", "a{100}{100}{100}",
                "(a{150})+{150}", "(((((((((((((((((a)))))))))))))))))", "*" };
        static const char *const good[] = { "a{1,128}", "([a-z]{1,63}\\.){1,8}[a-z]{2,}", "a{0}", "\\.\\(",
                "[{]" };

        FOREACH_ARRAY(p, bad, ELEMENTSOF(bad))
                if (!streq(*p, "*"))
                        ck_assert_msg(pattern_find_fault(*p) != NULL, "%s", *p);
        FOREACH_ARRAY(p, good, ELEMENTSOF(good))
                ck_assert_msg(!pattern_find_fault(*p), "%s: %s", *p, strempty(pattern_find_fault(*p)));
}
END_TEST

START_TEST(the_context_has_all_that_templates_see) {
        static const char *const keys[] = { "id", "slug", "name", "domain", "project", "revision",
                "directory", "bind", "subnet", "gateway", "source", "blueprint", "ports", "secrets",
                "parameters", "features", "profiles", "profiles_csv" };
        _cleanup_blueprint_ Blueprint *b = make_blueprint();
        _cleanup_json_ json_t *c = NULL;

        ASSERT_OK(context_make_sample(b, NULL, &c));
        ck_assert_uint_eq(json_object_size(c), ELEMENTSOF(keys));
        FOREACH_ARRAY(k, keys, ELEMENTSOF(keys))
                ck_assert_msg(json_object_get(c, *k) != NULL, "%s", *k);

        ck_assert_str_eq(json_object_get_string(c, "project"), "sample_ccp");
        ck_assert_str_eq(json_object_get_string(c, "gateway"), "10.200.0.1");
        ck_assert_str_eq(json_object_get_string(c, "profiles_csv"), "events,common");
        ck_assert_str_eq(json_object_get_string(c, "source"), "");
        ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(c, "parameters"), "port")), 587);
        ck_assert_uint_eq(json_object_size(json_object_get(c, "ports")), 2);
}
END_TEST

TESTS("parameters", defaults_are_filled_in_with_their_types, given_values_are_checked,
                long_values_are_refused, secret_values_are_not_told, other_types_than_text_are_refused,
                required_parameters_must_be_given, features_are_turned_on_and_off,
                shared_profiles_are_listed_once, patterns_match_the_whole_value,
                dangerous_patterns_are_refused, the_context_has_all_that_templates_see)
