/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files of backups, out and in. The recovery key of one that comes from elsewhere is used here alone: ccpd gets the key of
 * that one file. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "archive-format.h"
#include "archive-header.h"
#include "ctl-bus.h"
#include "ctl-key.h"
#include "ctl.h"
#include "disk-room.h"
#include "fd-util.h"
#include "job-watch.h"
#include "string-util.h"
#include "terminal.h"

#define COPY_SIZE (1024U * 1024U)
/* More than a header can have. */
#define HEAD_SIZE (2U * ARCHIVE_HEADER_SIZE_MAX)
/* Of what ccp-storage says before a copy. */
#define LINE_MAX_SIZE 4096U
/* In hexadecimal digits. */
#define SIGNER_MAX (2U * ARCHIVE_KEY_SIZE + 1U)

/* Something that is copied from. */
typedef struct Source {
        int fd;
        const char *what;
        uint64_t size; /* 0: not known */
        bool whole;    /* an end before 'size' is a failure */
        int head;      /* what was read of it already, in memory; -EBADF: nothing */
        char *key;     /* owned; in the storage, NULL: it is a file */
} Source;

static void source_done(Source *s) {
        safe_close(s->fd);
        safe_close(s->head);
        free(s->key);
}

/* Copies from one descriptor up to its end. An error of 'tell' ends it. */
static int copy_all(int from, int to, const char *what,
                int (*tell)(uint64_t n, void *userdata, Error *reterr), void *userdata, Error *reterr) {
        _cleanup_free_ char *buffer = malloc(COPY_SIZE);

        if (!buffer)
                return error_set_errnof(reterr, ENOMEM, "Cannot read %s: %m.", what);
        for (;;) {
                ssize_t n = read(from, buffer, COPY_SIZE);
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_set_errnof(reterr, errno, "Cannot read %s: %m.", what);
                if (n == 0)
                        return 0;
                r = loop_write(to, buffer, (size_t) n);
                if (r < 0)
                        return error_set_errnof(reterr, r, "Cannot write %s: %m.", what);
                r = tell((uint64_t) n, userdata, reterr);
                if (r < 0)
                        return r;
        }
}

typedef struct Meter {
        const Source *source;
        uint64_t done;
        bool shows;
} Meter;

/* A storage can give more than it said, and more than there is room for. */
static int meter_add(uint64_t n, void *userdata, Error *reterr) {
        Meter *m = userdata;

        m->done += n;
        if (m->source->whole && m->done > m->source->size)
                return error_setf(reterr, CCP_ERROR_STORAGE_FAILED,
                                "The storage gives more than the %" PRIu64
                                " bytes that '%s' has by its word.",
                                m->source->size, m->source->what);
        if (m->shows)
                (void) fprintf(stderr, "\r%s: %" PRIu64 " of %" PRIu64 " MiB", m->source->what,
                                m->done / 1024 / 1024, m->source->size / 1024 / 1024);
        return 0;
}

/* Copies to the end, and says on a terminal how far it is. */
static int copy(Ctl *c, const Source *s, int to, Error *reterr) {
        Meter meter = {
                .source = s,
                .shows = terminal_is_error() && !arguments_have(&c->arguments, OPTION(QUIET)),
        };
        int r = 0;

        if (s->head >= 0)
                r = lseek(s->head, 0, SEEK_SET) < 0
                                ? error_set_errnof(reterr, errno, "Cannot read %s: %m.", s->what)
                                : copy_all(s->head, to, s->what, meter_add, &meter, reterr);
        if (r >= 0)
                r = copy_all(s->fd, to, s->what, meter_add, &meter, reterr);
        if (meter.shows)
                (void) fputc('\n', stderr);
        if (r >= 0 && s->whole && meter.done != s->size)
                return error_setf(reterr, CCP_ERROR_STORAGE_FAILED,
                                "The storage gave %" PRIu64 " of %" PRIu64 " bytes of '%s'. On the server, "
                                "'journalctl -u ccp-storage@*' tells why.",
                                meter.done, s->size, s->what);
        return r;
}

static uint64_t size_of(int fd) {
        struct stat st;

        return fstat(fd, &st) >= 0 && st.st_size > 0 ? (uint64_t) st.st_size : 0;
}

/* --- out --- */

/* Without a name until all of it is there, where the file system knows that: whoever ends this leaves nothing behind that looks
 * like a backup. */
static int make_file(const char *path, bool *ret_named) {
        _cleanup_free_ char *copy = strdup(path);
        int fd;

        if (!copy)
                return -ENOMEM;
        *ret_named = false;
        if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                return -EEXIST;
        fd = open(dirname(copy), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
        if (fd >= 0 || !IN_SET(errno, EOPNOTSUPP, EISDIR, ENOENT))
                return fd < 0 ? -errno : fd;

        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        *ret_named = fd >= 0;
        return fd < 0 ? -errno : fd;
}

/* As open(2) says of O_TMPFILE. */
static int name_file(int fd, const char *path) {
        char own[STRLEN("/proc/self/fd/-2147483648") + 1];

        (void) snprintf(own, sizeof(own), "/proc/self/fd/%i", fd);
        return linkat(AT_FDCWD, own, AT_FDCWD, path, AT_SYMLINK_FOLLOW);
}

/* A copy of a damaged one is not what a backup is for: who takes it for one loses what he has. */
static int report_damage(Ctl *c, const char *id, Error *reterr) {
        _cleanup_json_ json_t *backup = NULL;
        _cleanup_error_ Error error = {};

        if (ctl_get_backup(c, id, &backup, &error) < 0) {
                (void) fprintf(stderr,
                                "Backup %s was exported; whether it is damaged could not be read: %s\n", id,
                                strempty(error.message));
                return EXIT_DONE;
        }
        return streq(json_get_text(backup, "state"), "damaged")
                        ? error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                          "Backup %s is damaged: %s It was exported as it is.", id,
                                          json_get_text(backup, "error"))
                        : EXIT_DONE;
}

int verb_backup_export(Ctl *c, char **args, Error *reterr) {
        bool named = false;
        const char *path = c->arguments.values[OPTION_OUTPUT], *name;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_close_ int made = -EBADF;
        int r, fd;

        if (arguments_have(&c->arguments, OPTION(HOST)))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A backup is handed over in a file descriptor, which cannot go to another "
                                "host. Say: ssh %s ccpctl backup export %s >FILE",
                                c->arguments.values[OPTION_HOST], args[0]);
        if (!path && isatty(STDOUT_FILENO))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A backup is nothing for a terminal: say --output=FILE, or redirect it.");
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ExportBackup", &reply, reterr, "sa{sv}",
                        args[0], 0);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "hs", &fd, &name);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        if (path) {
                made = make_file(path, &named);
                if (made < 0)
                        return error_set_errnof(reterr, made, "Cannot make the file '%s': %m.", path);
        }
        r = copy(c, &(Source) { .fd = fd, .what = name, .size = size_of(fd), .head = -EBADF },
                        path ? made : STDOUT_FILENO, reterr);
        if (r >= 0 && path && (fsync(made) < 0 || (!named && name_file(made, path) < 0)))
                r = error_set_errnof(reterr, errno, "Cannot write the file '%s': %m.", path);
        if (r < 0 && named)
                (void) unlink(path);
        return r < 0 ? r : report_damage(c, args[0], reterr);
}

/* --- in --- */

/* What ccp-storage says before the copy itself: a line of JSON. */
static int read_line(int fd, char line[static LINE_MAX_SIZE], Error *reterr) {
        for (size_t n = 0; n < LINE_MAX_SIZE - 1;) {
                ssize_t k = read(fd, line + n, 1);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0)
                        break;
                if (line[n] == '\n') {
                        line[n] = 0;
                        return 0;
                }
                n++;
        }
        return error_setf(reterr, CCP_ERROR_STORAGE_FAILED,
                        "The storage gave no answer. On the server, 'journalctl -u ccp-storage@*' tells "
                        "why.");
}

static int read_answer(Source *s, Error *reterr) {
        _cleanup_json_ json_t *json = NULL;
        const json_t *failure;
        char line[LINE_MAX_SIZE];
        int r;

        r = read_line(s->fd, line, reterr);
        if (r < 0)
                return r;
        if (json_parse(line, strlen(line), 0, &json) == -ENOMEM)
                return error_set_errnof(reterr, ENOMEM, "%m");
        failure = json_object_get(json, "error");
        if (failure)
                return error_setf(reterr, error_name_intern(json_object_get_string(failure, "name")), "%s",
                                strempty(json_object_get_string(failure, "message")));
        s->size = json_get_number(json, "size");
        return 0;
}

/* As much as the header of a file can have, so that it can be read without the rest. */
static int read_head(Source *s, Error *reterr) {
        char buffer[HEAD_SIZE / 16];

        s->head = memfd_create("head", MFD_CLOEXEC);
        if (s->head < 0)
                return error_set_errnof(reterr, errno, "Cannot hold the copy: %m.");
        for (size_t n = 0; n < HEAD_SIZE;) {
                ssize_t k = read(s->fd, buffer, sizeof(buffer));

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return error_set_errnof(reterr, errno, "Cannot read the copy '%s': %m.", s->key);
                if (k == 0)
                        break;
                if (loop_write(s->head, buffer, (size_t) k) < 0)
                        return error_set_errnof(reterr, EIO, "Cannot hold the copy: %m.");
                n += (size_t) k;
        }
        return 0;
}

/* From the storage: ccpd hands over a connection on which it comes. */
static int open_stored(Ctl *c, const char *key, Source *s, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r, fd;

        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "OpenCopy", &reply, reterr, "sa{sv}", key, 0);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "h", &fd);
        if (r < 0)
                return ctl_bad_reply(reterr, r);
        s->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        if (s->fd < 0)
                return error_set_errnof(reterr, errno, "Cannot take the copy over: %m.");
        s->key = strdup(key);
        if (!s->key)
                return -ENOMEM;
        s->what = s->key;
        s->whole = true;
        /* Both ends have one description of it: ccpd would not wait, and closes its own. */
        if (fcntl(s->fd, F_SETFL, 0) < 0)
                return error_set_errnof(reterr, errno, "Cannot take the copy over: %m.");
        r = read_answer(s, reterr);
        return r < 0 ? r : read_head(s, reterr);
}

static int open_source(Ctl *c, const char *name, Source *s, Error *reterr) {
        if (arguments_have(&c->arguments, OPTION(STORAGE)))
                return open_stored(c, name, s, reterr);

        s->what = name;
        s->fd = open(name, O_RDONLY | O_CLOEXEC);
        if (s->fd < 0)
                return error_set_errnof(reterr, errno, "Cannot open the file '%s': %m.", name);
        s->size = size_of(s->fd);
        return 0;
}

/* As what ccpd answers for once the file was read: who signed it. */
static int read_signer(const uint8_t *data, size_t size, char ret[static SIGNER_MAX], Error *reterr) {
        _cleanup_archive_header_ ArchiveHeader h = {};
        int r;

        r = archive_header_read(data, size, &h, reterr);
        if (r >= 0)
                (void) sodium_bin2hex(ret, SIGNER_MAX, h.signer, sizeof(h.signer));
        return r;
}

/* The key of the file, by the recovery key. */
static int open_key(
                Ctl *c, int fd, ArchiveSecrets **ret, char ret_signer[static SIGNER_MAX], Error *reterr) {
        _cleanup_(archive_secrets_freep) ArchiveSecrets *recovery = archive_secrets_new();
        _cleanup_free_ uint8_t *data = NULL;
        size_t size;
        int r;

        if (!recovery)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = archive_header_load(fd, &data, &size, reterr);
        if (r >= 0)
                r = read_signer(data, size, ret_signer, reterr);
        if (r >= 0)
                r = ctl_read_recovery_key(
                                c->arguments.values[OPTION_RECOVERY_KEY_FILE], recovery->archive, reterr);
        return r < 0 ? r
                     : archive_header_open(data, size,
                                       &(ArchiveOpener) { .recovery_key = recovery->archive }, ret, reterr);
}

static int check_room(int to, const Source *s, Error *reterr) {
        return disk_check_room(
                        to, "the folder of backups", s->size, "Make room on that disk, then retry.", reterr);
}

/* Hands file and key over. *ret_token tells which they are. */
static int bring(Ctl *c, const Source *s, char **ret_token, char ret_signer[static SIGNER_MAX],
                Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(archive_secrets_freep) ArchiveSecrets *secrets = NULL;
        const char *token;
        int r, to, key;

        r = open_key(c, s->head >= 0 ? s->head : s->fd, &secrets, ret_signer, reterr);
        if (r >= 0)
                r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "BeginImport", &reply, reterr, "a{sv}",
                                0);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "shh", &token, &to, &key);
        if (r < 0)
                return ctl_bad_reply(reterr, r);
        r = loop_write(key, secrets->archive, sizeof(secrets->archive));
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot hand over the key: %m.");
        r = check_room(to, s, reterr);
        if (r >= 0)
                r = copy(c, s, to, reterr);
        if (r < 0) {
                /* The disk has it back at once; or, where this fails, when somebody sweeps. */
                _unused_ int truncated = ftruncate(to, 0);

                return r;
        }
        *ret_token = strdup(token);
        return *ret_token ? 0 : error_set_errnof(reterr, ENOMEM, "%m");
}

int verb_backup_import(Ctl *c, char **args, Error *reterr) {
        const char *const options[][2] = {
                { "signer", c->arguments.values[OPTION_SIGNER] },
                { "copy", arguments_have(&c->arguments, OPTION(STORAGE)) ? args[0] : NULL },
                {},
        };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(source_done) Source source = { .fd = -EBADF, .head = -EBADF };
        _cleanup_free_ char *token = NULL;
        char signer[SIGNER_MAX];
        int r;

        if (arguments_have(&c->arguments, OPTION(HOST)))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A backup is handed over in a file descriptor, which cannot go to another "
                                "host. Where the file is there: ssh -t %s ccpctl backup import "
                                "--recovery-key-file=- FILE",
                                c->arguments.values[OPTION_HOST]);
        if (!c->arguments.values[OPTION_RECOVERY_KEY_FILE])
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "To open what comes from elsewhere, a recovery key is wanted: "
                                "--recovery-key-file=FILE");
        r = open_source(c, args[0], &source, reterr);
        if (r >= 0)
                r = bring(c, &source, &token, signer, reterr);
        if (r < 0)
                return r;

        r = ctl_message(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ImportBackup", &m, reterr);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", token);
        if (r >= 0)
                r = ctl_append_options(m, options);
        if (r < 0)
                return r;
        r = ctl_submit_job(c, m, NULL, reterr);
        if (r == EXIT_DONE && !ctl_prints_json(c))
                ctl_say(c, "The backup was signed by %s.\n", signer);
        return r;
}
