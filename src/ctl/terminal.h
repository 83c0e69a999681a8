/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the standard streams are connected to, and how text is shown there: colours, width in columns, and
 * foreign text without control characters. */

#include <stdio.h>

#include "ccp/macro.h"

typedef enum Color {
        COLOR_NONE,
        COLOR_BOLD,
        COLOR_GREY,
        COLOR_RED,
        COLOR_GREEN,
        COLOR_YELLOW,
        COLOR_BLUE,
        COLOR_MAGENTA,
        COLOR_CYAN,
        COLOR_UNDERLINE,
        _COLOR_MAX,
} Color;

typedef enum Glyph {
        GLYPH_DOT,      /* a state, in colour */
        GLYPH_ELLIPSIS, /* three dots */
        GLYPH_DONE,
        GLYPH_FAILED,
        GLYPH_RUNNING,
        GLYPH_UNDO,
        GLYPH_PENDING,
        GLYPH_SKIPPED,
        GLYPH_BAR_FULL,
        GLYPH_BAR_EMPTY,
        GLYPH_BLOCK_1, /* a bar upright, from the lowest … */
        GLYPH_BLOCK_2,
        GLYPH_BLOCK_3,
        GLYPH_BLOCK_4,
        GLYPH_BLOCK_5,
        GLYPH_BLOCK_6,
        GLYPH_BLOCK_7,
        GLYPH_BLOCK_8, /* … to the full one */
        _GLYPH_MAX,
} Glyph;

/* Looks at the streams and the environment ($NO_COLOR, $CCP_COLORS, $SYSTEMD_COLORS, $TERM, the locale), to
 * be called once, before standard output goes to a pager. */
void terminal_open(void);

bool terminal_is_input(void);  /* standard input is a terminal */
bool terminal_is_output(void); /* standard output is (or was, before the pager) */
bool terminal_is_screen(void); /* standard output is, and it can move its cursor */
bool terminal_is_error(void);  /* standard error is, and it can move its cursor */

/* Columns of the terminal on standard output; 0, for no limit, if that is none. */
size_t terminal_output_columns(void);
/* Its rows as they are now; 24 where it does not say. */
size_t terminal_output_rows(void);
/* The columns are asked for anew. */
void terminal_update_size(void);
/* Size of the terminal on standard error as it is now; 80 by 24 where it does not say. */
void terminal_error_size(size_t *ret_columns, size_t *ret_rows);

/* The sequence that switches a colour on (COLOR_NONE: all off) on standard output or standard error; "" on a
 * stream that is to be without. Static. */
const char *color_on(FILE *f, Color color);
/* The sequence whatever the stream. */
const char *color_sequence(Color color);
bool color_enabled(FILE *f);

/* A character, or what stands for it where the locale is not UTF-8. Static. */
const char *glyph(Glyph g);

/* Width in columns of a string in UTF-8, whatever the locale. */
size_t text_columns(const char *s);
/* A copy of s in at most 'columns' columns, its end replaced by an ellipsis if need be. NULL: out of
 * memory. */
char *text_ellipsize(const char *s, size_t columns);
/* A copy of s in which control characters are \n, \t or \xNN, so that it can neither break a line nor steer
 * a terminal. NULL: out of memory. */
char *text_escape(const char *s);

/* Parses yes, true, on, 1 and no, false, off, 0. Returns 1, 0 or -EINVAL. */
int boolean_parse(const char *s);
