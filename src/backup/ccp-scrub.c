/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-scrub: reads backups again that were not read for long, and puts on record those that are not what was written. Run by
 * a timer. It holds up nobody and needs neither an instance nor a key: that a file is what was signed can be told without. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "alloc-util.h"
#include "backup-file.h"
#include "fd-util.h"
#include "log.h"
#include "store-scrub.h"
#include "string-util.h"

/* Longer, and PID 1 starts it once more. */
#define STORE_PATIENCE_USEC USEC_PER_MINUTE
/* So much of a file may lie in memory until it is let go: others have better use for that memory. */
#define FORGET_SIZE (32ULL * 1024 * 1024)
/* A whole file system may be away. */
#define FAILURES_TOLD_MAX 10U
/* So many in a row are no bad sectors: then it is the disk, or nothing is mounted there, and not all of them are to be called
 * damaged because of that. */
#define DAMAGED_IN_A_ROW_MAX 8U

/* The exit status if some could not be read, for the unit. */
#define EXIT_UNREAD 3

typedef struct Scrub {
        DbSync *db;
        ScrubDue due;
        size_t n_read, n_damaged, n_in_a_row, n_failed;
        uint64_t read; /* bytes */
} Scrub;

/* One file that is being read. */
typedef struct Reading {
        int fd;
        uint64_t forgotten; /* up to here */
} Reading;

static void help(void) {
        (void) printf("%s [OPTION…]\n\n"
                      "Reads backups again that were not read for long.\n\n"
                      "  -h --help      Show this help\n"
                      "     --version   Show the version\n",
                        program_invocation_short_name);
}

/* Returns 1 to go on, 0 to end well. */
static int parse_argv(int argc, char *argv[]) {
        enum { ARG_VERSION = 0x100 };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        help();
                        return 0;
                case ARG_VERSION:
                        (void) printf("ccp-scrub %s\n", CCP_VERSION);
                        return 0;
                default:
                        return -EINVAL;
                }

        if (optind < argc)
                return log_error_errno(EINVAL, "ccp-scrub takes no arguments.");
        return 1;
}

static int on_read(uint64_t at, _unused_ uint64_t size, void *userdata) {
        Reading *r = userdata;

        if (at - r->forgotten >= FORGET_SIZE) {
                (void) posix_fadvise(r->fd, (off_t) r->forgotten, (off_t) (at - r->forgotten),
                                POSIX_FADV_DONTNEED);
                r->forgotten = at;
        }
        return 0;
}

/* Of one that came from elsewhere it is on record who signed it. */
static int check_identity(const ArchiveReader *reader, const BackupRecord *b, Error *reterr) {
        uint8_t signer[ARCHIVE_KEY_SIZE];
        bool known = b->signer &&
                        sodium_hex2bin(signer, sizeof(signer), b->signer, strlen(b->signer), NULL, NULL,
                                        NULL) == 0;

        return backup_file_check(reader, b, known ? signer : NULL, reterr);
}

static int read_file(const BackupRecord *b, Error *reterr) {
        _cleanup_(archive_reader_freep) ArchiveReader *reader = NULL;
        _cleanup_close_ int fd = -EBADF;
        Reading reading = {};
        int r;

        fd = reading.fd = backup_file_open(b, reterr);
        if (fd < 0)
                return fd;
        r = archive_reader_new(fd, &(ArchiveReaderOptions) { .progress = on_read, .userdata = &reading },
                        &reader, reterr);
        if (r >= 0)
                r = archive_reader_verify(reader, reterr);
        /* What it says of itself counts only now. */
        if (r >= 0)
                r = check_identity(reader, b, reterr);
        (void) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        return r;
}

static int note_damage(Scrub *s, const BackupRecord *b, const char *why, Error *reterr) {
        _cleanup_free_ char *instance = strjoin("CCP_INSTANCE=", b->slug);
        const char *fields[] = { instance, NULL };
        int r;

        r = scrub_set_damaged(s->db, b, why, reterr);
        if (r <= 0)
                return r;
        s->n_damaged++;
        s->n_in_a_row++;
        (void) log_struct(LOG_WARNING, 0, fields, "Backup %" PRIu64 " of '%s' is damaged: %s", b->id,
                        b->slug, why);
        return 0;
}

/* One that cannot be read now is tried the next time. */
static void note_failure(Scrub *s, const BackupRecord *b, const char *why) {
        if (s->n_failed++ < FAILURES_TOLD_MAX)
                log_error("Backup %" PRIu64 " of '%s' cannot be read: %s", b->id, b->slug, why);
}

/* What this server wrote and read is of no version that it does not know. */
static bool is_damage(const Error *error) {
        return streq_ptr(error->name, CCP_ERROR_BACKUP_DAMAGED) ||
                        streq_ptr(error->name, CCP_ERROR_BACKUP_TOO_NEW);
}

static int scrub_backup(Scrub *s, const BackupRecord *b, Error *reterr) {
        _cleanup_error_ Error error = {};
        int r;

        r = read_file(b, &error);
        if (r < 0 && is_damage(&error))
                return note_damage(s, b, strempty(error.message), reterr);
        s->n_in_a_row = 0;
        if (r < 0) {
                note_failure(s, b, strempty(error.message));
                return 0;
        }

        s->n_read++;
        s->read += b->size;
        r = scrub_set_read(s->db, b, reterr);
        return r < 0 ? r : 0;
}

static int scrub_next(Scrub *s, size_t i, Error *reterr) {
        _cleanup_backup_record_ BackupRecord b = {};
        _cleanup_error_ Error error = {};
        int r;

        r = backup_get(s->db, s->due.ids[i], &b, &error);
        if (r < 0 && streq_ptr(error.name, CCP_ERROR_NO_SUCH_BACKUP))
                return 0;
        if (r < 0) {
                error_move(reterr, &error);
                return r;
        }
        /* It may have got another one meanwhile. */
        if (b.state != BACKUP_VERIFIED)
                return 0;

        (void) sd_notifyf(0, "STATUS=Reading backup %" PRIu64 " of '%s', %zu of %zu", b.id, b.slug, i + 1,
                        s->due.n);
        return scrub_backup(s, &b, reterr);
}

static bool is_hopeless(const Scrub *s) {
        return s->n_in_a_row >= DAMAGED_IN_A_ROW_MAX;
}

static void report(const Scrub *s, usec_t took) {
        if (s->due.days == 0)
                log_info("Backups are not read again: scrub_days is 0.");
        else if (s->due.n == 0)
                log_info("No backup is to be read again yet.");
        else
                log_info("Read %zu of %zu backups again, %" PRIu64 " MiB in %s: %zu of them %s damaged.",
                                s->n_read + s->n_damaged, s->due.n, s->read / 1024 / 1024,
                                FORMAT_TIMESPAN(took), s->n_damaged, s->n_damaged == 1 ? "is" : "are");
        if (is_hopeless(s))
                log_error("%zu backups in a row are damaged: the disk may be, or its file system is not "
                          "mounted. The others are read the next time.",
                                s->n_in_a_row);
        if (s->n_failed > 0)
                log_error("%zu backups could not be read; they are tried the next time.", s->n_failed);
}

static int scrub_all(Scrub *s, Error *reterr) {
        int r;

        r = db_sync_open(&(DbSyncOptions) { .patience = STORE_PATIENCE_USEC }, &s->db, reterr);
        if (r >= 0)
                r = db_sync_check_schema(s->db, reterr);
        if (r >= 0)
                r = scrub_list_due(s->db, &s->due, reterr);
        if (r >= 0 && s->due.n > 0)
                log_info("Reading %zu backup%s again, what was not read for the longest time first.",
                                s->due.n, s->due.n == 1 ? "" : "s");
        for (size_t i = 0; r >= 0 && i < s->due.n && !is_hopeless(s); i++)
                r = scrub_next(s, i, reterr);
        return r;
}

/* Returns the exit status. */
static int run(void) {
        usec_t begun = now(CLOCK_MONOTONIC);
        _cleanup_error_ Error e = {};
        Scrub s = {};
        int r;

        r = scrub_all(&s, &e);
        if (r < 0)
                (void) log_full(streq_ptr(e.name, CCP_ERROR_STORE_UNAVAILABLE) ? LOG_NOTICE : LOG_ERR, r,
                                "Not all backups were read again: %s", strempty(e.message));
        else
                report(&s, now(CLOCK_MONOTONIC) - begun);

        scrub_due_done(&s.due);
        db_sync_free(s.db);
        return r < 0 ? EXIT_FAILURE : s.n_failed > 0 || is_hopeless(&s) ? EXIT_UNREAD : EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        int r;

        log_open();
        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? 2 : EXIT_SUCCESS;

        return run();
}
