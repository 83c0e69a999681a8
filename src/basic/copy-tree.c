/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "copy-tree.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "string-util.h"
#include "strv.h"

/* Copied between two looks at whether to go on. */
#define CHUNK_SIZE (8U * 1024U * 1024U)
#define BUFFER_SIZE (256U * 1024U)
/* An entry counts for progress as if it had so many bytes more. */
#define ENTRY_WEIGHT 4096U
/* How often an entry is looked at that turned into something else between two looks. */
#define CHANGES_MAX 8U

typedef struct Pattern {
        char *text;
        bool whole_path, folders_only;
} Pattern;

typedef struct Copy {
        const CopyTreeOptions *options;
        Pattern *patterns;
        size_t n_patterns;
        char *path; /* of the entry, from the top; "" for the top */
        size_t path_size, path_allocated;
        char *buffer; /* where the kernel can't copy by itself */
        bool measuring;
        bool target_failed; /* it was not the source */
        uint64_t total, done;
} Copy;

static void copy_done(Copy *c) {
        FOREACH_ARRAY(p, c->patterns, c->n_patterns)
                free(p->text);
        free(c->patterns);
        free(c->path);
        free(c->buffer);
}

static int copy_init(Copy *c, const CopyTreeOptions *options) {
        *c = (Copy) { .options = options, .patterns = new0(Pattern, strv_length(options->exclude)) };
        if (!c->patterns || !GREEDY_REALLOC(c->path, c->path_allocated, 1))
                return -ENOMEM;
        c->path[0] = 0;

        STRV_FOREACH(s, options->exclude) {
                Pattern *p = c->patterns + c->n_patterns;
                size_t n;

                p->text = strdup(*s[0] == '/' ? *s + 1 : *s);
                if (!p->text)
                        return -ENOMEM;
                c->n_patterns++;

                n = strlen(p->text);
                p->folders_only = n > 0 && p->text[n - 1] == '/';
                if (p->folders_only)
                        p->text[n - 1] = 0;
                p->whole_path = *s[0] == '/' || strchr(p->text, '/');
        }

        return 0;
}

static bool is_excluded(const Copy *c, const char *name, bool is_folder) {
        FOREACH_ARRAY(p, c->patterns, c->n_patterns)
                if ((is_folder || !p->folders_only) &&
                                fnmatch(p->text, p->whole_path ? c->path : name,
                                                p->whole_path ? FNM_PATHNAME : 0) == 0)
                        return true;

        return false;
}

static int path_push(Copy *c, const char *name) {
        size_t n = strlen(name), begin = c->path_size > 0 ? c->path_size + 1 : 0;

        if (!GREEDY_REALLOC(c->path, c->path_allocated, begin + n + 1))
                return -ENOMEM;

        if (begin > 0)
                c->path[begin - 1] = '/';
        memcpy(c->path + begin, name, n + 1);
        c->path_size = begin + n;
        return 0;
}

static void path_pop(Copy *c, size_t size) {
        c->path_size = size;
        c->path[size] = 0;
}

static int tell(const Copy *c) {
        double fraction = c->total > 0 ? (double) c->done / (double) c->total : 1;

        return c->options->poll
                        ? c->options->poll(c->measuring ? -1 : MIN(fraction, 1.0), c->options->userdata)
                        : 0;
}

/* A failure that is none of the source. */
static int fail_target(Copy *c, int error) {
        c->target_failed = true;
        return -error;
}

/* What an entry was is no more true of it. */
static bool is_change(int error) {
        return IN_SET(error, ELOOP, ENOTDIR, ENXIO, EINVAL);
}

static int open_entry(int dirfd, const char *name, int flags) {
        int fd;

        fd = open_beneath_mount(dirfd, name, flags | O_RDONLY | O_NONBLOCK | O_NOCTTY);
        return fd < 0 && is_change(-fd) ? -EAGAIN : fd;
}

/* Group and others keep what they had: containers run as other users. */
static mode_t mode_for(const struct stat *st) {
        mode_t mode = (st->st_mode & 0777) | S_IRUSR | S_IWUSR;

        return st->st_mode & (S_IXUSR | S_IXGRP | S_IXOTH) || S_ISDIR(st->st_mode) ? mode | S_IXUSR : mode;
}

static int finish_target(Copy *c, int fd, const struct stat *st) {
        const struct timespec times[] = { { .tv_nsec = UTIME_OMIT }, st->st_mtim };

        if (fchmod(fd, mode_for(st)) < 0 || futimens(fd, times) < 0)
                return fail_target(c, errno);

        return 0;
}

/* Copies a piece. Returns how much, 0 at the end. */
static ssize_t copy_piece(Copy *c, int in, int out, size_t size, bool *in_kernel) {
        ssize_t n;
        int r;

        if (*in_kernel) {
                do
                        n = copy_file_range(in, NULL, out, NULL, MIN(size, (size_t) CHUNK_SIZE), 0);
                while (n < 0 && errno == EINTR);
                if (n > 0)
                        return n;
                if (n < 0 && !IN_SET(errno, EXDEV, EINVAL, EOPNOTSUPP, ENOSYS))
                        return IN_SET(errno, ENOSPC, EDQUOT) ? fail_target(c, errno) : -errno;
                /* There are file systems whose files it takes for empty. */
                *in_kernel = false;
        }

        if (!c->buffer) {
                c->buffer = malloc(BUFFER_SIZE);
                if (!c->buffer)
                        return fail_target(c, ENOMEM);
        }

        do
                n = read(in, c->buffer, MIN(size, (size_t) BUFFER_SIZE));
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return n < 0 ? -errno : 0;

        r = loop_write(out, c->buffer, (size_t) n);
        return r < 0 ? fail_target(c, -r) : n;
}

/* At most what there was at the beginning: somebody may write all the time. */
static int copy_content(Copy *c, int in, int out, uint64_t size) {
        bool in_kernel = true;

        while (size > 0) {
                ssize_t n;
                int r;

                n = copy_piece(c, in, out, (size_t) MIN(size, (uint64_t) SSIZE_MAX), &in_kernel);
                if (n <= 0)
                        return (int) n;

                size -= (uint64_t) n;
                c->done += (uint64_t) n;
                r = tell(c);
                if (r != 0)
                        return r;
        }

        return 0;
}

static int copy_file(Copy *c, int source, int target, const char *name) {
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        struct stat st;
        int r;

        in = open_entry(source, name, 0);
        if (in < 0)
                return in;
        if (fstat(in, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EAGAIN;

        out = open_beneath(target, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (out < 0)
                return fail_target(c, -out);

        r = copy_content(c, in, out, (uint64_t) st.st_size);
        return r != 0 ? r : finish_target(c, out, &st);
}

/* True if a link in a folder at this depth leads to a place in the tree, whatever else is there: all its ".." are
 * at its beginning, where they go up real folders. */
static bool link_stays_inside(const char *s, unsigned depth) {
        const char *rest;

        if (s[0] == '/')
                return false;

        while (streq(s, "..") || startswith(s, "../")) {
                if (depth-- == 0)
                        return false;
                s += 2;
                s += strspn(s, "/");
        }

        for (rest = s; (rest = strstr(rest, "/..")); rest += STRLEN("/.."))
                if (IN_SET(rest[STRLEN("/..")], '/', 0))
                        return false;

        return true;
}

static int copy_link(Copy *c, int source, int target, const char *name, unsigned depth) {
        char text[PATH_MAX];
        ssize_t n;

        n = readlinkat(source, name, text, sizeof(text));
        if (n < 0)
                return is_change(errno) ? -EAGAIN : -errno;
        if ((size_t) n >= sizeof(text))
                return -ENAMETOOLONG;
        text[n] = 0;

        if (link_stays_inside(text, depth) && symlinkat(text, target, name) < 0)
                return fail_target(c, errno);

        return 0;
}

static int copy_children(Copy *c, int source, int target, unsigned depth);

static int copy_folder(Copy *c, int source, int target, const char *name, unsigned depth) {
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        struct stat st;
        int r;

        if (depth >= COPY_TREE_DEPTH_MAX)
                return -ELOOP;

        in = open_entry(source, name, O_DIRECTORY);
        if (in < 0)
                return in;
        if (c->measuring)
                return copy_children(c, TAKE_FD(in), -EBADF, depth + 1);

        if (fstat(in, &st) < 0)
                return -errno;
        if (mkdirat(target, name, 0700) < 0)
                return fail_target(c, errno);
        out = open_beneath(target, name, O_RDONLY | O_DIRECTORY, 0);
        if (out < 0)
                return fail_target(c, -out);

        r = copy_children(c, TAKE_FD(in), out, depth + 1);
        return r != 0 ? r : finish_target(c, out, &st);
}

/* Measures or copies. -EAGAIN if the entry became something else. */
static int try_entry(Copy *c, int source, int target, const char *name, unsigned depth) {
        struct stat st;

        if (fstatat(source, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (is_excluded(c, name, S_ISDIR(st.st_mode)))
                return 0;

        if (S_ISDIR(st.st_mode))
                return copy_folder(c, source, target, name, depth);
        if (c->measuring) {
                c->total += S_ISREG(st.st_mode) ? (uint64_t) st.st_size : 0;
                return 0;
        }
        if (S_ISREG(st.st_mode))
                return copy_file(c, source, target, name);
        if (S_ISLNK(st.st_mode))
                return copy_link(c, source, target, name, depth);

        return 0;
}

static int copy_entry(Copy *c, int source, int target, const char *name, unsigned depth) {
        size_t parent_size = c->path_size;
        int r;

        r = path_push(c, name);
        if (r < 0)
                return r;

        if (c->measuring)
                c->total += ENTRY_WEIGHT;
        else
                c->done += ENTRY_WEIGHT;
        r = tell(c);
        if (r != 0)
                return r;

        for (unsigned n = 0; n < CHANGES_MAX; n++) {
                r = try_entry(c, source, target, name, depth);
                if (r != -EAGAIN)
                        break;
        }
        if (r == -EAGAIN)
                return -ESTALE;
        if (r != 0 && (r != -ENOENT || c->target_failed))
                return r;

        path_pop(c, parent_size);
        return 0;
}

/* Takes over the descriptor of the source. */
static int copy_children(Copy *c, int source, int target, unsigned depth) {
        _cleanup_closedir_ DIR *d = NULL;

        d = fdopendir(source);
        if (!d) {
                int r = -errno;

                safe_close(source);
                return r;
        }

        for (;;) {
                struct dirent *de;
                int r;

                errno = 0;
                de = readdir(d);
                if (!de)
                        return -errno;
                if (streq(de->d_name, ".") || streq(de->d_name, ".."))
                        continue;

                r = copy_entry(c, source, target, de->d_name, depth);
                if (r != 0)
                        return r;
        }
}

/* One walk over the whole tree. */
static int copy_walk(Copy *c, int source, int target) {
        int fd;

        fd = open_beneath(source, ".", O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;

        return copy_children(c, fd, target, 0);
}

int copy_tree(int source, int target, const CopyTreeOptions *options, char **ret_path) {
        _cleanup_(copy_done) Copy c = {};
        struct stat st;
        int r;

        r = copy_init(&c, options);
        if (r < 0) {
                *ret_path = NULL;
                return r;
        }

        c.measuring = true;
        r = copy_walk(&c, source, target);
        c.measuring = false;
        if (r == 0)
                r = copy_walk(&c, source, target);
        if (r == 0 && fstat(source, &st) < 0)
                r = -errno;
        if (r == 0)
                r = finish_target(&c, target, &st);
        /* What the disk has no room for may come out only now. */
        if (r == 0 && syncfs(target) < 0)
                r = fail_target(&c, errno);

        if (r != 0)
                *ret_path = c.target_failed ? NULL : TAKE_PTR(c.path);
        return r;
}
