/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert.h"
#include "alloc-util.h"
#include "disk-use.h"
#include "doctor.h"
#include "json-util.h"
#include "string-util.h"
#include "test.h"

static const char *verdict_of(const json_t *findings, const char *path) {
        json_t *finding;
        size_t i;

        json_array_foreach(findings, i, finding) {
                const char *message = json_object_get_string(finding, "message");

                if (streq(json_object_get_string(finding, "check"), "disk") && startswith(message, path))
                        return json_object_get_string(finding, "verdict");
        }
        return NULL;
}

/* With that threshold, of the first file system. */
static void check_verdict(unsigned percent, const char *path, const char *expected) {
        _cleanup_json_ json_t *findings = json_array();

        ASSERT_OK(doctor_check_host(findings, "/", percent));
        ck_assert_pstr_eq(verdict_of(findings, path), expected);
}

START_TEST(a_disk_is_judged_by_the_percent_of_alerts) {
        DiskUse l[DISK_USE_MAX];
        size_t n = disk_use_read("/", l);

        ck_assert_uint_ge(n, 1);
        if (l[0].percent > 1 && l[0].percent < ALERT_DISK_PERCENT) {
                check_verdict(l[0].percent - 1, l[0].path, "warning");
                check_verdict(l[0].percent + 2, l[0].path, "ok");
                check_verdict(0, l[0].path, "ok");
        }
        disk_use_done(l, n);
}
END_TEST

TESTS("doctor-host", a_disk_is_judged_by_the_percent_of_alerts)
