/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Hostile values in every place of every format: what is written must be read back as exactly that value, or
 * the rendering must fail. */

#include <yaml.h>

#include "alloc-util.h"
#include "dotenv.h"
#include "template/template-test.h"

#define LARGE (1024U * 1024U)

typedef enum Reader {
        READ_YAML,
        READ_COMPOSE, /* with interpolation, and $ in values doubled */
        READ_JSON,
        READ_DOTENV,
} Reader;

/* A place for {{x}}, and what the reader must find under "v" there: prefix, value, suffix. */
typedef struct Place {
        Reader reader;
        const char *template, *prefix, *suffix;
        bool always; /* every text can be written here */
} Place;

static const Place places[] = {
        { READ_YAML, "v: {{x}}\n", "", "", true },
        { READ_YAML, "v: {{x}} # note\nw: 1\n", "", "", true },
        { READ_YAML, "v:\n  {{x}}\n", "", "", true },
        { READ_YAML, "v: \"{{x}}\"\n", "", "", true },
        { READ_YAML, "v: \"a {{x}} b\"\n", "a ", " b", true },
        { READ_YAML, "v: \"a\n  {{x}}\n  b\"\n", "a ", " b", false },
        { READ_YAML, "v: '{{x}}'\n", "", "", false },
        { READ_YAML, "v: 'it''s {{x}}'\n", "it's ", "", false },
        { READ_YAML, "v: a-{{x}}\n", "a-", "", false },
        { READ_YAML, "v: {{x}}-b\n", "", "-b", false },
        { READ_YAML, "v: a {{x}} b\n", "a ", " b", false },
        { READ_YAML, "v: {{x}}{{#if x}}{{/if}}\n", "", "", true },
        { READ_YAML, "v: |\n  {{x}}\nw: 1\n", "", "\n", false },
        { READ_YAML, "v: |-\n    a\n    b{{x}}\nw: 1\n", "a\nb", "", false },
        { READ_YAML, "v: |+\n  a\n  {{x}}\n", "a\n", "\n", false },
        { READ_YAML, "v: >-\n  a {{x}} b\n", "a ", " b", false },
        { READ_YAML, "{ w: 1, v: {{x}} }\n", "", "", true },
        { READ_YAML, "{ v: {{x}}, w: 1 }\n", "", "", true },
        { READ_YAML, "{ v: \"{{x}}\" }\n", "", "", true },
        { READ_YAML, "w:\n- [{{x}}, 1]\nv: {{x}}\n", "", "", true },
        { READ_YAML, "{{x}}: 1\nv: {{x}}\n", "", "", false },
        { READ_YAML, "\"{{x}}\": [ '{{x}}' ]\nv: {{x}}\n", "", "", false },
        { READ_YAML, "# {{x}}\nv: 1\n", NULL, NULL, false },
        { READ_YAML, "- - k: |\n      {{x}}\n  - v: {{x}}\n", "", "", false },
        { READ_COMPOSE, "v: {{x}}\n", "", "", true },
        { READ_COMPOSE, "v: \"{{x}}\"\n", "", "", true },
        { READ_COMPOSE, "v: \"$${{x}}\"\n", "$$", "", true },
        { READ_COMPOSE, "v: \"${HOME}{{x}}\"\n", "${HOME}", "", true },
        { READ_COMPOSE, "v: '{{x}}'\n", "", "", false },
        { READ_COMPOSE, "v: |-\n  a{{x}}\n", "a", "", false },
        { READ_COMPOSE, "v: \"${A:-{{x~}} }\"\n", "${A:-", "}", false },
        { READ_COMPOSE, "v: \"${{x}}\"\n", NULL, NULL, false },
        { READ_JSON, "{\"v\":{{x}}}", "", "", false },
        { READ_JSON, "{\"v\": {{x}} }", "", "", true },
        { READ_JSON, "{\"v\":\"a{{x}}b\"}", "a", "b", true },
        { READ_JSON, "{\"{{x}}\":[{{x}},1],\n\"v\":\"{{x}}\"\n}", "", "", false },
        { READ_DOTENV, "v={{x}}\n", "", "", true },
        { READ_DOTENV, "v={{x}}", "", "", true },
        { READ_DOTENV, "export v = {{x}} # note\nw=1\n", "", "", true },
        { READ_DOTENV, "v=\"{{x}}\"\nw=1\n", "", "", true },
        { READ_DOTENV, "v=\"a {{x}} b\"\nw=1\n", "a ", " b", true },
        { READ_DOTENV, "v=\"$${{x}}\"\nw=1\n", "$", "", true },
        { READ_DOTENV, "v='{{x}}'\n", "", "", false },
        { READ_DOTENV, "v='a{{x}}b'\n", "a", "b", false },
        { READ_DOTENV, "v=a{{x}}b\n", "a", "b", false },
        { READ_DOTENV, "v={{x}}/b\n", "", "/b", false },
        { READ_DOTENV, "v=a {{x}}\nw=1\n", "a ", "", false },
        { READ_DOTENV, "# {{x}}\nv=1\n", NULL, NULL, false },
        { READ_DOTENV, "w=${A:-{{x~}} }\nv=1\n", NULL, NULL, false },
        { READ_DOTENV, "w=${{x}}\nv=1\n", NULL, NULL, false },
};

static const char *const values[] = {
        "x",
        "",
        " ",
        "a b",
        " a",
        "a ",
        "\t",
        "a\tb",
        "a\nb",
        "\n",
        "a\n",
        "\na",
        "a\n\n b\n",
        "a\r\nb",
        "\r",
        "'",
        "\"",
        "a'b",
        "a\"b",
        "it's \"it\"",
        "''",
        "\"\"",
        "\\",
        "\\\\",
        "a\\",
        "\\'",
        "\\\"",
        "\\n",
        "a\\nb",
        "$",
        "$$",
        "$HOME",
        "${HOME}",
        "a$",
        "$(id)",
        "{{",
        "}}",
        "{{x}}",
        "{",
        "}",
        "[",
        "]",
        ",",
        "a,b",
        "{a: b}",
        "[a]",
        "#",
        " #",
        "a #b",
        "a#b",
        "#a",
        ":",
        "a:",
        "a: b",
        ":a",
        "a:b",
        ": ",
        "-",
        "- a",
        "-a",
        "--",
        "---",
        "--- a",
        "...",
        "?",
        "? a",
        "!",
        "!a",
        "!!int 1",
        "&",
        "&a",
        "*",
        "*a",
        "|",
        ">",
        "%",
        "%a",
        "@",
        "@a",
        "`",
        "~",
        "null",
        "Null",
        "yes",
        "No",
        "on",
        "true",
        "FALSE",
        "y",
        "0",
        "1",
        "-1",
        "+1",
        "0x10",
        "0o17",
        "0b1",
        "1_000",
        "1.5",
        ".5",
        "1.",
        "1e3",
        "1E+3",
        ".inf",
        "-.INF",
        ".nan",
        "12:30",
        "12:30:45",
        "2001-01-01",
        "2001-01-01T00:00:00Z",
        "<<",
        "=",
        "<",
        "a=b",
        "=a",
        "a b=c",
        "A=1",
        "\nA=1",
        "\nv=2",
        "\nv: 2",
        "x\nw: 2\nv: 3",
        "\",\"v\":\"",
        "\"}",
        ";",
        "a;b",
        "a; }",
        "café",
        "Zürich – 東京",
        "😀",
        "\xC2\x80",
        "\xC2\x85",
        "\xC2\xA0",
        "a\xC2\xA0",
        "\xE2\x80\xA8",
        "a\xE2\x80\xA9 b",
        "\xE3\x80\x80",
        "\xEF\xBB\xBF",
        "\xEF\xBF\xBE",
        "\x01",
        "\x07",
        "\x1B[0m",
        "\x7F",
        "a/b/c",
        "10.200.0.64/26",
        "host:5432",
        "http://u:p@h/x?y=z#f",
        "postgres://u:p%40@h/db",
        "a'\\'b",
        "'\\",
        "\\''",
        "%(x)s",
        "ccpx0",
        "\\$x",
        "\\\\$x",
        "${A:-}",
        "}}$",
        "$}",
        "a}$b",
        "\\a\\b",
        "\\0101",
};

/* The scalar behind the first plain or quoted "v" that is a key; NULL if the text is not YAML or has none. */
static char *read_yaml(const char *text, size_t size, size_t *ret_size) {
        yaml_parser_t p;
        yaml_event_t e;
        char *found = NULL;
        bool next = false, done = false;

        ck_assert(yaml_parser_initialize(&p));
        yaml_parser_set_input_string(&p, (const unsigned char *) text, size);
        while (!done && yaml_parser_parse(&p, &e)) {
                done = e.type == YAML_STREAM_END_EVENT;
                if (e.type == YAML_SCALAR_EVENT) {
                        /* Without a tag, a plain scalar must mean a text. */
                        if (next && !found) {
                                ck_assert(e.data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
                                                yaml_plain_is_string((char *) e.data.scalar.value,
                                                                e.data.scalar.length));
                                found = strndup((char *) e.data.scalar.value, e.data.scalar.length);
                                *ret_size = e.data.scalar.length;
                        }
                        next = streq((char *) e.data.scalar.value, "v");
                }
                yaml_event_delete(&e);
        }
        yaml_parser_delete(&p);
        if (!done)
                found = mfree(found);
        return found;
}

static char *read_back(Reader reader, const char *text, size_t size, size_t *ret_size) {
        _cleanup_json_ json_t *j = NULL;
        const json_t *v;

        if (reader == READ_YAML || reader == READ_COMPOSE)
                return read_yaml(text, size, ret_size);
        if (reader == READ_JSON)
                j = json_loadb(text, size, 0, NULL);
        else if (dotenv_load(text, size, &j, NULL) < 0)
                j = NULL;
        v = json_object_get(j, "v");
        *ret_size = json_string_length(v);
        return v ? strndup(json_string_value(v), *ret_size) : NULL;
}

static char *expected_text(const Place *p, const char *value, size_t size) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *s;

        string_builder_append(&b, p->prefix);
        for (size_t i = 0; i < size; i++) {
                string_builder_append_n(&b, value + i, 1);
                if (p->reader == READ_COMPOSE && value[i] == '$')
                        string_builder_append(&b, "$");
        }
        string_builder_append(&b, p->suffix);
        ASSERT_OK(string_builder_finish(&b, &s, NULL));
        return s;
}

/* True if the value could be written. */
static bool check(const Place *p, const char *value, size_t size) {
        static const TemplateFormat formats[] = { TEMPLATE_YAML, TEMPLATE_YAML, TEMPLATE_JSON,
                TEMPLATE_DOTENV };
        const TemplateOptions o = {
                .format = formats[p->reader],
                .compose_interpolation = p->reader == READ_COMPOSE,
        };
        _cleanup_json_ json_t *context = json_pack("{s:s%}", "x", value, size);
        _cleanup_free_ char *text = NULL, *found = NULL, *expected = NULL;
        _cleanup_error_ Error e = {};
        size_t text_size, found_size = 0;
        int r;

        ck_assert_ptr_nonnull(context);
        r = test_render(&o, NULL, p->template, context, /* verified= */ true, &text, &text_size, &e);
        if (r < 0) {
                ck_assert(error_is_set(&e));
                /* A short value may occur in the sentence by chance. */
                ck_assert_msg(size < 12 || !strstr(e.message, value), "'%s' tells the value", e.message);
                return false;
        }
        if (!p->prefix)
                return true;

        found = read_back(p->reader, text, text_size, &found_size);
        ck_assert_msg(found, "%s with '%s' gives %s, which can't be read", p->template, value, text);
        expected = expected_text(p, value, size);
        ck_assert_msg(found_size == strlen(expected) && streq(found, expected),
                        "%s with '%s' gives %s, in which '%s' is read", p->template, value, text, found);
        return true;
}

/* Control characters and what is not in Unicode at all are refused by dotenv; U+FFFE by YAML. */
static bool is_text(const char *s) {
        return string_is_safe(s) && !strstr(s, "\xC2\x80") && !strstr(s, "\xC2\x85");
}

START_TEST(values_are_read_back_as_they_were) {
        FOREACH_ARRAY(p, places, ELEMENTSOF(places))
                FOREACH_ARRAY(v, values, ELEMENTSOF(values)) {
                        bool written = check(p, *v, strlen(*v));

                        ck_assert_msg(written || !p->always || !is_text(*v), "%s refuses '%s'", p->template,
                                        *v);
                }
}
END_TEST

START_TEST(line_ends_can_be_written_where_there_is_an_escape) {
        static const char lines[] = "a\n\n  b # c\nv: 2\nv=3";
        static const Place escapes[] = {
                { READ_YAML, "v: {{x}}\n", "", "", true },
                { READ_YAML, "v: \"{{x}}\"\n", "", "", true },
                { READ_YAML, "v: |\n  a\n  {{x}}\n", "a\n", "\n", true },
                { READ_JSON, "{\"v\":\"{{x}}\"}", "", "", true },
                { READ_DOTENV, "v={{x}}\n", "", "", true },
                { READ_DOTENV, "v=\"{{x}}\"\n", "", "", true },
        };

        FOREACH_ARRAY(p, escapes, ELEMENTSOF(escapes))
                ck_assert_msg(check(p, lines, strlen(lines)), "%s", p->template);
}
END_TEST

START_TEST(nul_and_broken_text_are_refused_everywhere) {
        FOREACH_ARRAY(p, places, ELEMENTSOF(places))
                ck_assert_msg(!check(p, "a\0b", 3), "%s", p->template);
        for (TemplateFormat f = 0; f < TEMPLATE_HTML; f++) {
                const TemplateOptions o = { .format = f };

                test_fails(&o, NULL, "{{x}}", "{\"x\":\"a\\u0000b\"}", "t:1:1: 'x': ");
        }
}
END_TEST

START_TEST(large_values_are_read_back) {
        _cleanup_free_ char *large = malloc(LARGE + 1);

        for (size_t i = 0; i < LARGE; i++)
                large[i] = "abc '\"\\$#:\n{}"[i % 14];
        large[LARGE] = 0;
        large[LARGE - 1] = 'x';

        FOREACH_ARRAY(p, places, ELEMENTSOF(places))
                (void) check(p, large, LARGE);
        for (size_t i = 0; i < LARGE; i++)
                large[i] = 'a';
        FOREACH_ARRAY(p, places, ELEMENTSOF(places)) {
                bool written = check(p, large, LARGE);

                ck_assert_msg(written || !p->always, "%s", p->template);
        }
}
END_TEST

START_TEST(types_are_kept) {
        static const TemplateOptions yaml = { .format = TEMPLATE_YAML }, json = { .format = TEMPLATE_JSON };
        static const char context[] =
                        "{\"s\":\"8080\",\"n\":8080,\"r\":1.5,\"b\":true,\"t\":\"true\",\"z\":null,"
                        "\"l\":[1,\"a\\\"b\"],\"v\":\"16\"}";

        test_renders(&yaml, NULL, "a: {{s}}\nb: {{n}}\nc: {{b}}\nd: {{t}}\ne: {{z}}\nf: {{r}}\n", context,
                        "a: \"8080\"\nb: 8080\nc: true\nd: \"true\"\ne: \nf: 1.5\n");
        test_renders(&yaml, NULL, "a: {{v}}-alpine\nb: \"{{n}}\"\nc: {{n}}:80\n", context,
                        "a: 16-alpine\nb: \"8080\"\nc: 8080:80\n");
        test_fails(&yaml, NULL, "a: 1.{{v}}\n", context, "no longer a text but a number");
        test_fails(&yaml, NULL, "a: {{l}}\n", context, "use {{#each}}");
        test_renders(&json, NULL, "{\"a\": {{s}} ,\"b\": {{n}} ,\"c\": {{b}} ,\"d\": {{z}} ,\"e\": {{l}} }",
                        context,
                        "{\"a\": \"8080\" ,\"b\": 8080 ,\"c\": true ,\"d\": null ,\"e\": [1,\"a\\\"b\"] }");
        test_renders(&json, NULL, "[\"{{n}}\", \"p{{b}}\"]", context, "[\"8080\", \"ptrue\"]");
        test_fails(&json, NULL, "[\"{{l}}\"]", context, "can't stand inside a string");
        test_fails(&json, NULL, "[1{{n}}]", context, "in the middle of a number");
        test_fails(&json, NULL, "[ {{n}}0 ]", context, "not JSON");
        test_fails(&json, NULL, "{\"{{s}}\":1,\"8080\":2}", context, "a key is there twice");
}
END_TEST

START_TEST(yaml_structure_can_not_change) {
        static const TemplateOptions yaml = { .format = TEMPLATE_YAML };
        TemplateOptions compose = { .format = TEMPLATE_YAML, .compose_interpolation = true };

        test_fails(&yaml, NULL, "a: !{{x}} b\n", "{\"x\":\"int\"}", "can't stand here");
        test_fails(&yaml, NULL, "a: &{{x}} b\n", "{\"x\":\"int\"}", "can't stand here");
        test_fails(&yaml, NULL, "a: \"b\"{{x}}\n", "{\"x\":\"c\"}", "can't stand here");
        test_fails(&yaml, NULL, "a: |{{x}}\n  b\n", "{\"x\":\"2\"}", "can't stand here");
        test_fails(&yaml, NULL, "a: b\n {{x}}\n", "{\"x\":\"- 1\"}", "t");
        test_fails(&yaml, NULL, "a: b {{x}}c\n", "{\"x\":\"#\"}", "put quotes round the whole");
        test_fails(&yaml, NULL, "a: ab: {{x}}", "{\"x\":\"c\"}", "not YAML");
        test_fails(&compose, NULL, "\"{{x}}\": 1\n", "{\"x\":\"$a\"}", "'$' in a key");
        test_renders(&compose, NULL, "a: ${HOME}/{{x}}\nb: $$\n", "{\"x\":\"$a\"}",
                        "a: ${HOME}/$$a\nb: $$\n");
        test_fails(&compose, NULL, "a: \"${{x}}\"\n", "{\"x\":\"HOME\"}", "right behind a '$'");
        test_fails(&compose, NULL, "a: ${A:-{{x~}} }\n", "{\"x\":\"}$B\"}", "inside ${…}");
        /* A comment of the template's author that would swallow the line's end. */
        test_fails(&yaml, NULL, "# {{x}}\na: 1\n", "{\"x\":\"\\nb: 2\"}", "a comment can't hold");
        test_renders(&yaml, NULL, "# {{x}}\na: 1\n", "{\"x\":\"it's: {\"}", "# it's: {\na: 1\n");
        test_renders(&yaml, NULL, "a: 'x' # {{x}}\nb: {{x}}\n", "{\"x\":\"it's\"}",
                        "a: 'x' # it's\nb: it's\n");
}
END_TEST

START_TEST(nginx_directives_can_not_be_left) {
        static const TemplateOptions nginx = { .format = TEMPLATE_NGINX };
        static const char *const bad[] = { "a b", "a;b", "a{", "}", "a\"", "'", "\\", "$host", "#", "a\nb",
                "\t", "" };

        FOREACH_ARRAY(v, bad, ELEMENTSOF(bad)) {
                _cleanup_json_ json_t *j = json_pack("{s:s}", "x", *v);
                _cleanup_free_ char *s = json_dumps(j, 0);

                test_fails(&nginx, NULL, "server_name {{x}};\n", s, "t:1:13: 'x': ");
        }
        test_renders(&nginx, NULL, "listen {{n}};\nserver_name {{x}} www.{{x}};\n",
                        "{\"n\":80,\"x\":\"a.org\"}", "listen 80;\nserver_name a.org www.a.org;\n");
        test_renders(&nginx, NULL, "add_header X \"{{x}}\";\nadd_header Y '{{x}}';\n",
                        "{\"x\":\"a; } \\\\ \\\" ' # {\"}",
                        "add_header X \"a; } \\\\ \\\" ' # {\";\nadd_header Y 'a; } \\\\ \" \\' # {';\n");
        test_fails(&nginx, NULL, "add_header X \"{{x}}\";", "{\"x\":\"$host\"}", "no escape for a '$'");
        test_fails(&nginx, NULL, "add_header X \"{{x}}\";", "{\"x\":\"a\\nb\"}", "line end");
        test_fails(&nginx, NULL, "set $a $host{{x}};", "{\"x\":\"name\"}",
                        "become part of the variable's name");
        test_renders(&nginx, NULL, "set $a ${host}{{x}}$b/{{x}};", "{\"x\":\"name\"}",
                        "set $a ${host}name$b/name;");
        test_fails(&nginx, NULL, "a \"b\"{{x}};", "{\"x\":\"c\"}", "behind a closing quote");
        test_fails(&nginx, NULL, "# {{x}}\n", "{\"x\":\"a\\nb\"}", "line end");
        test_renders(&nginx, NULL, "# it's {{x}}\nb {{n}};", "{\"x\":\"a;\",\"n\":1}", "# it's a;\nb 1;");
}
END_TEST

START_TEST(ini_keys_can_not_be_left) {
        static const TemplateOptions ini = { .format = TEMPLATE_INI };
        static const char *const bad[] = { "a;b", "a#b", "a\nb", " a", "a ", "\"a\"", "it's", "a\\", "${a}",
                "%(a)s", "\x01" };

        FOREACH_ARRAY(v, bad, ELEMENTSOF(bad)) {
                _cleanup_json_ json_t *j = json_pack("{s:s}", "x", *v);
                _cleanup_free_ char *s = json_dumps(j, 0);

                test_fails(&ini, NULL, "a = {{x}}\n", s, "t:1:5: 'x': ");
        }
        test_renders(&ini, NULL, "[{{x}}]\nk_{{x}} = {{x}}, {{n}}\nb = \"{{y}}\"\n",
                        "{\"x\":\"ab\",\"n\":1,\"y\":\"a;b 'c' #\"}",
                        "[ab]\nk_ab = ab, 1\nb = \"a;b 'c' #\"\n");
        test_fails(&ini, NULL, "[{{x}}]\n", "{\"x\":\"a]\"}", "the name of a section");
        test_fails(&ini, NULL, "b = \"{{x}}\"\n", "{\"x\":\"a\\\"\"}", "disagree on quotes");
        test_fails(&ini, NULL, "; {{x}}\n", "{\"x\":\"a\\nb\"}", "line end");
}
END_TEST

START_TEST(text_and_html_are_simple) {
        static const TemplateOptions text = { .format = TEMPLATE_TEXT }, html = { .format = TEMPLATE_HTML };

        test_renders(&text, NULL, "{{x}}", "{\"x\":\"a\\n\\tb <&> $ é\"}", "a\n\tb <&> $ é");
        test_fails(&text, NULL, "{{x}}", "{\"x\":\"\\u001b[31m\"}", "a control character");
        test_fails(&text, NULL, "{{x}}", "{\"x\":\"\\r\"}", "a control character");
        test_fails(&text, NULL, "{{x}}", "{\"x\":[1]}", "use {{#each}}");
        test_renders(&html, NULL, "{{x}}{{{x}}}{{l}}", "{\"x\":\"<\\\"'&`=>\",\"l\":[1,[2,null],{}]}",
                        "&lt;&quot;&#x27;&amp;&#x60;&#x3D;&gt;<\"'&`=>1,2,,[object Object]");
}
END_TEST

START_TEST(partials_keep_block_texts_in_their_indentation) {
        static const TemplateOptions yaml = { .format = TEMPLATE_YAML };

        test_renders(&yaml, NULL,
                        "{{#*inline \"p\"}}\nv: |\n  {{x}}\nw: \"{{x}}\"\n{{/inline}}\na:\n  {{> p}}\nb: "
                        "1\n",
                        "{\"x\":\"1\\n2\"}", "a:\n  v: |\n    1\n    2\n  w: \"1\\n2\"\nb: 1\n");
}
END_TEST

START_TEST(plain_texts_that_mean_something_else_are_known) {
        static const char *const others[] = { "", "~", "null", "NULL", "true", "Yes", "off", "n", "0", "-12",
                "+1", "0x1F", "0o17", "017", "0b101", "1_000", "1.5", ".5", "5.", "-.5e-3", "1e9", ".inf",
                "-.Inf", ".NaN", "<<", "=", "12:30:45", "1:30.5", "2024-02-30", "2024-01-01 10:00:00" };
        static const char *const strings[] = { "a", "1a", "1.2.3", "10.0.0.0/8", "-", "--", "+", ".", "..",
                "e9", "1e", "0xg", "yes!", "nullx", "1:b", "127.0.0.1:80:80", "16-alpine", "_1", "v1.0",
                "1-2" };

        FOREACH_ARRAY(s, others, ELEMENTSOF(others))
                ck_assert_msg(!yaml_plain_is_string(*s, strlen(*s)), "%s", *s);
        FOREACH_ARRAY(s, strings, ELEMENTSOF(strings))
                ck_assert_msg(yaml_plain_is_string(*s, strlen(*s)), "%s", *s);
}
END_TEST

TESTS("escape", values_are_read_back_as_they_were, line_ends_can_be_written_where_there_is_an_escape,
                nul_and_broken_text_are_refused_everywhere, large_values_are_read_back, types_are_kept,
                yaml_structure_can_not_change, nginx_directives_can_not_be_left, ini_keys_can_not_be_left,
                text_and_html_are_simple, partials_keep_block_texts_in_their_indentation,
                plain_texts_that_mean_something_else_are_known)
