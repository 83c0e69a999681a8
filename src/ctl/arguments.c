/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "arguments.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "string-util.h"
#include "strv.h"

/* Lists of history show this many unless told otherwise. */
#define LINES_DEFAULT 50U
#define LINES_DIGITS_MAX 9U
/* Longer words are no typing mistakes. */
#define WORD_MAX 31U
/* What getopt_long() returns for options without a letter. */
#define OPTION_VALUE_BASE 0x100

const Option option_table[_OPTION_MAX] = {
        [OPTION_HELP] = { "help", 'h', NULL, "Show this help, or that of a verb" },
        [OPTION_VERSION] = { "version", 0, NULL, "Show the version" },
        [OPTION_HOST] = { "host", 'H', "[USER@]HOST", "Talk to ccpd on another host, over ssh" },
        [OPTION_JSON] = { "json", 0, "MODE", "Print JSON: short, pretty, or off" },
        [OPTION_NO_LEGEND] = { "no-legend", 0, NULL, "Leave out the headings and the hints" },
        [OPTION_NO_PAGER] = { "no-pager", 0, NULL, "Do not pipe the output into a pager" },
        [OPTION_NO_ASK_PASSWORD] = { "no-ask-password", 0, NULL, "Do not ask for authentication" },
        [OPTION_QUIET] = { "quiet", 'q', NULL, "Print results and errors only" },
        [OPTION_WAIT] = { "wait", 0, NULL, "Wait until the job has ended (the default)" },
        [OPTION_NO_WAIT] = { "no-wait", 0, NULL, "Do not wait for the job" },
        [OPTION_STATE] = { "state", 0, "STATE", "Only those in this state" },
        [OPTION_HEALTH] = { "health", 0, "HEALTH", "Only those of this health" },
        [OPTION_BLUEPRINT] = { "blueprint", 0, "NAME", "Of this blueprint" },
        [OPTION_INSTANCE] = { "instance", 0, "SLUG", "Only what is of this instance, or for it" },
        [OPTION_KIND] = { "kind", 0, "KIND", "Only jobs of this kind" },
        [OPTION_LINES] = { "lines", 'n', "NUMBER", "Show this many of the newest, or all" },
        [OPTION_FOLLOW] = { "follow", 'f', NULL, "Show new entries as they come" },
        [OPTION_WATCH] = { "watch", 'w', NULL, "Draw anew whenever something changes" },
        [OPTION_GREP] = { "grep", 'g', "PATTERN", "Only lines that match this regular expression" },
        [OPTION_ALL] = { "all", 0, NULL, "Also what jobs and ccpd log; alerts that are over; all that run" },
        [OPTION_USER] = { "user", 0, "USER", "Only what this user did; or who gets a role" },
        [OPTION_GROUP] = { "group", 0, "GROUP", "The group that gets a role, or loses it" },
        [OPTION_ACTION] = { "action", 0, "ACTION", "Only this action" },
        [OPTION_OUTCOME] = { "outcome", 0, "OUTCOME", "Only what ended like this" },
        [OPTION_SINCE] = { "since", 0, "TIME", "Only what happened then or later" },
        [OPTION_UNTIL] = { "until", 0, "TIME", "Only what happened before then" },
        [OPTION_SORT] = { "sort", 0, "KEY", "By name, cpu, memory, tasks, io, network or disk" },
        [OPTION_ONCE] = { "once", 0, NULL, "Show it once, not again and again" },
        [OPTION_PROPERTY] = { "property", 'p', "NAME", "Only these properties; may be repeated" },
        [OPTION_VALUE] = { "value", 0, NULL, "Only the values, without NAME=" },
        [OPTION_DOMAIN] = { "domain", 0, "DOMAIN", "The domain that the instance serves" },
        [OPTION_NAME] = { "name", 0, "NAME", "Its name for people; else the slug" },
        [OPTION_FEATURE] = { "feature", 0, "FEATURE", "Switch a feature on; may be repeated" },
        [OPTION_SET] = { "set", 0, "KEY=VALUE", "Set a parameter; may be repeated" },
        [OPTION_SET_FILE] = { "set-file", 0, "KEY=FILE", "Set a parameter to what is in a file, or -" },
        [OPTION_SOURCE] = { "source", 0, "DIR", "Copy the source tree from this folder" },
        [OPTION_LIMIT] = { "limit", 0, "KEY=VALUE", "Limit memory, cpus or pids; may be repeated" },
        [OPTION_DRY_RUN] = { "dry-run", 0, NULL, "Only show what would be done" },
        [OPTION_YES] = { "yes", 0, NULL, "Do not ask" },
        [OPTION_RULE] = { "rule", 0, "RULE", "Only alerts of this rule" },
        [OPTION_FOR] = { "for", 0, "TIME", "For so long: 2h" },
        [OPTION_REASON] = { "reason", 0, "TEXT", "Why, for others to read" },
        [OPTION_CONTEXT] = { "context", 0, "FILE", "The values to render with, a JSON object" },
        [OPTION_FORMAT] = { "format", 0, "FORMAT", "yaml, dotenv, nginx, json, ini or text" },
        [OPTION_SIGNER] = { "signer", 0, "KEY", "Only a backup that was signed by this key" },
        [OPTION_AS] = { "as", 0, "SLUG", "As a new instance of this name" },
        [OPTION_ANY_VERSION] = { "any-version", 0, NULL,
                        "Also from another version of the blueprint, or a newer database" },
        [OPTION_OUTPUT] = { "output", 0, "FILE", "Write it to this file, which is made" },
        [OPTION_RECOVERY_KEY_FILE] = { "recovery-key-file", 0, "FILE",
                        "A recovery key that is there, or -" },
        [OPTION_PUBLIC] = { "public", 0, "KEY", "The public half of one that is elsewhere" },
        [OPTION_CONSISTENCY] = { "consistency", 0, "LEVEL", "Back up auto, live, paused or cold" },
        [OPTION_STORAGE] = { "storage", 0, NULL, "What the storage has, also of other servers" },
        [OPTION_ENDPOINT] = { "endpoint", 0, "URL", "Where the storage is: https://HOST[:PORT]" },
        [OPTION_REGION] = { "region", 0, "REGION", "Its region; else us-east-1" },
        [OPTION_BUCKET] = { "bucket", 0, "BUCKET", "The bucket that copies go to" },
        [OPTION_PREFIX] = { "prefix", 0, "PREFIX", "Where in the bucket; each server has its own" },
        [OPTION_PATH_STYLE] = { "path-style", 0, NULL, "Ask for HOST/BUCKET, not for BUCKET.HOST" },
        [OPTION_CA_FILE] = { "ca-file", 0, "PATH", "The certificates to trust, a file of the server" },
        [OPTION_CREDENTIALS_FILE] = { "credentials-file", 0, "FILE",
                        "Access key and secret key, a line each; or -" },
        [OPTION_LAST] = { "last", 0, NULL, "Also the last verified one; or the last recovery key" },
};

static const char *const json_mode_table[_JSON_MODE_MAX] = {
        [JSON_OFF] = "off",
        [JSON_SHORT] = "short",
        [JSON_PRETTY] = "pretty",
};
DEFINE_STRING_TABLE(json_mode, JsonMode);

void arguments_done(Arguments *a) {
        a->features = strv_free(a->features);
        a->set = strv_free(a->set);
        a->set_file = strv_free(a->set_file);
        a->properties = strv_free(a->properties);
        a->limits = strv_free(a->limits);
        a->words = strv_free(a->words);
}

size_t edit_distance(const char *a, const char *b) {
        size_t n = strnlen(a, WORD_MAX + 1), m = strnlen(b, WORD_MAX + 1);
        size_t d[WORD_MAX + 1][WORD_MAX + 1];

        if (n > WORD_MAX || m > WORD_MAX)
                return MAX(n, m);

        for (size_t i = 0; i <= n; i++)
                for (size_t j = 0; j <= m; j++) {
                        if (i == 0 || j == 0) {
                                d[i][j] = i + j;
                                continue;
                        }

                        d[i][j] = MIN(d[i - 1][j], d[i][j - 1]) + 1;
                        d[i][j] = MIN(d[i][j], d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U));
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                d[i][j] = MIN(d[i][j], d[i - 2][j - 2] + 1);
                }

        return d[n][m];
}

bool is_probably_meant(const char *a, const char *b) {
        size_t n = strlen(a);

        /* The beginning of a word, or a letter in three wrong. */
        return (n >= 2 && startswith(b, a)) || edit_distance(a, b) <= MAX(n / 3, (size_t) 1);
}

static int fail_unknown_option(const char *word, Error *reterr) {
        const Option *meant = NULL;
        size_t n = strcspn(word, "="), best = SIZE_MAX;
        _cleanup_free_ char *name = NULL;

        name = strndup(word, n);
        if (!name)
                return -ENOMEM;

        for (size_t i = 0; startswith(name, "--") && i < _OPTION_MAX; i++) {
                size_t distance = edit_distance(name + 2, option_table[i].name);

                if (is_probably_meant(name + 2, option_table[i].name) && distance < best) {
                        meant = option_table + i;
                        best = distance;
                }
        }

        if (meant)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is no option '%s'. Did you mean '--%s'?", name, meant->name);

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                        "There is no option '%s'. 'ccpctl --help' lists those that there are.", name);
}

static int lines_parse(const char *s, uint64_t *ret) {
        if (streq(s, "all")) {
                *ret = LINES_ALL;
                return 0;
        }

        if (isempty(s) || strlen(s) > LINES_DIGITS_MAX || s[strspn(s, "0123456789")] != 0)
                return -EINVAL;

        *ret = strtoull(s, NULL, 10);
        return 0;
}

static int add_property_names(char ***l, const char *s) {
        for (;;) {
                size_t n = strcspn(s, ",");
                int r;

                if (n > 0) {
                        r = strv_extendf(l, "%.*s", (int) n, s);
                        if (r < 0)
                                return r;
                }
                if (s[n] == 0)
                        return 0;
                s += n + 1;
        }
}

static int fail_without_value(OptionId id, Error *reterr) {
        const Option *o = option_table + id;

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "--%s needs a value: --%s=%s.", o->name,
                        o->name, o->argument);
}

static int take_option(Arguments *a, OptionId id, const char *value, Error *reterr) {
        a->given |= UINT64_C(1) << id;
        a->values[id] = value;

        switch (id) {
        case OPTION_WAIT:
                a->given &= ~OPTION(NO_WAIT);
                return 0;
        case OPTION_NO_WAIT:
                a->given &= ~OPTION(WAIT);
                return 0;
        case OPTION_FEATURE:
                return add_property_names(&a->features, value);
        case OPTION_SET:
                return strv_extend(&a->set, value);
        case OPTION_SET_FILE:
                return strv_extend(&a->set_file, value);
        case OPTION_LIMIT:
                return strv_extend(&a->limits, value);
        case OPTION_PROPERTY:
                return add_property_names(&a->properties, value);
        case OPTION_GREP:
        case OPTION_INSTANCE:
        case OPTION_USER:
        case OPTION_GROUP:
                return isempty(value) ? fail_without_value(id, reterr) : 0;
        case OPTION_JSON:
                a->json = json_mode_from_string(value);
                if (a->json < 0)
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "--json= takes short, pretty or off, not '%s'.", value);
                return 0;
        case OPTION_LINES:
                if (lines_parse(value, &a->lines) < 0)
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "--lines= takes a number, or all, not '%s'.", value);
                return 0;
        default:
                return 0;
        }
}

/* getopt's own tables, made of ours. */
static void make_getopt_tables(struct option *longs, char *letters) {
        *letters++ = ':'; /* tell a missing argument from an unknown option */
        for (size_t i = 0; i < _OPTION_MAX; i++) {
                const Option *o = option_table + i;

                longs[i] = (struct option) {
                        .name = o->name,
                        .has_arg = o->argument ? required_argument : no_argument,
                        .val = (int) (OPTION_VALUE_BASE + i),
                };
                if (o->letter == 0)
                        continue;
                *letters++ = o->letter;
                if (o->argument)
                        *letters++ = ':';
        }
        *letters = 0;
        longs[_OPTION_MAX] = (struct option) {};
}

static int option_from_getopt(int c) {
        if (c >= OPTION_VALUE_BASE)
                return c - OPTION_VALUE_BASE;

        for (int i = 0; i < _OPTION_MAX; i++)
                if (option_table[i].letter == c)
                        return i;

        return -ENOENT;
}

static int fail_option(int c, char *argv[], Error *reterr) {
        const char letter[] = { '-', (char) optopt, 0 };
        int id;

        /* With optopt getopt tells the letter, or the value of a long option; the word it was in is the one
         * before optind. */
        id = optopt != 0 ? option_from_getopt(optopt) : -ENOENT;
        if (c == ':' && id >= 0)
                return fail_without_value((OptionId) id, reterr);
        if (id >= 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "--%s takes no value.",
                                option_table[id].name);
        if (optopt != 0)
                return fail_unknown_option(letter, reterr);

        return fail_unknown_option(argv[optind - 1], reterr);
}

int arguments_parse(int argc, char *argv[], Arguments *ret, Error *reterr) {
        struct option longs[_OPTION_MAX + 1];
        char letters[2 * _OPTION_MAX + 2];
        _cleanup_arguments_ Arguments a = { .json = JSON_OFF, .lines = LINES_DEFAULT };
        int r, c;

        for (int i = 1; i < argc; i++)
                if (!utf8_is_valid(argv[i], strlen(argv[i])))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "Argument %d is not valid UTF-8, which is all that ccpd takes.", i);

        make_getopt_tables(longs, letters);
        optind = 0; /* begin anew, also when called once more */
        opterr = 0;
        while ((c = getopt_long(argc, argv, letters, longs, NULL)) >= 0) {
                if (IN_SET(c, '?', ':'))
                        return fail_option(c, argv, reterr);

                r = take_option(&a, (OptionId) option_from_getopt(c), optarg, reterr);
                if (r < 0)
                        return r;
        }

        for (int i = optind; i < argc; i++) {
                r = strv_extend(&a.words, argv[i]);
                if (r < 0)
                        return r;
        }

        *ret = a;
        a = (Arguments) {};
        return 0;
}
