/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-backup-extract: opens a backup with the recovery key, on any machine: without ccpd, PostgreSQL or Docker. Nothing is
 * written before the whole file was found to be what was written. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "archive-pool.h"
#include "archive-reader.h"
#include "fd-util.h"
#include "fs-util.h"
#include "json-util.h"
#include "recovery-challenge.h"
#include "recovery-key.h"
#include "string-util.h"

#define KEY_FILE_SIZE_MAX 4096U

typedef enum Verb {
        VERB_INFO,
        VERB_VERIFY,
        VERB_EXTRACT,
        VERB_ANSWER,
} Verb;

static const char *const verb_table[] = {
        [VERB_INFO] = "info",
        [VERB_VERIFY] = "verify",
        [VERB_EXTRACT] = "extract",
        [VERB_ANSWER] = "answer",
};

typedef struct Arguments {
        Verb verb;
        const char *file; /* or the challenge */
        const char *key_file, *directory, *stream;
} Arguments;

static void show_help(void) {
        (void) printf("ccp-backup-extract [OPTIONS…] VERB FILE|CHALLENGE\n\n"
                      "Opens a backup of ccpd with the recovery key, or shows that the key is here.\n\n"
                      "Verbs:\n"
                      "  info      Show what the file says of itself; with the key also what is in it\n"
                      "  verify    Look whether every byte of it is what was written\n"
                      "  extract   Verify it, then write what is in it to files\n"
                      "  answer    Answer the challenge of \"ccpctl key enroll-recovery --public=KEY\"\n\n"
                      "Options:\n"
                      "  -h --help            Show this help\n"
                      "     --version         Show the version\n"
                      "  -k --key=FILE        Read the recovery key from a file, \"-\" for standard input\n"
                      "  -C --directory=PATH  Write to this folder, which is made, or empty (default: .)\n"
                      "  -s --stream=NAME     Write only this, to standard output\n\n"
                      "See ccp-backup-extract(1), ccp-backup(5).\n");
}

static int wrong_usage(const char *why) {
        (void) fprintf(stderr, "ccp-backup-extract: %s. See ccp-backup-extract --help.\n", why);
        return -EINVAL;
}

/* Returns 1 to go on, 0 if all is done, -EINVAL for wrong usage, which is said. */
static int parse_argv(int argc, char *argv[], Arguments *ret) {
        enum { ARG_VERSION = 0x100 };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                { "key", required_argument, NULL, 'k' },
                { "directory", required_argument, NULL, 'C' },
                { "stream", required_argument, NULL, 's' },
                {},
        };
        Arguments a = { .directory = "." };
        int c, verb;

        while ((c = getopt_long(argc, argv, "hk:C:s:", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        show_help();
                        return 0;
                case ARG_VERSION:
                        (void) printf("ccp-backup-extract %s\n", CCP_VERSION);
                        return 0;
                case 'k':
                        a.key_file = optarg;
                        break;
                case 'C':
                        a.directory = optarg;
                        break;
                case 's':
                        a.stream = optarg;
                        break;
                default:
                        return -EINVAL;
                }

        if (argc - optind != 2)
                return wrong_usage("a verb and a file, or a challenge, are wanted");
        verb = string_table_lookup(verb_table, ELEMENTSOF(verb_table), argv[optind]);
        if (verb < 0)
                return wrong_usage("there is no such verb");
        a.verb = (Verb) verb;
        a.file = argv[optind + 1];
        if (IN_SET(a.verb, VERB_EXTRACT, VERB_ANSWER) && !a.key_file)
                return wrong_usage("for this the recovery key is wanted: --key=FILE");

        *ret = a;
        return 1;
}

static int read_key(const char *path, uint8_t ret[ARCHIVE_KEY_SIZE], Error *reterr) {
        bool is_stdin = streq(path, "-");
        _cleanup_close_ int fd = is_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_erase_ char *text = NULL;
        int r;

        if (fd < 0)
                return error_set_errnof(reterr, errno, "Cannot open the key file '%s': %m", path);
        r = read_full_fd(fd, KEY_FILE_SIZE_MAX, &text, NULL);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read the key file '%s': %m", path);

        r = recovery_key_parse(RECOVERY_KEY_SECRET, text, ret);
        if (r == -EBADMSG)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is a mistake in the recovery key: its last four digits say so.");
        if (r < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "That is no recovery key: one begins with CCPR1 and has 17 groups of four "
                                "digits.");
        return 0;
}

/* --- the challenge --- */

static int answer(const Arguments *a, Error *reterr) {
        uint8_t key[ARCHIVE_KEY_SIZE], challenge[RECOVERY_CHALLENGE_SIZE], made[RECOVERY_ANSWER_SIZE];
        char text[RECOVERY_TEXT_SIZE(RECOVERY_ANSWER_SIZE)];
        int r;

        r = recovery_text_parse(RECOVERY_TEXT_CHALLENGE, a->file, challenge);
        if (r == -EBADMSG)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is a mistake in the challenge: its last four digits say so.");
        if (r < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "That is no challenge: one begins with CCPC1 and has 37 groups of four "
                                "digits.");

        r = read_key(a->key_file, key, reterr);
        if (r < 0)
                return r;
        r = recovery_challenge_answer(key, challenge, made);
        explicit_bzero(key, sizeof(key));
        if (r < 0)
                return error_setf(reterr, CCP_ERROR_KEY_MISSING,
                                "The challenge was not made for this recovery key.");

        recovery_text_format(RECOVERY_TEXT_ANSWER, made, text);
        (void) printf("%s\n", text);
        return 0;
}

/* --- progress --- */

static int show_progress(uint64_t at, uint64_t size, _unused_ void *userdata) {
        static unsigned shown;
        unsigned percent = (unsigned) (size > 0 ? at * 100 / size : 100);

        if (percent != shown && isatty(STDERR_FILENO))
                (void) fprintf(stderr, "\r%3u%%%s", percent, percent == 100 ? "\r    \r" : "");
        shown = percent;
        return 0;
}

/* --- info --- */

static void print_id(const char *label, const uint8_t *id, size_t size) {
        char text[2 * ARCHIVE_KEY_SIZE + 1];

        (void) printf("%12s: %s\n", label, sodium_bin2hex(text, sizeof(text), id, size));
}

static void print_header(const ArchiveReader *r) {
        const ArchiveHeader *h = archive_reader_header(r);

        (void) printf("%12s: %s\n", "Instance", h->slug);
        print_id("Instance id", h->instance, sizeof(h->instance));
        print_id("Backup id", h->id, sizeof(h->id));
        (void) printf("%12s: %" PRIu64 "\n", "Sequence", h->sequence);
        (void) printf("%12s: %s\n", "Created", FORMAT_TIMESTAMP(h->created_at));
        (void) printf("%12s: %s\n", "Written by", h->software);
        print_id("Signed by", h->signer, sizeof(h->signer));
        FOREACH_ARRAY(id, h->recipients, h->n_recipients)
                print_id("Opened by", *id, sizeof(*id));
        (void) printf("%12s: %" PRIu64 "\n", "Bytes", archive_reader_size(r));
}

static void print_streams(const ArchiveReader *r) {
        json_t *entry;
        size_t i;

        (void) printf("\n%16s  %s\n", "BYTES", "NAME");
        json_array_foreach(json_object_get(archive_reader_manifest(r), "streams"), i, entry)
                (void) printf("%16" JSON_INTEGER_FORMAT "  %s\n",
                                json_integer_value(json_object_get(entry, "size")),
                                strempty(json_object_get_string(entry, "name")));
}

/* --- extraction --- */

static int write_to(const void *data, size_t size, void *userdata, Error *reterr) {
        int r;

        r = loop_write(*(int *) userdata, data, size);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot write what is in the backup: %m") : 0;
}

static int extract_to(ArchiveReader *r, int folder, const char *name, Error *reterr) {
        _cleanup_close_ int parent = -EBADF, fd = -EBADF;
        const char *slash = strrchr(name, '/');
        int k;

        if (slash) {
                _cleanup_free_ char *path = strndup(name, (size_t) (slash - name));

                parent = path ? mkdir_open_beneath(folder, path, 0700) : -ENOMEM;
        } else
                parent = open_beneath(folder, ".", O_RDONLY | O_DIRECTORY, 0);
        if (parent < 0)
                return error_set_errnof(reterr, parent, "Cannot make the folder of '%s': %m", name);

        fd = open_beneath(parent, slash ? slash + 1 : name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (fd < 0)
                return error_set_errnof(reterr, fd, "Cannot make '%s': %m", name);
        k = archive_reader_extract(r, name, write_to, &fd, reterr);
        if (k < 0)
                return k;
        return fsync(fd) < 0 ? error_set_errnof(reterr, errno, "Cannot write '%s': %m", name) : 0;
}

static int open_directory(const char *path, Error *reterr) {
        _cleanup_closedir_ DIR *d = NULL;
        struct dirent *de;
        int fd;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
                return error_set_errnof(reterr, errno, "Cannot make the folder '%s': %m", path);
        d = opendir(path);
        fd = d ? fcntl(dirfd(d), F_DUPFD_CLOEXEC, 3) : -EBADF;
        if (fd < 0)
                return error_set_errnof(reterr, errno, "Cannot open the folder '%s': %m", path);

        while ((de = readdir(d)))
                if (!streq(de->d_name, ".") && !streq(de->d_name, "..")) {
                        (void) safe_close(fd);
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "The folder '%s' is not empty. Name an empty one: --directory=PATH",
                                        path);
                }
        return fd;
}

static int write_manifest(const ArchiveReader *r, int folder, Error *reterr) {
        _cleanup_free_ char *text = json_format(archive_reader_manifest(r), JSON_INDENT(4) | JSON_SORT_KEYS);
        int k;

        k = text ? write_file_beneath(folder, "manifest.json", text, strlen(text), 0600) : -ENOMEM;
        return k < 0 ? error_set_errnof(reterr, k, "Cannot write 'manifest.json': %m") : 0;
}

static int extract_all(ArchiveReader *r, const char *path, Error *reterr) {
        _cleanup_close_ int folder = open_directory(path, reterr);
        json_t *entry;
        size_t i;
        int k;

        if (folder < 0)
                return folder;
        k = write_manifest(r, folder, reterr);
        if (k < 0)
                return k;

        json_array_foreach(json_object_get(archive_reader_manifest(r), "streams"), i, entry) {
                const char *name = json_object_get_string(entry, "name");

                k = extract_to(r, folder, name, reterr);
                if (k < 0)
                        return k;
                (void) printf("%s\n", name);
        }

        return 0;
}

static int open_backup(const Arguments *a, Error *reterr) {
        const ArchiveReaderOptions options = { .n_threads = archive_pool_threads(),
                .progress = show_progress };
        _cleanup_(archive_reader_freep) ArchiveReader *r = NULL;
        _cleanup_close_ int fd = -EBADF;
        int to = STDOUT_FILENO, k;

        fd = open(a->file, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return error_set_errnof(reterr, errno, "Cannot open '%s': %m", a->file);
        k = archive_reader_new(fd, &options, &r, reterr);
        if (k < 0)
                return k;

        if (a->key_file) {
                uint8_t key[ARCHIVE_KEY_SIZE];
                const ArchiveOpener opener = { .recovery_key = key };

                k = read_key(a->key_file, key, reterr);
                if (k >= 0)
                        k = archive_reader_unlock(r, &opener, reterr);
                explicit_bzero(key, sizeof(key));
                if (k < 0)
                        return k;
        }

        if (a->verb == VERB_INFO) {
                print_header(r);
                if (!a->key_file)
                        return 0;
                k = archive_reader_load_manifest(r, reterr);
                if (k >= 0)
                        print_streams(r);
                return k;
        }

        k = a->verb == VERB_VERIFY ? archive_reader_verify(r, reterr)
                                   : archive_reader_authenticate(r, reterr);
        if (k < 0)
                return k;
        if (a->verb == VERB_VERIFY)
                (void) printf("%s\n",
                                a->key_file ? "Every byte is what was written."
                                            : "Every byte is what was signed. What is in it can be told "
                                              "with the key only.");
        else
                k = a->stream ? archive_reader_extract(r, a->stream, write_to, &to, reterr)
                              : extract_all(r, a->directory, reterr);
        return k;
}

int main(int argc, char *argv[]) {
        _cleanup_error_ Error error = {};
        Arguments a;
        int r;

        r = parse_argv(argc, argv, &a);
        if (r <= 0)
                return r < 0 ? 2 : EXIT_SUCCESS;

        r = a.verb == VERB_ANSWER ? answer(&a, &error) : open_backup(&a, &error);
        if (r >= 0)
                return EXIT_SUCCESS;
        (void) fprintf(stderr, "ccp-backup-extract: %s\n", strempty(error.message));
        return EXIT_FAILURE;
}
