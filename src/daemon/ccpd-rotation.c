/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-rotation.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>

#include "alloc-util.h"
#include "backup-keys.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-access.h"
#include "ccpd-alert-secret.h"
#include "ccpd-announce.h"
#include "ccpd-audit.h"
#include "ccpd-manager.h"
#include "event-util.h"
#include "log.h"
#include "storage-open.h"
#include "store-audit.h"
#include "store-rotation.h"
#include "string-util.h"

#define UNIT_NEXT "ccp-master-key@next.service"
#define UNIT_RETIRE "ccp-master-key@retire.service"
#define UNIT_ALERTS "ccp-alert-webhook.service"

/* Sealed anew in one transaction. */
#define BATCH 64U
/* How soon is tried again what failed, or looked again whether a worker has ended. */
#define RETRY_USEC (10 * USEC_PER_SEC)

struct KeyRotation {
        Manager *manager;
        Operation *operation; /* that begins it */
        Error failure;        /* it did not begin: what it is to be answered */
        char **workers;       /* the units of jobs that have only the former key */
        bool workers_known;   /* they were listed since the start */
        bool alerts_gone;     /* no more does the one that delivers alerts */
        bool busy;            /* waits for an answer */
        uint64_t left;
        Error error;
        sd_event_source *source;
};

static void advance(KeyRotation *k);

static const char *former(const KeyRotation *k) {
        return k->manager->vault ? vault_former_key_id(k->manager->vault) : NULL;
}

KeyRotation *key_rotation_new(Manager *m) {
        KeyRotation *k = new0(KeyRotation, 1);

        if (k)
                k->manager = m;
        return k;
}

KeyRotation *key_rotation_free(KeyRotation *k) {
        if (!k)
                return NULL;

        sd_event_source_unref(k->source);
        strv_free(k->workers);
        error_done(&k->error);
        error_done(&k->failure);
        return mfree(k);
}

const char *key_rotation_error(const KeyRotation *k) {
        return k->error.message;
}

uint64_t key_rotation_left(const KeyRotation *k) {
        return k->left;
}

static void note_changed(KeyRotation *k) {
        k->manager->changed = true;
        manager_queue_emit(k->manager);
}

/* --- going on --- */

static int on_retry(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        KeyRotation *k = userdata;

        if (k->workers && *k->workers)
                manager_list_units(k->manager);
        advance(k);
        return 0;
}

static void retry_later(KeyRotation *k) {
        int r;

        r = event_reset_time_relative(k->manager->event, &k->source, RETRY_USEC, 0, on_retry, k);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer to go on with the master key: %m");
}

/* The store says by itself why it is away. */
static void fail_for_now(KeyRotation *k, const Error *error) {
        log_debug("Failed to go on with the master key, trying again: %s", strempty(error->message));
        retry_later(k);
}

/* What does not help itself: everything else works on with both keys. */
static void fail_for_good(KeyRotation *k, Error *error) {
        log_error("The master key %s is not replaced by %s any further, both stay in use: %s", former(k),
                        vault_key_id(k->manager->vault), error->message);
        error_move(&k->error, error);
        note_changed(k);
}

static void on_retired(const Error *error, void *userdata) {
        KeyRotation *k = userdata;
        Manager *m = k->manager;

        k->busy = false;
        if (error) {
                (void) log_full(unit_error_level(error), 0,
                                "The former master key could not be put away, trying again: %s",
                                error->message);
                retry_later(k);
                return;
        }

        log_notice("The master key %s took the place of %s.", vault_key_id(m->vault), former(k));
        vault_forget_former(m->vault);
        k->left = 0;
        note_changed(k);
}

static void retire(KeyRotation *k) {
        _cleanup_error_ Error e = {};
        int r;

        r = unit_client_start(k->manager->units, UNIT_RETIRE, on_retired, k, NULL);
        if (r < 0) {
                (void) error_set_errnof(&e, r, "Cannot start " UNIT_RETIRE ": %m");
                on_retired(&e, k);
        }
}

static void on_ended(int r, uint64_t left, Error *error, void *userdata) {
        KeyRotation *k = userdata;

        if (r < 0) {
                k->busy = false;
                fail_for_now(k, error);
        } else if (left > 0) {
                k->busy = false;
                advance(k);
        } else
                retire(k);
}

static void end(KeyRotation *k) {
        Manager *m = k->manager;
        _cleanup_error_ Error e = {};
        AuditActor self;

        audit_actor_self(&self);
        if (store_end_rotation(m->db, former(k), vault_key_id(m->vault), &self, on_ended, k, NULL, &e) < 0)
                on_ended(-EIO, 0, &e, k);
}

static void on_resealed(int r, uint64_t left, Error *error, void *userdata) {
        KeyRotation *k = userdata;

        k->busy = false;
        if (r < 0) {
                fail_for_now(k, error);
                return;
        }

        k->left = left;
        note_changed(k);
        advance(k);
}

static VaultLabel label_of(const SealedRecord *s) {
        if (s->kind == SEALED_BACKUP_KEY)
                return backup_key_label(s->name);
        if (s->kind == SEALED_ALERT_SECRET)
                return alert_secret_label(s->version);
        if (s->kind == SEALED_STORAGE)
                return storage_label(s->version);
        return (VaultLabel) { .instance = s->instance, .name = s->name, .version = s->version };
}

/* Opens it again: what cannot be opened must not take the place of what can. */
static int check_sealed(const Vault *vault, const VaultLabel *label, const void *sealed, size_t size,
                const char *plain, size_t plain_size, Error *reterr) {
        _cleanup_vault_plain_ char *again = NULL;
        size_t n;
        int r;

        r = vault_unseal(vault, label, vault_key_id(vault), sealed, size, &again, &n, reterr);
        if (r < 0)
                return r;
        if (n != plain_size || sodium_memcmp(again, plain, n) != 0)
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "The secret '%s' was not sealed as what it was.", label->name);
        return 0;
}

static int reseal_record(const Vault *vault, SealedRecord *s, Error *reterr) {
        const VaultLabel label = label_of(s);
        _cleanup_vault_plain_ char *plain = NULL;
        _cleanup_free_ uint8_t *sealed = NULL;
        size_t plain_size, size;
        int r;

        r = vault_unseal(vault, &label, vault_former_key_id(vault), s->sealed, s->size, &plain, &plain_size,
                        reterr);
        if (r >= 0)
                r = vault_seal(vault, &label, plain, plain_size, &sealed, &size, reterr);
        if (r >= 0)
                r = check_sealed(vault, &label, sealed, size, plain, plain_size, reterr);
        if (r < 0)
                return r;

        free(s->sealed);
        s->sealed = TAKE_PTR(sealed);
        s->size = size;
        return 0;
}

static void on_loaded(int r, SealedRecords *records, Error *error, void *userdata) {
        _cleanup_(sealed_records_freep) SealedRecords *taken = records;
        _cleanup_error_ Error e = {};
        KeyRotation *k = userdata;
        Manager *m = k->manager;

        if (r < 0) {
                on_resealed(r, 0, error, k);
                return;
        }
        if (taken->n == 0) {
                end(k);
                return;
        }
        k->left = taken->left;

        FOREACH_ARRAY(s, taken->items, taken->n) {
                if (reseal_record(m->vault, s, &e) < 0) {
                        k->busy = false;
                        fail_for_good(k, &e);
                        return;
                }
        }
        if (store_reseal(m->db, former(k), vault_key_id(m->vault), TAKE_PTR(taken), on_resealed, k, NULL,
                            &e) < 0)
                on_resealed(-EIO, 0, &e, k);
}

static void on_alerts_listed(char *const *units, const Error *error, void *userdata) {
        KeyRotation *k = userdata;

        k->busy = false;
        if (error)
                fail_for_now(k, error);
        else if (units && *units)
                retry_later(k);
        else {
                k->alerts_gone = true;
                advance(k);
        }
}

static void list_alerts(KeyRotation *k) {
        _cleanup_error_ Error e = {};
        int r;

        r = unit_client_list(k->manager->units, UNIT_ALERTS, on_alerts_listed, k);
        if (r < 0) {
                (void) error_set_errnof(&e, r, "Cannot ask for " UNIT_ALERTS ": %m");
                on_alerts_listed(NULL, &e, k);
        }
}

/* Who has only the former key could not open what is sealed with the next one, and would go on sealing with it. */
static bool is_waiting(const KeyRotation *k) {
        return !k->manager->loaded || !k->workers_known || (k->workers && *k->workers);
}

static void advance(KeyRotation *k) {
        Manager *m = k->manager;
        _cleanup_error_ Error e = {};

        if (!former(k) || k->busy || k->error.name || is_waiting(k))
                return;

        k->busy = true;
        if (!k->alerts_gone)
                list_alerts(k);
        else if (store_load_sealed(m->db, former(k), BATCH, on_loaded, k, NULL, &e) < 0)
                on_loaded(-EIO, NULL, &e, k);
}

void key_rotation_note_loaded(KeyRotation *k) {
        advance(k);
}

/* Of those that ran when ccpd was started, those that still do. */
void key_rotation_note_units(KeyRotation *k, char *const *units) {
        _cleanup_strv_free_ char **still = NULL;

        if (!former(k))
                return;

        for (char *const *u = units; u && *u; u++)
                if ((!k->workers_known || strv_contains(k->workers, *u)) && strv_extend(&still, *u) < 0) {
                        log_oom();
                        retry_later(k);
                        return;
                }

        strv_free(k->workers);
        k->workers = TAKE_PTR(still);
        k->workers_known = true;
        if (k->workers)
                retry_later(k);
        advance(k);
}

/* --- beginning --- */

/* Who called is answered when the failure is on record, or can't be. */
static void on_failure_recorded(int r, _unused_ AuditRecord *record, _unused_ Error *error, void *userdata) {
        KeyRotation *k = userdata;

        audit_record_free(r < 0 ? NULL : record);
        operation_fail(TAKE_PTR(k->operation), &k->failure);
        error_done(&k->failure);
}

static void begin_failed(KeyRotation *k, Error *error) {
        _cleanup_error_ Error e = {};

        error_move(&k->failure, error);
        if (store_append_audit(k->manager->db,
                            &(AuditEntry) {
                                            .action = AUDIT_KEY_ROTATE,
                                            .outcome = AUDIT_FAILED,
                                            .actor = operation_actor(k->operation),
                                            .error_name = k->failure.name,
                            },
                            on_failure_recorded, k, NULL, &e) < 0)
                on_failure_recorded(-EIO, NULL, &e, k);
}

static void on_next_made(const Error *error, void *userdata) {
        KeyRotation *k = userdata;
        _cleanup_error_ Error e = {};

        if (error) {
                (void) error_setf(&e, error->name,
                                "The next master key could not be made: %s See: journalctl -u '" UNIT_NEXT
                                "'",
                                error->message);
                begin_failed(k, &e);
                return;
        }

        /* PID 1 hands keys over when it starts a service. */
        operation_reply(TAKE_PTR(k->operation), NULL);
        log_notice("The next master key was made; starting anew, to have both.");
        (void) sd_event_exit(k->manager->event, CCP_EXIT_RESTART);
}

static void on_begun(int r, _unused_ uint64_t left, Error *error, void *userdata) {
        KeyRotation *k = userdata;
        _cleanup_error_ Error e = {};

        if (r < 0) {
                operation_fail(TAKE_PTR(k->operation), error);
                return;
        }

        r = unit_client_start(k->manager->units, UNIT_NEXT, on_next_made, k, NULL);
        if (r < 0) {
                (void) error_set_errnof(&e, r, "Cannot start " UNIT_NEXT ": %m");
                on_next_made(&e, k);
        }
}

static int check_begin(const KeyRotation *k, Error *reterr) {
        const Manager *m = k->manager;

        if (!m->vault)
                return error_setf(reterr, CCP_ERROR_KEY_MISSING, "%s", m->vault_error.message);
        if (k->operation || former(k))
                return error_setf(reterr, CCP_ERROR_BUSY,
                                "The master key is being replaced already. See: ccpctl key status");
        return manager_check_store(m, reterr);
}

int method_rotate_master_key(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        KeyRotation *k = m->rotation;
        int r;

        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r >= 0)
                r = check_begin(k, &e);
        if (r < 0)
                return error_is_set(&e) ? bus_error_move(reterr, &e) : r;

        k->operation = operation_new(m, message);
        if (!k->operation)
                return -ENOMEM;
        r = store_begin_rotation(
                        m->db, vault_key_id(m->vault), operation_actor(k->operation), on_begun, k, NULL, &e);
        if (r < 0)
                on_begun(r, 0, &e, k);
        return 1;
}

/* --- looking --- */

int property_get_master_key(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                _unused_ const char *property, sd_bus_message *reply, void *userdata,
                _unused_ sd_bus_error *reterr) {
        const Manager *m = userdata;

        if (!access_sees_fleet(m, access_viewer(m)))
                return sd_bus_message_append(reply, "a{sv}", 0);

        return sd_bus_message_append(reply, "a{sv}", 4, "Id", "s", m->vault ? vault_key_id(m->vault) : "",
                        "Former", "s", strempty(former(m->rotation)), "Left", "t", m->rotation->left,
                        "Error", "s", strempty(m->rotation->error.message));
}
