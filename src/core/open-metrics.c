/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "open-metrics.h"
#include <errno.h>

#include <inttypes.h>

static const char *const metrics_format_table[_METRICS_FORMAT_MAX] = {
        [METRICS_OPENMETRICS] = "openmetrics",
        [METRICS_PROMETHEUS] = "prometheus",
};
DEFINE_STRING_TABLE(metrics_format, MetricsFormat);

/* What the types are called in both formats, and what the names of their samples end with. The older format knows
 * neither infos nor sets of states, and gives its families the names of the samples. */
static const struct {
        const char *type[_METRICS_FORMAT_MAX], *suffix;
} types[_METRIC_TYPE_MAX] = {
        [METRIC_GAUGE] = { { "gauge", "gauge" }, "" },
        [METRIC_COUNTER] = { { "counter", "counter" }, "_total" },
        [METRIC_INFO] = { { "info", "gauge" }, "_info" },
        [METRIC_STATE_SET] = { { "stateset", "gauge" }, "" },
};

static void append_escaped(StringBuilder *b, const char *s, bool quotes) {
        while (*s) {
                size_t n = strcspn(s, quotes ? "\n\\\"" : "\n\\");

                string_builder_append_n(b, s, n);
                s += n;
                if (!*s)
                        break;
                string_builder_append(b, *s == '\n' ? "\\n" : *s == '"' ? "\\\"" : "\\\\");
                s++;
        }
}

void metrics_begin(MetricsWriter *w, const Metric *metric) {
        bool open = w->format == METRICS_OPENMETRICS;
        const char *suffix = open ? "" : types[metric->type].suffix;

        w->metric = metric;
        string_builder_appendf(&w->text, "# TYPE %s%s %s\n", metric->name, suffix,
                        types[metric->type].type[w->format]);
        if (open && metric->unit)
                string_builder_appendf(&w->text, "# UNIT %s %s\n", metric->name, metric->unit);
        string_builder_appendf(&w->text, "# HELP %s%s ", metric->name, suffix);
        append_escaped(&w->text, metric->help, /* quotes= */ open);
        string_builder_append(&w->text, "\n");
}

static void append_label(StringBuilder *b, const char *before, const char *name, const char *value) {
        string_builder_append(b, before);
        string_builder_append(b, name);
        string_builder_append(b, "=\"");
        append_escaped(b, strempty(value), /* quotes= */ true);
        string_builder_append(b, "\"");
}

/* Up to the value. 'state' is the value of the label that bears the metric's name; NULL: none. */
static void append_name(MetricsWriter *w, const MetricLabel *labels, size_t n, const char *state) {
        StringBuilder *b = &w->text;

        string_builder_append(b, w->metric->name);
        string_builder_append(b, types[w->metric->type].suffix);
        FOREACH_ARRAY(l, labels, n)
                append_label(b, l == labels ? "{" : ",", l->name, l->value);
        if (state)
                append_label(b, n == 0 ? "{" : ",", w->metric->name, state);
        string_builder_append(b, n > 0 || state ? "} " : " ");
}

void metrics_add(MetricsWriter *w, const MetricLabel *labels, size_t n, uint64_t value) {
        append_name(w, labels, n, NULL);
        string_builder_appendf(&w->text, "%" PRIu64 "\n", value);
}

void metrics_add_usec(MetricsWriter *w, const MetricLabel *labels, size_t n, usec_t value) {
        append_name(w, labels, n, NULL);
        string_builder_appendf(
                        &w->text, "%" PRIu64 ".%06" PRIu64 "\n", value / USEC_PER_SEC, value % USEC_PER_SEC);
}

void metrics_add_info(MetricsWriter *w, const MetricLabel *labels, size_t n) {
        metrics_add(w, labels, n, 1);
}

void metrics_add_state(MetricsWriter *w, const MetricLabel *labels, size_t n, const char *const *states,
                size_t n_states, size_t current) {
        for (size_t i = 0; i < n_states; i++) {
                append_name(w, labels, n, states[i]);
                string_builder_append(&w->text, i == current ? "1\n" : "0\n");
        }
}

int metrics_finish(MetricsWriter *w, char **ret, size_t *ret_size) {
        if (w->format == METRICS_OPENMETRICS)
                string_builder_append(&w->text, "# EOF\n");
        return string_builder_finish(&w->text, ret, ret_size);
}

void metrics_done(MetricsWriter *w) {
        string_builder_done(&w->text);
}
