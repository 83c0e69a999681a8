/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "log-pattern.h"

#include <ctype.h>
#include <errno.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "alloc-util.h"
#include "string-util.h"
#include "time-util.h"

/* Processor time for one text, and KiB of memory. */
#define MATCH_TIME_MAX (200 * USEC_PER_MSEC)
#define MATCH_HEAP_MAX 16384U
#define NESTING_MAX 64U
#define COMPILED_SIZE_MAX (256U * 1024U)

struct LogPattern {
        pcre2_code *code;
        pcre2_match_data *data;
        pcre2_match_context *context;

        /* Of the text that is being looked at: */
        log_pattern_check_t check;
        void *userdata;
        usec_t tick;  /* of the coarse clock, when time was looked at */
        usec_t until; /* of the thread's processor time; 0: not known yet */
        int result;   /* why it was ended */
};

LogPattern *log_pattern_free(LogPattern *p) {
        if (!p)
                return NULL;

        pcre2_code_free(p->code);
        pcre2_match_data_free(p->data);
        pcre2_match_context_free(p->context);
        return mfree(p);
}

static bool has_capitals(const char *s) {
        for (; *s; s++)
                if (isupper((unsigned char) *s))
                        return true;
        return false;
}

/* Called before each item of the pattern, each time that it is tried. PCRE2's own limit does not help: it counts anew
 * wherever in the text a match may begin, and its steps may each take as long as the text. */
static int on_callout(_unused_ pcre2_callout_block *block, void *userdata) {
        usec_t tick = now(CLOCK_MONOTONIC_COARSE), t;
        LogPattern *p = userdata;

        if (tick == p->tick)
                return 0;
        p->tick = tick;

        t = now(CLOCK_THREAD_CPUTIME_ID);
        if (p->until == 0)
                p->until = t + MATCH_TIME_MAX;
        p->result = t >= p->until ? 1 : p->check ? p->check(p->userdata) : 0;
        return p->result != 0 ? PCRE2_ERROR_CALLOUT : 0;
}

static int compile(const char *s, pcre2_code **ret, Error *reterr) {
        uint32_t options = PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | PCRE2_AUTO_CALLOUT |
                        (has_capitals(s) ? 0 : PCRE2_CASELESS);
        pcre2_compile_context *context;
        PCRE2_SIZE offset, size = 0;
        pcre2_code *code;
        int error;

        /* The one item that can take for ever by itself: of flags it counts all before it, for each anew. */
        if (strstr(s, "\\X"))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The pattern cannot be used: \\X is not supported. A dot matches a "
                                "character.");

        context = pcre2_compile_context_create(NULL);
        if (!context)
                return -ENOMEM;
        (void) pcre2_set_parens_nest_limit(context, NESTING_MAX);
        code = pcre2_compile((PCRE2_SPTR) s, PCRE2_ZERO_TERMINATED, options, &error, &offset, context);
        pcre2_compile_context_free(context);
        if (!code) {
                char message[128];

                if (pcre2_get_error_message(error, (PCRE2_UCHAR *) message, sizeof(message)) < 0)
                        message[0] = 0;
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The pattern cannot be used: %s, at its character %zu. See pcre2pattern(3).",
                                message, offset + 1);
        }

        (void) pcre2_pattern_info(code, PCRE2_INFO_SIZE, &size);
        if (size > COMPILED_SIZE_MAX) {
                pcre2_code_free(code);
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The pattern has repetitions that are too large.");
        }

        *ret = code;
        return 0;
}

int log_pattern_new(const char *s, LogPattern **ret, Error *reterr) {
        _cleanup_(log_pattern_freep) LogPattern *p = NULL;
        int r;

        p = new0(LogPattern, 1);
        if (!p)
                return -ENOMEM;
        r = compile(s, &p->code, reterr);
        if (r < 0)
                return r;

        p->data = pcre2_match_data_create(1, NULL);
        p->context = pcre2_match_context_create(NULL);
        if (!p->data || !p->context)
                return -ENOMEM;
        /* By time only, so that it does not depend on the text's length. */
        (void) pcre2_set_match_limit(p->context, UINT32_MAX);
        (void) pcre2_set_heap_limit(p->context, MATCH_HEAP_MAX);
        (void) pcre2_set_callout(p->context, on_callout, p);

        *ret = TAKE_PTR(p);
        return 0;
}

int log_pattern_matches(LogPattern *p, const char *s, log_pattern_check_t check, void *userdata) {
        int r;

        p->check = check;
        p->userdata = userdata;
        p->tick = now(CLOCK_MONOTONIC_COARSE);
        p->until = 0;
        p->result = 0;

        r = pcre2_match(p->code, (PCRE2_SPTR) s, strlen(s), 0, PCRE2_NO_UTF_CHECK, p->data, p->context);
        return p->result < 0 ? p->result : r != PCRE2_ERROR_NOMATCH;
}
