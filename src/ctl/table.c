/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "table.h"

#include <errno.h>

#include "alloc-util.h"
#include "string-util.h"

/* No cell is cut to less than this. */
#define COLUMN_WIDTH_MIN 6U
#define COLUMN_GAP 2U

typedef struct Cell {
        char *text;
        Color color;
} Cell;

struct Table {
        const TableColumn *columns;
        size_t n_columns;

        Cell *cells;
        size_t n_cells, n_allocated;
};

Table *table_new(const TableColumn *columns, size_t n_columns) {
        Table *t = new0(Table, 1);

        if (t)
                *t = (Table) { .columns = columns, .n_columns = n_columns };
        return t;
}

Table *table_free(Table *t) {
        if (!t)
                return NULL;

        for (size_t i = 0; i < t->n_cells; i++)
                free(t->cells[i].text);
        free(t->cells);
        return mfree(t);
}

int table_add(Table *t, const char *text, Color color) {
        char *copy;

        if (!GREEDY_REALLOC(t->cells, t->n_allocated, t->n_cells + 1))
                return -ENOMEM;

        copy = text_escape(isempty(text) ? "-" : text);
        if (!copy)
                return -ENOMEM;

        t->cells[t->n_cells++] = (Cell) { .text = copy, .color = color };
        return 0;
}

size_t table_rows(const Table *t) {
        return t->n_cells / t->n_columns;
}

/* The column that gives up one more: the one that stands out most, by weight. t->n_columns if none can. */
static size_t find_column_to_cut(const Table *t, const size_t *widths) {
        size_t best = t->n_columns, best_spare = 0;

        for (size_t i = 0; i < t->n_columns; i++) {
                size_t spare = widths[i] > COLUMN_WIDTH_MIN
                                ? (widths[i] - COLUMN_WIDTH_MIN) * t->columns[i].weight
                                : 0;

                if (spare > best_spare) {
                        best = i;
                        best_spare = spare;
                }
        }

        return best;
}

static void compute_widths(const Table *t, size_t width, bool legend, size_t *widths) {
        size_t total = (t->n_columns - 1) * COLUMN_GAP;

        for (size_t i = 0; i < t->n_columns; i++)
                widths[i] = MAX((size_t) t->columns[i].min,
                                legend ? text_columns(t->columns[i].title) : (size_t) 0);
        for (size_t i = 0; i < t->n_cells; i++) {
                size_t *w = widths + i % t->n_columns;

                *w = MAX(*w, text_columns(t->cells[i].text));
        }
        for (size_t i = 0; i < t->n_columns; i++)
                total += widths[i];

        while (width > 0 && total > width) {
                size_t i = find_column_to_cut(t, widths);

                if (i == t->n_columns)
                        return;
                widths[i]--;
                total--;
        }
}

static int format_cell(const Table *t, size_t column, const char *text, Color color, bool colors,
                size_t width, StringBuilder *b) {
        _cleanup_free_ char *shown = NULL;
        bool last = column + 1 == t->n_columns, right = t->columns[column].right;
        int pad;

        shown = text_ellipsize(text, width);
        if (!shown)
                return -ENOMEM;
        pad = (int) (width - text_columns(shown));

        if (right)
                string_builder_appendf(b, "%*s", pad, "");
        if (colors && color != COLOR_NONE)
                string_builder_appendf(
                                b, "%s%s%s", color_sequence(color), shown, color_sequence(COLOR_NONE));
        else
                string_builder_append(b, shown);
        if (!last)
                string_builder_appendf(b, "%*s", (right ? 0 : pad) + (int) COLUMN_GAP, "");
        else
                string_builder_append(b, "\n");
        return 0;
}

int table_format(const Table *t, size_t width, bool legend, bool colors, char **ret) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_free_ size_t *widths = NULL;
        int r;

        assert(t->n_cells % t->n_columns == 0);

        widths = new0(size_t, t->n_columns);
        if (!widths)
                return -ENOMEM;
        compute_widths(t, width, legend, widths);

        for (size_t i = 0; legend && i < t->n_columns; i++) {
                r = format_cell(t, i, t->columns[i].title, COLOR_UNDERLINE, colors, widths[i], &b);
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < t->n_cells; i++) {
                r = format_cell(t, i % t->n_columns, t->cells[i].text, t->cells[i].color, colors,
                                widths[i % t->n_columns], &b);
                if (r < 0)
                        return r;
        }

        return string_builder_finish(&b, ret, NULL);
}
