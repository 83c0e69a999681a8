/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Files of backups, out and in. The recovery key of one that comes from elsewhere is used here alone: ccpd gets the key of
 * that one file. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "archive-header.h"
#include "ctl-bus.h"
#include "ctl-key.h"
#include "ctl.h"
#include "fd-util.h"
#include "job-watch.h"
#include "string-util.h"
#include "terminal.h"

#define COPY_SIZE (1024U * 1024U)

/* Copies to the end, and says on a terminal how far it is. */
static int copy(Ctl *c, int from, int to, const char *what, Error *reterr) {
        bool shows = terminal_is_error() && !arguments_have(&c->arguments, OPTION(QUIET));
        _cleanup_free_ char *buffer = malloc(COPY_SIZE);
        struct stat st;
        uint64_t done = 0;

        if (!buffer || fstat(from, &st) < 0)
                return error_set_errnof(reterr, buffer ? errno : ENOMEM, "Cannot read %s: %m.", what);
        for (;;) {
                ssize_t n = read(from, buffer, COPY_SIZE);
                int r;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return error_set_errnof(reterr, errno, "Cannot read %s: %m.", what);
                if (n == 0)
                        break;
                r = loop_write(to, buffer, (size_t) n);
                if (r < 0)
                        return error_set_errnof(reterr, r, "Cannot write %s: %m.", what);
                done += (uint64_t) n;
                if (shows)
                        (void) fprintf(stderr, "\r%s: %" PRIu64 " of %" PRIu64 " MiB", what,
                                        done / 1024 / 1024, (uint64_t) st.st_size / 1024 / 1024);
        }
        if (shows)
                (void) fputc('\n', stderr);
        return 0;
}

/* --- out --- */

int verb_backup_export(Ctl *c, char **args, Error *reterr) {
        const char *path = c->arguments.values[OPTION_OUTPUT], *name;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_close_ int made = -EBADF;
        int r, fd;

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
                made = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                if (made < 0)
                        return error_set_errnof(reterr, errno, "Cannot make the file '%s': %m.", path);
        }
        r = copy(c, fd, path ? made : STDOUT_FILENO, name, reterr);
        if (r >= 0 && path && fsync(made) < 0)
                r = error_set_errnof(reterr, errno, "Cannot write the file '%s': %m.", path);
        if (r < 0 && path)
                (void) unlink(path);
        return r < 0 ? r : EXIT_DONE;
}

/* --- in --- */

/* The key of the file, by the recovery key. */
static int open_key(Ctl *c, int fd, ArchiveSecrets **ret, Error *reterr) {
        _cleanup_(archive_secrets_freep) ArchiveSecrets *recovery = archive_secrets_new();
        _cleanup_free_ uint8_t *data = NULL;
        size_t size;
        int r;

        if (!recovery)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = archive_header_load(fd, &data, &size, reterr);
        if (r >= 0)
                r = ctl_read_recovery_key(
                                c->arguments.values[OPTION_RECOVERY_KEY_FILE], recovery->archive, reterr);
        return r < 0 ? r
                     : archive_header_open(data, size,
                                       &(ArchiveOpener) { .recovery_key = recovery->archive }, ret, reterr);
}

/* Hands file and key over. *ret_token tells which they are. */
static int bring(Ctl *c, int fd, const char *path, char **ret_token, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(archive_secrets_freep) ArchiveSecrets *secrets = NULL;
        const char *token;
        int r, to, key;

        r = open_key(c, fd, &secrets, reterr);
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
        r = copy(c, fd, to, path, reterr);
        if (r < 0)
                return r;
        *ret_token = strdup(token);
        return *ret_token ? 0 : error_set_errnof(reterr, ENOMEM, "%m");
}

int verb_backup_import(Ctl *c, char **args, Error *reterr) {
        const char *const options[][2] = { { "signer", c->arguments.values[OPTION_SIGNER] }, {} };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        _cleanup_close_ int fd = -EBADF;
        _cleanup_job_watch_ JobWatch *w = NULL;
        _cleanup_free_ char *token = NULL;
        const char *job;
        int r;

        if (!c->arguments.values[OPTION_RECOVERY_KEY_FILE])
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "To open what comes from elsewhere, a recovery key is wanted: "
                                "--recovery-key-file=FILE");
        fd = open(args[0], O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return error_set_errnof(reterr, errno, "Cannot open the file '%s': %m.", args[0]);
        r = bring(c, fd, args[0], &token, reterr);
        if (r >= 0 && !arguments_have(&c->arguments, OPTION(NO_WAIT)))
                r = job_watch_new(c, &w, reterr);
        if (r < 0)
                return r;

        r = ctl_message(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ImportBackup", &m, reterr);
        if (r >= 0)
                r = sd_bus_message_append(m, "s", token);
        if (r >= 0)
                r = ctl_append_options(m, options);
        if (r < 0)
                return r;
        ctl_begin_job(c);
        r = ctl_send(c, m, &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "o", &job);
        return r < 0 ? ctl_bad_reply(reterr, r) : ctl_finish_job(c, w, job, "succeeded", reterr);
}
