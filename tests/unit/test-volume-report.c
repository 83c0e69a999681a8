/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "json-util.h"
#include "json-write.h"
#include "string-util.h"
#include "test.h"
#include "volume-error.h"
#include "volume-report.h"

static const char ascii[] = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
                            "abcdefghijklmnopqrstuvwxyz{|}~";

/* jansson reads what we write by hand. */
static json_t *load(const char *text) {
        json_t *json = json_loads(text, 0, NULL);

        ck_assert_ptr_nonnull(json);
        ck_assert_uint_eq(strspn(text, ascii), strlen(text));
        return json;
}

START_TEST(strings_of_json) {
        static const char *const texts[] = { "", "a\"b\\c", "ä€😀", "\x01\n\t\x7f", "</script>",
                "\xef\xbf\xbf" };

        FOREACH_ARRAY(s, texts, ELEMENTSOF(texts)) {
                _cleanup_string_builder_ StringBuilder b = {};
                _cleanup_json_ json_t *json = NULL;

                string_builder_append(&b, "[");
                json_append_string(&b, *s);
                string_builder_append(&b, "]");
                json = load(b.data);
                ck_assert_str_eq(json_string_value(json_array_get(json, 0)), *s);
        }
}
END_TEST

START_TEST(any_path_is_told) {
        static const struct {
                const char *path, *text;
        } paths[] = {
                { "./plain name", "./plain name" },
                { "./ä😀", "./ä😀" },
                { "./new\nline", "./new\\x0aline" },
                { "./back\\slash", "./back\\x5cslash" },
                { "./\xff\xfe", "./\\xff\\xfe" },
                { "./\x7f\"", "./\\x7f\"" },
                { "./\xed\xa0\x80", "./\\xed\\xa0\\x80" },
        };

        FOREACH_ARRAY(p, paths, ELEMENTSOF(paths)) {
                _cleanup_volume_report_ VolumeReport r = {};
                _cleanup_free_ char *text = NULL;
                _cleanup_json_ json_t *json = NULL;

                volume_report_add_changed(&r, p->path);
                text = volume_report_to_json(&r);
                json = load(text);
                ck_assert_str_eq(json_string_value(json_array_get(json_object_get(json, "changed"), 0)),
                                p->text);
        }
}
END_TEST

START_TEST(report) {
        _cleanup_volume_report_ VolumeReport r = {
                .entries = 3, .bytes = UINT64_MAX / 2, .inventory = { 0xAB, 1 }
        };
        _cleanup_free_ char *text = NULL;

        volume_report_count(&r, UINT64_MAX / 2);
        volume_report_add_changed(&r, "./a");
        volume_report_add_skipped(&r, "./b", "the attribute %s is not kept", "x\xff");
        text = volume_report_to_json(&r);
        ck_assert_str_eq(text,
                        "{\"entries\":4,\"bytes\":9223372036854775807,\"inventory\":"
                        "\"ab01000000000000000000000000000000000000000000000000000000000000\","
                        "\"changed\":[\"./a\"],\"skipped\":[{\"path\":\"./b\",\"why\":"
                        "\"the attribute x\\\\xff is not kept\"}],\"n_changed\":1,\"n_skipped\":1}");
}
END_TEST

START_TEST(lists_are_cut_and_counts_are_not) {
        _cleanup_volume_report_ VolumeReport r = {};
        _cleanup_free_ char *text = NULL;
        _cleanup_json_ json_t *json = NULL;
        char path[8192];

        memset(path, 'p', sizeof(path) - 1);
        path[sizeof(path) - 1] = 0;
        for (unsigned i = 0; i < 1000; i++) {
                volume_report_add_changed(&r, path);
                volume_report_add_skipped(&r, path, "no");
        }

        text = volume_report_to_json(&r);
        json = load(text);
        ck_assert_uint_eq(json_array_size(json_object_get(json, "changed")), VOLUME_REPORT_MAX);
        ck_assert_uint_eq(json_array_size(json_object_get(json, "skipped")), VOLUME_REPORT_MAX);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "n_changed")), 1000);
        ck_assert_int_eq(json_integer_value(json_object_get(json, "n_skipped")), 1000);
        ck_assert_uint_lt(strlen(text), 512U * 1024U);
        ck_assert_ptr_nonnull(strstr(text, "pp...\""));
}
END_TEST

START_TEST(errors) {
        _cleanup_volume_error_ VolumeError a = {}, b = {}, c = {};
        _cleanup_free_ char *text = NULL, *space = NULL, *plain = NULL;

        ASSERT_ERROR(volume_error_setf(&a, VOLUME_ERROR_DAMAGED, "./a\n", "it is %s", "gone"), EBADMSG);
        text = volume_error_to_json(&a);
        ck_assert_str_eq(text,
                        "{\"error\":\"Damaged\",\"message\":\"./a\\\\x0a: it is "
                        "gone\",\"path\":\"./a\\\\x0a\"}");

        ASSERT_ERROR(volume_error_set_errnof(&b, -EDQUOT, NULL, "Cannot write: %m"), ENOSPC);
        b.needed = 5;
        b.available = 4;
        b.has_space = true;
        space = volume_error_to_json(&b);
        ck_assert_str_eq(space,
                        "{\"error\":\"NoSpace\",\"message\":\"Cannot write: Disk quota exceeded\","
                        "\"needed\":5,\"free\":4}");

        ASSERT_ERROR(volume_error_set_errnof(&c, EACCES, "./f", "cannot be read: %m"), EIO);
        plain = volume_error_to_json(&c);
        ck_assert_str_eq(plain,
                        "{\"error\":\"Failed\",\"message\":\"./f: cannot be read: Permission denied\","
                        "\"path\":\"./f\"}");
}
END_TEST

TESTS("volume-report", strings_of_json, any_path_is_told, report, lists_are_cut_and_counts_are_not, errors)
