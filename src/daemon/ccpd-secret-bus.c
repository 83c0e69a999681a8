/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-secret-bus.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-manager.h"
#include "fd-util.h"
#include "store-audit.h"
#include "store-secret.h"
#include "string-util.h"
#include "validate.h"

/* A secret on its way out. */
typedef struct Reveal {
        Operation *operation;
        char instance_id[STORE_ID_MAX];
        char *slug, *name;
        int fd; /* a sealed memfd with the secret */
} Reveal;

static Reveal *reveal_free(Reveal *v) {
        if (!v)
                return NULL;

        safe_close(v->fd);
        free(v->slug);
        free(v->name);
        return mfree(v);
}
DEFINE_CLEANUP_FUNC(Reveal *, reveal_free);

static void reveal_fail(Reveal *v, Error *error) {
        operation_fail(v->operation, error);
        reveal_free(v);
}

/* --- listing --- */

static int append_secret(sd_bus_message *reply, _unused_ Operation *o, const void *items, size_t k) {
        const SecretRecord *s = (const SecretRecord *) items + k;

        return sd_bus_message_append(reply, "(sut)", s->name, s->version, s->created_at);
}

static void on_secrets_listed(int r, SecretRecords *secrets, Error *error, void *userdata) {
        if (r < 0)
                operation_fail(userdata, error);
        else
                operation_reply_array(userdata, "(sut)", secrets->items, secrets->n, append_secret,
                                "list the secrets");
}

int method_list_secrets(sd_bus_message *message, void *userdata, _unused_ sd_bus_error *reterr) {
        const Instance *i = userdata;
        _cleanup_error_ Error e = {};
        Operation *o;
        int r;

        o = operation_new(i->manager, message);
        if (!o)
                return -ENOMEM;
        r = store_load_secrets(i->manager->db, i->record->id, NULL, on_secrets_listed, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

/* --- revealing --- */

static void on_reveal_recorded(int r, _unused_ AuditRecord *record, Error *error, void *userdata) {
        _cleanup_(audit_record_freep) AuditRecord *taken = record;
        _cleanup_(reveal_freep) Reveal *v = userdata;

        if (r < 0)
                operation_fail(v->operation, error);
        else
                operation_reply(v->operation, "h", v->fd);
}

int secret_to_memfd(const char *plain, size_t size, int *ret) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        r = loop_write(fd, plain, size);
        if (r < 0)
                return r;
        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return -errno;

        *ret = TAKE_FD(fd);
        return 0;
}

static int reveal_open(Reveal *v, const SecretRecord *s, Error *reterr) {
        const Manager *m = operation_manager(v->operation);
        _cleanup_vault_plain_ char *plain = NULL;
        size_t size;
        int r;

        if (!m->vault)
                return error_setf(reterr, CCP_ERROR_KEY_MISSING, "%s", m->vault_error.message);

        r = vault_unseal(m->vault,
                        &(VaultLabel) {
                                        .instance = v->instance_id,
                                        .name = s->name,
                                        .version = s->version,
                        },
                        s->key_id, s->sealed, s->sealed_size, &plain, &size, reterr);
        if (r < 0)
                return r;

        r = secret_to_memfd(plain, size, &v->fd);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot hand over the secret: %m") : 0;
}

/* Opened first, so that only what will be handed over is recorded; recorded before it is handed over. */
static void on_secret_loaded(int r, SecretRecords *secrets, Error *error, void *userdata) {
        json_auto_t *details = NULL;
        _cleanup_error_ Error e = {};
        Reveal *v = userdata;

        if (r < 0) {
                reveal_fail(v, error);
                return;
        }

        if (secrets->n == 0)
                r = error_setf(&e, CCP_ERROR_NO_SUCH_SECRET,
                                "'%s' has no secret '%s'. See: ccpctl secret list %s", v->slug,
                                TEXT_FOR_ERROR(v->name), v->slug);
        else
                r = reveal_open(v, secrets->items, &e);
        if (r >= 0) {
                details = json_pack(
                                "{s:s, s:i}", "secret", v->name, "version", (int) secrets->items[0].version);
                r = store_append_audit(operation_manager(v->operation)->db,
                                &(AuditEntry) {
                                                .action = AUDIT_SECRET_REVEAL,
                                                .outcome = AUDIT_SUCCEEDED,
                                                .actor = operation_actor(v->operation),
                                                .instance = v->slug,
                                                .instance_id = v->instance_id,
                                                .details = details,
                                },
                                on_reveal_recorded, v, NULL, &e);
        }
        if (r < 0)
                reveal_fail(v, &e);
}

static int reveal_new(const Instance *i, const char *name, Reveal **ret) {
        _cleanup_(reveal_freep) Reveal *v = NULL;

        v = new0(Reveal, 1);
        if (!v)
                return -ENOMEM;
        v->fd = -EBADF;
        memcpy(v->instance_id, i->record->id, sizeof(v->instance_id));
        v->slug = strdup(i->record->slug);
        v->name = strdup(name);
        if (!v->slug || !v->name)
                return -ENOMEM;

        *ret = TAKE_PTR(v);
        return 0;
}

int method_reveal_secret(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(reveal_freep) Reveal *v = NULL;
        const Instance *i = userdata;
        _cleanup_error_ Error e = {};
        const char *name;
        int r;

        r = sd_bus_message_read(message, "s", &name);
        if (r < 0)
                return r;
        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r >= 0)
                r = manager_check_store(i->manager, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        r = reveal_new(i, name, &v);
        if (r < 0)
                return r;
        v->operation = operation_new(i->manager, message);
        if (!v->operation)
                return -ENOMEM;

        r = store_load_secrets(i->manager->db, i->record->id, name, on_secret_loaded, v, NULL, &e);
        if (r < 0) {
                reveal_fail(TAKE_PTR(v), &e);
                return 1;
        }

        TAKE_PTR(v);
        return 1;
}
