/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A volume's stream, into a folder that is thrown away. Checksums are put right first, or nothing would get
 * past them. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "fuzz.h"
#include "tar-header.h"
#include "volume-unpack.h"

/* Where unpacking shall not get: one folder above. */
#define CANARY "canary"

static int top_fd = -EBADF;

static void remove_top(void) {
        _cleanup_close_ int base = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char name[64];

        (void) snprintf(name, sizeof(name), "fuzz-volume.%d", getpid());
        (void) rm_rf_at(base, name);
}

static void make_top(void) {
        char path[64];

        if (top_fd >= 0)
                return;

        (void) snprintf(path, sizeof(path), "/dev/shm/fuzz-volume.%d", getpid());
        (void) mkdir(path, 0700);
        top_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (top_fd < 0 || write_file_beneath(top_fd, CANARY, "alive", 5, 0600) < 0)
                abort();
        (void) atexit(remove_top);
}

static void repair(char *block) {
        unsigned sum = 0;

        for (size_t i = 0; i < TAR_BLOCK; i++)
                sum += i >= 148 && i < 156 ? ' ' : (unsigned char) block[i];
        (void) snprintf(block + 148, 8, "%06o", sum);
        block[155] = ' ';
}

/* A descriptor with the stream in it, at its beginning. */
static int make_stream(const uint8_t *data, size_t size) {
        _cleanup_free_ char *copy = malloc(size ?: 1);
        int fd;

        if (!copy)
                return -ENOMEM;
        memcpy(copy, data, size);
        for (size_t i = 0; i + TAR_BLOCK <= size; i += TAR_BLOCK)
                if (memcmp(copy + i + 257, "ustar", 5) == 0)
                        repair(copy + i);

        fd = memfd_create("stream", MFD_CLOEXEC);
        if (fd < 0 || loop_write(fd, copy, size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
                abort();
        return fd;
}

static void check_canary(void) {
        _cleanup_free_ char *text = NULL;
        struct stat st;

        if (read_file_beneath(top_fd, CANARY, 64, &text, NULL) < 0 || strcmp(text, "alive") != 0 ||
                        fstatat(top_fd, CANARY, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_nlink != 1)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_volume_report_ VolumeReport report = {};
        _cleanup_volume_error_ VolumeError error = {};
        _cleanup_close_ int stream = -EBADF, target = -EBADF;
        _cleanup_free_ char *json = NULL;
        int r;

        make_top();
        stream = make_stream(data, size);
        if (stream < 0)
                return 0;
        target = mkdir_open_beneath(top_fd, "to", 0700);
        if (target < 0)
                abort();

        r = volume_unpack(target, stream, NULL, &report, &error);
        if ((r < 0) != !!error.message)
                abort();
        json = r < 0 ? volume_error_to_json(&error) : volume_report_to_json(&report);

        check_canary();
        if (!json || rm_rf_at(top_fd, "to") < 0)
                abort();
        return 0;
}
