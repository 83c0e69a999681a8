/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-blueprint(5) must speak of each key and each rule that there is, and of no other key. */

#include <fcntl.h>
#include <stdio.h>

#include "blueprint.h"
#include "fd-util.h"
#include "string-util.h"
#include "test.h"

#define PAGE_SIZE_MAX (1024U * 1024U)

static char *read_page(void) {
        _cleanup_close_ int fd = open(MAN_PAGE, O_RDONLY | O_CLOEXEC);
        char *text;

        ASSERT_OK(read_full_fd(fd, PAGE_SIZE_MAX, &text, NULL));
        return text;
}

/* The words behind a macro at the beginning of a line, of all such lines between two others. */
static char **read_items(const char *from, const char *to, const char *macro) {
        _cleanup_free_ char *page = read_page();
        char **items = NULL, *line_state = NULL;
        bool inside = false;

        for (char *line = strtok_r(page, "\n", &line_state); line;
                        line = strtok_r(NULL, "\n", &line_state)) {
                char *word_state = NULL, *rest = startswith(line, macro);

                if (streq(line, from))
                        inside = true;
                else if (streq(line, to))
                        inside = false;
                if (!inside || !rest)
                        continue;

                for (char *w = strtok_r(rest, " ,", &word_state); w; w = strtok_r(NULL, " ,", &word_state))
                        ASSERT_OK(strv_extend(&items, w));
        }

        return items;
}

START_TEST(each_key_has_an_entry) {
        _cleanup_strv_free_ char **keys = blueprint_known_keys(), **items = NULL;

        items = read_items(".Sh THE FILE", ".Sh TEMPLATES", ".It Va ");
        STRV_FOREACH(key, keys)
                ck_assert_msg(strv_contains(items, *key), "%s is not in the page", *key);
        STRV_FOREACH(item, items)
                ck_assert_msg(strv_contains(keys, *item), "%s is in the page, but no key", *item);
}
END_TEST

START_TEST(each_rule_has_an_entry) {
        _cleanup_strv_free_ char **items = NULL;

        items = read_items(".Sh POLICY", ".Ss What ccpd adds", ".It Cm ");
        for (PolicyRule rule = 0; rule < _POLICY_RULE_MAX; rule++)
                if (rule != POLICY_UNKNOWN_KEY) /* in the text before the list */
                        ck_assert_msg(strv_contains(items, policy_rule_to_string(rule)),
                                        "%s is not in the page", policy_rule_to_string(rule));
        STRV_FOREACH(item, items)
                ck_assert_msg(policy_rule_from_string(*item) >= 0, "%s is in the page, but no rule", *item);
}
END_TEST

TESTS("man-blueprint", each_key_has_an_entry, each_rule_has_an_entry)
