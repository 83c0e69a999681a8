/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-job-bus.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "bus-append.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-access.h"
#include "ccpd-create.h"
#include "ccpd-instance-bus.h"
#include "ccpd-job-queue.h"
#include "ccpd-manager.h"
#include "json-util.h"
#include "log.h"
#include "string-util.h"

/* Each property has one function that appends its value: for the object, and for lists of jobs. 'j' is NULL
 * for one that is so old that it is no object. */
typedef int (*job_append_t)(sd_bus_message *reply, const JobRecord *record, const Job *j);

static int append_id(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        char id[DECIMAL_ID_MAX];

        (void) snprintf(id, sizeof(id), "%" PRIu64, record->id);
        return sd_bus_message_append(reply, "s", id);
}

static int append_kind(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        return sd_bus_message_append(reply, "s", job_kind_to_string(record->kind));
}

static int append_instance(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        return sd_bus_message_append(reply, "s", record->slug);
}

static int append_instance_path(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = sd_bus_path_encode(CCP_PATH_INSTANCE, record->slug, &path);
        if (r < 0)
                return r;
        return sd_bus_message_append(reply, "o", path);
}

static int append_state(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        return sd_bus_message_append(reply, "s", job_state_to_string(record->state));
}

static int append_step(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        return sd_bus_message_append(reply, "u", job_current_step(record));
}

static int append_steps(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        const JobStep *steps;
        size_t n;
        int r;

        steps = job_kind_steps(record->kind, &n);
        r = sd_bus_message_open_container(reply, 'a', "(ussttss)");
        if (r < 0)
                return r;
        FOREACH_ARRAY(s, record->steps, record->n_steps) {
                int k = job_kind_find_step(record->kind, s->name);

                r = sd_bus_message_append(reply, "(ussttss)", s->number, s->name,
                                step_state_to_string(s->state), s->started_at, s->finished_at,
                                k >= 0 ? steps[k].title : s->name, strempty(s->detail));
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

static int append_progress(sd_bus_message *reply, const JobRecord *record, const Job *j) {
        return sd_bus_message_append(reply, "d", job_progress(record, j));
}

static int append_message(sd_bus_message *reply, const JobRecord *record, const Job *j) {
        const char *message = !j || job_state_is_final(record->state) ? NULL
                        : record->state == JOB_WAITING                ? j->hindrance
                                                                      : j->message;

        return sd_bus_message_append(reply, "s", strempty(message));
}

/* Of what it works on right now; nothing once it has ended. */
static ByteCount bytes_of(const JobRecord *record, const Job *j) {
        return j && !job_state_is_final(record->state) ? j->bytes : (ByteCount) {};
}

static int append_bytes_done(sd_bus_message *reply, const JobRecord *record, const Job *j) {
        return sd_bus_message_append(reply, "t", bytes_of(record, j).done);
}

static int append_bytes_total(sd_bus_message *reply, const JobRecord *record, const Job *j) {
        return sd_bus_message_append(reply, "t", bytes_of(record, j).total);
}

static int append_byte_rate(sd_bus_message *reply, const JobRecord *record, const Job *j) {
        return sd_bus_message_append(reply, "t", bytes_of(record, j).rate);
}

static int append_expected_end_at(sd_bus_message *reply, const JobRecord *record, const Job *j) {
        bool runs = j && !job_state_is_final(record->state);

        return sd_bus_message_append(reply, "t", runs ? j->expected_end_at : (uint64_t) 0);
}

static int append_error(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        return sd_bus_message_append(
                        reply, "(ss)", strempty(record->error_name), strempty(record->error_message));
}

static int append_started_by(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        return sd_bus_message_append(reply, "s", strempty(record->started_by));
}

static int append_started_by_uid(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        return sd_bus_message_append(reply, "u", record->started_by_uid);
}

static int append_unit(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        char unit[JOB_UNIT_MAX];

        return sd_bus_message_append(reply, "s", job_record_unit(record, unit));
}

/* Of a job that is about some services only. */
static int append_services(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        const json_t *names = json_object_get(record->spec, "services"), *name;
        size_t i;
        int r;

        r = sd_bus_message_open_container(reply, 'a', "s");
        if (r < 0)
                return r;
        json_array_foreach(names, i, name) {
                r = sd_bus_message_append(reply, "s", strempty(json_string_value(name)));
                if (r < 0)
                        return r;
        }
        return sd_bus_message_close_container(reply);
}

/* Of one that ccpd made by itself. */
static int append_reason(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        const char *reason = json_object_get_string(record->spec, "reason");

        return sd_bus_message_append(reply, "s",
                        reason
                                        ?: json_object_get(record->spec, "schedule") ? "schedule"
                                                                                     : "");
}

static int append_attempt(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        return sd_bus_message_append(reply, "u", record->attempt);
}

static int append_cancelable(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        return sd_bus_message_append(
                        reply, "b", !job_state_is_final(record->state) && !record->cancel_requested ? 1 : 0);
}

static int append_queued_at(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        return sd_bus_message_append(reply, "t", record->queued_at);
}

static int append_started_at(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        return sd_bus_message_append(reply, "t", record->started_at);
}

static int append_finished_at(sd_bus_message *reply, const JobRecord *record, _unused_ const Job *j) {
        return sd_bus_message_append(reply, "t", record->finished_at);
}

static const struct {
        const char *name, *signature;
        job_append_t append;
} job_properties[] = {
        { "Id", "s", append_id },
        { "Kind", "s", append_kind },
        { "Instance", "s", append_instance },
        { "InstancePath", "o", append_instance_path },
        { "Services", "as", append_services },
        { "Reason", "s", append_reason },
        { "State", "s", append_state },
        { "Step", "u", append_step },
        { "Steps", "a(ussttss)", append_steps },
        { "Progress", "d", append_progress },
        { "Message", "s", append_message },
        { "BytesDone", "t", append_bytes_done },
        { "BytesTotal", "t", append_bytes_total },
        { "ByteRate", "t", append_byte_rate },
        { "ExpectedEndAt", "t", append_expected_end_at },
        { "Error", "(ss)", append_error },
        { "StartedBy", "s", append_started_by },
        { "StartedByUID", "u", append_started_by_uid },
        { "Unit", "s", append_unit },
        { "Attempt", "u", append_attempt },
        { "Cancelable", "b", append_cancelable },
        { "QueuedAt", "t", append_queued_at },
        { "StartedAt", "t", append_started_at },
        { "FinishedAt", "t", append_finished_at },
};

static int get_property(_unused_ sd_bus *bus, _unused_ const char *path, _unused_ const char *interface,
                const char *property, sd_bus_message *reply, void *userdata, _unused_ sd_bus_error *reterr) {
        const Job *j = userdata;

        FOREACH_ARRAY(p, job_properties, ELEMENTSOF(job_properties))
                if (streq(p->name, property))
                        return p->append(reply, j->record, j);

        return -ENXIO;
}

int job_record_append(sd_bus_message *reply, const JobRecord *record, const Job *j) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r < 0)
                return r;

        FOREACH_ARRAY(p, job_properties, ELEMENTSOF(job_properties)) {
                r = bus_open_entry(reply, p->name, p->signature);
                if (r < 0)
                        return r;
                r = p->append(reply, record, j);
                if (r < 0)
                        return r;
                r = bus_close_entry(reply);
                if (r < 0)
                        return r;
        }

        return sd_bus_message_close_container(reply);
}

static void on_cancel_recorded(int r, JobRecord *record, Error *error, void *userdata) {
        _cleanup_(job_record_freep) JobRecord *taken = record;
        Operation *o = userdata;
        Job *j;

        if (r >= 0)
                r = manager_take_job(operation_manager(o), &taken, &j);
        if (r < 0) {
                _cleanup_error_ Error e = {};

                if (!error_is_set(error))
                        (void) error_set_errnof(&e, r, "Cannot cancel the job: %m");
                operation_fail(o, error_is_set(error) ? error : &e);
                return;
        }

        job_queue_cancel(j);
        operation_reply(o, NULL);
}

/* What Cancel and Retry begin with. */
static int method_begin(sd_bus_message *message, const Job *j, Operation **ret, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        Operation *o;
        int r;

        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r >= 0)
                r = manager_check_store(j->manager, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        o = operation_new(j->manager, message);
        if (!o)
                return -ENOMEM;

        *ret = o;
        return 0;
}

static int method_cancel(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Job *j = userdata;
        _cleanup_error_ Error e = {};
        Operation *o = NULL;
        int r;

        r = method_begin(message, j, &o, reterr);
        if (r < 0)
                return r;

        r = store_cancel_job(
                        j->manager->db, j->record->id, operation_actor(o), on_cancel_recorded, o, NULL, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

/* Of these the instance may be gone. */
static bool job_is_about_backup(const JobRecord *record, uint64_t *ret) {
        const char *id = json_object_get_string(record->spec, "backup");

        return IN_SET(record->kind, JOB_VERIFY, JOB_DRILL, JOB_DELETE_BACKUP, JOB_REPLICATE, JOB_FETCH) &&
                        id && decimal_id_parse(id, ret) >= 0;
}

static int method_retry(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        Job *j = userdata;
        bool creates = IN_SET(j->record->kind, JOB_CREATE, JOB_CLONE);
        _cleanup_error_ Error e = {};
        Instance *i;
        Operation *o = NULL;
        uint64_t backup;
        int r;

        r = method_begin(message, j, &o, reterr);
        if (r < 0)
                return r;

        i = instance_find_by_id(j->manager, j->record->instance);
        if (!IN_SET(j->record->state, JOB_FAILED, JOB_CANCELLED))
                r = error_setf(&e, CCP_ERROR_WRONG_STATE,
                                "Job %" PRIu64 " is %s; only a failed or cancelled one can be tried again.",
                                j->record->id, job_state_to_string(j->record->state));
        else if (j->record->kind == JOB_IMPORT)
                r = error_setf(&e, CCP_ERROR_WRONG_STATE,
                                "What job %" PRIu64 " took in is gone. Begin anew: ccpctl backup import",
                                j->record->id);
        else if (job_is_about_backup(j->record, &backup))
                r = manager_submit_backup_job(j->manager, j->record->kind, backup,
                                json_is_true(json_object_get(j->record->spec, "last")), o, &e);
        else if (creates && !i)
                r = create_again(j, o, &e);
        else if (creates)
                r = error_setf(&e, CCP_ERROR_WRONG_STATE,
                                "'%s' is still there. Delete it first: ccpctl delete %s", j->record->slug,
                                j->record->slug);
        else if (!i)
                r = error_setf(&e, CCP_ERROR_NO_SUCH_INSTANCE,
                                "There is no instance '%s' any more. See: ccpctl list", j->record->slug);
        else
                r = instance_submit_job(i, j->record->kind, j->record->spec, o, &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

const sd_bus_vtable job_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_PROPERTY("Id", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Kind", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Instance", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("InstancePath", "o", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Services", "as", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Reason", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("State", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Step", "u", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Steps", "a(ussttss)", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Progress", "d", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Message", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("BytesDone", "t", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("BytesTotal", "t", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ByteRate", "t", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("ExpectedEndAt", "t", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Error", "(ss)", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("StartedBy", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("StartedByUID", "u", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Unit", "s", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("Attempt", "u", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("Cancelable", "b", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("QueuedAt", "t", get_property, 0, SD_BUS_VTABLE_PROPERTY_CONST),
        SD_BUS_PROPERTY("StartedAt", "t", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
        SD_BUS_PROPERTY("FinishedAt", "t", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),

        SD_BUS_METHOD_WITH_ARGS("Cancel", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_cancel,
                        SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Retry", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("o", job),
                        method_retry, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_VTABLE_END,
};

int job_object_find(_unused_ sd_bus *bus, const char *path, _unused_ const char *interface, void *userdata,
                void **ret_found, _unused_ sd_bus_error *reterr) {
        const char *id = startswith(path, CCP_PATH_JOB "/");
        Job *j = id ? job_find_by_text(userdata, id) : NULL;

        if (!j)
                return 0;

        *ret_found = j;
        return 1;
}

int job_object_enumerate(_unused_ sd_bus *bus, _unused_ const char *prefix, void *userdata,
                char ***ret_nodes, _unused_ sd_bus_error *reterr) {
        Manager *m = userdata;
        Caller *viewer = access_viewer(m);
        char **nodes;
        size_t n = 0;

        nodes = new0(char *, HASH_COUNT(m->jobs) + 1);
        if (!nodes)
                return -ENOMEM;

        for (Job *j = m->jobs; j; j = j->hh.next) {
                if (!access_sees_job(m, viewer, j))
                        continue;
                nodes[n] = job_path(j);
                if (!nodes[n]) {
                        strv_free(nodes);
                        return -ENOMEM;
                }
                n++;
        }

        *ret_nodes = nodes;
        return 0;
}
