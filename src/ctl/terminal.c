/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "terminal.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "alloc-util.h"
#include "string-util.h"

#define COLUMNS_DEFAULT 80U
#define ROWS_DEFAULT 24U

static struct {
        bool input, output, error;
        bool output_colors, error_colors;
        bool utf8;
        size_t output_columns;
} terminal;

static const char *const color_table[_COLOR_MAX] = {
        [COLOR_NONE] = "\x1b[0m",
        [COLOR_BOLD] = "\x1b[0;1;39m",
        [COLOR_GREY] = "\x1b[0;38;5;245m",
        [COLOR_RED] = "\x1b[0;1;31m",
        [COLOR_GREEN] = "\x1b[0;1;32m",
        [COLOR_YELLOW] = "\x1b[0;1;33m",
        [COLOR_BLUE] = "\x1b[0;34m",
        [COLOR_MAGENTA] = "\x1b[0;35m",
        [COLOR_CYAN] = "\x1b[0;36m",
        [COLOR_UNDERLINE] = "\x1b[0;4m",
};

static const struct {
        const char *utf8, *ascii;
} glyph_table[_GLYPH_MAX] = {
        [GLYPH_DOT] = { "●", "*" },
        [GLYPH_ELLIPSIS] = { "…", "..." },
        [GLYPH_DONE] = { "✓", "+" },
        [GLYPH_FAILED] = { "✗", "x" },
        [GLYPH_RUNNING] = { "▸", ">" },
        [GLYPH_UNDO] = { "↶", "<" },
        [GLYPH_PENDING] = { "·", "." },
        [GLYPH_SKIPPED] = { "–", "-" },
        [GLYPH_BAR_FULL] = { "━", "=" },
        [GLYPH_BAR_EMPTY] = { "─", "." },
        [GLYPH_BLOCK_1] = { "▁", "_" },
        [GLYPH_BLOCK_2] = { "▂", "," },
        [GLYPH_BLOCK_3] = { "▃", "-" },
        [GLYPH_BLOCK_4] = { "▄", "~" },
        [GLYPH_BLOCK_5] = { "▅", "=" },
        [GLYPH_BLOCK_6] = { "▆", "+" },
        [GLYPH_BLOCK_7] = { "▇", "*" },
        [GLYPH_BLOCK_8] = { "█", "#" },
};

static bool terminal_is_dumb(void) {
        const char *term = getenv("TERM");

        return !term || streq(term, "dumb");
}

/* Our own variable overrules systemd's, and both the agreement that a set $NO_COLOR means none. */
static bool colors_wanted(bool is_terminal) {
        static const char *const variables[] = { "CCP_COLORS", "SYSTEMD_COLORS" };
        const char *no_color;

        for (size_t i = 0; i < ELEMENTSOF(variables); i++) {
                const char *s = getenv(variables[i]);

                if (isempty(s))
                        continue;
                /* systemd also knows "16" and "256", which say how many. */
                return boolean_parse(s) != 0;
        }

        no_color = getenv("NO_COLOR");
        return isempty(no_color) && is_terminal && !terminal_is_dumb();
}

static void window_size(int fd, size_t *ret_columns, size_t *ret_rows) {
        struct winsize ws = {};

        (void) ioctl(fd, TIOCGWINSZ, &ws);
        *ret_columns = ws.ws_col > 0 ? ws.ws_col : COLUMNS_DEFAULT;
        *ret_rows = ws.ws_row > 0 ? ws.ws_row : ROWS_DEFAULT;
}

void terminal_open(void) {
        (void) setlocale(LC_ALL, "");
        terminal.utf8 = strcasecmp(nl_langinfo(CODESET), "UTF-8") == 0;
        /* wcwidth() knows the characters of the locale only; names are UTF-8 in every locale. */
        if (!terminal.utf8)
                (void) setlocale(LC_CTYPE, "C.UTF-8");

        terminal.input = isatty(STDIN_FILENO);
        terminal.output = isatty(STDOUT_FILENO);
        terminal.error = isatty(STDERR_FILENO) && !terminal_is_dumb();
        terminal.output_colors = colors_wanted(terminal.output);
        terminal.error_colors = colors_wanted(terminal.error);
        terminal_update_size();
}

void terminal_update_size(void) {
        size_t rows;

        terminal.output_columns = 0;
        if (terminal.output)
                window_size(STDOUT_FILENO, &terminal.output_columns, &rows);
}

bool terminal_is_input(void) {
        return terminal.input;
}

bool terminal_is_output(void) {
        return terminal.output;
}

bool terminal_is_screen(void) {
        return terminal.output && !terminal_is_dumb();
}

bool terminal_is_error(void) {
        return terminal.error;
}

size_t terminal_output_columns(void) {
        return terminal.output_columns;
}

size_t terminal_output_rows(void) {
        size_t columns, rows;

        window_size(STDOUT_FILENO, &columns, &rows);
        return rows;
}

void terminal_error_size(size_t *ret_columns, size_t *ret_rows) {
        window_size(STDERR_FILENO, ret_columns, ret_rows);
}

bool color_enabled(FILE *f) {
        return f == stderr ? terminal.error_colors : terminal.output_colors;
}

const char *color_sequence(Color color) {
        return color_table[color];
}

const char *color_on(FILE *f, Color color) {
        return color_enabled(f) ? color_table[color] : "";
}

const char *glyph(Glyph g) {
        return terminal.utf8 ? glyph_table[g].utf8 : glyph_table[g].ascii;
}

/* Decodes the sequence at s, which the bus and our arguments have proven valid; a stray byte counts as
 * itself. Returns its length. */
static size_t decode(const char *s, wchar_t *ret) {
        const unsigned char *p = (const unsigned char *) s;
        size_t n = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : p[0] >= 0xC0 ? 2 : 1;
        wchar_t c = n == 1 ? p[0] : p[0] & (0xFF >> (n + 1));

        for (size_t i = 1; i < n; i++) {
                if ((p[i] & 0xC0) != 0x80) {
                        *ret = p[0];
                        return 1;
                }
                c = c << 6 | (p[i] & 0x3F);
        }

        *ret = c;
        return n;
}

static size_t character_columns(wchar_t c) {
        int w = wcwidth(c);

        return w < 0 ? 1 : (size_t) w;
}

size_t text_columns(const char *s) {
        size_t columns = 0;
        wchar_t c;

        while (*s) {
                s += decode(s, &c);
                columns += character_columns(c);
        }

        return columns;
}

char *text_ellipsize(const char *s, size_t columns) {
        const char *ellipsis = glyph(GLYPH_ELLIPSIS), *p = s;
        size_t room, used = 0;
        char *result;

        if (text_columns(s) <= columns)
                return strdup(s);

        if (columns < text_columns(ellipsis))
                ellipsis = "";
        room = columns - text_columns(ellipsis);
        while (*p) {
                wchar_t c;
                size_t n = decode(p, &c), w = character_columns(c);

                if (used + w > room)
                        break;
                used += w;
                p += n;
        }

        if (asprintf(&result, "%.*s%s", (int) (p - s), s, ellipsis) < 0)
                return NULL;

        return result;
}

char *text_escape(const char *s) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *result;

        while (*s) {
                wchar_t c;
                size_t n = decode(s, &c);

                if (c == '\n')
                        string_builder_append(&b, "\\n");
                else if (c == '\t')
                        string_builder_append(&b, "\\t");
                else if (c < ' ' || (c >= 0x7F && c < 0xA0))
                        string_builder_appendf(&b, "\\x%02x", (unsigned) c);
                else
                        string_builder_append_n(&b, s, n);
                s += n;
        }

        return string_builder_finish(&b, &result, NULL) < 0 ? NULL : result;
}

int boolean_parse(const char *s) {
        static const char *const yes[] = { "yes", "true", "on", "1", "y", "t" };
        static const char *const no[] = { "no", "false", "off", "0", "n", "f" };

        for (size_t i = 0; i < ELEMENTSOF(yes); i++)
                if (strcasecmp(s, yes[i]) == 0)
                        return 1;
        for (size_t i = 0; i < ELEMENTSOF(no); i++)
                if (strcasecmp(s, no[i]) == 0)
                        return 0;

        return -EINVAL;
}
