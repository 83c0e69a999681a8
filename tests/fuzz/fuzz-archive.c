/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A backup file of anybody, with and without the right key: nothing is given of it that was not written so. */

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "archive-reader.h"
#include "fd-util.h"
#include "fuzz.h"

#define INPUT_MAX 65536U

static int take(_unused_ const void *data, size_t size, void *userdata, _unused_ Error *reterr) {
        *(size_t *) userdata += size;
        return 0;
}

static void read_as(int fd, const ArchiveOpener *opener) {
        _cleanup_(archive_reader_freep) ArchiveReader *r = NULL;
        const ArchiveReaderOptions options = {};
        json_t *entry;
        size_t i;

        if (archive_reader_new(fd, &options, &r, NULL) < 0)
                return;
        if (opener && archive_reader_unlock(r, opener, NULL) < 0)
                return;
        if (opener)
                (void) archive_reader_load_manifest(r, NULL);
        if (archive_reader_verify(r, NULL) < 0 || !opener)
                return;

        json_array_foreach(json_object_get(archive_reader_manifest(r), "streams"), i, entry) {
                size_t got = 0;

                if (archive_reader_extract(r, json_string_value(json_object_get(entry, "name")), take, &got,
                                    NULL) < 0 ||
                                got != (size_t) json_integer_value(json_object_get(entry, "size")))
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_close_ int fd = -EBADF;
        uint8_t instance[ARCHIVE_KEY_SIZE];
        const ArchiveOpener opener = { .instance_key = instance, .instance_key_id = "instance" };

        if (size > INPUT_MAX)
                return 0;
        /* That of tests/unit/archive-test.h, with which the corpus was made. */
        memset(instance, 1, sizeof(instance));
        fd = memfd_create("fuzz", MFD_CLOEXEC);
        if (fd < 0 || loop_write(fd, data, size) < 0)
                abort();

        read_as(fd, NULL);
        read_as(fd, &opener);
        return 0;
}
