/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "tar-header.h"

#include <errno.h>
#include <string.h>

#define MAGIC     \
        "ustar\0" \
        "00"

/* The layout of the block; all fields are bytes, so there is no padding. */
typedef struct Block {
        char name[TAR_NAME_MAX];
        char mode[8];
        char uid[8];
        char gid[8];
        char size[12];
        char mtime[12];
        char checksum[8];
        char type;
        char link[TAR_NAME_MAX];
        char magic[8];
        char user[32];
        char group[32];
        char device_major[8];
        char device_minor[8];
        char prefix[155];
        char unused[12];
} Block;
_Static_assert(sizeof(Block) == TAR_BLOCK, "A block has 512 bytes");

/* As many digits as there is room for before the NUL. */
static void put_octal(char *field, size_t size, uint64_t value) {
        field[size - 1] = 0;
        for (size_t i = size - 1; i > 0; i--, value >>= 3)
                field[i - 1] = (char) ('0' + (value & 7));
}

static int get_octal(const char *field, size_t size, uint64_t *ret) {
        uint64_t value = 0;

        for (size_t i = 0; i < size - 1; i++) {
                if (field[i] < '0' || field[i] > '7')
                        return -EBADMSG;
                value = value << 3 | (uint64_t) (field[i] - '0');
        }
        if (field[size - 1] != 0)
                return -EBADMSG;

        *ret = value;
        return 0;
}

/* Of all bytes, with spaces in place of the checksum itself. */
static uint64_t get_checksum(const Block *b) {
        const unsigned char *p = (const unsigned char *) b;
        uint64_t sum = 0;

        for (size_t i = 0; i < sizeof(*b); i++)
                sum += i - offsetof(Block, checksum) < sizeof(b->checksum) ? ' ' : p[i];

        return sum;
}

/* Six digits, a NUL and a space: an old habit of this one field. */
static void put_checksum(Block *b) {
        put_octal(b->checksum, sizeof(b->checksum) - 1, get_checksum(b));
        b->checksum[sizeof(b->checksum) - 1] = ' ';
}

void tar_header_format(const TarHeader *h, char ret[static TAR_BLOCK]) {
        Block b = {};

        memcpy(b.name, h->name, strnlen(h->name, sizeof(b.name)));
        memcpy(b.link, h->link, strnlen(h->link, sizeof(b.link)));
        memcpy(b.magic, MAGIC, sizeof(b.magic));
        put_octal(b.mode, sizeof(b.mode), h->mode);
        put_octal(b.uid, sizeof(b.uid), h->uid);
        put_octal(b.gid, sizeof(b.gid), h->gid);
        put_octal(b.size, sizeof(b.size), h->size);
        put_octal(b.mtime, sizeof(b.mtime), h->mtime);
        put_octal(b.device_major, sizeof(b.device_major), 0);
        put_octal(b.device_minor, sizeof(b.device_minor), 0);
        b.type = h->type;
        put_checksum(&b);

        memcpy(ret, &b, sizeof(b));
}

int tar_header_parse(const char block[static TAR_BLOCK], TarHeader *ret) {
        uint64_t checksum, mode, uid, gid;
        TarHeader h = {};
        Block b;
        int r;

        memcpy(&b, block, sizeof(b));
        r = get_octal(b.checksum, sizeof(b.checksum) - 1, &checksum);
        if (r < 0)
                return r;
        if (checksum != get_checksum(&b))
                return -EBADMSG;
        if (memcmp(b.magic, MAGIC, sizeof(b.magic)) != 0)
                return -EPROTONOSUPPORT;

        if (get_octal(b.mode, sizeof(b.mode), &mode) < 0 || get_octal(b.uid, sizeof(b.uid), &uid) < 0 ||
                        get_octal(b.gid, sizeof(b.gid), &gid) < 0 ||
                        get_octal(b.size, sizeof(b.size), &h.size) < 0 ||
                        get_octal(b.mtime, sizeof(b.mtime), &h.mtime) < 0)
                return -EBADMSG;

        memcpy(h.name, b.name, sizeof(b.name));
        memcpy(h.link, b.link, sizeof(b.link));
        h.type = b.type;
        h.mode = (uint32_t) mode;
        h.uid = (uint32_t) uid;
        h.gid = (uint32_t) gid;
        *ret = h;
        return 0;
}
