/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-storage-bus.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-finding.h"
#include "ccpd-manager.h"
#include "ccpd-storage.h"
#include "copy-key.h"
#include "fd-util.h"
#include "json-util.h"
#include "storage-open.h"
#include "store-audit.h"
#include "string-util.h"
#include "validate.h"
#include "worker-call.h"

/* A caller gives up after 25 s. */
#define CALL_TIMEOUT_USEC (22 * USEC_PER_SEC)
#define TEST_ANSWER_MAX (64U * 1024U)
/* Of a page of copies. */
#define LIST_ANSWER_MAX (2U * 1024U * 1024U)
/* Each is a process. Together with the sweep and the doctor's calls these are fewer than ccp-storage.socket has connections, so that
 * none of them shuts out another kind: also with some whose callers gave up, which notice that within a second or two. */
#define CALLS_MAX 4U
/* Of those that go out: each lasts as long as somebody reads, or does not. */
#define COPIES_MAX 4U

/* The storage is read after the other records: until then there is not none, and nothing can be made of its version. */
static int check_known(const Manager *m, Error *reterr) {
        int r;

        r = manager_check_store(m, reterr);
        if (r < 0)
                return r;
        return storage_is_known(m->storage)
                        ? 0
                        : error_setf(reterr, CCP_ERROR_STORE_UNAVAILABLE,
                                          "PostgreSQL has not told yet which storage there is, nothing was "
                                          "changed. Try again in some seconds.");
}

static int check_storage(const Manager *m, Error *reterr) {
        int r;

        r = check_known(m, reterr);
        if (r < 0)
                return r;
        return storage_record(m->storage) ? 0 : storage_none(reterr);
}

/* --- naming it --- */

typedef struct SetOptions {
        const char *endpoint, *region, *bucket, *prefix, *ca_file, *access_key, *secret_key;
        bool path_style;
} SetOptions;

static const BusOption set_options[] = {
        { "endpoint", "s", offsetof(SetOptions, endpoint) },
        { "region", "s", offsetof(SetOptions, region) },
        { "bucket", "s", offsetof(SetOptions, bucket) },
        { "prefix", "s", offsetof(SetOptions, prefix) },
        { "path-style", "b", offsetof(SetOptions, path_style) },
        { "ca-file", "s", offsetof(SetOptions, ca_file) },
        { "access-key", "s", offsetof(SetOptions, access_key) },
        { "secret-key", "s", offsetof(SetOptions, secret_key) },
};

static void on_changed(int r, StorageRecord *record, Error *error, void *userdata) {
        Operation *o = userdata;

        if (r < 0) {
                operation_fail(o, error);
                return;
        }
        storage_take(operation_manager(o)->storage, record);
        operation_reply(o, NULL);
}

/* Those that were given, or else those that are known. */
static int find_credentials(
                const Manager *m, const SetOptions *options, StorageCredentials *ret, Error *reterr) {
        const StorageRecord *former = storage_record(m->storage);

        if (!options->access_key != !options->secret_key)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "An access key and a secret key belong together: give both, or none to keep "
                                "those that are known.");
        if (options->access_key) {
                ret->access_key = strdup(options->access_key);
                ret->secret_key = strdup(options->secret_key);
                return ret->access_key && ret->secret_key ? 0 : error_set_errnof(reterr, ENOMEM, "%m");
        }
        if (!former)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The access key and the secret key of the storage are missing.");
        return storage_unseal(m->vault, former, ret, reterr);
}

static json_t *set_details(const StorageRecord *record, bool new_credentials) {
        return json_pack("{s:s, s:s, s:s, s:s, s:b, s:s, s:b}", "endpoint", record->endpoint, "region",
                        record->region, "bucket", record->bucket, "prefix", record->prefix, "path_style",
                        (int) record->path_style, "ca_file", record->ca_file, "new_credentials",
                        (int) new_credentials);
}

static int set_ca_file(StorageRecord *record, const char *path, Error *reterr) {
        if (!isempty(path) && (path[0] != '/' || !string_is_safe(path)))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The file with certificates is named by an absolute path, not '%s'.",
                                TEXT_FOR_ERROR(path));
        return free_and_strdup(&record->ca_file, strempty(path));
}

/* As s3_place_parse() has it written. */
static int set_place(StorageRecord *record, const SetOptions *options, const StorageCredentials *credentials,
                Error *reterr) {
        const S3Config config = {
                .endpoint = strempty(options->endpoint),
                .region = options->region,
                .bucket = strempty(options->bucket),
                .prefix = options->prefix,
                .access_key = credentials->access_key,
                .secret_key = credentials->secret_key,
                .path_style = options->path_style,
        };
        _cleanup_s3_place_ S3Place place = {};
        int r;

        r = s3_place_parse(&config, &place, reterr);
        if (r < 0)
                return r;
        record->path_style = options->path_style;
        if (free_and_strdup(&record->endpoint, place.endpoint) < 0 ||
                        free_and_strdup(&record->region, place.region) < 0 ||
                        free_and_strdup(&record->bucket, place.bucket) < 0 ||
                        free_and_strdup(&record->prefix, place.prefix) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        return set_ca_file(record, options->ca_file, reterr);
}

static int make_record(const Manager *m, const SetOptions *options, StorageRecord *record, Error *reterr) {
        _cleanup_storage_credentials_ StorageCredentials credentials = {};
        int r;

        r = manager_check_sealing(m, reterr);
        if (r < 0)
                return r;
        record->version = storage_version(m->storage);
        r = find_credentials(m, options, &credentials, reterr);
        if (r >= 0)
                r = set_place(record, options, &credentials, reterr);
        if (r >= 0)
                r = storage_seal(m->vault, record->version + 1, credentials.access_key,
                                credentials.secret_key, &record->sealed, &record->size, reterr);
        if (r < 0)
                return r;
        record->key_id = strdup(vault_key_id(m->vault));
        return record->key_id ? 0 : error_set_errnof(reterr, ENOMEM, "%m");
}

int method_set_storage(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_storage_record_ StorageRecord record = {};
        _cleanup_json_ json_t *details = NULL;
        SetOptions options = {};
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        Operation *o;
        int r;

        (void) sd_bus_message_sensitive(message);
        r = bus_read_options(message, set_options, ELEMENTSOF(set_options), &options, &e);
        if (r >= 0)
                r = check_known(m, &e);
        if (r >= 0)
                r = make_record(m, &options, &record, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        details = set_details(&record, options.access_key);
        if (!details)
                return -ENOMEM;

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_set_storage(m->db, &record, operation_actor(o), details, on_changed, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

int method_forget_storage(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        Operation *o;
        int r;

        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r >= 0)
                r = check_storage(m, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_forget_storage(m->db, operation_actor(o), on_changed, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

/* --- looking at it --- */

static int append_storage(sd_bus_message *m, const StorageRecord *s) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0 && s->endpoint)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "Endpoint", "s",
                                s->endpoint, "Region", "s", s->region, "Bucket", "s", s->bucket, "Prefix",
                                "s", s->prefix, "PathStyle", "b", (int) s->path_style, "CaFile", "s",
                                s->ca_file, "SetAt", "t", s->set_at, "ComparedAt", "t", s->compared_at,
                                "Copied", "t", s->n_copied, "Missing", "t", s->n_missing, "Error", "s",
                                strempty(s->error));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static void on_loaded(int r, StorageRecord *record, Error *error, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_error_ Error e = {};
        Operation *o = userdata;

        if (r < 0) {
                operation_fail(o, error);
                return;
        }
        r = sd_bus_message_new_method_return(operation_message(o), &reply);
        if (r >= 0)
                r = append_storage(reply, record);
        if (r < 0) {
                (void) error_set_errnof(&e, r, "Cannot tell what is known of the storage: %m");
                operation_fail(o, &e);
        } else
                operation_reply_message(o, reply);
}

int method_get_storage(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        Operation *o;
        int r;

        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r >= 0)
                r = manager_check_store(m, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_load_storage(m->db, on_loaded, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

/* --- what ccp-storage is asked --- */

typedef struct StorageCall {
        Manager *manager;
        Operation *operation;
        const char *key; /* of the answer: the array that is handed on */
        const char *contents, *what;
        operation_append_t append;
} StorageCall;

static StorageCall *storage_call_free(StorageCall *c) {
        if (!c)
                return NULL;

        c->manager->n_storage_calls--;
        operation_free(c->operation);
        return mfree(c);
}
DEFINE_CLEANUP_FUNC(StorageCall *, storage_call_free);

/* The error is one of the program's, or of the storage's. */
static int read_answer(const json_t *answer, const char *key, const json_t **ret, Error *reterr) {
        const json_t *failure = json_object_get(answer, "error");

        if (failure)
                return error_setf(reterr, error_name_intern(json_object_get_string(failure, "name")), "%s",
                                strempty(json_object_get_string(failure, "message")));
        *ret = json_object_get(answer, key);
        return json_is_array(*ret) ? 0
                                   : error_setf(reterr, CCP_ERROR_INTERNAL,
                                                     "ccp-storage gave no answer. See: journalctl -u "
                                                     "'ccp-storage@*'");
}

static void on_answered(int r, const char *answer, size_t size, Error *error, void *userdata) {
        _cleanup_(storage_call_freep) StorageCall *c = userdata;
        _cleanup_json_ json_t *json = NULL;
        _cleanup_error_ Error e = {};
        const json_t *items = NULL;

        if (r >= 0 && json_parse(answer, size, 0, &json) == -ENOMEM)
                r = error_set_errnof(&e, ENOMEM, "%m");
        if (r >= 0)
                r = read_answer(json, c->key, &items, &e);
        if (r < 0)
                operation_fail(TAKE_PTR(c->operation), error_is_set(error) ? error : &e);
        else
                operation_reply_array(TAKE_PTR(c->operation), c->contents, items, json_array_size(items),
                                c->append, c->what);
}

static int call_storage(Manager *m, const StorageCall *call, sd_bus_message *message, json_t *request,
                size_t max, sd_bus_error *reterr) {
        _cleanup_(storage_call_freep) StorageCall *c = NULL;
        _cleanup_error_ Error e = {};
        int r;

        if (!request)
                return -ENOMEM;
        r = check_storage(m, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        if (m->n_storage_calls >= CALLS_MAX)
                return sd_bus_error_setf(reterr, CCP_ERROR_BUSY,
                                "%u others wait for the storage. Try again in some seconds.", CALLS_MAX);
        c = new0(StorageCall, 1);
        if (!c)
                return -ENOMEM;
        *c = *call;
        c->manager = m;
        m->n_storage_calls++;
        c->operation = operation_new(m, message);
        if (!c->operation)
                return -ENOMEM;

        r = storage_ask(m, request, max, CALL_TIMEOUT_USEC, on_answered, c, NULL, &e);
        if (r < 0)
                operation_fail(TAKE_PTR(c->operation), &e);
        else
                TAKE_PTR(c);
        return 1;
}

int method_test_storage(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        const StorageCall call = {
                .key = "findings",
                .contents = "(ssss)",
                .what = "tell what was found",
                .append = finding_append,
        };
        _cleanup_json_ json_t *request = json_pack("{s:s}", "do", "test");
        _cleanup_error_ Error e = {};
        int r;

        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        return call_storage(userdata, &call, message, request, TEST_ANSWER_MAX, reterr);
}

/* --- what it has --- */

static int append_copy(sd_bus_message *m, _unused_ Operation *o, const void *items, size_t k) {
        const json_t *c = json_array_get(items, k);
        uint64_t backup = json_get_number(c, "backup");
        char id[DECIMAL_ID_MAX] = "";

        if (backup > 0)
                (void) snprintf(id, sizeof(id), "%" PRIu64, backup);
        return sd_bus_message_append(m, "a{sv}", 8, "Key", "s", json_get_bus_text(c, "key"), "Instance", "s",
                        json_get_bus_text(c, "instance"), "InstanceId", "s",
                        json_get_bus_text(c, "instance_id"), "Archive", "s", json_get_bus_text(c, "archive"),
                        "Backup", "s", id, "CreatedAt", "t", json_get_number(c, "created_at"), "CopiedAt",
                        "t", json_get_number(c, "modified_at"), "Size", "t", json_get_number(c, "size"));
}

typedef struct ListOptions {
        const char *instance;
} ListOptions;

static const BusOption list_options[] = {
        { "instance", "s", offsetof(ListOptions, instance) },
};

int method_list_storage(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        const StorageCall call = {
                .key = "copies",
                .contents = "a{sv}",
                .what = "list what is in the storage",
                .append = append_copy,
        };
        _cleanup_json_ json_t *request = NULL;
        _cleanup_error_ Error e = {};
        ListOptions options = {};
        uint64_t offset, limit;
        int r;

        r = bus_read_options(message, list_options, ELEMENTSOF(list_options), &options, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        r = sd_bus_message_read(message, "tt", &offset, &limit);
        if (r < 0)
                return r;
        r = bus_check_page(limit, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        request = json_pack("{s:s, s:s*, s:I, s:I}", "do", "list", "instance", options.instance, "offset",
                        (json_int_t) MIN(offset, (uint64_t) INT64_MAX), "limit", (json_int_t) limit);
        return call_storage(userdata, &call, message, request, LIST_ANSWER_MAX, reterr);
}

/* --- one of them, out --- */

static int on_place_free(
                sd_event_source *source, _unused_ int fd, _unused_ uint32_t revents, void *userdata) {
        Manager *m = userdata;

        m->n_open_copies--;
        return sd_event_source_set_floating(source, false);
}

/* A place among those that are open: it is free again when nobody holds the descriptor any more. */
static int take_place(Manager *m, int *ret, Error *reterr) {
        sd_event_source *source;
        int pair[2], r;

        if (m->n_open_copies >= COPIES_MAX)
                return error_setf(reterr, CCP_ERROR_BUSY,
                                "%u copies are taken out of the storage already. Try again when one of them "
                                "is done.",
                                COPIES_MAX);
        if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
                return error_set_errnof(reterr, errno, "The storage could not be asked: %m");
        r = sd_event_add_io(m->event, &source, pair[0], EPOLLIN, on_place_free, m);
        if (r < 0) {
                safe_close(pair[0]);
                safe_close(pair[1]);
                return error_set_errnof(reterr, r, "The storage could not be asked: %m");
        }
        (void) sd_event_source_set_io_fd_own(source, true);
        (void) sd_event_source_set_floating(source, true);
        sd_event_source_unref(source);
        m->n_open_copies++;

        *ret = pair[1];
        return 0;
}

/* A connection to ccp-storage: what it says is for the caller, who gets its end. ccp-storage holds the place. */
static int open_connection(const char *key, int place, Error *reterr) {
        _cleanup_json_ json_t *request = json_pack("{s:s, s:s}", "do", "get", "key", key);
        _cleanup_free_ char *text = request ? json_format(request, JSON_COMPACT) : NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!text)
                return error_set_errnof(reterr, ENOMEM, "%m");
        fd = worker_connect(storage_socket());
        if (fd < 0)
                return error_set_errnof(reterr, fd, "The storage could not be asked: %m");
        r = send_with_fd(fd, text, strlen(text), place);
        if (r >= 0 && shutdown(fd, SHUT_WR) < 0)
                r = -errno;
        return r < 0 ? error_set_errnof(reterr, r, "The storage could not be asked: %m") : TAKE_FD(fd);
}

typedef struct Open {
        Operation *operation;
        char *key;
        int place;
} Open;

static void open_free(Open *x) {
        if (!x)
                return;
        safe_close(x->place);
        free(x->key);
        free(x);
}

/* On record before it is handed out. */
static void on_open_recorded(int r, AuditRecord *record, Error *error, void *userdata) {
        _cleanup_(audit_record_freep) _unused_ AuditRecord *taken = record;
        _cleanup_close_ int fd = -EBADF;
        _cleanup_error_ Error e = {};
        Open *x = userdata;

        if (r >= 0)
                r = fd = open_connection(x->key, x->place, &e);
        if (r < 0)
                operation_fail(x->operation, error_is_set(error) ? error : &e);
        else
                operation_reply(x->operation, "h", fd);
        open_free(x);
}

static int open_record(
                Manager *m, sd_bus_message *message, const char *key, const CopyKey *k, Error *reterr) {
        _cleanup_json_ json_t *details = json_pack("{s:s}", "copy", key);
        Open *x = new0(Open, 1);
        int r;

        if (!x)
                return error_set_errnof(reterr, ENOMEM, "%m");
        x->place = -EBADF;
        r = take_place(m, &x->place, reterr);
        if (r < 0) {
                open_free(x);
                return r;
        }
        if (details)
                x->key = strdup(key);
        if (x->key)
                x->operation = operation_new(m, message);
        if (!x->operation) {
                open_free(x);
                return error_set_errnof(reterr, ENOMEM, "%m");
        }
        r = store_append_audit(m->db,
                        &(AuditEntry) {
                                        .action = AUDIT_BACKUP_EXPORT,
                                        .outcome = AUDIT_SUCCEEDED,
                                        .actor = operation_actor(x->operation),
                                        .instance = k->slug,
                                        .instance_id = k->instance,
                                        .details = details,
                        },
                        on_open_recorded, x, NULL, reterr);
        if (r < 0) {
                operation_fail(x->operation, reterr);
                open_free(x);
        }
        return 1;
}

int method_open_copy(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        const char *key;
        CopyKey k;
        int r;

        r = sd_bus_message_read(message, "s", &key);
        if (r < 0)
                return r;
        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r >= 0 && copy_key_parse(key, &k) < 0)
                r = error_setf(&e, CCP_ERROR_INVALID_ARGUMENT,
                                "'%s' is no copy of a backup. 'ccpctl backup list --storage' shows those "
                                "that "
                                "there are.",
                                TEXT_FOR_ERROR(key));
        if (r >= 0)
                r = check_storage(m, &e);
        if (r >= 0)
                r = open_record(m, message, key, &k, &e);
        return r < 0 ? bus_error_move(reterr, &e) : 1;
}
