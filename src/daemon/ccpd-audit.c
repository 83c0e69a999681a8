/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-audit.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "bus-options.h"
#include "bus-signal.h"
#include "ccpd-access.h"
#include "ccpd-manager.h"
#include "log.h"
#include "store-audit.h"
#include "string-util.h"

/* It does not matter when in the day. */
#define PRUNE_INTERVAL USEC_PER_DAY
#define PRUNE_ACCURACY USEC_PER_HOUR

#define DECIMAL_MAX sizeof("18446744073709551615")

/* --- one entry --- */

static int append_string(sd_bus_message *m, const char *key, const char *value) {
        return sd_bus_message_append(m, "{sv}", key, "s", strempty(value));
}

static int append_decimal(sd_bus_message *m, const char *key, uint64_t value) {
        char text[DECIMAL_MAX];

        (void) snprintf(text, sizeof(text), "%" PRIu64, value);
        return append_string(m, key, text);
}

static int append_hash(sd_bus_message *m, const char *key, const uint8_t hash[AUDIT_HASH_SIZE]) {
        char text[AUDIT_HASH_SIZE * 2 + 1];

        return append_string(m, key, sodium_bin2hex(text, sizeof(text), hash, AUDIT_HASH_SIZE));
}

static int append_entry(sd_bus_message *m, const AuditRecord *a) {
        const struct {
                const char *key, *value;
        } strings[] = {
                { "Action", a->action },
                { "Outcome", a->outcome },
                { "Instance", a->instance },
                { "InstanceId", a->instance_id },
                { "User", a->user },
                { "Process", a->process },
                { "Unit", a->unit },
                { "Session", a->session },
                { "RemoteHost", a->remote_host },
                { "ErrorName", a->error_name },
                { "Details", a->details },
        };
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        r = append_decimal(m, "Seq", a->seq);
        if (r < 0)
                return r;
        r = sd_bus_message_append(
                        m, "{sv}{sv}{sv}", "Time", "t", a->time, "UID", "u", a->uid, "PID", "u", a->pid);
        if (r < 0)
                return r;
        FOREACH_ARRAY(s, strings, ELEMENTSOF(strings)) {
                r = append_string(m, s->key, s->value);
                if (r < 0)
                        return r;
        }
        r = a->login_uid >= 0 ? append_decimal(m, "LoginUID", (uint64_t) a->login_uid)
                              : append_string(m, "LoginUID", NULL);
        if (r < 0)
                return r;
        r = a->job > 0 ? append_decimal(m, "Job", a->job) : append_string(m, "Job", NULL);
        if (r < 0)
                return r;
        r = append_hash(m, "Previous", a->previous);
        if (r < 0)
                return r;
        r = append_hash(m, "Hash", a->hash);
        if (r < 0)
                return r;
        return sd_bus_message_close_container(m);
}

/* --- queries --- */

static void fail_reply(Operation *o, int r) {
        _cleanup_error_ Error e = {};

        (void) error_set_errnof(&e, r, "Cannot tell what is on record: %m");
        operation_fail(o, &e);
}

static int append_queried(sd_bus_message *reply, _unused_ Operation *o, const void *items, size_t k) {
        return append_entry(reply, ((AuditRecord *const *) items)[k]);
}

static void on_queried(int r, AuditRecords *records, Error *error, void *userdata) {
        if (r < 0)
                operation_fail(userdata, error);
        else
                operation_reply_array(userdata, "a{sv}", records->items, records->n, append_queried,
                                "tell what is on record");
}

static const BusOption filter_options[] = {
        { "instance", "s", offsetof(StoreAuditFilter, instance) },
        { "user", "s", offsetof(StoreAuditFilter, user) },
        { "action", "s", offsetof(StoreAuditFilter, action) },
        { "outcome", "s", offsetof(StoreAuditFilter, outcome) },
        { "since", "t", offsetof(StoreAuditFilter, since) },
        { "until", "t", offsetof(StoreAuditFilter, until) },
        { "before", "t", offsetof(StoreAuditFilter, before) },
        { "after", "t", offsetof(StoreAuditFilter, after) },
        { "oldest-first", "b", offsetof(StoreAuditFilter, oldest_first) },
};

int method_query_audit(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        StoreAuditFilter f = {};
        Manager *m = userdata;
        Operation *o;
        int r;

        r = bus_read_options(message, filter_options, ELEMENTSOF(filter_options), &f, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        r = sd_bus_message_read(message, "t", &f.limit);
        if (r < 0)
                return r;
        if (bus_check_page(f.limit, &e) < 0)
                return bus_error_move(reterr, &e);
        if (f.outcome && audit_outcome_from_string(f.outcome) < 0)
                return sd_bus_error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is no such outcome, only: accepted, succeeded, failed, cancelled, "
                                "denied.");
        if (f.action && audit_action_from_string(f.action) < 0)
                return sd_bus_error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is no such action. See org.changemaker.ccp1(5) for all.");

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_query_audit(m->db, &f, on_queried, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

/* --- verification --- */

static int append_verdict(sd_bus_message *reply, const AuditVerdict *v) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r < 0)
                return r;
        r = append_string(reply, "Fault", audit_fault_to_string(v->fault));
        if (r < 0)
                return r;
        r = append_decimal(reply, "Seq", v->seq);
        if (r < 0)
                return r;
        r = append_decimal(reply, "First", v->first);
        if (r < 0)
                return r;
        r = append_decimal(reply, "Last", v->last);
        if (r < 0)
                return r;
        r = append_decimal(reply, "Verified", v->n_verified);
        if (r < 0)
                return r;
        r = append_hash(reply, "Head", v->head);
        if (r < 0)
                return r;
        return sd_bus_message_close_container(reply);
}

static void on_verified(int r, const AuditVerdict *verdict, Error *error, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        Operation *o = userdata;

        operation_manager(o)->verifying = false;
        if (r < 0) {
                operation_fail(o, error);
                return;
        }

        if (verdict->fault != AUDIT_FAULT_NONE)
                log_error("The audit record is broken: entry %" PRIu64 " was %s.", verdict->seq,
                                audit_fault_to_string(verdict->fault));

        r = sd_bus_message_new_method_return(operation_message(o), &reply);
        if (r >= 0)
                r = append_verdict(reply, verdict);
        if (r < 0)
                fail_reply(o, r);
        else
                operation_reply_message(o, reply);
}

int method_verify_audit(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        Operation *o;
        int r;

        if (m->verifying)
                return sd_bus_error_setf(reterr, CCP_ERROR_BUSY,
                                "The record is being verified already. Wait for the end of that.");

        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        r = store_verify_audit(m->db, on_verified, o, &e);
        if (r < 0)
                operation_fail(o, &e);
        else
                m->verifying = true;
        return 1;
}

/* --- new entries, and old ones --- */

void audit_announce(Manager *m, uint64_t seq) {
        for (Caller *c = access_next_subscriber(m, NULL); c; c = access_next_subscriber(m, c)) {
                int r;

                if (!access_sees_fleet(m, c))
                        continue;
                r = bus_send_signal(m->bus, c->name, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "AuditAppended",
                                "t", seq);
                if (r < 0)
                        log_debug_errno(r, "Failed to tell %s of an entry, ignoring: %m", c->name);
        }
}

static void on_pruned(int r, uint64_t n_removed, Error *error, _unused_ void *userdata) {
        if (r < 0)
                log_warning("Old entries of the audit record could not be removed, trying again tomorrow: "
                            "%s",
                                error->message);
        else if (n_removed > 0)
                log_info("Removed %" PRIu64 " old entries of the audit record.", n_removed);
}

void audit_actor_self(AuditActor *ret) {
        *ret = (AuditActor) {
                .uid = getuid(),
                .user = "ccpd",
                .login_uid = -1,
                .pid = (uint32_t) getpid(),
                .process = "ccpd",
        };
}

static void prune(Manager *m) {
        _cleanup_error_ Error e = {};
        AuditActor self;

        if (m->settings->audit_retention_days == 0)
                return;

        audit_actor_self(&self);
        if (store_prune_audit(m->db, (usec_t) m->settings->audit_retention_days * USEC_PER_DAY, &self,
                            on_pruned, m, NULL, &e) < 0)
                log_debug("Old entries of the audit record are not removed now: %s", e.message);
}

static int on_prune(sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        int r;

        prune(userdata);
        r = sd_event_source_set_time_relative(s, PRUNE_INTERVAL);
        if (r >= 0)
                r = sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return r;
}

void audit_start_pruning(Manager *m) {
        int r;

        if (m->prune_source)
                return;

        r = sd_event_add_time_relative(
                        m->event, &m->prune_source, CLOCK_MONOTONIC, 0, PRUNE_ACCURACY, on_prune, m);
        if (r < 0)
                log_warning_errno(r, "Failed to set a timer to remove old entries: %m");
}
