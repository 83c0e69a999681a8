/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>

#include "alloc-util.h"
#include "arguments.h"
#include "string-util.h"
#include "strv.h"
#include "test.h"
#include "verb.h"

#define WORDS_MAX 16U

/* The words of a line, cut at blanks. Values are borrowed from them, so they last until the next call. */
static int parse(Arguments *ret, Error *reterr, const char *line) {
        static char copy[256];
        char *argv[WORDS_MAX + 1] = { (char *) "ccpctl" }, *state;
        int argc = 1;

        ck_assert_uint_lt(strlen(line), sizeof(copy));
        memcpy(copy, line, strlen(line) + 1);
        for (char *w = strtok_r(copy, " ", &state); w; w = strtok_r(NULL, " ", &state))
                argv[argc++] = w;
        ck_assert_uint_le((size_t) argc, WORDS_MAX);
        return arguments_parse(argc, argv, ret, reterr);
}

static void assert_parse_fails(const char *line, const char *hint) {
        _cleanup_arguments_ Arguments a = {};
        _cleanup_error_ Error e = {};

        ASSERT_ERROR(parse(&a, &e, line), EINVAL);
        ck_assert_str_eq(e.name, CCP_ERROR_INVALID_ARGUMENT);
        ck_assert_msg(strstr(e.message, hint) != NULL, "'%s' is not in '%s'", hint, e.message);
}

START_TEST(options_and_words_come_in_any_order) {
        _cleanup_arguments_ Arguments a = {};
        _cleanup_error_ Error e = {};

        ASSERT_OK(parse(&a, &e, "--json=pretty list -q web* --state running --no-wait -- --odd"));
        ck_assert_uint_eq(strv_length(a.words), 3);
        ck_assert_str_eq(a.words[0], "list");
        ck_assert_str_eq(a.words[1], "web*");
        ck_assert_str_eq(a.words[2], "--odd");
        ck_assert_int_eq(a.json, JSON_PRETTY);
        ck_assert_str_eq(a.values[OPTION_STATE], "running");
        ck_assert(arguments_have(&a, OPTION(QUIET)));
        ck_assert(arguments_have(&a, OPTION(NO_WAIT)));
        ck_assert(!arguments_have(&a, OPTION(WAIT)));
}
END_TEST

START_TEST(some_options_add_up) {
        _cleanup_arguments_ Arguments a = {};
        _cleanup_error_ Error e = {};

        ASSERT_OK(parse(&a, &e, "create x --feature=a,b --feature c --set K=1 --set=L=x=y -p A,B -p C"));
        ck_assert_uint_eq(strv_length(a.features), 3);
        ck_assert_str_eq(a.features[2], "c");
        ck_assert_str_eq(a.set[1], "L=x=y");
        ck_assert_uint_eq(strv_length(a.properties), 3);
}
END_TEST

START_TEST(the_last_of_contradicting_options_counts) {
        _cleanup_arguments_ Arguments a = {};
        _cleanup_error_ Error e = {};

        ASSERT_OK(parse(&a, &e, "--no-wait --wait --json=short --json=off"));
        ck_assert(!arguments_have(&a, OPTION(NO_WAIT)));
        ck_assert_int_eq(a.json, JSON_OFF);
}
END_TEST

START_TEST(numbers_of_lines_are_checked) {
        _cleanup_arguments_ Arguments a = {}, b = {};
        _cleanup_error_ Error e = {};

        ASSERT_OK(parse(&a, &e, "-n 7"));
        ck_assert_uint_eq(a.lines, 7);
        ASSERT_OK(parse(&b, &e, "--lines=all"));
        ck_assert_uint_eq(b.lines, LINES_ALL);
        assert_parse_fails("-n -1", "takes a number");
        assert_parse_fails("-n 99999999999999999999", "takes a number");
        assert_parse_fails("-n 1x", "takes a number");
        assert_parse_fails("-n", "--lines=NUMBER");
}
END_TEST

START_TEST(wrong_options_are_explained) {
        assert_parse_fails("--jsn=short", "Did you mean '--json'?");
        assert_parse_fails("--no-leg-end", "Did you mean '--no-legend'?");
        assert_parse_fails("--xyzzy", "--help");
        assert_parse_fails("-x", "'-x'");
        assert_parse_fails("--state", "--state=STATE");
        assert_parse_fails("-H", "--host=[USER@]HOST");
        assert_parse_fails("--quiet=yes", "takes no value");
        assert_parse_fails("--json=xml", "'xml'");
        assert_parse_fails("\xff", "not valid UTF-8");
}
END_TEST

/* An unset variable of a script must not make a role for one instance one for all of them. */
START_TEST(names_are_not_empty) {
        assert_parse_fails("role grant admin --user=ann --instance=", "--instance needs a value");
        assert_parse_fails("role grant admin --user=", "--user needs a value");
        assert_parse_fails("role grant admin --group=", "--group needs a value");
        assert_parse_fails("audit --instance", "--instance=SLUG");
}
END_TEST

START_TEST(distance_counts_changes) {
        ck_assert_uint_eq(edit_distance("list", "list"), 0);
        ck_assert_uint_eq(edit_distance("lsit", "list"), 1);
        ck_assert_uint_eq(edit_distance("lst", "list"), 1);
        ck_assert_uint_eq(edit_distance("", "list"), 4);
        ck_assert_uint_eq(edit_distance("create", "status"), 5);
        ck_assert(is_probably_meant("stat", "status"));
        ck_assert(is_probably_meant("stauts", "status"));
        ck_assert(!is_probably_meant("x", "list"));
        ck_assert(!is_probably_meant("a-very-long-word-that-nobody-would-ever-type-by-mistake", "list"));
}
END_TEST

static int run_nothing(_unused_ Ctl *c, _unused_ char **args, _unused_ Error *reterr) {
        return 0;
}

static const Verb verbs[] = {
        { NULL, NULL, NULL, 0, 0, 0, "Overview", run_nothing },
        { NULL, "list", "[PATTERN…]", 0, ARGUMENTS_ANY, OPTION(STATE), "List", run_nothing },
        { NULL, "show", "SLUG", 1, 1, 0, "Show", run_nothing },
        { "job", "list", NULL, 0, 0, 0, "List jobs", run_nothing },
        { "job", "show", "ID", 1, 1, 0, "Show a job", run_nothing },
        { "audit", NULL, NULL, 0, 0, OPTION(USER), "Show the record", run_nothing },
        { "audit", "verify", NULL, 0, 0, 0, "Verify the record", run_nothing },
        {},
};

static void assert_finds(const char *line, const char *help, size_t n_args) {
        _cleanup_arguments_ Arguments a = {};
        _cleanup_error_ Error e = {};
        const Verb *v;
        char **args;

        ASSERT_OK(parse(&a, &e, line));
        ASSERT_OK(verb_find(verbs, &a, &v, &args, &e));
        ck_assert_str_eq(v->help, help);
        ck_assert_uint_eq(strv_length(args), n_args);
}

static void assert_finds_nothing(const char *line, const char *hint) {
        _cleanup_arguments_ Arguments a = {};
        _cleanup_error_ Error e = {};
        const Verb *v;
        char **args;

        ASSERT_OK(parse(&a, &e, line));
        ASSERT_ERROR(verb_find(verbs, &a, &v, &args, &e), EINVAL);
        ck_assert_msg(strstr(e.message, hint) != NULL, "'%s' is not in '%s'", hint, e.message);
}

START_TEST(verbs_are_found_by_noun_and_name) {
        assert_finds("", "Overview", 0);
        assert_finds("list", "List", 0);
        assert_finds("list a b", "List", 2);
        assert_finds("list job", "List", 1);
        assert_finds("job list", "List jobs", 0);
        assert_finds("job show 7", "Show a job", 1);
        assert_finds("--state=x list", "List", 0);
        assert_finds("audit --user ann", "Show the record", 0);
        assert_finds("audit verify", "Verify the record", 0);
}
END_TEST

START_TEST(wrong_verbs_are_explained) {
        assert_finds_nothing("lsit", "Did you mean 'list'?");
        assert_finds_nothing("jbo list", "Did you mean 'job'?");
        assert_finds_nothing("job shwo 7", "Did you mean 'job show'?");
        assert_finds_nothing("job", "list, show");
        assert_finds_nothing("job xyzzy", "only: list, show");
        assert_finds_nothing("xyzzy", "--help");
        assert_finds_nothing("show", "Too few arguments: ccpctl show SLUG");
        assert_finds_nothing("show a b", "Too many");
        assert_finds_nothing("job show", "ccpctl job show ID");
        assert_finds_nothing("show a --state=x", "'show' has no option --state");
        assert_finds_nothing("--state=x", "no option --state");
        assert_finds_nothing("audit veryfi", "Did you mean 'audit verify'?");
        assert_finds_nothing("audit xyzzy", "only: verify.");
        assert_finds_nothing("audit verify all", "Too many arguments: ccpctl audit verify");
        assert_finds_nothing("audit verify --user=ann", "'audit verify' has no option --user");
        assert_finds_nothing("audit --state=x", "'audit' has no option --state");
}
END_TEST

START_TEST(a_noun_that_is_a_verb_has_help_of_both) {
        static const char *const parts[] = { "ccpctl audit [OPTION…]\n", "\nShow the record.\n",
                "--user=", "  audit verify  " };
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ Error e = {};
        size_t size;
        FILE *f;

        f = open_memstream(&text, &size);
        ck_assert_ptr_nonnull(f);
        ASSERT_OK(verb_print_help(verbs, (char *const[]) { (char *) "audit", NULL }, f, &e));
        ck_assert_int_eq(fclose(f), 0);
        FOREACH_ARRAY(part, parts, ELEMENTSOF(parts))
                ck_assert_msg(strstr(text, *part) != NULL, "'%s' is not in '%s'", *part, text);
}
END_TEST

START_TEST(help_names_every_verb_and_option) {
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ Error e = {};
        size_t size;
        FILE *f;

        f = open_memstream(&text, &size);
        ck_assert_ptr_nonnull(f);
        ASSERT_OK(verb_print_help(verbs, NULL, f, &e));
        ck_assert_int_eq(fclose(f), 0);
        ck_assert_ptr_nonnull(strstr(text, "  job show ID "));
        ck_assert_ptr_nonnull(strstr(text, "     --state=STATE "));
        ck_assert_ptr_nonnull(strstr(text, "  -H --host=[USER@]HOST "));
        ck_assert_ptr_null(strstr(text, "--domain"));
}
END_TEST

TESTS("arguments", options_and_words_come_in_any_order, some_options_add_up,
                the_last_of_contradicting_options_counts, numbers_of_lines_are_checked,
                wrong_options_are_explained, names_are_not_empty, distance_counts_changes,
                verbs_are_found_by_noun_and_name, wrong_verbs_are_explained,
                a_noun_that_is_a_verb_has_help_of_both, help_names_every_verb_and_option)
