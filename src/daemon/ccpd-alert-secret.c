/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-alert-secret.h"

#include <errno.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-manager.h"
#include "fd-util.h"
#include "log.h"
#include "secret-generate.h"
#include "store-audit.h"
#include "string-util.h"

/* 256 bits and a little */
#define SECRET_LENGTH 43U

VaultLabel alert_secret_label(unsigned version) {
        return (VaultLabel) {
                .instance = STORE_ALERT_SECRET_INSTANCE,
                .name = STORE_ALERT_SECRET_NAME,
                .version = version,
        };
}

/* Records a new one of this version, as done by 'actor' (NULL: nobody asked for it). */
static int secret_put(Manager *m, unsigned version, const AuditActor *actor,
                StoreAlertSecretsCallback callback, void *userdata, Error *reterr) {
        const VaultLabel label = alert_secret_label(version);
        _cleanup_free_ uint8_t *sealed = NULL;
        _cleanup_erase_ char *plain = NULL;
        size_t size;
        int r;

        r = manager_check_sealing(m, reterr);
        if (r < 0)
                return r;
        r = secret_generate(SECRET_ALPHANUMERIC, SECRET_LENGTH, &plain);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot make the secret of the webhook: %m");
        r = vault_seal(m->vault, &label, plain, strlen(plain), &sealed, &size, reterr);
        if (r < 0)
                return r;

        return store_alert_secrets(m->db,
                        &(StoreAlertSecret) {
                                        .version = version,
                                        .key_id = vault_key_id(m->vault),
                                        .sealed = sealed,
                                        .size = size,
                        },
                        actor, callback, userdata, NULL, reterr);
}

/* --- the first one --- */

static void on_ensured(int r, _unused_ SecretRecords *secrets, Error *error, _unused_ void *userdata) {
        if (r < 0)
                log_warning("The secret of the webhook could not be made: %s", error->message);
}

static void on_ensure_read(int r, SecretRecords *secrets, Error *error, void *userdata) {
        _cleanup_error_ Error e = {};

        if (r < 0) {
                log_debug("Failed to look for the secret of the webhook: %s", error->message);
                return;
        }

        if (secrets->n == 0) {
                r = secret_put(userdata, 1, NULL, on_ensured, userdata, &e);
                if (r < 0)
                        on_ensured(r, NULL, &e, NULL);
        }
}

void alert_secret_ensure(Manager *m) {
        _cleanup_error_ Error e = {};

        if (store_alert_secrets(m->db, NULL, NULL, on_ensure_read, m, NULL, &e) < 0)
                log_debug("Failed to look for the secret of the webhook: %s", e.message);
}

/* --- revealing --- */

typedef struct Reveal {
        Operation *operation;
        bool made; /* the first one, just now */
        int fd;
} Reveal;

static void reveal_end(Reveal *v, const Error *error) {
        if (error)
                operation_fail(v->operation, error);
        else
                operation_reply(v->operation, "h", v->fd);
        safe_close(v->fd);
        free(v);
}

static void on_reveal_recorded(int r, _unused_ AuditRecord *record, Error *error, void *userdata) {
        _cleanup_(audit_record_freep) AuditRecord *taken = record;

        reveal_end(userdata, r < 0 ? error : NULL);
}

static int reveal_open(Reveal *v, const SecretRecord *s, Error *reterr) {
        const Manager *m = operation_manager(v->operation);
        const VaultLabel label = alert_secret_label(s->version);
        _cleanup_vault_plain_ char *plain = NULL;
        size_t size;
        int r;

        if (!m->vault)
                return error_setf(reterr, CCP_ERROR_KEY_MISSING, "%s", m->vault_error.message);

        r = vault_unseal(m->vault, &label, s->key_id, s->sealed, s->sealed_size, &plain, &size, reterr);
        if (r < 0)
                return r;
        r = v->fd = memfd_new_sealed("secret", plain, size);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot hand over the secret: %m") : 0;
}

/* As with those of instances: opened first, recorded before it is handed over. */
static int reveal_record(Reveal *v, const SecretRecord *s, Error *reterr) {
        json_auto_t *details = NULL;
        int r;

        r = reveal_open(v, s, reterr);
        if (r < 0)
                return r;

        details = json_pack("{s:s, s:i}", "secret", STORE_ALERT_SECRET_NAME, "version", (int) s->version);
        return store_append_audit(operation_manager(v->operation)->db,
                        &(AuditEntry) {
                                        .action = AUDIT_SECRET_REVEAL,
                                        .outcome = AUDIT_SUCCEEDED,
                                        .actor = operation_actor(v->operation),
                                        .details = details,
                        },
                        on_reveal_recorded, v, NULL, reterr);
}

static void on_reveal_read(int r, SecretRecords *secrets, Error *error, void *userdata) {
        _cleanup_error_ Error e = {};
        Reveal *v = userdata;

        if (r < 0) {
                reveal_end(v, error);
                return;
        }

        if (secrets->n > 0)
                r = reveal_record(v, secrets->items, &e);
        else if (v->made)
                r = error_setf(&e, CCP_ERROR_INTERNAL,
                                "The secret of the webhook was made and is not there.");
        else {
                v->made = true;
                r = secret_put(operation_manager(v->operation), 1, NULL, on_reveal_read, v, &e);
        }
        if (r < 0)
                reveal_end(v, &e);
}

int method_reveal_alert_secret(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        Reveal *v;
        int r;

        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        v = new0(Reveal, 1);
        if (!v)
                return -ENOMEM;
        v->fd = -EBADF;
        v->operation = operation_new(m, message);
        if (!v->operation) {
                free(v);
                return -ENOMEM;
        }

        r = store_alert_secrets(m->db, NULL, NULL, on_reveal_read, v, NULL, &e);
        if (r < 0)
                reveal_end(v, &e);
        return 1;
}

/* --- a new one --- */

static void on_rotated(int r, _unused_ SecretRecords *secrets, Error *error, void *userdata) {
        if (r < 0)
                operation_fail(userdata, error);
        else
                operation_reply(userdata, NULL);
}

static void on_rotate_read(int r, SecretRecords *secrets, Error *error, void *userdata) {
        Operation *o = userdata;
        _cleanup_error_ Error e = {};

        if (r < 0) {
                operation_fail(o, error);
                return;
        }

        /* Of two at once the second one finds the version taken: to him, the first one's is as new as his own. */
        r = secret_put(operation_manager(o), secrets->n > 0 ? secrets->items[0].version + 1 : 1,
                        operation_actor(o), on_rotated, o, &e);
        if (r < 0)
                operation_fail(o, &e);
}

int method_rotate_alert_secret(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        Operation *o;
        int r;

        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_alert_secrets(m->db, NULL, NULL, on_rotate_read, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}
