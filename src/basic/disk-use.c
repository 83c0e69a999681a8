/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "disk-use.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "alloc-util.h"
#include "ccp/names.h"
#include "fd-util.h"
#include "json-util.h"
#include "string-util.h"

#define DOCKER_DATA_ROOT "/var/lib/docker"
#define DOCKER_CONFIGURATION "/etc/docker/daemon.json"
#define DOCKER_CONFIGURATION_MAX (1024U * 1024U)
#define GIB ((double) (UINT64_C(1) << 30))

/* An administrator may have moved it. */
static char *configured_docker_root(void) {
        _cleanup_close_ int fd = open(DOCKER_CONFIGURATION, O_RDONLY | O_CLOEXEC);
        _cleanup_json_ json_t *configuration = NULL;
        _cleanup_free_ char *text = NULL;
        const char *root;
        size_t size = 0;
        int r;

        r = fd < 0 ? -errno : read_full_fd(fd, DOCKER_CONFIGURATION_MAX, &text, &size);
        if (r >= 0)
                r = json_parse(strempty(text), size, JSON_REJECT_DUPLICATES, &configuration);
        if (r == -ENOMEM)
                return NULL;
        root = json_object_get_string(configuration, "data-root");
        return strdup(root && root[0] == '/' ? root : DOCKER_DATA_ROOT);
}

static unsigned percent_of(uint64_t all, uint64_t free, uint64_t available) {
        uint64_t used = all > free ? all - free : 0, total = used + available;

        return total > 0 ? (unsigned) (((double) used * 100.0 + (double) total - 1) / (double) total) : 0;
}

void disk_use_count(const struct statvfs *s, DiskUse *ret) {
        unsigned blocks = percent_of(s->f_blocks, s->f_bfree, s->f_bavail),
                 inodes = percent_of(s->f_files, s->f_ffree, s->f_favail);

        ret->inodes = inodes > blocks;
        ret->percent = MIN(MAX(blocks, inodes), 100U);
        ret->size = ret->inodes ? s->f_files : s->f_blocks * s->f_frsize;
        ret->left = ret->inodes ? s->f_favail : s->f_bavail * s->f_frsize;
}

size_t disk_use_read(const char *docker_root, DiskUse ret[static DISK_USE_MAX]) {
        _cleanup_free_ char *configured = docker_root ? NULL : configured_docker_root();
        const char *const paths[] = { CCP_STATE_DIR, docker_root ?: configured, "/var/lib/postgresql",
                "/var/log/journal" };
        dev_t seen[ELEMENTSOF(paths)];
        size_t n = 0;

        static_assert(ELEMENTSOF(paths) <= DISK_USE_MAX, "file systems");
        FOREACH_ARRAY(path, paths, ELEMENTSOF(paths)) {
                struct statvfs fs;
                struct stat st;
                bool known = false;

                if (!*path || stat(*path, &st) < 0 || statvfs(*path, &fs) < 0)
                        continue;
                for (size_t k = 0; k < n; k++)
                        known = known || seen[k] == st.st_dev;
                if (known)
                        continue;

                ret[n] = (DiskUse) { .path = strdup(*path) };
                if (!ret[n].path)
                        break;
                disk_use_count(&fs, ret + n);
                seen[n++] = st.st_dev;
        }
        return n;
}

void disk_use_done(DiskUse *l, size_t n) {
        FOREACH_ARRAY(u, l, n)
                free(u->path);
}

char *disk_use_describe(const DiskUse *u) {
        char *text;
        int r;

        if (u->inodes)
                r = asprintf(&text, "%u %% of its %" PRIu64 " inodes are used", u->percent, u->size);
        else
                r = asprintf(&text, "%u %% of its %.1f GiB are used, %.1f GiB are left", u->percent,
                                (double) u->size / GIB, (double) u->left / GIB);
        return r < 0 ? NULL : text;
}
