/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The proof that every value is in the target as what it was: the template is rendered once more with a
 * marker in the place of each value, both results are parsed, and they must be the same tree once the markers
 * are replaced by the values. A value that broke out of its place, lost a character or changed its type makes
 * the trees differ. */

#include "render.h"

/* Compares 'actual' with 'marked'. Errors: RenderFailed, naming the value where one is to blame. */
int verify_yaml(const Template *t, const Trace *trace, const char *actual, size_t actual_size,
                const char *marked, size_t marked_size, Error *reterr);
int verify_json(const Template *t, const Trace *trace, const char *actual, size_t actual_size,
                const char *marked, size_t marked_size, Error *reterr);
int verify_dotenv(const Template *t, const Trace *trace, const char *actual, size_t actual_size,
                const char *marked, size_t marked_size, Error *reterr);

/* For them */

typedef enum VerifyFlags {
        VERIFY_DOLLARS = 1U << 0, /* $ is doubled in the text that was read */
} VerifyFlags;

typedef struct VerifyMatch {
        bool equal;
        const WrittenValue *first; /* the first marker in the text, or NULL */
        bool has_string;           /* one of them stands for a text */
        bool has_dollar;           /* … with a $ */
        bool whole;                /* the text is nothing but one marker */
} VerifyMatch;

/* Compares a text with one that has markers. Each marker that is met is counted in 'seen' (one per value). */
VerifyMatch verify_text(const Trace *trace, unsigned *seen, const char *actual, size_t actual_size,
                const char *marked, size_t marked_size, VerifyFlags flags);
int verify_fail(const Template *t, const WrittenValue *v, const char *what, Error *reterr);
/* Each value must have been seen once, but for those in comments. */
int verify_seen(const Template *t, const Trace *trace, const unsigned *seen, Error *reterr);
