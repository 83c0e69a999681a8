/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "top.h"

#include <stdio.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "string-util.h"
#include "time-util.h"

static const char *const top_sort_table[_TOP_SORT_MAX] = {
        [TOP_SORT_NAME] = "name",
        [TOP_SORT_CPU] = "cpu",
        [TOP_SORT_MEMORY] = "memory",
        [TOP_SORT_TASKS] = "tasks",
        [TOP_SORT_IO] = "io",
        [TOP_SORT_NETWORK] = "network",
        [TOP_SORT_DISK] = "disk",
};
DEFINE_STRING_TABLE(top_sort, TopSort);

/* What is summed up to sort by. */
static const char *const sort_keys[_TOP_SORT_MAX][2] = {
        [TOP_SORT_CPU] = { "cpu_percent" },
        [TOP_SORT_MEMORY] = { "memory_used" },
        [TOP_SORT_TASKS] = { "tasks" },
        [TOP_SORT_IO] = { "io_read_rate", "io_written_rate" },
        [TOP_SORT_NETWORK] = { "network_received_rate", "network_sent_rate" },
        [TOP_SORT_DISK] = { "disk" },
};

static const char *row_name(const json_t *row) {
        return strempty(json_object_get_string(row, json_object_get(row, "slug") ? "slug" : "name"));
}

/* Counters begin anew with each container. */
static const json_t *find_before(const json_t *rows, const json_t *row) {
        const json_t *other;
        size_t i;

        json_array_foreach(rows, i, other)
                if (streq(row_name(other), row_name(row)) &&
                                streq_ptr(json_object_get_string(other, "container"),
                                                json_object_get_string(row, "container")))
                        return other;
        return NULL;
}

static int set_number(json_t *row, const char *key, double value) {
        return json_object_set_new(row, key, json_real(value)) < 0 ? -ENOMEM : 0;
}

/* What a counter grew by each second. */
static int add_rate(json_t *row, const json_t *before, const char *counter, const char *key, double factor) {
        const json_t *old = json_object_get(before, counter), *new = json_object_get(row, counter);
        double seconds = (double) (json_integer_value(json_object_get(row, "time")) -
                                         json_integer_value(json_object_get(before, "time"))) /
                        (double) USEC_PER_SEC;
        json_int_t grown = json_integer_value(new) - json_integer_value(old);

        if (!json_is_integer(old) || !json_is_integer(new) || seconds <= 0 || grown < 0)
                return 0;
        return set_number(row, key, (double) grown / seconds * factor);
}

static int add_memory(json_t *row) {
        const json_t *memory = json_object_get(row, "memory"), *max = json_object_get(row, "memory_max");
        json_int_t used = json_integer_value(memory) -
                        json_integer_value(json_object_get(row, "memory_cache"));

        if (!json_is_integer(memory))
                return 0;
        used = MAX(used, (json_int_t) 0);
        if (json_object_set_new(row, "memory_used", json_integer(used)) < 0)
                return -ENOMEM;
        if (!json_is_integer(max) || json_integer_value(max) <= 0)
                return 0;
        return set_number(row, "memory_percent", 100.0 * (double) used / (double) json_integer_value(max));
}

int top_add_rates(json_t *rows, const json_t *before) {
        static const struct {
                const char *counter, *key;
                double factor;
        } rates[] = {
                { "cpu_usec", "cpu_percent", 100.0 / (double) USEC_PER_SEC },
                { "io_read", "io_read_rate", 1 },
                { "io_written", "io_written_rate", 1 },
                { "network_received", "network_received_rate", 1 },
                { "network_sent", "network_sent_rate", 1 },
        };
        json_t *row;
        size_t i;
        int r;

        json_array_foreach(rows, i, row) {
                const json_t *old = find_before(before, row);

                r = add_memory(row);
                FOREACH_ARRAY(k, rates, ELEMENTSOF(rates))
                        if (r >= 0 && old)
                                r = add_rate(row, old, k->counter, k->key, k->factor);
                if (r < 0)
                        return r;
        }
        return 0;
}

typedef struct SortItem {
        json_t *row;
        double value; /* negative: none */
} SortItem;

static double sort_value(const json_t *row, TopSort sort) {
        double sum = -1;

        FOREACH_ARRAY(key, sort_keys[sort], ELEMENTSOF(sort_keys[sort])) {
                const json_t *v = *key ? json_object_get(row, *key) : NULL;

                if (json_is_number(v))
                        sum = MAX(sum, 0.0) + json_number_value(v);
        }
        return sum;
}

static int compare(const void *a, const void *b) {
        const SortItem *x = a, *y = b;

        if (x->value > y->value)
                return -1;
        return x->value < y->value ? 1 : strcmp(row_name(x->row), row_name(y->row));
}

int top_sort(json_t *rows, TopSort sort) {
        size_t n = json_array_size(rows);
        _cleanup_free_ SortItem *items = NULL;
        int r = 0;

        items = new0(SortItem, n);
        if (!items)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                items[i].row = json_incref(json_array_get(rows, i));
                items[i].value = sort_value(items[i].row, sort);
        }
        if (n > 0)
                qsort(items, n, sizeof(*items), compare);

        /* Takes the references. */
        for (size_t i = 0; i < n; i++)
                r |= json_array_set_new(rows, i, items[i].row);
        return r < 0 ? -ENOMEM : 0;
}

static double sum_up(const json_t *rows, const char *key) {
        const json_t *row;
        double sum = 0;
        size_t i;

        json_array_foreach(rows, i, row)
                sum += json_number_value(json_object_get(row, key));
        return sum;
}

int top_summarize(const json_t *rows, const char *what, char **ret) {
        size_t n = json_array_size(rows);
        char size[TOP_SIZE_MAX];

        if (asprintf(ret, "%zu %s%s, CPU %.1f%%, memory %s", n, what, n == 1 ? "" : "s",
                            sum_up(rows, "cpu_percent"),
                            top_format_size(size, sizeof(size), sum_up(rows, "memory_used"))) < 0)
                return -ENOMEM;
        return 0;
}

const char *top_format_size(char *buf, size_t size, double bytes) {
        static const char units[] = "KMGTPE";
        const char *unit = NULL;

        while (bytes >= 1023.5 && (!unit || unit[1])) {
                bytes /= 1024;
                unit = unit ? unit + 1 : units;
        }

        if (unit)
                (void) snprintf(buf, size, bytes < 9.95 ? "%.1f%c" : "%.0f%c", bytes, *unit);
        else
                (void) snprintf(buf, size, "%.0f", bytes);
        return buf;
}

char *top_format_bytes(const json_t *row, const char *key) {
        const json_t *v = json_object_get(row, key);
        char buf[TOP_SIZE_MAX];

        return strdup(json_is_number(v) ? top_format_size(buf, sizeof(buf), json_number_value(v)) : "");
}
