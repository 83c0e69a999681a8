/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "use-cgroup.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"
#include "test.h"

#define CONTAINER "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static char top[32];
static int top_fd = -EBADF;

static void begin(void) {
        memcpy(top, "/tmp/test-use-cgroup.XXXXXX", sizeof("/tmp/test-use-cgroup.XXXXXX"));
        ck_assert_ptr_nonnull(mkdtemp(top));
        top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(top_fd);
}

static void end(void) {
        _cleanup_close_ int tmp_fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        top_fd = safe_close(top_fd);
        ASSERT_OK(rm_rf_at(tmp_fd, top + STRLEN("/tmp/")));
}

static void put(const char *name, const char *text) {
        ASSERT_OK(write_file_beneath(top_fd, name, text, strlen(text), 0644));
}

START_TEST(numbers_are_read_strictly) {
        static const struct {
                const char *text;
                int r;
                uint64_t value;
        } table[] = {
                { "0\n", 0, 0 },
                { "18446744073709551614\n", 0, UINT64_MAX - 1 },
                { "max\n", 0, USE_UNKNOWN },
                { "18446744073709551615\n", -EBADMSG, 0 },
                { "99999999999999999999\n", -EBADMSG, 0 },
                { "-1\n", -EBADMSG, 0 },
                { "1", -EBADMSG, 0 },
                { "1\n2\n", -EBADMSG, 0 },
                { "max", -EBADMSG, 0 },
                { "", -EBADMSG, 0 },
                { " 1\n", -EBADMSG, 0 },
        };
        uint64_t value;

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                ck_assert_msg(cgroup_parse_number(i->text, &value) == i->r, "%s", i->text);
                if (i->r >= 0)
                        ck_assert_uint_eq(value, i->value);
        }
}
END_TEST

START_TEST(a_key_is_a_whole_word_at_the_start_of_a_line) {
        static const char text[] = "usage_usec_more 1\nusage_usec 22\nuser_usec 3\nx usage_usec 4\n";
        uint64_t value;

        ASSERT_OK(cgroup_parse_key(text, "usage_usec", &value));
        ck_assert_uint_eq(value, 22);
        ASSERT_OK(cgroup_parse_key(text, "user_usec", &value));
        ck_assert_uint_eq(value, 3);
        ASSERT_OK(cgroup_parse_key(text, "system_usec", &value));
        ck_assert_uint_eq(value, USE_UNKNOWN);
        ASSERT_OK(cgroup_parse_key("", "usage_usec", &value));
        ck_assert_uint_eq(value, USE_UNKNOWN);
        ASSERT_ERROR(cgroup_parse_key("usage_usec x\n", "usage_usec", &value), EBADMSG);
        ASSERT_ERROR(cgroup_parse_key("usage_usec 1", "usage_usec", &value), EBADMSG);
}
END_TEST

START_TEST(disks_are_summed_up) {
        uint64_t n_read, n_written;

        ASSERT_OK(cgroup_parse_io("8:0 rbytes=100 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n"
                                  "259:0 rbytes=1 wbytes=2 rios=1 wios=2 dbytes=0 dios=0\n8:16 \n",
                        &n_read, &n_written));
        ck_assert_uint_eq(n_read, 101);
        ck_assert_uint_eq(n_written, 22);

        /* It is counted, and there was nothing. */
        ASSERT_OK(cgroup_parse_io("", &n_read, &n_written));
        ck_assert_uint_eq(n_read, 0);
        ck_assert_uint_eq(n_written, 0);

        ASSERT_ERROR(cgroup_parse_io("8:0 rbytes=x wbytes=20\n", &n_read, &n_written), EBADMSG);
        ASSERT_ERROR(cgroup_parse_io("8:0 rbytes=1", &n_read, &n_written), EBADMSG);
        ASSERT_ERROR(cgroup_parse_io("8:0 rbytes=18446744073709551614\n8:1 rbytes=1\n", &n_read, &n_written),
                        EBADMSG);
        ck_assert_uint_eq(n_read, USE_UNKNOWN);
}
END_TEST

START_TEST(a_missing_controller_is_unknown_and_never_0) {
        Use u = {};

        ck_assert_uint_eq(use_get(&u, USE_TASKS), USE_UNKNOWN);
        begin();
        cgroup_read_use(top_fd, &u);
        for (UseField f = 0; f < USE_NETWORK_RECEIVED; f++)
                ck_assert_msg(u.values[f] == USE_UNKNOWN, "%s", use_field_to_string(f));

        put("cpu.stat", "usage_usec 5\n");
        put("pids.current", "0\n");
        cgroup_read_use(top_fd, &u);
        ck_assert_uint_gt(u.time, 0);
        ck_assert_uint_eq(use_get(&u, USE_CPU_USEC), 5);
        ck_assert_uint_eq(use_get(&u, USE_TASKS), 0);
        ck_assert_uint_eq(use_get(&u, USE_MEMORY), USE_UNKNOWN);
        end();
}
END_TEST

START_TEST(all_files_of_a_group_are_read) {
        Use u = {};

        begin();
        put("cpu.stat", "usage_usec 1\nuser_usec 2\n");
        put("memory.current", "1000\n");
        put("memory.stat", "anon 1\nfile 2\ninactive_file 300\n");
        put("memory.max", "4000\n");
        put("memory.peak", "2000\n");
        put("memory.events", "low 0\noom 9\noom_kill 2\noom_group_kill 0\n");
        put("pids.current", "7\n");
        put("io.stat", "8:0 rbytes=5 wbytes=6\n");
        cgroup_read_use(top_fd, &u);
        ck_assert_uint_eq(use_get(&u, USE_CPU_USEC), 1);
        ck_assert_uint_eq(use_get(&u, USE_MEMORY), 1000);
        ck_assert_uint_eq(use_get(&u, USE_MEMORY_CACHE), 300);
        ck_assert_uint_eq(use_get(&u, USE_MEMORY_MAX), 4000);
        ck_assert_uint_eq(use_get(&u, USE_MEMORY_PEAK), 2000);
        ck_assert_uint_eq(use_get(&u, USE_OOM_KILLS), 2);
        ck_assert_uint_eq(use_get(&u, USE_TASKS), 7);
        ck_assert_uint_eq(use_get(&u, USE_IO_READ), 5);
        ck_assert_uint_eq(use_get(&u, USE_IO_WRITTEN), 6);

        put("memory.max", "max\n");
        put("memory.current", "broken\n");
        cgroup_read_use(top_fd, &u);
        ck_assert_uint_eq(use_get(&u, USE_MEMORY_MAX), USE_UNKNOWN);
        ck_assert_uint_eq(use_get(&u, USE_MEMORY), USE_UNKNOWN);
        end();
}
END_TEST

START_TEST(groups_are_found_by_slice_and_container) {
        _cleanup_close_ int slice = -EBADF, group = -EBADF;
        pid_t pid;

        begin();
        ASSERT_ERROR(cgroup_open_slice(top_fd, "ccp-a\\x2db.slice"), ENOENT);
        ASSERT_OK(mkdirat(top_fd, "ccp.slice", 0755));
        ASSERT_OK(mkdirat(top_fd, "ccp.slice/ccp-a\\x2db.slice", 0755));
        ASSERT_OK(mkdirat(top_fd, "ccp.slice/ccp-a\\x2db.slice/docker-" CONTAINER ".scope", 0755));
        slice = cgroup_open_slice(top_fd, "ccp-a\\x2db.slice");
        ASSERT_OK(slice);
        ASSERT_ERROR(cgroup_open_slice(top_fd, "../.."), EXDEV);

        group = cgroup_open_container(slice, CONTAINER);
        ASSERT_OK(group);
        ASSERT_ERROR(cgroup_open_container(slice, ""), EINVAL);
        ASSERT_ERROR(cgroup_open_container(slice, "../../../../etc"), EINVAL);
        ASSERT_ERROR(cgroup_open_container(slice, "f" CONTAINER), EINVAL);

        ASSERT_ERROR(cgroup_first_process(group, &pid), ESRCH);
        ASSERT_OK(write_file_beneath(slice, "cgroup.procs", "41\n42\n", 6, 0644));
        ASSERT_OK(cgroup_first_process(slice, &pid));
        ck_assert_int_eq(pid, 41);
        ASSERT_OK(write_file_beneath(slice, "cgroup.procs", "0\n", 2, 0644));
        ASSERT_ERROR(cgroup_first_process(slice, &pid), ESRCH);
        ASSERT_OK(write_file_beneath(slice, "cgroup.procs", "", 0, 0644));
        ASSERT_ERROR(cgroup_first_process(slice, &pid), ESRCH);
        end();
}
END_TEST

TESTS("use-cgroup", numbers_are_read_strictly, a_key_is_a_whole_word_at_the_start_of_a_line,
                disks_are_summed_up, a_missing_controller_is_unknown_and_never_0,
                all_files_of_a_group_are_read, groups_are_found_by_slice_and_container)
