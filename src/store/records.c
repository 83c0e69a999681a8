/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "records.h"

#include "alloc-util.h"
#include "db-row.h"
#include "json-util.h"
#include "records-read.h"
#include "string-util.h"

static const char *const revision_state_table[_REVISION_STATE_MAX] = {
        [REVISION_RENDERED] = "rendered",
        [REVISION_ACTIVE] = "active",
        [REVISION_SUPERSEDED] = "superseded",
        [REVISION_FAILED] = "failed",
};
DEFINE_STRING_TABLE(revision_state, RevisionState);

DB_ENUM_READER(instance_state);
DB_ENUM_READER(job_kind);
DB_ENUM_READER(job_state);
DB_ENUM_READER(revision_state);
DB_ENUM_READER(recovery_reason);
DB_ENUM_READER(repair_mode);

/* --- free --- */

InstanceRecord *instance_record_free(InstanceRecord *i) {
        if (!i)
                return NULL;

        free(i->slug);
        free(i->name);
        free(i->domain);
        free(i->blueprint);
        free(i->blueprint_version);
        free(i->engine);
        json_decref(i->parameters);
        strv_free(i->features);
        free(i->source);
        free(i->bind_address);
        free(i->error_name);
        free(i->error_message);
        FOREACH_ARRAY(p, i->ports, i->n_ports) {
                free(p->name);
                free(p->host);
        }
        free(i->ports);
        strv_free(i->stopped_services);
        strv_free(i->changed_files);
        json_decref(i->images);
        free(i->backups.ids);
        free(i->backups.restores);
        strv_free(i->backups.recovery_keys);
        free(i->backups.last_job.error);
        free(i->backups.last_drill.error);
        free(i->backups.last_copy.error);
        json_decref(i->backup_settings);
        return mfree(i);
}

JobRecord *job_record_free(JobRecord *j) {
        if (!j)
                return NULL;

        free(j->slug);
        json_decref(j->spec);
        free(j->error_name);
        free(j->error_message);
        free(j->started_by);
        FOREACH_ARRAY(s, j->steps, j->n_steps) {
                free(s->name);
                free(s->detail);
                json_decref(s->undo);
        }
        free(j->steps);
        return mfree(j);
}

RecoveryRecord *recovery_record_free(RecoveryRecord *r) {
        if (!r)
                return NULL;

        free(r->boot);
        strv_free(r->failed);
        return mfree(r);
}

RevisionRecord *revision_record_free(RevisionRecord *r) {
        if (!r)
                return NULL;

        json_decref(r->files);
        json_decref(r->images);
        json_decref(r->volumes);
        return mfree(r);
}

void instance_records_done(InstanceRecords *l) {
        FOREACH_ARRAY(i, l->items, l->n)
                instance_record_free(*i);
        free(l->items);
        *l = (InstanceRecords) {};
}

void job_records_done(JobRecords *l) {
        FOREACH_ARRAY(i, l->items, l->n)
                job_record_free(*i);
        free(l->items);
        *l = (JobRecords) {};
}

void secret_records_done(SecretRecords *l) {
        FOREACH_ARRAY(i, l->items, l->n) {
                free(i->name);
                free(i->key_id);
                free(i->sealed);
        }
        free(l->items);
        *l = (SecretRecords) {};
}

uint16_t instance_record_port(const InstanceRecord *i, const char *name) {
        FOREACH_ARRAY(p, i->ports, i->n_ports)
                if (streq(p->name, name))
                        return p->number;

        return 0;
}

/* --- values in JSON --- */

static int copy_string(const json_t *object, const char *key, bool may_be_null, char **ret) {
        const json_t *value = json_object_get(object, key);
        char *copy;

        if (may_be_null && json_is_null(value))
                return 0;
        if (!json_is_string(value))
                return -EBADMSG;

        copy = strdup(json_string_value(value));
        if (!copy)
                return -ENOMEM;

        *ret = copy;
        return 0;
}

static int read_number(
                const json_t *object, const char *key, bool may_be_null, uint64_t max, uint64_t *ret) {
        const json_t *value = json_object_get(object, key);
        json_int_t i;

        if (may_be_null && json_is_null(value))
                return 0;

        i = json_integer_value(value);
        if (!json_is_integer(value) || i < 0 || (uint64_t) i > max)
                return -EBADMSG;

        *ret = (uint64_t) i;
        return 0;
}

static int read_port(const json_t *object, PortRecord *port) {
        uint64_t number = 0;
        int r;

        r = copy_string(object, "name", /* may_be_null= */ false, &port->name);
        if (r >= 0)
                r = copy_string(object, "host", /* may_be_null= */ false, &port->host);
        if (r >= 0)
                r = read_number(object, "number", /* may_be_null= */ false, UINT16_MAX, &number);
        port->number = (uint16_t) number;
        return r;
}

static int read_ports(const json_t *array, InstanceRecord *i) {
        size_t n = json_array_size(array);

        i->ports = new0(PortRecord, n);
        if (!i->ports)
                return -ENOMEM;

        for (; i->n_ports < n; i->n_ports++) {
                int r;

                r = read_port(json_array_get(array, i->n_ports), i->ports + i->n_ports);
                if (r < 0) {
                        i->n_ports++; /* half of it is there, and freed with the rest */
                        return r;
                }
        }

        return 0;
}

static int read_strv(const json_t *array, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;

        l = new0(char *, json_array_size(array) + 1);
        if (!l)
                return -ENOMEM;

        for (size_t k = 0; k < json_array_size(array); k++) {
                const char *s = json_string_value(json_array_get(array, k));

                if (!s)
                        return -EBADMSG;

                l[k] = strdup(s);
                if (!l[k])
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(l);
        return 0;
}

static int read_step(const json_t *object, StepRecord *step) {
        const json_t *undo = json_object_get(object, "undo");
        const char *state = json_string_value(json_object_get(object, "state"));
        uint64_t number = 0;
        int r;

        r = read_number(object, "number", /* may_be_null= */ false, UINT32_MAX, &number);
        if (r >= 0)
                r = copy_string(object, "name", /* may_be_null= */ false, &step->name);
        if (r >= 0)
                r = copy_string(object, "detail", /* may_be_null= */ true, &step->detail);
        if (r >= 0)
                r = read_number(object, "started_at", /* may_be_null= */ true, INT64_MAX, &step->started_at);
        if (r >= 0)
                r = read_number(object, "finished_at", /* may_be_null= */ true, INT64_MAX,
                                &step->finished_at);
        if (r < 0)
                return r;

        step->number = (unsigned) number;
        step->state = step_state_from_string(state);
        if (step->state < 0)
                return -EBADMSG;

        if (!json_is_null(undo))
                step->undo = json_incref((json_t *) undo);
        return 0;
}

static int read_steps(const json_t *array, JobRecord *j) {
        size_t n = json_array_size(array);

        j->steps = new0(StepRecord, n);
        if (!j->steps)
                return -ENOMEM;

        for (; j->n_steps < n; j->n_steps++) {
                int r;

                r = read_step(json_array_get(array, j->n_steps), j->steps + j->n_steps);
                if (r < 0) {
                        j->n_steps++;
                        return r;
                }
        }

        return 0;
}

/* --- rows --- */

static int read_subnet(DbRow *row, InstanceRecord *i) {
        _cleanup_free_ char *subnet = NULL;

        db_row_string_or_null(row, &subnet);
        if (!subnet)
                return 0;

        i->has_subnet = true;
        return subnet_parse(subnet, &i->subnet) < 0 ? -EBADMSG : 0;
}

static void read_recovery(DbRow *row, RecoveryAttempts *ret) {
        int reason = RECOVERY_NONE;
        uint64_t run = 0;
        uint32_t n = 0;

        db_row_enum(row, read_recovery_reason, &reason);
        db_row_uint(row, INT64_MAX, &run);
        db_row_uint32(row, &n);
        db_row_usec(row, &ret->at);
        ret->n = n;
        ret->run = run;
        ret->reason = reason;
}

static int read_outcome(const char *text, JobOutcome *ret) {
        _cleanup_json_ json_t *job = NULL;
        int r;

        ret->state = _JOB_STATE_INVALID;
        if (!text)
                return 0;
        r = json_parse(text, strlen(text), JSON_REJECT_DUPLICATES, &job);
        if (r < 0)
                return r;
        ret->state = job_state_from_string(json_object_get_string(job, "state"));
        return ret->state < 0 ? -EBADMSG : copy_string(job, "error", /* may_be_null= */ true, &ret->error);
}

static int read_restore(const json_t *object, KeptRestore *ret) {
        const struct {
                const char *key;
                bool may_be_null;
                uint64_t *value;
        } numbers[] = {
                { "id", false, &ret->id },
                { "backup", true, &ret->backup },
                { "switched_at", false, &ret->switched_at },
                { "keep_until", false, &ret->keep_until },
        };

        FOREACH_ARRAY(n, numbers, ELEMENTSOF(numbers)) {
                int r = read_number(object, n->key, n->may_be_null, INT64_MAX, n->value);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_restores(const json_t *array, BackupSummary *ret) {
        const json_t *item;
        size_t i;

        ret->restores = new0(KeptRestore, json_array_size(array));
        if (!ret->restores)
                return -ENOMEM;
        json_array_foreach(array, i, item) {
                int r = read_restore(item, ret->restores + ret->n_restores);

                if (r < 0)
                        return r;
                ret->n_restores++;
        }
        return 0;
}

static int read_backups(const json_t *object, BackupSummary *ret) {
        const json_t *ids = json_object_get(object, "ids"), *id,
                     *keys = json_object_get(object, "recovery_keys");
        const struct {
                const char *key;
                bool may_be_null;
                uint64_t *value;
        } numbers[] = {
                { "last_at", true, &ret->last_at },
                { "last", true, &ret->last },
                { "verified_at", true, &ret->verified_at },
                { "unread_since", true, &ret->unread_since },
                { "drilled_at", true, &ret->drilled_at },
                { "replicated_at", true, &ret->replicated_at },
                { "uncopied_since", true, &ret->uncopied_since },
                { "n_damaged", false, &ret->n_damaged },
                { "first_damaged", true, &ret->first_damaged },
        };
        size_t i;
        int r;

        FOREACH_ARRAY(n, numbers, ELEMENTSOF(numbers)) {
                r = read_number(object, n->key, n->may_be_null, INT64_MAX, n->value);
                if (r < 0)
                        return r;
        }

        ret->ids = new0(uint64_t, json_array_size(ids));
        if (!ret->ids)
                return -ENOMEM;
        json_array_foreach(ids, i, id)
                ret->ids[ret->n_ids++] = (uint64_t) json_integer_value(id);
        r = json_is_array(keys) ? read_strv(keys, &ret->recovery_keys) : 0;
        return r < 0 ? r : read_restores(json_object_get(object, "restores"), ret);
}

/* What keeps and brings back an instance: the last columns. */
static int read_upkeep(DbRow *row, InstanceRecord *i) {
        _cleanup_json_ json_t *stopped = NULL, *changed = NULL, *backups = NULL;
        _cleanup_free_ char *images = NULL, *last_job = NULL, *last_drill = NULL, *last_copy = NULL;
        int repair = REPAIR_DEFAULT, r;

        db_row_json(row, JSON_ARRAY, &stopped);
        db_row_enum(row, read_repair_mode, &repair);
        db_row_json(row, JSON_ARRAY, &changed);
        db_row_usec(row, &i->changed_files_at);
        read_recovery(row, &i->recovery);
        db_row_string_or_null(row, &images);
        db_row_json(row, JSON_OBJECT, &backups);
        db_row_json(row, JSON_OBJECT, &i->backup_settings);
        FOREACH_ARRAY(turn, i->turns, ELEMENTSOF(i->turns)) {
                db_row_uint(row, INT64_MAX, &turn->knock);
                db_row_usec(row, &turn->scheduled_at);
        }
        db_row_string_or_null(row, &last_job);
        db_row_string_or_null(row, &last_drill);
        db_row_string_or_null(row, &last_copy);
        r = db_row_end(row);
        if (r >= 0)
                r = read_backups(backups, &i->backups);
        if (r >= 0)
                r = read_outcome(last_job, &i->backups.last_job);
        if (r >= 0)
                r = read_outcome(last_drill, &i->backups.last_drill);
        if (r >= 0)
                r = read_outcome(last_copy, &i->backups.last_copy);
        if (r >= 0)
                r = read_strv(stopped, &i->stopped_services);
        if (r >= 0)
                r = read_strv(changed, &i->changed_files);
        if (r < 0)
                return r;

        i->repair = repair;
        if (!images)
                return 0;
        r = json_parse(images, strlen(images), JSON_REJECT_DUPLICATES, &i->images);
        if (r < 0)
                return r;
        return json_is_object(i->images) ? 0 : -EBADMSG;
}

int instance_record_read(const PGresult *result, int number, InstanceRecord **ret, Error *reterr) {
        _cleanup_(instance_record_freep) InstanceRecord *i = NULL;
        _cleanup_json_ json_t *features = NULL, *ports = NULL, *limits = NULL;
        DbRow row = DB_ROW(result, number);
        int state = _INSTANCE_STATE_INVALID, r;

        i = new0(InstanceRecord, 1);
        if (!i)
                return db_row_error(-ENOMEM, "an instance", reterr);

        db_row_text(&row, i->id, sizeof(i->id));
        db_row_string(&row, &i->slug);
        db_row_string(&row, &i->name);
        db_row_string_or_null(&row, &i->domain);
        db_row_string(&row, &i->blueprint);
        db_row_string(&row, &i->blueprint_version);
        db_row_string(&row, &i->engine);
        db_row_enum(&row, read_instance_state, &state);
        db_row_usec(&row, &i->state_changed_at);
        db_row_json(&row, JSON_OBJECT, &i->parameters);
        db_row_json(&row, JSON_ARRAY, &features);
        db_row_string_or_null(&row, &i->source);
        db_row_string(&row, &i->bind_address);
        db_row_uint32(&row, &i->revision);
        db_row_string_or_null(&row, &i->error_name);
        db_row_string_or_null(&row, &i->error_message);
        db_row_usec(&row, &i->created_at);
        db_row_usec(&row, &i->updated_at);
        db_row_json(&row, JSON_ARRAY, &ports);
        r = read_subnet(&row, i);
        db_row_json(&row, JSON_OBJECT, &limits);
        if (r >= 0)
                r = read_upkeep(&row, i);
        if (r >= 0)
                r = limits_from_json(limits, &i->limits);
        if (r >= 0)
                r = read_strv(features, &i->features);
        if (r >= 0)
                r = read_ports(ports, i);
        if (r < 0)
                return db_row_error(r, "an instance", reterr);

        i->state = state;
        *ret = TAKE_PTR(i);
        return 0;
}

int job_record_read(const PGresult *result, int number, JobRecord **ret, Error *reterr) {
        _cleanup_(job_record_freep) JobRecord *j = NULL;
        _cleanup_json_ json_t *steps = NULL;
        DbRow row = DB_ROW(result, number);
        int kind = _JOB_KIND_INVALID, state = _JOB_STATE_INVALID, before = _INSTANCE_STATE_INVALID, r;

        j = new0(JobRecord, 1);
        if (!j)
                return db_row_error(-ENOMEM, "a job", reterr);

        db_row_uint(&row, INT64_MAX, &j->id);
        db_row_text(&row, j->instance, sizeof(j->instance));
        db_row_string(&row, &j->slug);
        db_row_enum(&row, read_job_kind, &kind);
        db_row_enum(&row, read_job_state, &state);
        db_row_enum(&row, read_instance_state, &before);
        db_row_json(&row, JSON_OBJECT, &j->spec);
        db_row_uint32(&row, &j->attempt);
        db_row_bool(&row, &j->cancel_requested);
        db_row_string_or_null(&row, &j->error_name);
        db_row_string_or_null(&row, &j->error_message);
        db_row_string(&row, &j->started_by);
        db_row_uint32(&row, &j->started_by_uid);
        db_row_usec(&row, &j->queued_at);
        db_row_usec(&row, &j->turn_at);
        db_row_usec(&row, &j->started_at);
        db_row_usec(&row, &j->finished_at);
        db_row_json(&row, JSON_ARRAY, &steps);
        r = db_row_end(&row);
        if (r >= 0)
                r = read_steps(steps, j);
        if (r < 0)
                return db_row_error(r, "a job", reterr);

        j->kind = kind;
        j->state = state;
        j->state_before = before;
        *ret = TAKE_PTR(j);
        return 0;
}

int revision_record_read(const PGresult *result, int number, RevisionRecord **ret, Error *reterr) {
        _cleanup_(revision_record_freep) RevisionRecord *revision = NULL;
        DbRow row = DB_ROW(result, number);
        int state = _REVISION_STATE_INVALID, r;

        revision = new0(RevisionRecord, 1);
        if (!revision)
                return db_row_error(-ENOMEM, "a revision", reterr);

        db_row_uint32(&row, &revision->number);
        db_row_enum(&row, read_revision_state, &state);
        db_row_json(&row, JSON_OBJECT, &revision->files);
        db_row_json(&row, JSON_OBJECT, &revision->images);
        db_row_json(&row, JSON_OBJECT, &revision->volumes);
        db_row_usec(&row, &revision->created_at);
        r = db_row_end(&row);
        if (r < 0)
                return db_row_error(r, "a revision", reterr);

        revision->state = state;
        *ret = TAKE_PTR(revision);
        return 0;
}

int recovery_record_read(const PGresult *result, RecoveryRecord **ret, Error *reterr) {
        _cleanup_(recovery_record_freep) RecoveryRecord *recovery = NULL;
        _cleanup_json_ json_t *failed = NULL;
        int reason = RECOVERY_NONE, r;
        DbRow row = DB_ROW(result, 0);

        if (PQntuples(result) == 0) {
                *ret = NULL;
                return 0;
        }

        recovery = new0(RecoveryRecord, 1);
        if (!recovery)
                return db_row_error(-ENOMEM, "a recovery", reterr);

        db_row_uint(&row, INT64_MAX, &recovery->id);
        db_row_enum(&row, read_recovery_reason, &reason);
        db_row_string(&row, &recovery->boot);
        db_row_usec(&row, &recovery->engine_started_at);
        db_row_usec(&row, &recovery->begun_at);
        db_row_usec(&row, &recovery->ended_at);
        db_row_uint32(&row, &recovery->total);
        db_row_uint32(&row, &recovery->healthy);
        db_row_json(&row, JSON_ARRAY, &failed);
        r = db_row_end(&row);
        if (r >= 0)
                r = read_strv(failed, &recovery->failed);
        if (r < 0)
                return db_row_error(r, "a recovery", reterr);

        recovery->reason = reason;
        *ret = TAKE_PTR(recovery);
        return 0;
}

/* --- results --- */

int instance_records_read(const PGresult *result, InstanceRecords *ret, Error *reterr) {
        int n = PQntuples(result);

        instance_records_done(ret);
        ret->items = new0(InstanceRecord *, (size_t) n);
        if (!ret->items)
                return db_row_error(-ENOMEM, "the instances", reterr);

        for (int i = 0; i < n; i++) {
                int r;

                r = instance_record_read(result, i, ret->items + i, reterr);
                if (r < 0)
                        return r;
                ret->n++;
        }

        return 0;
}

int job_records_read(const PGresult *result, JobRecords *ret, Error *reterr) {
        int n = PQntuples(result);

        job_records_done(ret);
        ret->items = new0(JobRecord *, (size_t) n);
        if (!ret->items)
                return db_row_error(-ENOMEM, "the jobs", reterr);

        for (int i = 0; i < n; i++) {
                int r;

                r = job_record_read(result, i, ret->items + i, reterr);
                if (r < 0)
                        return r;
                ret->n++;
        }

        return 0;
}

int secret_records_read(const PGresult *result, SecretRecords *ret, Error *reterr) {
        int n = PQntuples(result);

        secret_records_done(ret);
        ret->items = new0(SecretRecord, (size_t) n);
        if (!ret->items)
                return db_row_error(-ENOMEM, "the secrets", reterr);

        for (int i = 0; i < n; i++) {
                SecretRecord *secret = ret->items + i;
                DbRow row = DB_ROW(result, i);
                int r;

                ret->n++;
                db_row_string(&row, &secret->name);
                db_row_uint32(&row, &secret->version);
                db_row_string(&row, &secret->key_id);
                db_row_bytes(&row, &secret->sealed, &secret->sealed_size);
                db_row_usec(&row, &secret->created_at);
                r = db_row_end(&row);
                if (r < 0)
                        return db_row_error(r, "the secrets", reterr);
        }

        return 0;
}
