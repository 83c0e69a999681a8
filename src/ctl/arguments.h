/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The command line: the options there are, as one table, and what was given. */

#include <errno.h>

#include "error.h"

typedef enum OptionId {
        OPTION_HELP,
        OPTION_VERSION,
        OPTION_HOST,
        OPTION_JSON,
        OPTION_NO_LEGEND,
        OPTION_NO_PAGER,
        OPTION_NO_ASK_PASSWORD,
        OPTION_QUIET,
        OPTION_WAIT,
        OPTION_NO_WAIT,
        _OPTION_EVERYWHERE = OPTION_NO_WAIT, /* those up to here go with every verb */
        OPTION_STATE,
        OPTION_HEALTH,
        OPTION_BLUEPRINT,
        OPTION_INSTANCE,
        OPTION_KIND,
        OPTION_LINES,
        OPTION_FOLLOW,
        OPTION_WATCH,
        OPTION_GREP,
        OPTION_ALL,
        OPTION_USER,
        OPTION_GROUP,
        OPTION_ACTION,
        OPTION_OUTCOME,
        OPTION_SINCE,
        OPTION_UNTIL,
        OPTION_SORT,
        OPTION_ONCE,
        OPTION_PROPERTY,
        OPTION_VALUE,
        OPTION_DOMAIN,
        OPTION_NAME,
        OPTION_FEATURE,
        OPTION_SET,
        OPTION_SET_FILE,
        OPTION_SOURCE,
        OPTION_LIMIT,
        OPTION_DRY_RUN,
        OPTION_YES,
        OPTION_RULE,
        OPTION_FOR,
        OPTION_REASON,
        OPTION_CONTEXT,
        OPTION_FORMAT,
        OPTION_CONSISTENCY,
        OPTION_ANY_VERSION,
        OPTION_AS,
        OPTION_SIGNER,
        OPTION_OUTPUT,
        OPTION_RECOVERY_KEY_FILE,
        OPTION_PUBLIC,
        OPTION_LAST,
        OPTION_STORAGE,
        OPTION_ENDPOINT,
        OPTION_REGION,
        OPTION_BUCKET,
        OPTION_PREFIX,
        OPTION_PATH_STYLE,
        OPTION_CA_FILE,
        OPTION_CREDENTIALS_FILE,
        _OPTION_MAX,
} OptionId;

#define OPTION(id) (UINT64_C(1) << (OPTION_##id))

typedef struct Option {
        const char *name;
        char letter;          /* 0: none */
        const char *argument; /* what --help calls it; NULL: takes none */
        const char *help;
} Option;

/* In the order of OptionId. */
extern const Option option_table[_OPTION_MAX];

typedef enum JsonMode {
        JSON_OFF,
        JSON_SHORT,
        JSON_PRETTY,
        _JSON_MODE_MAX,
        _JSON_MODE_INVALID = -EINVAL,
} JsonMode;
DECLARE_STRING_TABLE(json_mode, JsonMode);

#define LINES_ALL UINT64_MAX

/* Strings are borrowed from argv. */
typedef struct Arguments {
        uint64_t given;                     /* OPTION() of each option that was given */
        const char *values[_OPTION_MAX];    /* of options that may be given once, else the last one */
        char **features, **set, **set_file; /* of those that add up */
        char **properties, **limits;
        JsonMode json;
        uint64_t lines;
        char **words; /* the verb and its arguments */
} Arguments;

void arguments_done(Arguments *a);
#define _cleanup_arguments_ _cleanup_(arguments_done)

static inline bool arguments_have(const Arguments *a, uint64_t option) {
        return (a->given & option) != 0;
}

/* Reads argv, options and words in any order. Fails with InvalidArgument. */
int arguments_parse(int argc, char *argv[], Arguments *ret, Error *reterr);

/* How many letters have to be changed, added, left out or swapped to make b of a. */
size_t edit_distance(const char *a, const char *b);
/* True if b may be what somebody meant who wrote a. */
bool is_probably_meant(const char *a, const char *b);
