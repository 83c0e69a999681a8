/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The power fails while a backup is written: at any moment, and the disk has of what was not synced whatever it likes. What
 * makes the file is run once, and all that it does to the disk is recorded: this program has functions of its own in place of
 * the C library's for that. Then disks are made as they could be after a crash:
 *
 *  - What was written to a file before it was synced is there. Of later writes any sectors are, and the file is as long as
 *    after any of them; sectors that were lost are zeros.
 *  - Of names that were made, removed and changed the same is true, by the folder's syncs. A change of a name is one thing.
 *
 * On each disk either there is no backup of that name, or it is whole. */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "test.h"

#include "alloc-util.h"
#include "archive-test.h"
#include "fs-util.h"
#include "job-archive.h"
#include "string-util.h"

#define FILE_NAME "oslo.ccpb"
#define PART FILE_NAME ".part"
#define SECTOR_SIZE 512U
#define STREAMS 12U
#define DISKS 6000U

#define _public_ __attribute__((visibility("default")))

/* --- what was done --- */

typedef enum ActionType {
        ACTION_WRITE,
        ACTION_SYNC,
        ACTION_MAKE,   /* a name for a new file */
        ACTION_REMOVE, /* a name */
        ACTION_RENAME, /* from PART to FILE_NAME */
        ACTION_SYNC_FOLDER,
} ActionType;

typedef struct Action {
        ActionType type;
        size_t file; /* its number */
        uint64_t offset;
        uint8_t *data;
        size_t size;
        char name[32];
} Action;

static struct {
        bool on;
        unsigned left_out, n_syncs; /* which sync is not done; 0: all are */
        dev_t device;
        ino_t folder, files[8];
        size_t n_files;

        Action actions[128];
        size_t n;
        size_t n_written,
                        n_listed; /* how many there were when the file was written, and when it was a backup */
} record;

static Action *note(ActionType type, size_t file) {
        Action *a = record.actions + record.n++;

        ck_assert_uint_lt(record.n, ELEMENTSOF(record.actions));
        *a = (Action) { .type = type, .file = file };
        return a;
}

/* Its number, the folder's is SIZE_MAX; false for what lies elsewhere. */
static bool find_file(int fd, size_t *ret) {
        struct stat st;

        if (!record.on || fstat(fd, &st) < 0 || st.st_dev != record.device)
                return false;
        *ret = SIZE_MAX;
        if (st.st_ino == record.folder)
                return true;

        /* The latest one, as numbers come again. */
        for (size_t i = record.n_files; i > 0; i--)
                if (record.files[i - 1] == st.st_ino) {
                        *ret = i - 1;
                        return true;
                }
        return false;
}

static void set_name(Action *a, const char *name) {
        ck_assert_uint_lt(strlen(name), sizeof(a->name));
        (void) snprintf(a->name, sizeof(a->name), "%s", name);
}

static void note_file(int fd, const char *name) {
        struct stat st;

        ASSERT_OK(fstat(fd, &st));
        if (st.st_dev != record.device)
                return;
        ck_assert_uint_lt(record.n_files, ELEMENTSOF(record.files));
        record.files[record.n_files] = st.st_ino;
        set_name(note(ACTION_MAKE, record.n_files++), name);
}

_public_ ssize_t write(int fd, const void *data, size_t size) {
        ssize_t n = syscall(SYS_write, fd, data, size);
        size_t file;

        if (n > 0 && find_file(fd, &file)) {
                Action *a = note(ACTION_WRITE, file);

                a->offset = (uint64_t) (lseek(fd, 0, SEEK_CUR) - n);
                a->size = (size_t) n;
                a->data = malloc(a->size);
                ck_assert_ptr_nonnull(a->data);
                memcpy(a->data, data, a->size);
        }
        return n;
}

_public_ int fsync(int fd) {
        size_t file;

        if (find_file(fd, &file) && ++record.n_syncs != record.left_out)
                (void) note(file == SIZE_MAX ? ACTION_SYNC_FOLDER : ACTION_SYNC, file);
        return 0;
}

_public_ int fdatasync(int fd) {
        return fsync(fd);
}

_public_ int unlinkat(int dirfd, const char *name, int flags) {
        int r = (int) syscall(SYS_unlinkat, dirfd, name, flags);
        size_t file;

        if (r >= 0 && find_file(dirfd, &file))
                set_name(note(ACTION_REMOVE, 0), name);
        return r;
}

_public_ int renameat2(int from, const char *name, int to, const char *new_name, unsigned flags) {
        int r = (int) syscall(SYS_renameat2, from, name, to, new_name, flags);
        size_t file;

        if (r >= 0 && find_file(from, &file)) {
                ck_assert_str_eq(name, PART);
                ck_assert_str_eq(new_name, FILE_NAME);
                (void) note(ACTION_RENAME, 0);
        }
        return r;
}

/* Of which no function of the C library is made. */
_public_ long syscall(long number, ...) {
        static long (*real)(long number, ...);
        long a[6], r;
        va_list ap;

        va_start(ap, number);
        FOREACH_ARRAY(i, a, ELEMENTSOF(a))
                *i = va_arg(ap, long);
        va_end(ap);
        if (!real)
                *(void **) &real = dlsym(RTLD_NEXT, "syscall");
        r = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);

        if (number == SYS_openat2 && record.on && r >= 0) {
                const struct open_how *how = (const struct open_how *) a[2];

                if (how->flags & O_CREAT)
                        note_file((int) r, (const char *) a[1]);
        }
        return r;
}

static void record_done(void) {
        FOREACH_ARRAY(a, record.actions, record.n)
                free(a->data);
        memset(&record, 0, sizeof(record));
}

/* --- the run --- */

typedef struct Scene {
        TestKeys keys;
        char top[64];
        int base, folder, disk;
} Scene;

static int make_folder(const Scene *s, const char *name) {
        int fd;

        ASSERT_OK(mkdirat(s->base, name, 0700));
        fd = openat(s->base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(fd);
        return fd;
}

static void scene_open(Scene *s) {
        *s = (Scene) {};
        test_keys(&s->keys, 1);
        (void) snprintf(s->top, sizeof(s->top), "%s/test-archive-power.XXXXXX",
                        access("/dev/shm", W_OK) >= 0 ? "/dev/shm" : "/tmp");
        ck_assert_ptr_nonnull(mkdtemp(s->top));
        s->base = open(s->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(s->base);
        s->folder = make_folder(s, "folder");
        s->disk = make_folder(s, "disk");
}

static void scene_close(Scene *s) {
        record_done();
        safe_close(s->folder);
        safe_close(s->disk);
        ASSERT_OK(rm_rf_at(s->base, "folder"));
        ASSERT_OK(rm_rf_at(s->base, "disk"));
        safe_close(s->base);
        ASSERT_OK(rmdir(s->top));
}

static bool is_whole(const Scene *s, int fd) {
        const ArchiveReaderOptions options = {};
        _cleanup_(archive_reader_freep) ArchiveReader *r = NULL;
        const ArchiveOpener opener = test_opener(&s->keys);

        return archive_reader_new(fd, &options, &r, NULL) >= 0 &&
                        archive_reader_unlock(r, &opener, NULL) >= 0 &&
                        archive_reader_verify(r, NULL) >= 0 &&
                        memcmp(archive_reader_header(r)->signer, s->keys.signer, ARCHIVE_KEY_SIZE) == 0 &&
                        json_array_size(json_object_get(archive_reader_manifest(r), "streams")) == STREAMS;
}

/* A worker that is killed in the middle of it leaves what it wrote by then. */
static void write_part(const Scene *s, bool killed) {
        const ArchiveWriterOptions options = {};
        const ArchiveSealers sealers = test_sealers(&s->keys);
        _cleanup_archive_header_ ArchiveHeader h = test_header();
        _cleanup_(archive_writer_freep) ArchiveWriter *w = NULL;
        _cleanup_json_ json_t *manifest = json_object();
        _cleanup_close_ int fd = job_archive_make_unfinished(s->folder, PART, 0, NULL);
        uint8_t noise[4000];

        ASSERT_OK(fd);
        ASSERT_OK(archive_writer_new(fd, &h, &sealers, &options, &w, NULL));
        for (uint8_t i = 0; i < STREAMS; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "volumes/%u.tar", (unsigned) i);
                test_noise(noise, sizeof(noise), i);
                test_put_stream(w, name, noise, i * sizeof(noise) / STREAMS);
                if (killed && i == STREAMS / 2)
                        return;
        }
        ASSERT_OK(archive_writer_finish(w, manifest, NULL));
        ASSERT_OK(job_archive_sync_unfinished(s->folder, PART, fd, NULL));
        record.n_written = record.n;
}

/* As job-backup.c does it, the second time after the first was killed. 'left_out' is the number of the sync that is not done;
 * 0: all are. */
static void run(const Scene *s, unsigned left_out) {
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        record_done();
        (void) unlinkat(s->folder, FILE_NAME, 0);
        ASSERT_OK(fstat(s->folder, &st));
        record.device = st.st_dev;
        record.folder = st.st_ino;
        record.left_out = left_out;
        record.on = true;

        write_part(s, true);
        write_part(s, false);
        fd = job_archive_open_unfinished(s->folder, PART, FILE_NAME, NULL);
        ASSERT_OK(fd);
        ck_assert(is_whole(s, fd));
        ASSERT_OK(job_archive_finish(s->folder, PART, FILE_NAME, RENAME_NOREPLACE, NULL));
        record.n_listed = record.n;
        record.on = false;
        ck_assert_uint_eq(record.n_files, 2);
        ck_assert_uint_eq(record.n_syncs, 3);
}

/* --- the crash --- */

typedef struct Crash {
        size_t at;               /* how many actions were begun before it */
        unsigned sectors, names; /* per cent of those that are kept without a sync */
        uint64_t random;
} Crash;

static bool chance(Crash *c, unsigned percent) {
        c->random = c->random * 6364136223846793005U + 1442695040888963407U;
        return (c->random >> 33) % 100 < percent;
}

static bool is_synced(const Crash *c, size_t i) {
        const Action *a = record.actions + i;

        for (size_t j = i + 1; j < c->at; j++) {
                const Action *b = record.actions + j;

                if (a->type == ACTION_WRITE ? b->type == ACTION_SYNC && b->file == a->file
                                            : b->type == ACTION_SYNC_FOLDER)
                        return true;
        }
        return false;
}

/* What one write left of itself in the bytes of its file. */
static void keep_sectors(Crash *c, const Action *a, bool synced, uint8_t *data) {
        for (size_t i = 0, n; i < a->size; i += n) {
                n = MIN(a->size - i, SECTOR_SIZE - (size_t) ((a->offset + i) % SECTOR_SIZE));
                if (synced || chance(c, c->sectors))
                        memcpy(data + a->offset + i, a->data + i, n);
        }
}

static uint8_t *content_of(Crash *c, size_t file, size_t *ret_size) {
        size_t size = 0, longest = 0;
        uint8_t *data;

        for (size_t i = 0; i < c->at; i++) {
                const Action *a = record.actions + i;

                if (a->type != ACTION_WRITE || a->file != file)
                        continue;
                longest = MAX(longest, (size_t) a->offset + a->size);
                if (is_synced(c, i) || chance(c, MAX(c->sectors, 50U)))
                        size = MAX(size, (size_t) a->offset + a->size);
        }

        data = new0(uint8_t, longest);
        ck_assert_ptr_nonnull(data);
        for (size_t i = 0; i < c->at; i++)
                if (record.actions[i].type == ACTION_WRITE && record.actions[i].file == file)
                        keep_sectors(c, record.actions + i, is_synced(c, i), data);
        *ret_size = size;
        return data;
}

/* Which file has which name. */
static void names_of(Crash *c, ssize_t *part, ssize_t *file) {
        *part = *file = -1;
        for (size_t i = 0; i < c->at; i++) {
                const Action *a = record.actions + i;

                if (!IN_SET(a->type, ACTION_MAKE, ACTION_REMOVE, ACTION_RENAME) ||
                                !(is_synced(c, i) || chance(c, c->names)))
                        continue;
                if (a->type == ACTION_RENAME) {
                        /* The file that was made last, whatever became of its first name. */
                        *file = (ssize_t) record.n_files - 1;
                        *part = -1;
                } else {
                        ck_assert_str_eq(a->name, PART);
                        *part = a->type == ACTION_MAKE ? (ssize_t) a->file : -1;
                }
        }
}

static void put_on_disk(const Scene *s, Crash *c, const char *name, ssize_t file) {
        _cleanup_free_ uint8_t *data = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t size;

        (void) unlinkat(s->disk, name, 0);
        if (file < 0)
                return;
        data = content_of(c, (size_t) file, &size);
        fd = openat(s->disk, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        ASSERT_OK(fd);
        ASSERT_OK(loop_write(fd, data, size));
}

/* Of how many disks it is true. */
typedef struct Found {
        unsigned whole;   /* there is a backup, and it is whole */
        unsigned bad;     /* there is one, and it is not */
        unsigned none;    /* there is none yet */
        unsigned torn;    /* and the unfinished one is not whole */
        unsigned missing; /* there is none, and the record says that there is */
        unsigned lost; /* the record says that it was written, and nothing whole is there to be read back */
} Found;

static void look(const Scene *s, const Crash *c, Found *f) {
        _cleanup_close_ int file = openat(s->disk, FILE_NAME, O_RDONLY | O_CLOEXEC),
                            unfinished = job_archive_open_unfinished(s->disk, PART, FILE_NAME, NULL);
        bool readable = unfinished >= 0 && is_whole(s, unfinished);

        if (file >= 0 && is_whole(s, file))
                f->whole++;
        else if (file >= 0)
                f->bad++;
        else if (c->at >= record.n_listed)
                f->missing++;
        else
                f->none++;
        f->torn += file < 0 && unfinished >= 0 && !readable;
        f->lost += c->at >= record.n_written && !readable;
}

static void crash(const Scene *s, Crash *c, Found *f) {
        ssize_t part, file;

        names_of(c, &part, &file);
        put_on_disk(s, c, PART, part);
        put_on_disk(s, c, FILE_NAME, file);
        look(s, c, f);
}

static Found simulate(const Scene *s, unsigned left_out) {
        static const unsigned percents[] = { 0, 20, 50, 80, 95, 100 };
        Crash c = { .random = 42 };
        Found f = {};

        run(s, left_out);
        /* At each moment: nothing that was not synced, all of it, names without content, content without names. */
        for (size_t at = 0; at <= record.n; at++)
                for (unsigned i = 0; i < 4; i++) {
                        c.at = at;
                        c.sectors = i % 2 == 0 ? 0 : 100;
                        c.names = IN_SET(i, 1U, 2U) ? 100 : 0;
                        crash(s, &c, &f);
                }
        for (unsigned i = 0; i < DISKS; i++) {
                /* Half of them late, where names change. */
                size_t begin = i % 2 == 0 ? 0 : record.n - 8;

                c.sectors = percents[i / 2 % ELEMENTSOF(percents)];
                c.names = percents[i / 2 / ELEMENTSOF(percents) % ELEMENTSOF(percents)];
                (void) chance(&c, 0);
                c.at = begin + (size_t) (c.random >> 33) % (record.n - begin + 1);
                crash(s, &c, &f);
        }
        return f;
}

START_TEST(what_has_its_name_is_whole) {
        Scene s;
        Found f;

        scene_open(&s);
        f = simulate(&s, 0);
        ck_assert_uint_eq(f.bad, 0);
        ck_assert_uint_eq(f.missing, 0);
        ck_assert_uint_eq(f.lost, 0);
        /* It was looked at all of them. */
        ck_assert_uint_gt(f.whole, 500);
        ck_assert_uint_gt(f.none, 1000);
        ck_assert_uint_gt(f.torn, 500);
        scene_close(&s);
}
END_TEST

/* Each sync is needed, and its absence seen. */
START_TEST(without_a_sync_it_is_not) {
        Scene s;
        Found f;

        scene_open(&s);
        /* Of the file. */
        f = simulate(&s, 1);
        ck_assert_uint_gt(f.bad, 100);
        ck_assert_uint_gt(f.lost, 100);
        /* Of its first name. */
        f = simulate(&s, 2);
        ck_assert_uint_eq(f.bad, 0);
        ck_assert_uint_gt(f.lost, 100);
        /* Of its own name. */
        f = simulate(&s, 3);
        ck_assert_uint_eq(f.bad, 0);
        ck_assert_uint_gt(f.missing, 100);
        scene_close(&s);
}
END_TEST

TESTS("archive-power", what_has_its_name_is_whole, without_a_sync_it_is_not)
