/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "alloc-util.h"
#include "dir-stack.h"
#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"
#include "volume-content.h"
#include "volume-inventory.h"
#include "volume-reader.h"
#include "volume-target.h"

/* A folder that is being filled; it gets its owner, mode and time when all that is in it is there. */
typedef struct Folder {
        VolumeEntry entry; /* without its name, as long as it is filled */
        size_t path_size;  /* of its name */
        size_t held;       /* bytes of attributes */
        char *last;        /* name of the last entry in it; NULL: none yet */
} Folder;

typedef struct Unpack {
        VolumeReader reader;
        VolumeInventory inventory;
        VolumeContent content;
        VolumeReport *report;
        VolumeError *error;
        const VolumeOwner *owner;
        DirStack dirs;
        Folder *folders; /* as many as in 'dirs' */
        size_t n_folders, folders_allocated;
        char *path; /* of the lowest, as in the stream */
        size_t path_allocated;
        size_t held; /* by all of them */
} Unpack;

static void unpack_done(Unpack *u) {
        FOREACH_ARRAY(f, u->folders, u->n_folders) {
                volume_entry_done(&f->entry);
                free(f->last);
        }
        free(u->folders);
        free(u->path);
        dir_stack_done(&u->dirs);
        volume_reader_done(&u->reader);
}

static int fail_target(Unpack *u, const VolumeEntry *e, int error, uint64_t needed) {
        return volume_target_fail(dir_stack_fd(&u->dirs), error, e->name, needed, u->error);
}

static int fail_damaged(Unpack *u, const VolumeEntry *e, const char *why) {
        return volume_error_setf(u->error, VOLUME_ERROR_DAMAGED, e->name, "%s", why);
}

static void count(Unpack *u, const VolumeEntry *e, const uint8_t *content) {
        volume_report_count(u->report, e->size);
        volume_inventory_add(&u->inventory, e, content);
}

/* --- contents --- */

static int write_at(int fd, const char *data, size_t size, uint64_t offset) {
        while (size > 0) {
                ssize_t n;

                n = pwrite(fd, data, size, (off_t) offset);
                if (n < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                data += n;
                size -= (size_t) n;
                offset += (uint64_t) n;
        }

        return 0;
}

static int write_segment(Unpack *u, int fd, const VolumeEntry *e, const VolumeSegment *s) {
        uint64_t left = s->size;
        const char *data;
        int r;

        for (size_t n; left > 0; left -= n) {
                r = volume_reader_take(&u->reader, left, &data, &n, u->error);
                if (r < 0)
                        return r;
                volume_content_add(&u->content, data, n);
                r = write_at(fd, data, n, s->offset + s->size - left);
                if (r < 0)
                        return fail_target(u, e, r, left);
        }

        return 0;
}

static int write_content(Unpack *u, int fd, const VolumeEntry *e) {
        const VolumeSegment whole = { .size = e->size };
        uint64_t offset = 0;
        int r;

        /* What is not written stays a hole, also at the end. */
        if (e->sparse && ftruncate(fd, (off_t) e->size) < 0)
                return fail_target(u, e, errno, 0);

        FOREACH_ARRAY(s, e->sparse ? e->segments : &whole, e->sparse ? e->n_segments : 1) {
                volume_content_add_zeros(&u->content, s->offset - offset);
                r = write_segment(u, fd, e, s);
                if (r < 0)
                        return r;
                offset = s->offset + s->size;
        }
        volume_content_add_zeros(&u->content, e->size - offset);
        return 0;
}

/* --- entries --- */

static int unpack_file(Unpack *u, const char *name, const VolumeEntry *e) {
        uint8_t content[VOLUME_HASH];
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = open_beneath(dir_stack_fd(&u->dirs), name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
        if (fd < 0)
                return fail_target(u, e, fd, e->size);

        volume_content_init(&u->content, e->size);
        r = write_content(u, fd, e);
        if (r < 0)
                return r;
        volume_content_final(&u->content, content);
        count(u, e, content);
        return volume_target_finish(fd, e, u->report, u->error);
}

static int unpack_fifo(Unpack *u, const char *name, const VolumeEntry *e) {
        _cleanup_close_ int fd = -EBADF;

        if (mkfifoat(dir_stack_fd(&u->dirs), name, 0600) < 0)
                return fail_target(u, e, errno, 0);
        /* Nobody else knows of it, so there is nobody to be woken. */
        fd = open_beneath(dir_stack_fd(&u->dirs), name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW, 0);
        if (fd < 0)
                return fail_target(u, e, fd, 0);

        count(u, e, NULL);
        return volume_target_finish(fd, e, u->report, u->error);
}

/* Makes an open folder the one that is filled. Takes both over. */
static int enter_folder(Unpack *u, int fd_taken, VolumeEntry *e) {
        size_t path_size = strlen(e->name), held = volume_entry_xattrs_size(e);
        _cleanup_close_ int fd = fd_taken;
        struct stat st;

        if (fstat(fd, &st) < 0)
                return volume_target_fail(fd, errno, e->name, 0, u->error);
        u->held += held;
        if (u->held > VOLUME_HELD_MAX)
                return fail_damaged(u, e, "its attributes and those of the folders above take too much");
        if (!GREEDY_REALLOC(u->folders, u->folders_allocated, u->n_folders + 1) ||
                        !GREEDY_REALLOC(u->path, u->path_allocated, path_size + 1) ||
                        dir_stack_push(&u->dirs, TAKE_FD(fd), &st) < 0)
                return volume_error_oom(u->error);

        count(u, e, NULL);
        /* Each name begins with that of the folder above, so one is enough for all. */
        memcpy(u->path, e->name, path_size + 1);
        e->name = mfree(e->name);
        u->folders[u->n_folders++] = (Folder) { .entry = *e, .path_size = path_size, .held = held };
        *e = (VolumeEntry) {};
        return 0;
}

static int unpack_folder(Unpack *u, const char *name, VolumeEntry *e) {
        int fd;

        if (mkdirat(dir_stack_fd(&u->dirs), name, 0700) < 0)
                return fail_target(u, e, errno, 0);
        fd = open_beneath_mount(dir_stack_fd(&u->dirs), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (fd < 0)
                return fail_target(u, e, fd, 0);

        return enter_folder(u, fd, e);
}

static int unpack_link(Unpack *u, const char *name, const VolumeEntry *e) {
        int r, dirfd = dir_stack_fd(&u->dirs);

        if (e->type == VOLUME_SYMLINK)
                r = volume_target_symlink(dirfd, name, e, u->report, u->error);
        else
                r = volume_target_hard_link(u->dirs.levels[0].fd, dirfd, name, e, u->report, u->error);
        if (r >= 0)
                count(u, e, NULL);
        return r;
}

/* --- the walk --- */

static int leave_folder(Unpack *u) {
        Folder *f = u->folders + u->n_folders - 1;
        int r;

        f->entry.name = strndup(u->path, f->path_size);
        if (!f->entry.name)
                return volume_error_oom(u->error);

        /* Before its mode could forbid it. */
        r = u->n_folders > 1 ? dir_stack_open_parent(&u->dirs) : 0;
        if (r < 0)
                return fail_target(u, &f->entry, r, 0);
        r = volume_target_finish(dir_stack_fd(&u->dirs), &f->entry, u->report, u->error);
        if (r < 0)
                return r;

        dir_stack_pop(&u->dirs);
        volume_entry_done(&f->entry);
        free(f->last);
        u->held -= f->held;
        u->n_folders--;
        return 0;
}

/* Leaves folders up to the one that holds an entry. 'size' is how much of its name that one's is. */
static int go_to_folder(Unpack *u, const VolumeEntry *e, size_t size) {
        for (;;) {
                const Folder *f = u->folders + u->n_folders - 1;
                int r;

                /* The top's name begins every name, so this ends there. */
                if (f->path_size <= size && memcmp(u->path, e->name, f->path_size) == 0)
                        return f->path_size == size
                                        ? 0
                                        : fail_damaged(u, e, "its folder does not come before it");

                r = leave_folder(u);
                if (r < 0)
                        return r;
        }
}

/* Sorted, so that none can come twice. */
static int check_order(Unpack *u, const VolumeEntry *e, const char *name) {
        Folder *f = u->folders + u->n_folders - 1;
        int c = f->last ? strcmp(name, f->last) : 1;

        if (c <= 0)
                return fail_damaged(u, e, c == 0 ? "it comes twice" : "it is not in its place");

        return free_and_strdup(&f->last, name) < 0 ? volume_error_oom(u->error) : 0;
}

static int unpack_entry(Unpack *u, VolumeEntry *e) {
        size_t end = strlen(e->name) - (e->type == VOLUME_FOLDER ? 1 : 0);
        const char *slash = memrchr(e->name, '/', end);
        _cleanup_free_ char *name = NULL;
        int r;

        r = go_to_folder(u, e, (size_t) (slash + 1 - e->name));
        if (r < 0)
                return r;
        name = strndup(slash + 1, (size_t) (e->name + end - slash - 1));
        if (!name)
                return volume_error_oom(u->error);
        r = check_order(u, e, name);
        if (r < 0)
                return r;

        switch (e->type) {
        case VOLUME_FILE:
                return unpack_file(u, name, e);
        case VOLUME_FOLDER:
                return unpack_folder(u, name, e);
        case VOLUME_FIFO:
                return unpack_fifo(u, name, e);
        case VOLUME_HARD_LINK:
        case VOLUME_SYMLINK:
                return unpack_link(u, name, e);
        default:
                return fail_damaged(u, e, "it is of a type that is not known");
        }
}

static int unpack_top(Unpack *u, int fd, VolumeEntry *e) {
        int top, r;

        if (!streq(e->name, "./"))
                return fail_damaged(u, e, "the first entry is not the volume itself");

        top = open_beneath(fd, ".", O_RDONLY | O_DIRECTORY, 0);
        if (top < 0)
                return volume_target_fail(fd, top, e->name, 0, u->error);
        r = volume_target_prepare(top);
        if (r < 0) {
                safe_close(top);
                return volume_target_fail(fd, r, e->name, 0, u->error);
        }

        return enter_folder(u, top, e);
}

static int unpack_next(Unpack *u, int fd) {
        _cleanup_volume_entry_ VolumeEntry e = {};
        int r;

        r = volume_reader_next(&u->reader, &e, u->error);
        if (r <= 0)
                return r;
        if (u->owner) {
                e.uid = u->owner->uid;
                e.gid = u->owner->gid;
        }
        if (u->n_folders == 0)
                r = unpack_top(u, fd, &e);
        else if (streq(e.name, "./"))
                r = fail_damaged(u, &e, "it comes twice");
        else
                r = unpack_entry(u, &e);
        return r < 0 ? r : 1;
}

int volume_unpack(int fd, int input, const VolumeOwner *owner, VolumeReport *ret, VolumeError *reterr) {
        _cleanup_(unpack_done) Unpack u = { .report = ret, .error = reterr, .owner = owner };
        int r;

        if (sodium_init() < 0)
                return volume_error_setf(reterr, VOLUME_ERROR_FAILED, NULL, "libsodium fails");
        volume_inventory_init(&u.inventory);
        r = volume_reader_init(&u.reader, input);
        if (r < 0)
                return volume_error_oom(reterr);

        r = volume_target_check_empty(fd);
        if (r == -ENOTEMPTY)
                return volume_error_setf(
                                reterr, VOLUME_ERROR_FAILED, NULL, "The folder to unpack into is not empty");
        if (r < 0)
                return volume_target_fail(fd, r, "./", 0, reterr);

        do
                r = unpack_next(&u, fd);
        while (r > 0);
        while (r == 0 && u.n_folders > 0)
                r = leave_folder(&u);
        if (r < 0)
                return r;

        /* What the disk has no room for may come out only now. */
        if (syncfs(fd) < 0)
                return volume_target_fail(fd, errno, "./", 0, reterr);
        volume_inventory_final(&u.inventory, ret->inventory);
        return 0;
}
