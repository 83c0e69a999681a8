/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-doctor.h"

#include <errno.h>
#include <inttypes.h>

#include "alloc-util.h"
#include "ccpd-finding.h"
#include "ccpd-manager.h"
#include "finding.h"
#include "json-util.h"
#include "store-recovery-key.h"
#include "string-util.h"
#include "strv.h"
#include "worker-call.h"

/* A caller gives up after 25 s. */
#define DOCTOR_TIMEOUT_USEC (20 * USEC_PER_SEC)
#define DOCTOR_ANSWER_MAX (256U * 1024U)
#define FINDINGS_MAX 200U
/* Each is a process; fewer than ccp-doctor.socket has connections. */
#define DOCTORS_MAX 3U
/* Of ports and subnets that are left: when to say so. */
#define POOL_WARNING_PERCENT 80U

typedef struct Doctor {
        Manager *manager;
        Operation *operation;
        json_t *findings;
        unsigned n_asked; /* workers that have not answered yet */
} Doctor;

static Doctor *doctor_free(Doctor *d) {
        if (!d)
                return NULL;

        d->manager->n_doctors--;
        operation_free(d->operation);
        json_decref(d->findings);
        return mfree(d);
}
DEFINE_CLEANUP_FUNC(Doctor *, doctor_free);

/* --- what ccpd knows by itself --- */

static int check_store(const Manager *m, json_t *findings) {
        _cleanup_error_ Error e = {};

        if (manager_check_store(m, &e) < 0)
                return findings_addf(findings, "store", FINDING_FAILED,
                                "See: systemctl status postgresql; journalctl -u ccpd -u 'postgresql*'",
                                "%s", e.message);

        return findings_addf(
                        findings, "store", FINDING_OK, NULL, "PostgreSQL answers, all records were read.");
}

static int check_key(const Manager *m, json_t *findings) {
        if (!m->vault)
                return findings_addf(findings, "key", FINDING_FAILED,
                                "Restore the file, or on a new server: /usr/lib/ccpd/ccp-setup --key", "%s",
                                m->vault_error.message);
        if (error_is_set(&m->foreign_key))
                return findings_addf(findings, "key", FINDING_FAILED, MANAGER_KEY_ADVICE, "%s",
                                m->foreign_key.message);
        if (!vault_is_locked(m->vault))
                return findings_addf(findings, "key", FINDING_WARNING,
                                "Raise LimitMEMLOCK= of ccpd.service (systemctl edit ccpd).",
                                "The keys could not be locked into memory: they may be written to swap.");

        if (key_rotation_error(m->rotation))
                return findings_addf(findings, "key", FINDING_FAILED, "See: ccpctl key status",
                                "The master key %s is not replaced any further: %s",
                                vault_former_key_id(m->vault), key_rotation_error(m->rotation));

        return findings_addf(findings, "key", FINDING_OK, NULL, "The master key %s is there%s%s.",
                        vault_key_id(m->vault), vault_former_key_id(m->vault) ? ", and replaces " : "",
                        strempty(vault_former_key_id(m->vault)));
}

static bool is_opened_by_any(const BackupSummary *backups, const RecoveryKeyRecords *keys) {
        FOREACH_ARRAY(k, keys->items, keys->n)
                if (strv_contains(backups->recovery_keys, k->id))
                        return true;
        return false;
}

/* The slugs of instances whose newest backup this key does not open, or, for NULL, none of them does. "" if there is none;
 * NULL if there is no memory for it. */
static char *list_unopened(const Manager *m, const char *key) {
        _cleanup_string_builder_ StringBuilder b = {};
        char *list;

        for (const Instance *i = m->instances; i; i = i->hh.next) {
                const BackupSummary *backups = &i->record->backups;

                if (!backups->recovery_keys)
                        continue;
                if (key ? !strv_contains(backups->recovery_keys, key)
                        : !is_opened_by_any(backups, m->recovery_keys))
                        string_builder_appendf(&b, "%s%s", b.size > 0 ? ", " : "", i->record->slug);
        }
        return string_builder_finish(&b, &list, NULL) < 0 ? NULL : list;
}

/* A key opens what is made after it was enrolled, and nothing before. 1 if that was told of one, 0 if all open all. */
static int check_newest_backups(const Manager *m, json_t *findings) {
        static const char advice[] = "Make new ones: ccpctl backup create --all; of one that is stopped: "
                                     "ccpctl backup create SLUG";
        _cleanup_free_ char *unopened = list_unopened(m, NULL);
        int r;

        if (!unopened)
                return -ENOMEM;
        if (!isempty(unopened)) {
                r = findings_addf(findings, "recovery-key", FINDING_FAILED, advice,
                                "No recovery key opens the newest backup of: %s.", unopened);
                return r < 0 ? r : 1;
        }

        FOREACH_ARRAY(k, m->recovery_keys->items, m->recovery_keys->n) {
                _cleanup_free_ char *list = list_unopened(m, k->id);

                if (!list)
                        return -ENOMEM;
                if (isempty(list))
                        continue;
                r = findings_addf(findings, "recovery-key", FINDING_WARNING, advice,
                                "The recovery key %s does not open the newest backup of: %s.", k->id, list);
                return r < 0 ? r : 1;
        }
        return 0;
}

/* What can be lost makes it a failure. */
static int check_recovery_key(const Manager *m, json_t *findings) {
        size_t n = m->recovery_keys ? m->recovery_keys->n : 0;
        int r;

        if (n > 0) {
                r = check_newest_backups(m, findings);
                return r != 0 ? MIN(r, 0)
                              : findings_addf(findings, "recovery-key", FINDING_OK, NULL,
                                                "Backups can be opened elsewhere, with %zu recovery key%s.",
                                                n, n == 1 ? "" : "s");
        }
        if (!m->loaded)
                return findings_addf(findings, "recovery-key", FINDING_UNKNOWN,
                                "See: systemctl status postgresql",
                                "Whether there is a recovery key is not known: the records were not read.");

        return findings_addf(findings, "recovery-key", m->instances ? FINDING_FAILED : FINDING_WARNING,
                        "Make one, and keep it elsewhere: ccpctl key enroll-recovery",
                        "There is no recovery key: if this server is lost, no backup can be opened.");
}

static int check_blueprints(const Manager *m, json_t *findings) {
        const BlueprintCache *c = m->blueprints;
        bool all = true;
        int r;

        FOREACH_ARRAY(e, c->entries, c->n_entries) {
                _cleanup_free_ char *advice = NULL;

                if (e->blueprint)
                        continue;
                all = false;
                advice = strjoin("See: ccpctl blueprint lint ", e->folder);
                r = findings_addf(findings, "blueprints", FINDING_WARNING, advice, "%s", e->error.message);
                if (r < 0)
                        return r;
        }

        return all ? findings_addf(findings, "blueprints", FINDING_OK, NULL, "%zu blueprint%s can be used.",
                                     c->n_entries, c->n_entries == 1 ? "" : "s")
                   : 0;
}

static int check_pool(
                json_t *findings, const char *what, const char *setting, uint64_t used, uint64_t total) {
        _cleanup_free_ char *advice = NULL;

        if (total == 0 || used * 100 < total * POOL_WARNING_PERCENT)
                return 0;

        advice = strjoin("Make it larger: ccpctl settings set ", setting, "=…");
        return findings_addf(findings, "pools", used >= total ? FINDING_FAILED : FINDING_WARNING, advice,
                        "%" PRIu64 " of %" PRIu64 " %s are taken.", used, total, what);
}

/* Counts what lies in a range, whichever range it was once allocated from. */
static uint64_t count_ports(const Manager *m, const PortRange *range) {
        uint64_t n = 0;

        for (const Instance *i = m->instances; i; i = i->hh.next)
                FOREACH_ARRAY(p, i->record->ports, i->record->n_ports)
                        n += p->number >= range->first && p->number <= range->last;
        return n;
}

static int check_pools(const Manager *m, json_t *findings) {
        const Settings *s = m->settings;
        size_t n = json_array_size(findings);
        uint64_t used = 0;
        int r;

        for (const Instance *i = m->instances; i; i = i->hh.next)
                used += i->record->has_subnet && subnet_contains(&s->subnet_pool, &i->record->subnet);
        r = check_pool(findings, "subnets", "subnet_pool", used,
                        subnet_count(&s->subnet_pool, INSTANCE_SUBNET_PREFIX));
        if (r < 0)
                return r;

        FOREACH_ARRAY(p, s->port_ranges, s->n_port_ranges) {
                _cleanup_free_ char *what = NULL, *setting = NULL;

                what = strjoin("ports of the range '", p->name, "'");
                setting = strjoin("port_range_", p->name);
                if (!what || !setting)
                        return -ENOMEM;
                r = check_pool(findings, what, setting, count_ports(m, &p->range),
                                (uint64_t) p->range.last - p->range.first + 1);
                if (r < 0)
                        return r;
        }

        return json_array_size(findings) > n ? 0
                                             : findings_addf(findings, "pools", FINDING_OK, NULL,
                                                               "Enough ports and subnets are free.");
}

static int check_watch(const Manager *m, json_t *findings) {
        if (m->engine_state == ENGINE_UNKNOWN)
                return findings_addf(findings, "watch", FINDING_WARNING,
                                "Right after a start that is so for a moment; else see: systemctl status "
                                "ccp-watch",
                                "ccp-watch has not told yet how the containers are.");

        return findings_addf(findings, "watch", FINDING_OK, NULL, "ccp-watch tells how the containers are.");
}

static int check_sweeps(const Manager *m, json_t *findings) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (m->settings->health_interval == 0)
                return findings_addf(findings, "sweeps", FINDING_WARNING,
                                "If that is not wanted: ccpctl settings set health_interval=30",
                                "The setting health_interval is 0: nobody looks whether services answer.");
        r = sweeps_check_silence(m->sweeps, &text);
        if (r < 0)
                return r;
        if (r > 0)
                return findings_addf(findings, "sweeps", FINDING_FAILED,
                                "See: systemctl list-timers 'ccp-health@*'; journalctl -u ccp-health", "%s",
                                text);
        return findings_addf(findings, "sweeps", FINDING_OK, NULL, "Sweeps look whether services answer.");
}

static int examine(const Manager *m, json_t *findings) {
        static int (*const checks[])(const Manager *m, json_t *findings) = {
                check_store,
                check_key,
                check_recovery_key,
                check_watch,
                check_sweeps,
                check_blueprints,
                check_pools,
        };
        int r;

        for (size_t k = 0; k < ELEMENTSOF(checks); k++) {
                r = checks[k](m, findings);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* --- what ccp-doctor finds --- */

/* Its texts are partly those of others: the Engine's, polkit's. */
static int take_finding(json_t *findings, const json_t *finding) {
        static const char *const keys[] = { "check", "verdict", "message", "advice" };

        for (size_t k = 0; k < ELEMENTSOF(keys); k++) {
                const char *text = json_object_get_string(finding, keys[k]);

                if (!text || strlen(text) > FINDING_TEXT_MAX)
                        return -EBADMSG;
        }
        if (finding_verdict_from_string(json_object_get_string(finding, "verdict")) < 0)
                return -EBADMSG;

        return json_array_append(findings, (json_t *) finding) < 0 ? -ENOMEM : 0;
}

static int take_findings(json_t *findings, const char *answer, size_t size) {
        _cleanup_json_ json_t *json = NULL;
        json_t *finding;
        size_t k;
        int r;

        r = json_parse(answer, size, 0, &json);
        if (r < 0)
                return r;
        if (!json_is_array(json) || json_array_size(json) == 0 || json_array_size(json) > FINDINGS_MAX)
                return -EBADMSG;

        json_array_foreach(json, k, finding) {
                r = take_finding(findings, finding);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* One of those that were asked has answered, or never will: the last one ends it. */
static void doctor_end_one(Doctor *d) {
        if (--d->n_asked > 0)
                return;

        operation_reply_array(TAKE_PTR(d->operation), "(ssss)", d->findings, json_array_size(d->findings),
                        finding_append, "tell what was found");
        doctor_free(d);
}

static void on_examined(int r, const char *answer, size_t size, Error *error, void *userdata) {
        Doctor *d = userdata;

        if (r >= 0)
                r = take_findings(d->findings, answer, size);
        /* That the worker cannot be asked is itself something to know, and no reason to keep the rest back. */
        if (r < 0)
                (void) findings_addf(d->findings, "host", FINDING_UNKNOWN,
                                "See: systemctl status ccp-doctor.socket; journalctl -u 'ccp-doctor@*'",
                                "%s",
                                error && error->message
                                                ? error->message
                                                : "The host could not be looked at: what ccp-doctor says "
                                                  "makes no sense.");
        doctor_end_one(d);
}

static void ask_host(Doctor *d) {
        const Settings *s = d->manager->settings;
        _cleanup_free_ char *request = NULL;
        _cleanup_error_ Error e = {};
        int r;

        if (asprintf(&request, "{\"subnet_pool\":\"%s\",\"disk_percent\":%u}",
                            SUBNET_FORMAT(&s->subnet_pool), s->alert_disk_percent) < 0)
                request = NULL;
        r = request ? worker_call_new(d->manager->event, CCP_DOCTOR_SOCKET,
                                      "The host could not be looked at", request, DOCTOR_ANSWER_MAX,
                                      DOCTOR_TIMEOUT_USEC, on_examined, d, NULL, &e)
                    : -ENOMEM;
        if (r < 0)
                on_examined(r, NULL, 0, &e, d);
}

/* --- what ccp-storage finds --- */

static int take_storage_findings(json_t *findings, const char *answer, size_t size) {
        _cleanup_json_ json_t *json = NULL;
        json_t *items, *finding;
        const char *failure;
        size_t k;
        int r;

        r = json_parse(answer, size, 0, &json);
        if (r < 0)
                return r;
        items = json_object_get(json, "findings");
        r = json_is_array(items) ? 0 : -EBADMSG;
        failure = json_object_get_string(json_object_get(json, "error"), "message");
        if (failure)
                return findings_addf(findings, "storage", FINDING_FAILED, "See: ccpctl storage test", "%s",
                                failure);
        json_array_foreach(items, k, finding)
                if (r >= 0)
                        r = take_finding(findings, finding);
        return r;
}

static void on_storage_checked(int r, const char *answer, size_t size, Error *error, void *userdata) {
        Doctor *d = userdata;

        if (r >= 0)
                r = take_storage_findings(d->findings, answer, size);
        if (r < 0)
                (void) findings_addf(d->findings, "storage", FINDING_UNKNOWN,
                                "See: systemctl status ccp-storage.socket; journalctl -u 'ccp-storage@*'",
                                "%s",
                                error && error->message
                                                ? error->message
                                                : "What ccp-storage says of the storage makes no sense.");
        doctor_end_one(d);
}

static void ask_storage(Doctor *d) {
        _cleanup_json_ json_t *request = json_pack("{s:s}", "do", "check");
        _cleanup_error_ Error e = {};
        int r;

        r = storage_ask(d->manager, request, DOCTOR_ANSWER_MAX, DOCTOR_TIMEOUT_USEC, on_storage_checked, d,
                        NULL, &e);
        if (r < 0)
                on_storage_checked(r, NULL, 0, &e, d);
}

int method_doctor(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(doctor_freep) Doctor *d = NULL;
        Manager *m = userdata;
        bool stored;
        int r;

        if (m->n_doctors >= DOCTORS_MAX)
                return sd_bus_error_setf(reterr, CCP_ERROR_BUSY,
                                "The host is being looked at for %u others. Try again in some seconds.",
                                DOCTORS_MAX);

        d = new0(Doctor, 1);
        if (!d)
                return -ENOMEM;
        d->manager = m;
        m->n_doctors++;
        d->findings = json_array();
        d->operation = operation_new(m, message);
        if (!d->findings || !d->operation)
                return -ENOMEM;

        r = examine(m, d->findings);
        if (r < 0)
                return r;

        stored = storage_record(m->storage) && db_is_available(m->db);
        d->n_asked = stored ? 2 : 1;
        if (stored)
                ask_storage(d);
        ask_host(TAKE_PTR(d));
        return 1;
}
