/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The template language. What each kind of target does to values is in test-escape.c. */

#include "alloc-util.h"
#include "template/template-test.h"

typedef struct Case {
        const char *template, *context, *expected;
} Case;

static const TemplateOptions text = { .format = TEMPLATE_TEXT };
static const TemplateEnvironment strict = { .strict = true };

static void run(const TemplateEnvironment *env, const Case *cases, size_t n) {
        FOREACH_ARRAY(c, cases, n)
                test_renders(&text, env, c->template, c->context, c->expected);
}
#define RUN(env, ...)                                 \
        do {                                          \
                const Case cases[] = { __VA_ARGS__ }; \
                run((env), cases, ELEMENTSOF(cases)); \
        } while (false)

START_TEST(paths_lead_to_fields_and_elements) {
        RUN(NULL, { "{{a}}", "{\"a\":\"x\"}", "x" }, { "{{a.b}} {{a/b}}", "{\"a\":{\"b\":1}}", "1 1" },
                        { "{{this.a}} {{./a}} {{#with a}}{{.}}{{/with}}", "{\"a\":1}", "1 1 1" },
                        { "{{l.[1]}} {{l.0}} {{l.length}}", "{\"l\":[\"a\",\"b\"]}", "b a 2" },
                        { "{{[a b].[c-d]}}", "{\"a b\":{\"c-d\":2}}", "2" },
                        { "{{\"a b\"}} {{12}}", "{\"a b\":1,\"12\":2}", "1 2" },
                        { "{{missing}}{{a.missing.deeper}}", "{\"a\":1}", "" },
                        { "{{a}} {{b}} {{c}} {{d}}", "{\"a\":null,\"b\":false,\"c\":0,\"d\":1.5}",
                                        " false 0 1.5" },
                        { "{{@root.a}}", "{\"a\":1}", "1" });
}
END_TEST

START_TEST(conditions_know_what_is_false) {
        RUN(NULL, { "{{#if a}}y{{else}}n{{/if}}", "{\"a\":[]}", "n" },
                        { "{{#if a}}y{{else}}n{{/if}}", "{\"a\":{}}", "y" },
                        { "{{#if a}}y{{else}}n{{/if}}", "{\"a\":\"\"}", "n" },
                        { "{{#if a}}y{{else}}n{{/if}}", "{\"a\":0}", "n" },
                        { "{{#if a includeZero=true}}y{{else}}n{{/if}}", "{\"a\":0}", "y" },
                        { "{{#unless a}}n{{else}}y{{/unless}}", "{\"a\":1}", "y" },
                        { "{{^a}}n{{/a}}{{#a}}y{{/a}}", "{\"a\":true}", "y" },
                        { "{{#if a}}1{{else if b}}2{{else unless c}}3{{else}}4{{/if}}", "{\"c\":true}",
                                        "4" },
                        { "{{#if a}}1{{else if b}}2{{else unless c}}3{{else}}4{{/if}}", "{}", "3" },
                        { "{{#if a}}1{{else if b}}2{{else}}3{{/if}}", "{\"b\":1}", "2" });
}
END_TEST

START_TEST(loops_know_where_they_are) {
        RUN(NULL,
                        { "{{#each a}}{{@index}}{{@key}}{{this}}{{#if @first}}f{{/if}}{{#unless "
                          "@last}},{{/unless}}{{/each}}",
                                        "{\"a\":[\"x\",\"y\"]}", "00xf,11y" },
                        { "{{#each a}}{{@key}}={{this}} {{/each}}",
                                        "{\"a\":{\"z\":1,\"a\":2,\"10\":3,\"9\":4}}", "9=4 10=3 z=1 a=2 " },
                        { "{{#each a as |v k|}}{{k}}{{v.n}}{{../b}}{{/each}}", "{\"a\":[{\"n\":1}],\"b\":2}",
                                        "012" },
                        { "{{#each a}}x{{else}}none{{/each}}", "{\"a\":[]}", "none" },
                        { "{{#each a}}x{{else}}none{{/each}}", "{}", "none" },
                        { "{{#each a}}{{#each this}}{{@../index}}{{@index}}{{@root.b}} {{/each}}{{/each}}",
                                        "{\"a\":[[1,2],[3]],\"b\":\"r\"}", "00r 01r 10r " },
                        { "{{#a}}{{b}}{{../c}}{{/a}}", "{\"a\":[{\"b\":1},{\"b\":2}],\"c\":3}", "1323" },
                        { "{{#with a as |x|}}{{b}}{{x.b}}{{../c}}{{/with}}", "{\"a\":{\"b\":1},\"c\":2}",
                                        "112" },
                        { "{{lookup a b}}{{lookup l 1}}", "{\"a\":{\"k\":5},\"b\":\"k\",\"l\":[6,7]}",
                                        "57" });
}
END_TEST

START_TEST(comparison_helpers_are_values_and_blocks) {
        RUN(NULL, { "{{#if (eq a \"x\")}}y{{/if}}{{#eq a \"x\"}}z{{/eq}}", "{\"a\":\"x\"}", "yz" },
                        { "{{eq 1 \"1\"}} {{eq 1 1.0}} {{ne a b}}", "{\"a\":1,\"b\":2}", "false true true" },
                        { "{{lt 1 2}} {{le 2 2}} {{gt \"b\" \"a\"}} {{ge 1 2}} {{lte 1 1}} {{gte 1 1}}",
                                        "{}", "true true true false true true" },
                        { "{{and a b}} {{or a b}} {{not a}}", "{\"a\":0,\"b\":\"x\"}", "0 x true" },
                        { "{{default a b}} {{default c 7}}", "{\"a\":\"\",\"b\":\"x\",\"c\":false}",
                                        "x false" },
                        { "{{concat a \"-\" 1 true}}", "{\"a\":\"x\"}", "x-1true" },
                        { "{{join a}} {{join a \" \"}} {{length a}}", "{\"a\":[1,\"b\"]}", "1,b 1 b 2" },
                        { "{{contains a \"x\"}} {{contains a \"y\"}} {{contains \"foobar\" \"oba\"}}",
                                        "{\"a\":[\"x\"]}", "true false true" },
                        { "{{upper (concat a \"_x\")}} {{lower \"ABC\"}}", "{\"a\":\"db\"}", "DB_X abc" },
                        { "{{default}}{{eq}}", "{\"default\":1,\"eq\":2}", "12" });
        test_fails(&text, NULL, "{{lt 1 \"2\"}}", "{}", "t:1:1: 'lt' compares two numbers or two texts");
        test_fails(&text, NULL, "\n {{nope 1}}", "{\"nope\":1}", "t:2:2: there is no helper 'nope'");
        test_fails(&text, NULL, "{{#if}}{{/if}}", "{}", "'if' takes 1 argument, but 0 are given");
        test_fails(&text, NULL, "{{if a}}", "{}", "'if' is a block");
}
END_TEST

START_TEST(tags_alone_on_a_line_leave_no_line) {
        RUN(NULL, { "a\n  {{#if x}}\nb\n  {{else}}\nc\n  {{/if}}\nd\n", "{\"x\":1}", "a\nb\nd\n" },
                        { "a\r\n{{#if x}}\r\nb\r\n{{/if}}\r\nd\r\n", "{\"x\":1}", "a\r\nb\r\nd\r\n" },
                        { "a\n  {{! note }}\nb\n", "{}", "a\nb\n" },
                        { "a\n  {{!-- {{x}} --}}  \nb\n", "{}", "a\nb\n" },
                        { "a {{! note }}\nb", "{}", "a \nb" }, { "  {{x}}\n", "{\"x\":1}", "  1\n" },
                        { "a  {{~x~}}  \n b", "{\"x\":1}", "a1b" },
                        { "a {{~#if x~}} b {{~/if~}} c", "{\"x\":1}", "abc" },
                        { "s:\n  {{#if a}}\n  x\n  {{else if b}}\n  y\n  {{/if}}\n  z\n", "{\"b\":1}",
                                        "s:\n  y\n  z\n" },
                        { "s:\n  {{#if a}}\n  x\n  {{else if b}}\n  y\n  {{else}}\n  w\n  {{/if}}\n  z\n",
                                        "{}", "s:\n  w\n  z\n" },
                        { "{{^a~}} 1 {{else~}} 2 {{/a}}", "{\"a\":1}", "2 " });
}
END_TEST

START_TEST(braces_can_be_text) {
        RUN(NULL, { "\\{{x}} \\\\{{x}} {{x}}", "{\"x\":1}", "{{x}} \\1 1" },
                        { "{{{{raw}}}} {{x}} {{#if}} {{{{/raw}}}}", "{}", " {{x}} {{#if}} " },
                        { "{{{{raw}}}}\n{{ $labels.x }}\n{{{{/raw}}}}\n", "{}", "{{ $labels.x }}\n" },
                        { "a } b { c }} d", "{}", "a } b { c }} d" });
}
END_TEST

static int one_partial(const char *name, void *userdata, const Template **ret, Error *reterr) {
        if (!streq(name, "p"))
                return 0;
        if (!userdata)
                return error_setf(reterr, CCP_ERROR_RENDER_FAILED, "it can't be read");
        *ret = userdata;
        return 1;
}

static void with_partial(const char *partial, const Case *cases, size_t n) {
        _cleanup_template_ Template *t = NULL;
        TemplateEnvironment env = { .find_partial = one_partial };

        ASSERT_OK(template_parse("p", partial, strlen(partial), &text, &t, NULL));
        env.userdata = t;
        run(&env, cases, n);
}

START_TEST(partials_have_a_context_and_an_indentation) {
        with_partial("{{a}}\n{{b}}\n",
                        (const Case[]) { { "x:\n  {{> p}}\ny", "{\"a\":1,\"b\":2}", "x:\n  1\n  2\ny" },
                                        { "{{> p c}}", "{\"c\":{\"a\":3,\"b\":4}}", "3\n4\n" },
                                        { "{{> p b=\"z\"}}", "{\"a\":1,\"b\":2}", "1\nz\n" },
                                        { "{{> (concat \"p\" \"\")}}", "{}", "\n\n" },
                                        { "{{#> q}}instead{{/q}}", "{}", "instead" } },
                        5);
        with_partial("<{{> @partial-block}}>",
                        (const Case[]) { { "{{#> p}}in{{x}}{{/p}}", "{\"x\":1}", "<in1>" },
                                        { "{{#*inline \"i\"}}({{this}}){{/inline}}{{> i}}", "3", "(3)" } },
                        2);
}
END_TEST

START_TEST(partials_that_call_themselves_are_refused) {
        _cleanup_template_ Template *t = NULL;
        TemplateEnvironment env = { .find_partial = one_partial };

        ASSERT_OK(template_parse("p", "{{> p}}", 7, &text, &t, NULL));
        env.userdata = t;
        test_fails(&text, &env, "{{> p}}", "{}", "p:1:1: partials are nested more than");
        test_fails(&text, &env, "{{> q}}", "{}", "there is no partial 'q'");
        env.userdata = NULL;
        test_fails(&text, &env, "{{> p}}", "{}", "t:1:1: it can't be read");
}
END_TEST

START_TEST(strict_mode_names_what_is_missing) {
        test_fails(&text, &strict, "a\n  {{b.c}}", "{\"b\":{}}",
                        "t:2:5: 'b.c' is not defined: there is no 'c'");
        test_fails(&text, &strict, "{{b.c.d}}", "{}", "there is no 'b'");
        test_fails(&text, &strict, "{{#b}}{{/b}}", "{}", "there is no 'b'");
        test_fails(&text, &strict, "{{@x}}", "{}", "there is no 'x'");
        test_fails(&text, &strict, "{{#if b.c}}{{/if}}", "{}", "there is no 'b'");
        RUN(&strict, { "{{#if c}}1{{/if}}{{#each l}}{{this}}{{/each}}{{default x 2}}", "{\"b\":null}", "2" },
                        { "{{b}}", "{\"b\":null}", "" });
}
END_TEST

START_TEST(mistakes_are_said_with_line_and_column) {
        static const struct {
                const char *template, *error;
        } cases[] = {
                { "a\n{{#if x}}\n", "t:2:1: the block 'if' has no end" },
                { "{{#if x}}{{/unless}}",
                                "t:1:10: 'unless' ends here, but the open block is 'if' of line 1" },
                { "{{/if}}", "t:1:1: '{{/' can't stand outside a block" },
                { "{{else}}", "'{{else}}' can't stand outside a block" },
                { "{{a", "the template ends inside a tag" },
                { "{{{a}}", "'}}' stands where '}}}' is expected" },
                { "{{a}}}", "'}}}' stands where '}}' is expected" },
                { "{{a ../b/../c}}", "t:1:10: '..' can't stand inside a path" },
                { "{{}}", "'}}' stands where a name or value is expected" },
                { "{{! x", "this comment has no end" },
                { "{{!-- x }}", "this comment has no end '--}}'" },
                { "{{a \"x}}", "this string has no end" },
                { "{{a [x}}", "this '[' has no ']'" },
                { "{{{{raw}}}} x", "this raw block has no end" },
                { "{{{{raw}}}} x {{{{/war}}}}", "'war' ends here" },
                { "{{#*block \"x\"}}{{/block}}", "there is no decorator 'block'" },
                { "{{> p a b}}", "a partial takes one context" },
                { "{{a b=}}", "stands where a name or value is expected" },
                { "{{#each a as ||}}{{/each}}", "a name is expected after 'as |'" },
                { "{{a ,}}", "this character can't stand in a tag" },
        };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                test_fails(&text, NULL, c->template, "{}", c->error);
}
END_TEST

START_TEST(sizes_and_depths_are_bounded) {
        _cleanup_string_builder_ StringBuilder b = {}, c = {};
        _cleanup_template_ Template *t = NULL;
        _cleanup_free_ char *large = NULL;

        for (int i = 0; i < 100; i++)
                string_builder_append(&b, "{{#if a}}");
        test_fails(&text, NULL, b.data, "{}", "nested more than 64 deep");

        string_builder_append(&c, "{{a ");
        for (int i = 0; i < 100; i++)
                string_builder_append(&c, "(not ");
        test_fails(&text, NULL, c.data, "{}", "nested more than 64 deep");

        large = calloc(1, TEMPLATE_SOURCE_MAX + 2);
        memset(large, 'x', TEMPLATE_SOURCE_MAX + 1);
        ck_assert_int_eq(template_parse("t", large, TEMPLATE_SOURCE_MAX + 1, &text, &t, NULL), -E2BIG);
        ck_assert_int_lt(template_parse("t", "a\0b", 3, &text, &t, NULL), 0);
        ck_assert_int_lt(template_parse("t", "a\xff", 2, &text, &t, NULL), 0);

        /* 10^8 characters */
        test_fails(&text, NULL,
                        "{{#each l}}{{#each ../l}}{{#each ../../l}}{{#each ../../../l}}{{s}}"
                        "0123456789{{/each}}{{/each}}{{/each}}{{/each}}",
                        "{\"l\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,"
                        "29,30]}",
                        "the output is larger than");
}
END_TEST

static bool only_extra(const char *path, void *userdata) {
        return streq(path, userdata);
}

START_TEST(raw_values_need_permission_for_their_path) {
        TemplateEnvironment env = { .raw_allowed = only_extra, .userdata = (void *) "p.extra" };

        RUN(&env, { "{{{p.extra}}}", "{\"p\":{\"extra\":\"a;\\nb\"}}", "a;\nb" },
                        { "{{#with p}}{{&extra}}{{/with}}", "{\"p\":{\"extra\":\"a\"}}", "a" },
                        { "{{{lookup p \"extra\"}}}", "{\"p\":{\"extra\":\"a\"}}", "a" },
                        { "{{{default p.x p.extra}}}", "{\"p\":{\"extra\":\"a\"}}", "a" });
        test_fails(&text, &env, "{{{p.other}}}", "{\"p\":{\"other\":\"a\",\"extra\":\"a\"}}",
                        "'p.other': the blueprint");
        test_fails(&text, &env, "{{{concat p.extra}}}", "{\"p\":{\"extra\":\"a\"}}", "'concat'");
        test_fails(&text, NULL, "{{&p.extra}}", "{\"p\":{\"extra\":\"a\"}}", "'p.extra'");

        env.userdata = (void *) "l.1.t";
        RUN(&env,
                        { "{{#each l}}{{#if @last}}{{{t}}}{{/if}}{{/each}}",
                                        "{\"l\":[{\"t\":\"a\"},{\"t\":\"b\"}]}", "b" });
}
END_TEST

START_TEST(numbers_look_as_in_javascript) {
        RUN(NULL,
                        { "{{a}} {{b}} {{c}} {{d}}",
                                        "{\"a\":1e21,\"b\":0.000001,\"c\":1e-7,\"d\":123456789012345680000."
                                        "0}",
                                        "1e+21 0.000001 1e-7 123456789012345680000" },
                        { "{{a}} {{b}} {{c}} {{d}}",
                                        "{\"a\":-1.5,\"b\":0.1,\"c\":100.0,\"d\":9007199254740993}",
                                        "-1.5 0.1 100 9007199254740993" });
}
END_TEST

START_TEST(a_context_that_did_not_change_gives_the_same_again) {
        static const char source[] =
                        "{{a}}{{#each l}}{{n}}{{@index}}{{/each}}{{#if b.c}}{{b.c}}{{/if}}{{i}}\n";
        TemplateEnvironment env = { .strict = true };
        _cleanup_template_ Template *t = NULL;

        ASSERT_OK(template_parse("t", source, strlen(source), &text, &t, NULL));
        for (int context = 0; context < 3; context++) {
                _cleanup_json_ json_t *j = json_pack("{s:s, s:[{s:i}, {s:i}], s:{s:s}, s:i}", "a",
                                context == 1 ? "other" : "x", "l", "n", context, "n", 5, "b", "c", "y", "i",
                                7);
                _cleanup_free_ char *first = NULL;

                env.context_id = template_make_context_id();
                ASSERT_OK(template_render(t, j, &env, &first, NULL, NULL));
                ck_assert_str_eq(first,
                                context == 0                   ? "x0051y7\n"
                                                : context == 1 ? "other1051y7\n"
                                                               : "x2051y7\n");
                for (int i = 0; i < 3; i++) {
                        _cleanup_free_ char *again = NULL;

                        ASSERT_OK(template_render(t, j, &env, &again, NULL, NULL));
                        ck_assert_str_eq(again, first);
                }
        }
}
END_TEST

TESTS("template", paths_lead_to_fields_and_elements, conditions_know_what_is_false,
                loops_know_where_they_are, comparison_helpers_are_values_and_blocks,
                tags_alone_on_a_line_leave_no_line, braces_can_be_text,
                partials_have_a_context_and_an_indentation, partials_that_call_themselves_are_refused,
                strict_mode_names_what_is_missing, mistakes_are_said_with_line_and_column,
                sizes_and_depths_are_bounded, raw_values_need_permission_for_their_path,
                numbers_look_as_in_javascript, a_context_that_did_not_change_gives_the_same_again)
