/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "volume-pack.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "alloc-util.h"
#include "dir-stack.h"
#include "fd-util.h"
#include "fs-util.h"
#include "hard-links.h"
#include "string-util.h"
#include "strv.h"
#include "tar-header.h"
#include "volume-hasher.h"
#include "volume-header.h"
#include "volume-inventory.h"
#include "volume-source.h"
#include "volume-writer.h"

/* From this size on a file is hashed in another thread. */
#define THREAD_SIZE (4U * 1024U * 1024U)

/* A folder that the walk is in. */
typedef struct Level {
        VolumeNames names;
        size_t next;      /* of the names */
        size_t path_size; /* of the folder's own */
        size_t held;      /* bytes of attributes */
        struct stat st;
} Level;

typedef struct Pack {
        VolumeInventory inventory;
        VolumeHasher hasher;
        const VolumePackOptions *options;
        VolumeReport *report;
        VolumeError *error;
        HardLinks links;
        Level *levels; /* as many as in 'dirs' */
        size_t n_levels, levels_allocated;
        char *path; /* of the entry, as in the stream */
        size_t path_size, path_allocated;
        VolumeWriter writer;
        DirStack dirs;
        StringBuilder header;
        size_t held; /* by the folders that the walk is in */
        bool may_noatime;
} Pack;

static void pack_done(Pack *p) {
        volume_hasher_done(&p->hasher);
        FOREACH_ARRAY(l, p->levels, p->n_levels)
                volume_names_done(&l->names);
        free(p->levels);
        free(p->path);
        hard_links_done(&p->links);
        dir_stack_done(&p->dirs);
        string_builder_done(&p->header);
        volume_writer_done(&p->writer);
}

static int pack_init(Pack *p, int output) {
        int r;

        if (sodium_init() < 0)
                return -EIO;
        volume_inventory_init(&p->inventory);
        p->may_noatime = true;
        if (!GREEDY_REALLOC(p->path, p->path_allocated, 3))
                return -ENOMEM;
        memcpy(p->path, "./", 3);
        p->path_size = 2;

        r = volume_hasher_init(&p->hasher);
        return r < 0 ? r : volume_writer_init(&p->writer, output);
}

static void path_cut(Pack *p, size_t size) {
        p->path_size = size;
        p->path[size] = 0;
}

static int path_append(Pack *p, const char *s) {
        size_t n = strlen(s);

        if (!GREEDY_REALLOC(p->path, p->path_allocated, p->path_size + n + 1))
                return volume_error_oom(p->error);
        memcpy(p->path + p->path_size, s, n + 1);
        p->path_size += n;
        if (p->path_size > VOLUME_PATH_MAX)
                return volume_error_setf(p->error, VOLUME_ERROR_UNSUPPORTED, p->path,
                                "its path has more than %u bytes", VOLUME_PATH_MAX);

        return 0;
}

static bool is_excluded(const Pack *p) {
        STRV_FOREACH(s, p->options->exclude)
                if (streq(p->path + STRLEN("./"), *s))
                        return true;

        return false;
}

bool volume_exclude_is_valid(const char *path) {
        _cleanup_free_ char *name = strjoin("./", path);

        return name && volume_name_is_valid(name, VOLUME_FILE);
}

static void step(const Pack *p, VolumeStep s) {
        if (p->options->on_step)
                p->options->on_step(s, p->path, p->options->userdata);
}

static int fail_read(Pack *p, int error) {
        return error == -ENOMEM ? volume_error_oom(p->error)
                                : volume_error_set_errnof(p->error, error, p->path, "cannot be read: %m");
}

/* It was there, or was something else, a moment ago. */
static bool is_gone(int error) {
        return IN_SET(error, -ENOENT, -ELOOP, -ENOTDIR, -ENXIO, -EINVAL, -ESTALE);
}

/* For an entry that cannot be opened: left out and told, or the end of it all. */
static int leave_out(Pack *p, int error) {
        if (is_gone(error))
                volume_report_add_changed(p->report, p->path);
        else if (error == -EXDEV)
                volume_report_add_skipped(p->report, p->path, "another file system is mounted there");
        else
                return fail_read(p, error);

        return 0;
}

static int open_entry(Pack *p, const char *name, int flags) {
        int fd = -EPERM;

        if (p->may_noatime)
                fd = open_beneath_mount(dir_stack_fd(&p->dirs), name,
                                flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_NOATIME);
        if (fd != -EPERM)
                return fd;

        /* It is for the owner, or with CAP_FOWNER. */
        p->may_noatime = false;
        return open_beneath_mount(
                        dir_stack_fd(&p->dirs), name, flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

static int write_failed(Pack *p, int error) {
        return volume_error_set_errnof(p->error, error, NULL, "Cannot write the stream: %m");
}

/* The header, and the entry's place in the report. */
static int write_header(Pack *p, const VolumeEntry *e) {
        int r;

        volume_report_count(p->report, e->size);
        if (p->writer.fd < 0)
                return 0;

        p->header.size = 0;
        r = volume_header_format(e, &p->header);
        if (r == -E2BIG)
                return volume_error_setf(p->error, VOLUME_ERROR_UNSUPPORTED, p->path,
                                "its extended attributes take more than %u bytes", VOLUME_PAX_MAX);
        if (r < 0)
                return volume_error_oom(p->error);

        r = volume_writer_add(&p->writer, p->header.data, p->header.size);
        return r < 0 ? write_failed(p, r) : 0;
}

static int write_entry(Pack *p, const VolumeEntry *e) {
        int r;

        r = write_header(p, e);
        if (r >= 0)
                volume_inventory_add(&p->inventory, e, NULL);
        return r;
}

static ssize_t read_at(int fd, char *buffer, size_t size, uint64_t offset) {
        ssize_t n;

        do
                n = pread(fd, buffer, size, (off_t) offset);
        while (n < 0 && errno == EINTR);

        return n < 0 ? -errno : n;
}

/* So many bytes from there: what the file does not have any more are zeros. */
static int write_segment(Pack *p, int fd, const VolumeSegment *s) {
        uint64_t offset = s->offset, end = s->offset + s->size;
        ssize_t n = 1;
        int r;

        for (; offset < end && n > 0; offset += (uint64_t) n) {
                char *buffer = volume_hasher_get_buffer(&p->hasher);

                n = read_at(fd, buffer, (size_t) MIN(end - offset, (uint64_t) VOLUME_HASHER_BUFFER), offset);
                if (n < 0)
                        return fail_read(p, (int) n);
                volume_hasher_add_buffer(&p->hasher, (size_t) n);
                r = volume_writer_add(&p->writer, buffer, (size_t) n);
                if (r < 0)
                        return write_failed(p, r);
        }

        volume_hasher_add_zeros(&p->hasher, end - offset);
        r = volume_writer_add_zeros(&p->writer, end - offset);
        return r < 0 ? write_failed(p, r) : 0;
}

static int write_content(Pack *p, int fd, const VolumeEntry *e, uint8_t ret[static VOLUME_HASH]) {
        const VolumeSegment whole = { .size = e->size };
        uint64_t offset = 0;
        int r;

        volume_hasher_begin(&p->hasher, e->size, e->size >= THREAD_SIZE && !e->sparse);
        FOREACH_ARRAY(s, e->sparse ? e->segments : &whole, e->sparse ? e->n_segments : 1) {
                volume_hasher_add_zeros(&p->hasher, s->offset - offset);
                r = write_segment(p, fd, s);
                if (r < 0)
                        return r;
                offset = s->offset + s->size;
        }
        volume_hasher_add_zeros(&p->hasher, e->size - offset);
        volume_hasher_final(&p->hasher, ret);

        r = volume_writer_add_zeros(&p->writer, tar_padding(volume_entry_data_size(e)));
        return r < 0 ? write_failed(p, r) : 0;
}

static bool is_changed(const struct stat *a, const struct stat *b) {
        return a->st_size != b->st_size || a->st_mtim.tv_sec != b->st_mtim.tv_sec ||
                        a->st_mtim.tv_nsec != b->st_mtim.tv_nsec || a->st_ctim.tv_sec != b->st_ctim.tv_sec ||
                        a->st_ctim.tv_nsec != b->st_ctim.tv_nsec;
}

static int write_file(Pack *p, int fd, const struct stat *before, VolumeEntry *e) {
        uint8_t content[VOLUME_HASH];
        struct stat after;
        int r;

        r = volume_xattrs_read(fd, e, p->report);
        if (r >= 0)
                r = volume_segments_read(fd, e, VOLUME_SEGMENTS_MAX);
        if (r < 0)
                return fail_read(p, r);

        step(p, VOLUME_STEP_CONTENT);
        r = write_header(p, e);
        if (r < 0)
                return r;
        r = write_content(p, fd, e, content);
        if (r < 0)
                return r;
        volume_inventory_add(&p->inventory, e, content);

        if (fstat(fd, &after) < 0)
                return fail_read(p, errno);
        if (is_changed(before, &after))
                volume_report_add_changed(p->report, p->path);
        return 0;
}

static int pack_file(Pack *p, const char *name, VolumeEntry *e) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        fd = open_entry(p, name, 0);
        if (fd < 0)
                return leave_out(p, fd);
        if (fstat(fd, &st) < 0)
                return fail_read(p, errno);
        if (!S_ISREG(st.st_mode))
                return leave_out(p, -ESTALE);

        volume_entry_set_stat(e, &st);
        if (st.st_nlink < 2)
                return write_file(p, fd, &st, e);

        r = hard_links_find(&p->links, &st, e);
        if (r > 0)
                return write_entry(p, e);
        if (r == -ESTALE)
                volume_report_add_changed(p->report, p->path);
        if (r != -ENOMEM)
                r = hard_links_add(&p->links, &st, e->name);
        return r < 0 ? volume_error_oom(p->error) : write_file(p, fd, &st, e);
}

static int pack_symlink(Pack *p, const char *name, VolumeEntry *e) {
        char target[VOLUME_LINK_MAX + 2];
        ssize_t n;

        n = readlinkat(dir_stack_fd(&p->dirs), name, target, sizeof(target));
        if (n < 0)
                return leave_out(p, -errno);
        if (n == 0 || (size_t) n > VOLUME_LINK_MAX)
                return volume_error_setf(p->error, VOLUME_ERROR_UNSUPPORTED, p->path,
                                "it links to a name of %zd bytes", n);

        e->link = strndup(target, (size_t) n);
        return e->link ? write_entry(p, e) : volume_error_oom(p->error);
}

/* Opening it for real would let a writer go on that waits for a reader. */
static int pack_fifo(Pack *p, const char *name, VolumeEntry *e) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r;

        fd = open_beneath_mount(dir_stack_fd(&p->dirs), name, O_PATH | O_NOFOLLOW);
        if (fd < 0)
                return leave_out(p, fd);
        if (fstat(fd, &st) < 0)
                return fail_read(p, errno);
        if (!S_ISFIFO(st.st_mode))
                return leave_out(p, -ESTALE);

        volume_entry_set_stat(e, &st);
        r = volume_xattrs_read(fd, e, p->report);
        return r < 0 ? fail_read(p, r) : write_entry(p, e);
}

/* Writes the folder's entry, and makes it the lowest of the walk. Takes the descriptor over. */
static int enter_folder(Pack *p, int fd_taken, VolumeEntry *e) {
        _cleanup_close_ int fd = fd_taken;
        Level *l;
        int r;

        if (!GREEDY_REALLOC(p->levels, p->levels_allocated, p->n_levels + 1))
                return volume_error_oom(p->error);
        l = p->levels + p->n_levels;
        *l = (Level) { .path_size = p->path_size };
        if (fstat(fd, &l->st) < 0)
                return fail_read(p, errno);

        volume_entry_set_stat(e, &l->st);
        r = volume_xattrs_read(fd, e, p->report);
        if (r < 0)
                return fail_read(p, r);
        l->held = volume_entry_xattrs_size(e);
        p->held += l->held;
        if (p->held > VOLUME_HELD_MAX)
                return volume_error_setf(p->error, VOLUME_ERROR_UNSUPPORTED, p->path,
                                "its attributes and those of the folders above take more than %u bytes",
                                VOLUME_HELD_MAX);
        r = write_entry(p, e);
        if (r < 0)
                return r;

        /* One that was removed meanwhile is empty; that it changed is seen when the walk leaves it. */
        r = volume_names_read(fd, &l->names);
        if (r < 0 && r != -ENOENT)
                return fail_read(p, r);
        p->n_levels++;
        r = dir_stack_push(&p->dirs, TAKE_FD(fd), &l->st);
        return r < 0 ? volume_error_oom(p->error) : 0;
}

static int pack_folder(Pack *p, const char *name, VolumeEntry *e) {
        int fd, r;

        r = path_append(p, "/");
        if (r < 0)
                return r;
        if (free_and_strdup(&e->name, p->path) < 0)
                return volume_error_oom(p->error);

        fd = open_entry(p, name, O_DIRECTORY);
        return fd < 0 ? leave_out(p, fd) : enter_folder(p, fd, e);
}

static int pack_known(Pack *p, const char *name, const struct stat *st) {
        _cleanup_volume_entry_ VolumeEntry e = {};

        e.name = strdup(p->path);
        if (!e.name)
                return volume_error_oom(p->error);
        volume_entry_set_stat(&e, st);

        switch (st->st_mode & S_IFMT) {
        case S_IFREG:
                return pack_file(p, name, &e);
        case S_IFDIR:
                return pack_folder(p, name, &e);
        case S_IFLNK:
                return pack_symlink(p, name, &e);
        case S_IFIFO:
                return pack_fifo(p, name, &e);
        case S_IFSOCK:
                volume_report_add_skipped(p->report, p->path, "sockets are not kept");
                return 0;
        default:
                volume_report_add_skipped(p->report, p->path, "devices are not kept");
                return 0;
        }
}

static int pack_name(Pack *p, const char *name) {
        struct stat st;
        int r;

        r = path_append(p, name);
        if (r < 0)
                return r;
        if (is_excluded(p))
                return 0;
        if (strlen(name) > VOLUME_NAME_MAX)
                return volume_error_setf(p->error, VOLUME_ERROR_UNSUPPORTED, p->path,
                                "its name has more than %u bytes", VOLUME_NAME_MAX);

        step(p, VOLUME_STEP_NAME);
        if (fstatat(dir_stack_fd(&p->dirs), name, &st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
                return leave_out(p, -errno);

        step(p, VOLUME_STEP_OPEN);
        return pack_known(p, name, &st);
}

/* What appeared in it while the walk was below it is not in the stream. */
static int leave_folder(Pack *p) {
        Level *l = p->levels + p->n_levels - 1;
        struct stat st;
        int r;

        path_cut(p, l->path_size);
        if (fstat(dir_stack_fd(&p->dirs), &st) < 0)
                return fail_read(p, errno);
        if (is_changed(&l->st, &st))
                volume_report_add_changed(p->report, p->path);

        if (p->n_levels > 1) {
                r = dir_stack_open_parent(&p->dirs);
                if (r == -ESTALE)
                        return volume_error_setf(p->error, VOLUME_ERROR_FAILED, p->path,
                                        "it was moved to another folder while it was read");
                if (r < 0)
                        return fail_read(p, r);
        }
        dir_stack_pop(&p->dirs);
        volume_names_done(&l->names);
        p->held -= l->held;
        p->n_levels--;
        return 0;
}

static int walk(Pack *p) {
        while (p->n_levels > 0) {
                Level *l = p->levels + p->n_levels - 1;
                int r;

                if (l->next < l->names.n) {
                        path_cut(p, l->path_size);
                        r = pack_name(p, l->names.names[l->next++]);
                } else
                        r = leave_folder(p);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int pack_top(Pack *p, int fd) {
        _cleanup_volume_entry_ VolumeEntry e = {};
        int top;

        e.name = strdup(p->path);
        if (!e.name)
                return volume_error_oom(p->error);
        top = open_beneath(fd, ".", O_RDONLY | O_DIRECTORY, 0);
        return top < 0 ? fail_read(p, top) : enter_folder(p, top, &e);
}

int volume_pack(int fd, int output, const VolumePackOptions *options, VolumeReport *ret,
                VolumeError *reterr) {
        _cleanup_(pack_done) Pack p = { .options = options, .report = ret, .error = reterr };
        int r;

        r = pack_init(&p, output);
        if (r < 0)
                return r == -ENOMEM
                                ? volume_error_oom(reterr)
                                : volume_error_setf(reterr, VOLUME_ERROR_FAILED, NULL, "libsodium fails");

        r = pack_top(&p, fd);
        if (r < 0)
                return r;
        r = walk(&p);
        if (r < 0)
                return r;

        r = volume_writer_add_zeros(&p.writer, 2ULL * TAR_BLOCK);
        if (r >= 0)
                r = volume_writer_flush(&p.writer);
        if (r < 0)
                return write_failed(&p, r);

        ret->stream = p.writer.size;
        volume_inventory_final(&p.inventory, ret->inventory);
        return 0;
}
