/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "string-util.h"
#include "test.h"
#include "yaml-node.h"

static int parse(const char *text, YamlNode **ret, Error *reterr) {
        return yaml_node_parse("f", text, strlen(text), ret, reterr);
}

START_TEST(nodes_know_where_they_stood) {
        _cleanup_yaml_node_ YamlNode *root = NULL;
        const YamlNode *b;

        ASSERT_OK(parse("a: 1\nb:\n  - x\n  - 'y'\n", &root, NULL));
        ck_assert_uint_eq(root->n_children, 2);
        b = yaml_node_get(root, "b");
        ck_assert_uint_eq(b->key_line, 2);
        ck_assert_uint_eq(b->key_column, 1);
        ck_assert_int_eq(b->type, YAML_TYPE_SEQUENCE);
        ck_assert_uint_eq(b->children[1]->line, 4);
        ck_assert_uint_eq(b->children[1]->column, 5);
        ck_assert(b->children[1]->quoted && !b->children[0]->quoted);
        ck_assert_ptr_null(yaml_node_get(root, "c"));
}
END_TEST

START_TEST(what_is_not_allowed_has_its_place) {
        static const struct {
                const char *text, *message;
        } cases[] = {
                { "", "f:1:1: The file is empty." },
                { "a: &x 1\n", "f:1:4: Anchors" },
                { "a: 1\nb: *x\n", "f:2:4: Aliases" },
                { "*x : 1\n", "f:1:1: Aliases" },
                { "a: !!str 1\n", "f:1:4: Tags" },
                { "!x a: 1\n", "f:1:1: Tags" },
                { "a: 1\na: 2\n", "f:2:1: The key 'a' is there twice." },
                { "\"a\": 1\na: 2\n", "f:2:1: The key 'a' is there twice." },
                { "[a]: 1\n", "f:1:1: A key must be text." },
                { "? {a: b}\n: 1\n", "f:1:3: A key must be text." },
                { "a: 1\n---\nb: 2\n", "f:2:1: There is a second document" },
                { "a: \"x\\0y\"\n", "f:1:4: The value has a NUL" },
                { "a: [1\n", "f:2:1: This is no YAML" },
                { "a: {x: *}\n", "f:1:9: This is no YAML" },
                { "\ta: 1\n", "f:1:1: This is no YAML" },
                { "a: \xff\n", "f: This is no UTF-8 text" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_error_ Error e = {};
                YamlNode *root = NULL;

                ck_assert_msg(parse(c->text, &root, &e) == -EBADMSG, "%s", c->text);
                ck_assert_str_eq(e.name, CCP_ERROR_BLUEPRINT_INVALID);
                ck_assert_msg(startswith(e.message, c->message) != NULL, "%s: %s", c->text, e.message);
        }
}
END_TEST

/* n times 'part', with something around it. */
static char *repeated(const char *before, const char *part, size_t n, const char *after) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *s;

        string_builder_append(&b, before);
        while (n-- > 0)
                string_builder_append(&b, part);
        string_builder_append(&b, after);
        ASSERT_OK(string_builder_finish(&b, &s, NULL));
        return s;
}

START_TEST(limits_hold) {
        static const struct {
                const char *before, *part;
                size_t n;
                const char *after, *message;
        } cases[] = {
                { "", "[", 33, "", "nested too deeply" },
                { "", "{a: ", 100000, "", "nested too deeply" },
                { "", "- ", 100000, "x", "nested too deeply" },
                { "[", "x,", 1100, "]", "too many entries" },
                { "a: ", "x", 1100000, "", "larger than" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_free_ char *text = repeated(c->before, c->part, c->n, c->after);
                _cleanup_error_ Error e = {};
                YamlNode *root = NULL;

                ASSERT_ERROR(parse(text, &root, &e), EBADMSG);
                ck_assert_msg(strstr(e.message, c->message) != NULL, "%s: %s", c->part, e.message);
        }
}
END_TEST

START_TEST(the_number_of_values_is_limited) {
        _cleanup_free_ char *row = repeated("- [", "x,", 900, "]\n"), *text = repeated("", row, 30, "");
        _cleanup_error_ Error e = {};
        YamlNode *root = NULL;

        ASSERT_ERROR(parse(text, &root, &e), EBADMSG);
        ck_assert_ptr_nonnull(strstr(e.message, "too many values"));
}
END_TEST

START_TEST(other_encodings_are_refused) {
        static const char utf16[] = "\xff\xfe"
                                    "a\0:\0 \0"
                                    "1\0";
        YamlNode *root = NULL;

        ASSERT_ERROR(yaml_node_parse("f", utf16, sizeof(utf16) - 1, &root, NULL), EBADMSG);
}
END_TEST

START_TEST(plain_scalars_have_types) {
        static const struct {
                const char *text, *type;
        } cases[] = {
                { "abc", NULL },
                { "\"1\"", NULL },
                { "'true'", NULL },
                { "1.2.3", NULL },
                { "127.0.0.1", NULL },
                { "20000-20099", NULL },
                { "5min", NULL },
                { "1", "number" },
                { "-1", "number" },
                { "1.0", "number" },
                { "1e3", "number" },
                { "1e", NULL },
                { "0x1F", "number" },
                { "0644", "number" },
                { ".inf", "number" },
                { "12:30", "number" },
                { "true", "boolean" },
                { "No", "boolean" },
                { "~", "null" },
                { "null", "null" },
                { ".", NULL },
                { "-x", NULL },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_yaml_node_ YamlNode *root = NULL;

                ASSERT_OK(parse(c->text, &root, NULL));
                ck_assert_msg(streq_ptr(yaml_node_plain_type(root), c->type), "%s: %s", c->text,
                                strempty(yaml_node_plain_type(root)));
        }
}
END_TEST

TESTS("yaml-node", nodes_know_where_they_stood, what_is_not_allowed_has_its_place, limits_hold,
                the_number_of_values_is_limited, other_encodings_are_refused, plain_scalars_have_types)
