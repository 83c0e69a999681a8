/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-transfer-bus.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "archive-header.h"
#include "backup-keys.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-instance-bus.h"
#include "ccpd-manager.h"
#include "ccpd-restore-bus.h"
#include "copy-key.h"
#include "fd-util.h"
#include "fs-util.h"
#include "json-util.h"
#include "store-audit.h"
#include "store-backup.h"
#include "string-util.h"
#include "validate.h"

/* Files that were begun to be imported and have no job. */
#define IMPORTS_MAX 8U
/* So long somebody may take to write one. */
#define IMPORT_AGE_MAX USEC_PER_DAY
/* More backups than anybody makes, and far from where numbers end. */
#define SEQUENCE_MAX (UINT64_C(1) << 53)

static_assert(BACKUP_SIGNER_SIZE == ARCHIVE_KEY_SIZE, "signer");

static int open_backups(Error *reterr) {
        _cleanup_close_ int state = open(CCP_STATE_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int fd = state < 0 ? -errno : mkdir_open_beneath(state, "backups", 0700);

        return fd < 0 ? error_set_errnof(reterr, fd, "Cannot open " CCP_BACKUPS_DIR ": %m") : fd;
}

/* --- out --- */

/* A file on its way out. */
typedef struct Export {
        Operation *operation;
        int fd;
        char *file;
} Export;

static Export *export_free(Export *x) {
        if (!x)
                return NULL;

        safe_close(x->fd);
        free(x->file);
        return mfree(x);
}
DEFINE_CLEANUP_FUNC(Export *, export_free);

static void on_export_recorded(int r, AuditRecord *record, Error *error, void *userdata) {
        _cleanup_(audit_record_freep) _unused_ AuditRecord *taken = record;
        _cleanup_(export_freep) Export *x = userdata;

        if (r < 0)
                operation_fail(x->operation, error);
        else
                operation_reply(x->operation, "hs", x->fd, x->file);
}

static int open_export(Export *x, const BackupRecord *b, Error *reterr) {
        _cleanup_close_ int backups = -EBADF, folder = -EBADF;

        backups = open_backups(reterr);
        if (backups < 0)
                return backups;
        folder = open_beneath(backups, b->instance, O_PATH | O_DIRECTORY, 0);
        x->fd = folder < 0 ? folder : open_beneath(folder, b->file, O_RDONLY | O_NOFOLLOW, 0);
        if (x->fd < 0)
                return error_set_errnof(reterr, x->fd, "Cannot open the backup %s: %m", b->file);
        x->file = strdup(b->file);
        return x->file ? 0 : error_set_errnof(reterr, ENOMEM, "%m");
}

/* On record before it is handed out. */
static int export_record(Export *x, const BackupRecord *b, Error *reterr) {
        _cleanup_json_ json_t *details =
                        json_pack("{s:o, s:s}", "backup", json_sprintf("%" PRIu64, b->id), "file", b->file);

        if (!details)
                return error_set_errnof(reterr, ENOMEM, "%m");
        return store_append_audit(operation_manager(x->operation)->db,
                        &(AuditEntry) {
                                        .action = AUDIT_BACKUP_EXPORT,
                                        .outcome = AUDIT_SUCCEEDED,
                                        .actor = operation_actor(x->operation),
                                        .instance = b->slug,
                                        .instance_id = b->instance,
                                        .details = details,
                        },
                        on_export_recorded, x, NULL, reterr);
}

static void on_export_found(int r, BackupRecords *records, Error *error, void *userdata) {
        _cleanup_(export_freep) Export *x = userdata;
        _cleanup_error_ Error e = {};

        if (r < 0) {
                operation_fail(x->operation, error);
                return;
        }
        r = records->n > 0 ? open_export(x, records->items, &e)
                           : error_setf(&e, CCP_ERROR_NO_SUCH_BACKUP,
                                             "There is no such backup. See: ccpctl backup list");
        if (r >= 0)
                r = export_record(x, records->items, &e);
        if (r < 0)
                operation_fail(x->operation, &e);
        else
                TAKE_PTR(x);
}

int method_export_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(export_freep) Export *x = new0(Export, 1);
        StoreBackupFilter filter = { .limit = 1 };
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        const char *backup;
        int r;

        if (!x)
                return -ENOMEM;
        x->fd = -EBADF;
        r = sd_bus_message_read(message, "s", &backup);
        if (r < 0)
                return r;
        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r >= 0)
                r = bus_parse_backup(backup, &filter.id, &e);
        if (r >= 0)
                r = manager_check_store(m, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        x->operation = operation_new(m, message);
        if (!x->operation)
                return -ENOMEM;
        r = store_list_backups(m->db, &filter, on_export_found, x, NULL, &e);
        if (r < 0)
                operation_fail(x->operation, &e);
        else
                TAKE_PTR(x);
        return 1;
}

/* --- in: a file to write to --- */

/* Removes what nobody brought to an end, and counts the others. */
static int sweep(int backups, unsigned *ret, Error *reterr) {
        _cleanup_closedir_ DIR *d = NULL;
        unsigned n = 0;
        struct dirent *de;
        int fd = open_beneath(backups, ".", O_RDONLY | O_DIRECTORY, 0);

        d = fd < 0 ? NULL : fdopendir(fd);
        if (!d) {
                int r = fd < 0 ? fd : -errno;

                safe_close(fd);
                return error_set_errnof(reterr, r, "Cannot read " CCP_BACKUPS_DIR ": %m");
        }
        while ((de = readdir(d))) {
                struct stat st;

                if (!startswith(de->d_name, CCP_IMPORT_PREFIX) ||
                                fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                if ((usec_t) st.st_mtime * USEC_PER_SEC + IMPORT_AGE_MAX < now(CLOCK_REALTIME))
                        (void) unlinkat(fd, de->d_name, 0);
                else
                        n++;
        }

        *ret = n;
        return 0;
}

static int make_file(char token[static 33], Error *reterr) {
        char name[STRLEN(CCP_IMPORT_PREFIX) + 33];
        _cleanup_close_ int backups = -EBADF;
        uint8_t random[16];
        unsigned n = 0;
        int r;

        backups = open_backups(reterr);
        if (backups < 0)
                return backups;
        r = sweep(backups, &n, reterr);
        if (r < 0)
                return r;
        if (n >= IMPORTS_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "%u backups are being imported already. Wait for them, or "
                                "remove " CCP_BACKUPS_DIR "/" CCP_IMPORT_PREFIX "* where nobody does.",
                                n);

        randombytes_buf(random, sizeof(random));
        (void) sodium_bin2hex(token, 33, random, sizeof(random));
        (void) snprintf(name, sizeof(name), CCP_IMPORT_PREFIX "%s", token);
        r = open_beneath(backups, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot make " CCP_BACKUPS_DIR "/%s: %m", name) : r;
}

struct Transfers {
        struct {
                char token[33];
                int key; /* a memfd that the caller writes the key of the file to */
        } items[IMPORTS_MAX];
        size_t next;          /* that is forgotten first */
        unsigned n_beginning; /* imports that are on record, or will be, and have no job yet */
};

Transfers *transfers_new(void) {
        Transfers *t = new0(Transfers, 1);

        if (t)
                FOREACH_ARRAY(i, t->items, IMPORTS_MAX)
                        i->key = -EBADF;
        return t;
}

Transfers *transfers_free(Transfers *t) {
        if (!t)
                return NULL;

        FOREACH_ARRAY(i, t->items, IMPORTS_MAX)
                safe_close(i->key);
        return mfree(t);
}

/* One that waits for its file is forgotten only where there is no other place. */
static size_t find_place(const Transfers *t) {
        for (size_t i = 0; i < IMPORTS_MAX; i++)
                if (t->items[i].key < 0)
                        return i;
        return t->next;
}

/* No call may bring a descriptor with it (org.changemaker.ccp1.conf), so both go the other way. */
static int make_key(Transfers *t, const char *token, Error *reterr) {
        int fd = memfd_create("key", MFD_CLOEXEC);
        size_t place = find_place(t);

        if (fd < 0)
                return error_set_errnof(reterr, errno, "Cannot take in a key: %m");
        safe_close(t->items[place].key);
        t->items[place].key = fd;
        memcpy(t->items[place].token, token, sizeof(t->items[place].token));
        t->next = (place + 1) % IMPORTS_MAX;
        return fd;
}

/* Hands it over; -EBADF if there is none. */
static int take_key(Transfers *t, const char *token) {
        FOREACH_ARRAY(i, t->items, IMPORTS_MAX)
                if (i->key >= 0 && streq(i->token, token))
                        return TAKE_FD(i->key);
        return -EBADF;
}

int method_begin_import(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        char token[33];
        int r, key = -EBADF;

        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r >= 0)
                r = fd = make_file(token, &e);
        if (r >= 0)
                r = key = make_key(m->transfers, token, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        return sd_bus_reply_method_return(message, "shh", token, fd, key);
}

/* --- in: what was written --- */

typedef struct ImportOptions {
        const char *signer; /* in hex */
        const char *copy;   /* what it is called in the storage */
} ImportOptions;

typedef struct Import {
        Operation *operation;
        char token[33];
        bool named;           /* the caller said who signed it */
        Transfers *beginning; /* that count it as beginning; NULL: not yet */
        BackupImport record;
} Import;

static Import *import_free(Import *x) {
        if (!x)
                return NULL;

        if (x->beginning)
                x->beginning->n_beginning--;
        backup_import_done(&x->record);
        return mfree(x);
}
DEFINE_CLEANUP_FUNC(Import *, import_free);

/* What is refused is not kept: it would have to be brought anew in any case. */
static void forget_file(const char *token) {
        char name[STRLEN(CCP_IMPORT_PREFIX) + 33];
        _cleanup_close_ int backups = open_backups(NULL);

        if (backups < 0 || token[strspn(token, "0123456789abcdef")] != 0)
                return;
        (void) snprintf(name, sizeof(name), CCP_IMPORT_PREFIX "%s", token);
        (void) unlinkat(backups, name, 0);
}

static void import_fail(const Import *x, const Error *error) {
        forget_file(x->token);
        operation_fail(x->operation, error);
}

static void format_signer(
                const uint8_t signer[ARCHIVE_KEY_SIZE], char ret[static 2 * ARCHIVE_KEY_SIZE + 1]) {
        (void) sodium_bin2hex(ret, 2 * ARCHIVE_KEY_SIZE + 1, signer, ARCHIVE_KEY_SIZE);
}

static void on_import_job(int r, InstanceRecord *instance, JobRecord *job, Error *error, void *userdata) {
        _cleanup_(import_freep) Import *x = userdata;

        /* Where it is not known, a job may have the file. */
        if (r < 0 && r != DB_OUTCOME_UNKNOWN)
                forget_file(x->token);
        operation_answer_created(x->operation, r, instance, job, error);
}

static void on_import_recorded(int r, uint64_t id, Error *error, void *userdata) {
        _cleanup_(import_freep) Import *x = userdata;
        Manager *m = operation_manager(x->operation);
        char signer[2 * ARCHIVE_KEY_SIZE + 1];
        _cleanup_json_ json_t *spec = NULL;
        _cleanup_error_ Error e = {};

        if (r < 0) {
                import_fail(x, error);
                return;
        }
        format_signer(x->record.signer, signer);
        spec = json_pack("{s:o, s:s, s:s}", "backup", json_sprintf("%" PRIu64, id), "token", x->token,
                        "signer", signer);
        r = !spec ? error_set_errnof(&e, ENOMEM, "%m")
                  : store_create_job(m->db,
                                    &(StoreJobCreate) {
                                                    .backup = id,
                                                    .kind = JOB_IMPORT,
                                                    .spec = spec,
                                                    .details = spec,
                                                    .actor = operation_actor(x->operation),
                                    },
                                    on_import_job, x, NULL, &e);
        if (r < 0)
                import_fail(x, &e);
        else
                TAKE_PTR(x);
}

/* 1 if it is the key of this server. */
static int is_own_signer(const Manager *m, const Import *x, const StoreImportTrust *trust, Error *reterr) {
        uint8_t own[ARCHIVE_KEY_SIZE];
        int r;

        if (trust->size == 0)
                return 0;
        r = backup_signer_unseal(m->vault, trust->key_id, trust->sealed, trust->size, own, reterr);
        return r < 0 ? r : memcmp(own, x->record.signer, sizeof(own)) == 0;
}

/* Anybody can seal a file for a recovery key, whose public half is no secret. So what is said to be of an instance of this
 * server must be signed here, and what is of another one by whom the first was that was taken in; unless the caller names
 * the signer. */
static int check_trust(const Manager *m, const Import *x, const StoreImportTrust *trust, Error *reterr) {
        char signer[2 * ARCHIVE_KEY_SIZE + 1];
        int r = 1;

        if (trust->ours)
                r = is_own_signer(m, x, trust, reterr);
        else if (trust->imported)
                r = trust->known;
        if (r != 0)
                return r;

        format_signer(x->record.signer, signer);
        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                        "The backup is said to be of '%s', %s, but was signed by another: %s. Whoever has "
                        "the public half of a recovery key can write such a file. If you know whose key "
                        "that is: ccpctl backup import --signer=%s",
                        x->record.slug,
                        trust->ours ? "an instance of this server"
                                    : "of which there are backups that were imported",
                        signer, signer);
}

static void on_import_trust(int r, const StoreImportTrust *trust, Error *error, void *userdata) {
        _cleanup_(import_freep) Import *x = userdata;
        Manager *m = operation_manager(x->operation);
        _cleanup_error_ Error e = {};

        if (r < 0) {
                import_fail(x, error);
                return;
        }
        r = x->named ? 0 : check_trust(m, x, trust, &e);
        if (r >= 0)
                r = store_begin_import(m->db, &x->record, m->transfers->n_beginning == 0, on_import_recorded,
                                x, NULL, &e);
        if (r < 0) {
                import_fail(x, &e);
                return;
        }
        x->beginning = m->transfers;
        x->beginning->n_beginning++;
        TAKE_PTR(x);
}

static int read_header(const char *token, uint8_t **ret, size_t *ret_size, Error *reterr) {
        char name[STRLEN(CCP_IMPORT_PREFIX) + 33];
        _cleanup_close_ int backups = -EBADF, fd = -EBADF;

        backups = open_backups(reterr);
        if (backups < 0)
                return backups;
        (void) snprintf(name, sizeof(name), CCP_IMPORT_PREFIX "%s", token);
        fd = open_beneath(backups, name, O_RDONLY | O_NOFOLLOW, 0);
        if (fd < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "Nothing was written to be imported as '%s'; BeginImport gives a file for "
                                "it.",
                                token);
        return archive_header_load(fd, ret, ret_size, reterr);
}

static int read_key(int fd, char ret[static ARCHIVE_KEY_SIZE], Error *reterr) {
        return pread(fd, ret, ARCHIVE_KEY_SIZE, 0) == (ssize_t) ARCHIVE_KEY_SIZE
                        ? 0
                        : error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                          "The key of the backup was not written to what BeginImport gave "
                                          "for it: it has %u bytes.",
                                          ARCHIVE_KEY_SIZE);
}

static int check_signer(const ArchiveHeader *h, const char *wanted, Error *reterr) {
        char is[2 * ARCHIVE_KEY_SIZE + 1];

        format_signer(h->signer, is);
        return !wanted || strcasecmp(wanted, is) == 0
                        ? 0
                        : error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                          "The backup was signed by %s, and not by %s.", is,
                                          TEXT_FOR_ERROR(wanted));
}

static void format_id(const uint8_t id[ARCHIVE_ID_SIZE], char ret[static STORE_ID_MAX]) {
        char hex[2 * ARCHIVE_ID_SIZE + 1];

        (void) sodium_bin2hex(hex, sizeof(hex), id, ARCHIVE_ID_SIZE);
        (void) snprintf(ret, STORE_ID_MAX, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                        hex + 20);
}

static int seal_key(const Manager *m, BackupImport *i, const char *key, Error *reterr) {
        const VaultLabel label = backup_key_label(i->archive);
        int r;

        r = manager_check_sealing(m, reterr);
        if (r < 0)
                return r;
        r = vault_seal(m->vault, &label, key, ARCHIVE_KEY_SIZE, &i->sealed, &i->size, reterr);
        if (r < 0)
                return r;
        i->key_id = strdup(vault_key_id(m->vault));
        return i->key_id ? 0 : error_set_errnof(reterr, ENOMEM, "%m");
}

/* All that is told of a file before it was read. */
/* That a copy is what it is called in the storage, where somebody could have exchanged it. */
static int check_copy(const ArchiveHeader *h, const char *copy, Error *reterr) {
        char instance[STORE_ID_MAX], archive[STORE_ID_MAX];
        _cleanup_free_ char *is = NULL;

        if (!copy)
                return 0;
        format_id(h->instance, instance);
        format_id(h->id, archive);
        is = copy_key_format(instance, h->slug, h->created_at, archive);
        if (!is)
                return error_set_errnof(reterr, ENOMEM, "%m");
        if (streq(copy, is))
                return 0;
        return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                        "What lies in the storage as '%s' is another backup, that of '%s', number %" PRIu64
                        ", made at %s. Somebody has exchanged it.",
                        TEXT_FOR_ERROR(copy), h->slug, h->sequence, FORMAT_TIMESTAMP(h->created_at));
}

/* One that is counted on from would leave no numbers. */
static int check_sequence(const ArchiveHeader *h, Error *reterr) {
        return h->sequence <= SEQUENCE_MAX ? 0
                                           : error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                                             "The backup says that it is number %" PRIu64
                                                             " of '%s'; no ccpd wrote that.",
                                                             h->sequence, h->slug);
}

static int make_import(const Manager *m, const char *token, int key_fd, const ImportOptions *options,
                BackupImport *ret, Error *reterr) {
        _cleanup_(archive_secrets_freep) ArchiveSecrets *secrets = NULL;
        _cleanup_archive_header_ ArchiveHeader h = {};
        _cleanup_free_ uint8_t *data = NULL;
        char key[ARCHIVE_KEY_SIZE];
        size_t size;
        int r;

        r = read_header(token, &data, &size, reterr);
        if (r >= 0)
                r = archive_header_read(data, size, &h, reterr);
        if (r >= 0)
                r = check_signer(&h, options->signer, reterr);
        if (r >= 0)
                r = slug_validate(h.slug, reterr);
        if (r >= 0)
                r = check_sequence(&h, reterr);
        if (r >= 0)
                r = check_copy(&h, options->copy, reterr);
        if (r >= 0)
                r = read_key(key_fd, key, reterr);
        if (r < 0)
                return r;
        r = archive_header_open(data, size, &(ArchiveOpener) { .archive_key = (const uint8_t *) key },
                        &secrets, reterr);
        if (r >= 0) {
                format_id(h.instance, ret->instance);
                format_id(h.id, ret->archive);
                ret->slug = TAKE_PTR(h.slug);
                ret->sequence = h.sequence;
                ret->created_at = h.created_at;
                memcpy(ret->signer, h.signer, sizeof(ret->signer));
                r = seal_key(m, ret, key, reterr);
        }
        explicit_bzero(key, sizeof(key));
        return r;
}

static const BusOption import_options[] = {
        { "signer", "s", offsetof(ImportOptions, signer) },
        { "copy", "s", offsetof(ImportOptions, copy) },
};

int method_import_backup(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(import_freep) Import *x = new0(Import, 1);
        ImportOptions options = {};
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        _cleanup_close_ int key = -EBADF;
        const char *token;
        int r;

        if (!x)
                return -ENOMEM;
        r = sd_bus_message_read(message, "s", &token);
        if (r < 0)
                return r;
        r = bus_read_options(message, import_options, ELEMENTSOF(import_options), &options, &e);
        if (r >= 0 &&
                        (strlen(token) != sizeof(x->token) - 1 ||
                                        token[strspn(token, "0123456789abcdef")] != 0))
                r = error_setf(&e, CCP_ERROR_INVALID_ARGUMENT, "'%s' is not what BeginImport gave.",
                                TEXT_FOR_ERROR(token));
        if (r >= 0)
                r = manager_check_store(m, &e);
        if (r >= 0) {
                key = take_key(m->transfers, token);
                r = make_import(m, token, key, &options, &x->record, &e);
        }
        if (r < 0) {
                forget_file(token);
                return bus_error_move(reterr, &e);
        }

        memcpy(x->token, token, sizeof(x->token));
        x->named = options.signer != NULL;
        x->operation = operation_new(m, message);
        if (!x->operation)
                return -ENOMEM;
        r = store_get_import_trust(m->db, &x->record, on_import_trust, x, NULL, &e);
        if (r < 0)
                import_fail(x, &e);
        else
                TAKE_PTR(x);
        return 1;
}
