/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "open-metrics.h"
#include "test.h"

static const Metric cpu = { "ccpd_cpu_seconds", METRIC_COUNTER, "seconds", "A \"time\"\nand a \\." };
static const Metric tasks = { "ccpd_tasks", METRIC_GAUGE, NULL, "Tasks." };
static const Metric info = { "ccpd_instance", METRIC_INFO, NULL, "What it is." };
static const Metric health = { "ccpd_health", METRIC_STATE_SET, NULL, "How it is." };

static char *write_all(MetricsFormat format) {
        _cleanup_metrics_ MetricsWriter w = { .format = format };
        char *text;
        size_t size;

        metrics_begin(&w, &cpu);
        metrics_add_usec(&w, (const MetricLabel[]) { { "slug", "a" } }, 1, 1000002);
        metrics_begin(&w, &tasks);
        metrics_add(&w, NULL, 0, UINT64_MAX);
        metrics_begin(&w, &info);
        metrics_add_info(&w,
                        (const MetricLabel[]) { { "slug", "a" }, { "name", "\"quoted\"\n\\back\xc3\xa4" },
                                        { "domain", NULL } },
                        3);
        metrics_begin(&w, &health);
        metrics_add_state(&w, (const MetricLabel[]) { { "slug", "a" } }, 1,
                        (const char *const[]) { "good", "bad" }, 2, 1);
        metrics_add_state(&w, NULL, 0, (const char *const[]) { "good" }, 1, 0);
        ASSERT_OK(metrics_finish(&w, &text, &size));
        ck_assert_uint_eq(strlen(text), size);
        return text;
}

/* Every rule of the specification that concerns us has a line here. */
START_TEST(open_metrics_are_as_the_specification_says) {
        _cleanup_free_ char *text = write_all(METRICS_OPENMETRICS);

        ck_assert_str_eq(text,
                        "# TYPE ccpd_cpu_seconds counter\n"
                        "# UNIT ccpd_cpu_seconds seconds\n"
                        "# HELP ccpd_cpu_seconds A \\\"time\\\"\\nand a \\\\.\n"
                        "ccpd_cpu_seconds_total{slug=\"a\"} 1.000002\n"
                        "# TYPE ccpd_tasks gauge\n"
                        "# HELP ccpd_tasks Tasks.\n"
                        "ccpd_tasks 18446744073709551615\n"
                        "# TYPE ccpd_instance info\n"
                        "# HELP ccpd_instance What it is.\n"
                        "ccpd_instance_info{slug=\"a\",name=\"\\\"quoted\\\"\\n\\\\back\xc3\xa4\",domain="
                        "\"\"} 1\n"
                        "# TYPE ccpd_health stateset\n"
                        "# HELP ccpd_health How it is.\n"
                        "ccpd_health{slug=\"a\",ccpd_health=\"good\"} 0\n"
                        "ccpd_health{slug=\"a\",ccpd_health=\"bad\"} 1\n"
                        "ccpd_health{ccpd_health=\"good\"} 1\n"
                        "# EOF\n");
}
END_TEST

START_TEST(the_older_format_has_other_names_and_no_end) {
        _cleanup_free_ char *text = write_all(METRICS_PROMETHEUS);

        ck_assert_str_eq(text,
                        "# TYPE ccpd_cpu_seconds_total counter\n"
                        "# HELP ccpd_cpu_seconds_total A \"time\"\\nand a \\\\.\n"
                        "ccpd_cpu_seconds_total{slug=\"a\"} 1.000002\n"
                        "# TYPE ccpd_tasks gauge\n"
                        "# HELP ccpd_tasks Tasks.\n"
                        "ccpd_tasks 18446744073709551615\n"
                        "# TYPE ccpd_instance_info gauge\n"
                        "# HELP ccpd_instance_info What it is.\n"
                        "ccpd_instance_info{slug=\"a\",name=\"\\\"quoted\\\"\\n\\\\back\xc3\xa4\",domain="
                        "\"\"} 1\n"
                        "# TYPE ccpd_health gauge\n"
                        "# HELP ccpd_health How it is.\n"
                        "ccpd_health{slug=\"a\",ccpd_health=\"good\"} 0\n"
                        "ccpd_health{slug=\"a\",ccpd_health=\"bad\"} 1\n"
                        "ccpd_health{ccpd_health=\"good\"} 1\n");
}
END_TEST

TESTS("open-metrics", open_metrics_are_as_the_specification_says,
                the_older_format_has_other_names_and_no_end)
