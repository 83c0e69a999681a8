/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Runs a fuzzer once over each file of the folders that are given, and over each prefix of it in steps. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fuzz.h"

#define INPUT_SIZE_MAX (16U * 1024U * 1024U)
#define PREFIXES 16U

static int run_file(int dirfd, const char *name) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        r = read_full_fd(fd, INPUT_SIZE_MAX, &data, &size);
        if (r < 0)
                return r;

        for (unsigned i = 1; i <= PREFIXES; i++) {
                size_t n = size * i / PREFIXES;
                /* In memory of just this size, so that a read beyond the end is seen. */
                _cleanup_free_ uint8_t *exact = malloc(n ?: 1);

                if (!exact)
                        return -ENOMEM;
                memcpy(exact, data, n);
                (void) LLVMFuzzerTestOneInput(exact, n);
        }

        return 0;
}

int main(int argc, char **argv) {
        unsigned n = 0;

        for (int i = 1; i < argc; i++) {
                DIR *d = opendir(argv[i]);

                if (!d) {
                        (void) fprintf(stderr, "Cannot open %s: %m\n", argv[i]);
                        return EXIT_FAILURE;
                }

                for (struct dirent *de = readdir(d); de; de = readdir(d)) {
                        int r;

                        if (de->d_name[0] == '.')
                                continue;

                        r = run_file(dirfd(d), de->d_name);
                        if (r < 0) {
                                errno = -r;
                                (void) fprintf(stderr, "Cannot read %s/%s: %m\n", argv[i], de->d_name);
                                return EXIT_FAILURE;
                        }
                        n++;
                }
                (void) closedir(d);
        }

        (void) printf("%u inputs\n", n);
        return n > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
