/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tables of text that fit the terminal: too wide ones give up columns of the cells that can spare them. */

#include "terminal.h"

typedef struct TableColumn {
        const char *title;
        unsigned weight; /* how willingly it is cut, 0: never */
        bool right;      /* numbers */
        unsigned min;    /* at least as wide, so that tables below each other are aligned */
} TableColumn;

typedef struct Table Table;

/* 'columns' must stay as long as the table. NULL: out of memory. */
Table *table_new(const TableColumn *columns, size_t n_columns);
Table *table_free(Table *t);
DEFINE_CLEANUP_FUNC(Table *, table_free);
#define _cleanup_table_ _cleanup_(table_freep)

/* Adds the next cell, row by row; an empty or missing text is shown as "-". The text is copied, and control
 * characters in it are escaped. 0 or -ENOMEM. */
int table_add(Table *t, const char *text, Color color);
size_t table_rows(const Table *t);

/* The table as text in 'width' columns (0: no limit). ret is freed by the caller. 0 or -ENOMEM. */
int table_format(const Table *t, size_t width, bool legend, bool colors, char **ret);
