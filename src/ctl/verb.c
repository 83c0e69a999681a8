/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "verb.h"

#include <errno.h>

#include "string-util.h"
#include "strv.h"
#include "terminal.h"

/* Width of the left column of the help. */
#define HELP_COLUMN 30

static bool is_end(const Verb *v) {
        return !v->help;
}

static size_t words_of(const Verb *v) {
        return (v->noun ? 1U : 0U) + (v->name ? 1U : 0U);
}

static bool verb_matches(const Verb *v, char *const *words, size_t n) {
        if (words_of(v) > n || (!v->name && words_of(v) < n))
                return false;
        if (v->noun)
                return streq(v->noun, words[0]) && (!v->name || streq(v->name, words[1]));

        return !v->name || streq(v->name, words[0]);
}

static bool is_noun(const Verb *table, const char *word) {
        for (const Verb *v = table; !is_end(v); v++)
                if (streq_ptr(v->noun, word))
                        return true;

        return false;
}

static int fail_in_noun(const Verb *table, const char *noun, const char *word, Error *reterr) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *list = NULL;

        for (const Verb *v = table; !is_end(v); v++) {
                if (!streq_ptr(v->noun, noun) || !v->name)
                        continue;
                if (word && is_probably_meant(word, v->name))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "There is no verb '%s %s'. Did you mean '%s %s'?", noun, word, noun,
                                        v->name);
                if (strv_extend(&names, v->name) < 0)
                        return -ENOMEM;
        }

        list = strv_join(names, ", ");
        if (!list)
                return -ENOMEM;
        if (!word)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "'%s' needs a verb: %s.", noun, list);

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "There is no verb '%s %s', only: %s.", noun,
                        word, list);
}

static int fail_unknown_verb(const Verb *table, char *const *words, Error *reterr) {
        const char *meant = NULL;
        size_t best = SIZE_MAX;

        if (is_noun(table, words[0]))
                return fail_in_noun(table, words[0], words[1], reterr);

        for (const Verb *v = table; !is_end(v); v++) {
                const char *first = v->noun ?: v->name;

                if (first && is_probably_meant(words[0], first) && edit_distance(words[0], first) < best) {
                        meant = first;
                        best = edit_distance(words[0], first);
                }
        }

        if (meant)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is no verb '%s'. Did you mean '%s'?", words[0], meant);

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                        "There is no verb '%s'. 'ccpctl --help' lists those that there are.", words[0]);
}

static const char *verb_title(const Verb *v, char *buf, size_t size) {
        (void) snprintf(buf, size, "%s%s%s", strempty(v->noun), v->noun && v->name ? " " : "",
                        strempty(v->name));
        return buf;
}
#define VERB_TITLE(v) verb_title((v), (char[64]) {}, 64)

static int check_arguments(const Verb *v, const Arguments *a, size_t n, Error *reterr) {
        uint64_t strange = a->given & ~v->options & ~((OPTION(NO_WAIT) << 1) - 1);

        if (strange != 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "'%s' has no option --%s. 'ccpctl %s --help' lists those that it has.",
                                words_of(v) > 0 ? VERB_TITLE(v) : "ccpctl",
                                option_table[__builtin_ctzll(strange)].name, VERB_TITLE(v));
        if (n < v->min || n > v->max)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "Too %s arguments: ccpctl %s %s",
                                n < v->min ? "few" : "many", VERB_TITLE(v), strempty(v->arguments));

        return 0;
}

int verb_find(const Verb *table, const Arguments *a, const Verb **ret, char ***ret_args, Error *reterr) {
        size_t n = strv_length(a->words);
        int r;

        for (const Verb *v = table; !is_end(v); v++) {
                if (!verb_matches(v, a->words, n))
                        continue;

                r = check_arguments(v, a, n - words_of(v), reterr);
                if (r < 0)
                        return r;

                *ret = v;
                *ret_args = n > 0 ? a->words + words_of(v) : NULL;
                return 0;
        }

        assert(n > 0);
        return fail_unknown_verb(table, a->words, reterr);
}

static void print_option(FILE *f, const Option *o) {
        char left[64], letter[4] = "  ";

        if (o->letter != 0)
                (void) snprintf(letter, sizeof(letter), "-%c", o->letter);
        (void) snprintf(left, sizeof(left), "%s --%s%s%s", letter, o->name, o->argument ? "=" : "",
                        strempty(o->argument));
        (void) fprintf(f, "  %-*s %s\n", HELP_COLUMN, left, o->help);
}

static void print_options(FILE *f, const char *title, uint64_t options) {
        if (options == 0)
                return;

        (void) fprintf(f, "\n%s%s:%s\n", color_on(f, COLOR_BOLD), title, color_on(f, COLOR_NONE));
        for (size_t i = 0; i < _OPTION_MAX; i++)
                if (options & (UINT64_C(1) << i))
                        print_option(f, option_table + i);
}

static uint64_t options_everywhere(void) {
        return (UINT64_C(1) << (_OPTION_EVERYWHERE + 1)) - 1;
}

static void print_verb_line(FILE *f, const Verb *v) {
        char left[128];

        (void) snprintf(left, sizeof(left), "%s%s%s", VERB_TITLE(v), v->arguments ? " " : "",
                        strempty(v->arguments));
        /* The ellipsis has one column and three bytes. */
        (void) fprintf(f, "  %s%*s %s\n", left, MAX(0, HELP_COLUMN - (int) text_columns(left)), "", v->help);
}

static void print_verbs(FILE *f, const Verb *table, const char *noun, const char *title) {
        (void) fprintf(f, "\n%s%s:%s\n", color_on(f, COLOR_BOLD), title, color_on(f, COLOR_NONE));
        for (const Verb *v = table; !is_end(v); v++)
                if (words_of(v) > 0 && streq_ptr(v->noun, noun))
                        print_verb_line(f, v);
}

static void print_whole_help(const Verb *table, FILE *f) {
        static const struct {
                const char *noun, *title;
        } groups[] = {
                { NULL, "Instances" },
                { "health", "Health" },
                { "job", "Jobs" },
                { "blueprint", "Blueprints" },
                { "port", "Ports" },
                { "role", "Roles" },
                { "backup", "Backups" },
                { "storage", "Storage of copies" },
                { "restore", "Restores" },
                { "key", "Keys" },
                { "alert", "Alerts" },
                { "audit", "Audit" },
                { "secret", "Secrets" },
                { "settings", "Settings" },
        };
        uint64_t others = 0;

        (void) fprintf(f,
                        "ccpctl [OPTION…] [VERB …]\n\n"
                        "%sControl ccpd, which runs isolated copies of a Docker Compose application.%s\n"
                        "Without a verb: the whole fleet at a glance.\n",
                        color_on(f, COLOR_BOLD), color_on(f, COLOR_NONE));
        FOREACH_ARRAY(g, groups, ELEMENTSOF(groups))
                print_verbs(f, table, g->noun, g->title);
        for (const Verb *v = table; !is_end(v); v++)
                others |= v->options;
        print_options(f, "Options", options_everywhere());
        print_options(f, "Options of some verbs", others);
        (void) fprintf(f, "\nSee ccpctl(1), and 'ccpctl VERB --help'.\n");
}

int verb_print_help(const Verb *table, char *const *words, FILE *f, Error *reterr) {
        size_t n = strv_length(words);

        if (n == 0) {
                print_whole_help(table, f);
                return 0;
        }

        for (const Verb *v = table; !is_end(v); v++) {
                if (words_of(v) == 0 || !verb_matches(v, words, n))
                        continue;

                (void) fprintf(f, "ccpctl %s [OPTION…]%s%s\n\n%s%s.%s\n", VERB_TITLE(v),
                                v->arguments ? " " : "", strempty(v->arguments), color_on(f, COLOR_BOLD),
                                v->help, color_on(f, COLOR_NONE));
                print_options(f, "Options of this verb", v->options);
                print_options(f, "Options", options_everywhere());
                if (!v->name)
                        print_verbs(f, table, v->noun, "Verbs");
                return 0;
        }

        if (n == 1 && is_noun(table, words[0])) {
                print_verbs(f, table, words[0], "Verbs");
                return 0;
        }

        return fail_unknown_verb(table, words, reterr);
}
