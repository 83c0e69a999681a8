/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "json-util.h"

#include <errno.h>

#include "test.h"

#include "alloc-util.h"
#include "fault.h"
#include "string-util.h"

/* Numbers and names as long as what jansson's parser makes room for at once, and longer. */
static const char text[] = "{\"a\":1700000000000000,\"abcdefghijklmnopqrstuvwxyz\":[1,-1700000000000000,"
                           "\"abcdefghijklmno\"],"
                           "\"bcdefghijklmno\":{\"n\":12345678901234,\"t\":true},\"ö\\\"\\\\\":null}";

typedef struct Scene {
        const char *text;
        size_t size;
        json_t *expected, *parsed;
        char *formatted;
} Scene;

static int parse(void *userdata) {
        Scene *s = userdata;

        return json_parse(s->text, s->size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &s->parsed);
}

/* NULL is expected where it is no JSON. */
static void check_parsed(int r, bool failed, void *userdata) {
        Scene *s = userdata;

        if (failed)
                ck_assert_int_eq(r, -ENOMEM);
        else
                ck_assert_int_eq(r, s->expected ? 0 : -EBADMSG);
        if (r < 0)
                return;
        ck_assert(json_equal(s->parsed, s->expected));
        json_decref(s->parsed);
}

static int format(void *userdata) {
        Scene *s = userdata;

        s->formatted = json_format(s->expected, JSON_COMPACT | JSON_SORT_KEYS);
        return s->formatted ? 0 : -ENOMEM;
}

static void check_formatted(int r, bool failed, void *userdata) {
        Scene *s = userdata;

        ck_assert_int_eq(r, failed ? -ENOMEM : 0);
        if (r >= 0)
                ck_assert_str_eq(s->formatted, text);
        s->formatted = mfree(s->formatted);
}

START_TEST(without_memory_nothing_else_is_given) {
        Scene s = { .text = text, .size = strlen(text), .expected = json_loads(text, 0, NULL) };
        const FaultScenario parsing = { parse, check_parsed, &s },
                            formatting = { format, check_formatted, &s };

        ck_assert_ptr_nonnull(s.expected);
        ck_assert_uint_gt(fault_loop(FAULT_MEMORY, &parsing), 20);
        ck_assert_uint_gt(fault_loop(FAULT_MEMORY, &formatting), 5);
        json_decref(s.expected);
}
END_TEST

/* A token of that many bytes, made of one and those around it, and what ends it. */
static void without_memory_for(size_t size, const char *before, char inside, const char *after) {
        const size_t n_before = strlen(before), n_after = strlen(after), n = n_before + size + n_after;
        _cleanup_free_ char *token = malloc(n + 1);
        Scene s = { .text = token, .size = n };
        const FaultScenario parsing = { parse, check_parsed, &s };

        ck_assert_ptr_nonnull(token);
        (void) snprintf(token, n + 1, "%s", before);
        memset(token + n_before, inside, size);
        (void) snprintf(token + n_before + size, n_after + 1, "%s", after);
        s.expected = json_loadb(token, n, JSON_DECODE_ANY, NULL);
        ck_assert_uint_gt(fault_loop(FAULT_MEMORY, &parsing), 1);
        json_decref(s.expected);
}

/* Around each size that the parser's buffer has, and in between. */
START_TEST(a_token_of_any_length_is_whole_or_none) {
        static const struct {
                const char *before;
                char inside;
                const char *after;
        } tokens[] = {
                { "[\"", 'a', "\",1]" },
                { "[\"", 'a', "\\\"\"]" },
                { "[\"", 'a', "\\u00f6\"]" },
                { "[\"", 'a', "\xc3\xb6\xe2\x82\xac\xf0\x9f\x98\x80\"]" },
                { "[\"", 'a', "\n\"]" },
                { "[\"", 'a', "" },
                { "{\"", 'a', "\":\"b\"}" },
                { "\"", 'a', "\"" },
                { "[", '1', ",1]" },
                { "[0.", '1', ",1]" },
                { "[-1", '0', "e1 ]" },
                { "[", '1', "" },
                { "[", 'a', ",1]" },
                { "[true", ' ', ",1]" },
        };

        for (size_t n = 1; n <= 2100; n++) {
                const size_t next = (size_t) 1 << (64 - __builtin_clzl(n));

                if (n > 36 && n > next / 2 + 2 && n < next - 12 && n % 97 != 0)
                        continue;
                FOREACH_ARRAY(t, tokens, ELEMENTSOF(tokens))
                        without_memory_for(n, t->before, t->inside, t->after);
        }
}
END_TEST

START_TEST(the_place_is_told) {
        static const char twice[] = "{\"\u00f6\":1,\n \"b\":{\"c\":1,\"c\":2}}";
        json_error_t ours, theirs;
        json_t *j = NULL;

        ck_assert_ptr_null(json_loads(twice, JSON_REJECT_DUPLICATES, &theirs));
        ASSERT_ERROR(json_parse_full(twice, strlen(twice), JSON_REJECT_DUPLICATES, &j, &ours), EBADMSG);
        ck_assert_int_eq(ours.line, 2);
        ck_assert_int_eq(ours.line, theirs.line);
        ck_assert_int_eq(ours.column, theirs.column);
        ck_assert_int_eq(json_error_code(&ours), json_error_duplicate_key);
}
END_TEST

START_TEST(what_is_none_is_told) {
        static const char *const none[] = { "", "{", "[1", "{\"a\":1,\"a\":2}", "\"a\"", "[\"\\ud800\"]",
                "{} x" };
        json_t *j = NULL;

        FOREACH_ARRAY(s, none, ELEMENTSOF(none))
                ASSERT_ERROR(json_parse(*s, strlen(*s), JSON_REJECT_DUPLICATES, &j), EBADMSG);
        ck_assert_ptr_null(j);
        ASSERT_OK(json_parse("\"a\"x", 3, JSON_DECODE_ANY, &j));
        ck_assert_str_eq(json_string_value(j), "a");
        json_decref(j);
        ck_assert_ptr_null(json_format(NULL, 0));
}
END_TEST

TESTS("json-util", without_memory_nothing_else_is_given, a_token_of_any_length_is_whole_or_none,
                the_place_is_told, what_is_none_is_told)
