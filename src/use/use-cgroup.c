/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "use-cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/types.h>

#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"
#include "use-number.h"

/* The longest, memory.stat, has some 2 KiB; io.stat a line for each disk. */
#define FILE_MAX (64U * 1024U)
/* More than a number and its end */
#define LINE_MAX_BYTES 32U
/* "docker-" and ".scope" around an id of 64 digits */
#define SCOPE_NAME_MAX 128U
#define CONTAINER_ID_LENGTH 64U
/* What all slices of instances lie in: a dash in the name of a slice is a level */
#define PARENT_SLICE "ccp.slice"

int cgroup_open_slice(int root, const char *slice) {
        char path[NAME_MAX];
        int n;

        n = snprintf(path, sizeof(path), PARENT_SLICE "/%s", slice);
        if (n < 0 || (size_t) n >= sizeof(path))
                return -ENAMETOOLONG;
        return open_beneath(root, path, O_PATH | O_DIRECTORY, 0);
}

int cgroup_open_container(int slice, const char *container) {
        char name[SCOPE_NAME_MAX];
        int fd;

        if (strlen(container) != CONTAINER_ID_LENGTH ||
                        strspn(container, "0123456789abcdef") != CONTAINER_ID_LENGTH)
                return -EINVAL;

        (void) snprintf(name, sizeof(name), "docker-%s.scope", container);
        fd = openat(slice, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

/* A number that is all of a line. */
static int parse_line(const char *s, const char **ret_end, uint64_t *ret) {
        uint64_t n;

        if (number_parse(&s, &n) < 0 || *s != '\n')
                return -EBADMSG;

        *ret_end = s + 1;
        *ret = n;
        return 0;
}

int cgroup_parse_number(const char *text, uint64_t *ret) {
        const char *end;
        uint64_t n;

        *ret = USE_UNKNOWN;
        if (streq(text, "max\n"))
                return 0;
        if (parse_line(text, &end, &n) < 0 || *end)
                return -EBADMSG;

        *ret = n;
        return 0;
}

int cgroup_parse_key(const char *text, const char *key, uint64_t *ret) {
        *ret = USE_UNKNOWN;
        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
                const char *p = startswith(line, key);

                if (p && *p == ' ')
                        return parse_line(p + 1, &p, ret);
        }
        return 0;
}

/* "rbytes=12" among the words of a line. */
static int add_word(const char *line, size_t length, const char *key, uint64_t *sum) {
        for (const char *p = line; p < line + length; p += strcspn(p, " \n"), p += *p == ' ') {
                const char *value = startswith(p, key);
                uint64_t n;

                if (!value)
                        continue;
                if (number_parse(&value, &n) < 0 || !IN_SET(*value, ' ', '\n') || n > USE_UNKNOWN - 1 - *sum)
                        return -EBADMSG;
                *sum += n;
                return 0;
        }
        return 0;
}

int cgroup_parse_io(const char *text, uint64_t *ret_read, uint64_t *ret_written) {
        uint64_t n_read = 0, n_written = 0;

        *ret_read = *ret_written = USE_UNKNOWN;
        for (const char *line = text; *line; line++) {
                size_t length = strcspn(line, "\n");
                int r;

                if (!line[length])
                        return -EBADMSG;
                r = add_word(line, length, "rbytes=", &n_read);
                if (r >= 0)
                        r = add_word(line, length, "wbytes=", &n_written);
                if (r < 0)
                        return r;
                line += length;
        }

        *ret_read = n_read;
        *ret_written = n_written;
        return 0;
}

/* Reads up to size - 1 bytes, with a NUL behind them. */
static int read_head(int group, const char *name, char *buf, size_t size, size_t *ret) {
        _cleanup_close_ int fd = -EBADF;
        size_t n = 0;

        fd = openat(group, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        while (n < size - 1) {
                ssize_t k = read(fd, buf + n, size - 1 - n);

                if (k < 0)
                        return -errno;
                if (k == 0)
                        break;
                n += (size_t) k;
        }

        buf[n] = 0;
        *ret = n;
        return 0;
}

/* A kernel that counts nothing has no such file; a group that is just being removed fails to be read. A text that
 * was cut off would be read wrongly. */
static bool read_text(int group, const char *name, char *buf, size_t size) {
        size_t n;

        return read_head(group, name, buf, size, &n) >= 0 && n < size - 1 && strlen(buf) == n;
}

void cgroup_read_use(int group, Use *u) {
        /* Where each number stands; without a key it is all that the file has. */
        static const struct {
                const char *file, *key;
                UseField field;
        } table[] = {
                { "cpu.stat", "usage_usec", USE_CPU_USEC },
                { "memory.current", NULL, USE_MEMORY },
                { "memory.stat", "inactive_file", USE_MEMORY_CACHE },
                { "memory.max", NULL, USE_MEMORY_MAX },
                { "memory.peak", NULL, USE_MEMORY_PEAK },
                { "memory.events", "oom_kill", USE_OOM_KILLS },
                { "pids.current", NULL, USE_TASKS },
        };
        char text[FILE_MAX];

        FOREACH_ARRAY(t, table, ELEMENTSOF(table)) {
                uint64_t *value = u->values + t->field;

                *value = USE_UNKNOWN;
                if (read_text(group, t->file, text, sizeof(text)))
                        (void) (t->key ? cgroup_parse_key(text, t->key, value)
                                       : cgroup_parse_number(text, value));
        }

        u->values[USE_IO_READ] = u->values[USE_IO_WRITTEN] = USE_UNKNOWN;
        if (read_text(group, "io.stat", text, sizeof(text)))
                (void) cgroup_parse_io(text, u->values + USE_IO_READ, u->values + USE_IO_WRITTEN);
        u->time = now(CLOCK_REALTIME);
}

int cgroup_first_process(int group, pid_t *ret) {
        char text[LINE_MAX_BYTES];
        const char *p = text;
        uint64_t pid;
        size_t n;

        if (read_head(group, "cgroup.procs", text, sizeof(text), &n) < 0 || number_parse(&p, &pid) < 0 ||
                        *p != '\n' || pid == 0 || pid > INT32_MAX)
                return -ESRCH;

        *ret = (pid_t) pid;
        return 0;
}
