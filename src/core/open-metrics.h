/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Writes the text that monitoring reads: OpenMetrics 1.0, or the older text format of Prometheus, which
 * node_exporter's textfile collector takes. Pure. Families come one after the other, each with all its samples. */

#include <errno.h>

#include "string-util.h"
#include "time-util.h"

typedef enum MetricsFormat {
        METRICS_OPENMETRICS,
        METRICS_PROMETHEUS,
        _METRICS_FORMAT_MAX,
        _METRICS_FORMAT_INVALID = -EINVAL,
} MetricsFormat;
DECLARE_STRING_TABLE(metrics_format, MetricsFormat);

typedef enum MetricType {
        METRIC_GAUGE,
        METRIC_COUNTER,   /* its samples are called NAME_total */
        METRIC_INFO,      /* its samples are called NAME_info, and are all 1 */
        METRIC_STATE_SET, /* one sample for each state, in a label called NAME */
        _METRIC_TYPE_MAX,
} MetricType;

typedef struct Metric {
        const char *name; /* of the family; ends with "_UNIT" if there is a unit */
        MetricType type;
        const char *unit; /* NULL: none */
        const char *help;
} Metric;

typedef struct MetricLabel {
        const char *name;  /* [a-zA-Z_][a-zA-Z0-9_]* */
        const char *value; /* any UTF-8; NULL: "" */
} MetricLabel;

/* Initialize with {} but for the format. Failures stick: metrics_finish() returns -ENOMEM. */
typedef struct MetricsWriter {
        MetricsFormat format;
        const Metric *metric;
        StringBuilder text;
} MetricsWriter;

/* Begins a family; the metric is borrowed up to the next one. */
void metrics_begin(MetricsWriter *w, const Metric *metric);
/* A sample of a gauge or counter: a whole number, or µs that are written as seconds. */
void metrics_add(MetricsWriter *w, const MetricLabel *labels, size_t n, uint64_t value);
void metrics_add_usec(MetricsWriter *w, const MetricLabel *labels, size_t n, usec_t value);
void metrics_add_info(MetricsWriter *w, const MetricLabel *labels, size_t n);
/* The samples of a state set: one for each name in 'states', 1 for that with the index 'current'. */
void metrics_add_state(MetricsWriter *w, const MetricLabel *labels, size_t n, const char *const *states,
                size_t n_states, size_t current);
/* The whole text. ret is freed by the caller. */
int metrics_finish(MetricsWriter *w, char **ret, size_t *ret_size);
void metrics_done(MetricsWriter *w);
#define _cleanup_metrics_ _cleanup_(metrics_done)
