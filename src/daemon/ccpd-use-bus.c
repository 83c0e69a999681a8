/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-use-bus.h"

#include <errno.h>

#include "alloc-util.h"
#include "bus-append.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-access.h"
#include "ccpd-use.h"
#include "string-util.h"

/* --- dictionaries --- */

/* What is not known is left out. */
static int append_number(sd_bus_message *reply, const char *key, uint64_t value) {
        return value == USE_UNKNOWN ? 0 : sd_bus_message_append(reply, "{sv}", key, "t", value);
}

static int append_use(sd_bus_message *reply, const Use *u) {
        int r;

        r = sd_bus_message_append(reply, "{sv}", "Time", "t", u->time);
        for (UseField f = 0; r >= 0 && f < _USE_FIELD_MAX; f++)
                r = append_number(reply, use_field_to_string(f), use_get(u, f));
        return r;
}

/* Bytes by name, of one kind. */
static int append_disk_kind(sd_bus_message *reply, const Instance *i, const char *key, DiskKind kind) {
        int r;

        r = bus_open_entry_array(reply, key, "{st}");
        FOREACH_ARRAY(d, i->use.disk, i->use.n_disk)
                if (r >= 0 && d->kind == kind)
                        r = sd_bus_message_append(reply, "{st}", d->name, d->bytes);
        return r < 0 ? r : bus_close_entry_array(reply);
}

static int append_disk(sd_bus_message *reply, const Instance *i) {
        usec_t measured_at = USEC_INFINITY;
        bool complete = true;
        int r;

        if (i->use.n_disk == 0)
                return 0;
        FOREACH_ARRAY(d, i->use.disk, i->use.n_disk) {
                measured_at = MIN(measured_at, d->measured_at);
                complete = complete && d->complete;
        }

        r = append_number(reply, "Disk", instance_disk_sum(i, _DISK_KIND_INVALID, NULL));
        if (r >= 0)
                r = append_number(reply, "DiskFolder", instance_disk_sum(i, DISK_FOLDER, NULL));
        if (r >= 0)
                r = append_disk_kind(reply, i, "DiskVolumes", DISK_VOLUME);
        if (r >= 0)
                r = append_disk_kind(reply, i, "DiskServices", DISK_CONTAINER);
        return r < 0 ? r
                     : sd_bus_message_append(reply, "{sv}{sv}", "DiskComplete", "b", (int) complete,
                                       "DiskMeasuredAt", "t", measured_at);
}

static int append_service_use(sd_bus_message *reply, const Instance *i, const InstanceService *s) {
        int r;

        r = append_use(reply, &s->use);
        return r < 0 ? r : append_number(reply, "Disk", instance_disk_sum(i, DISK_CONTAINER, s->name));
}

static int append_service_state(sd_bus_message *reply, const InstanceService *s) {
        const HealthObservation *o = &s->observation;
        int r;

        r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}{sv}", "Kind", "s",
                        service_kind_to_string(s->kind), "State", "s", container_state_to_string(o->state),
                        "Health", "s", container_health_to_string(o->health), "Since", "t", o->since,
                        "Container", "s", strempty(s->container), "Restarts", "u", s->n_restarts);
        if (r < 0)
                return r;
        r = sd_bus_message_append(reply, "{sv}{sv}{sv}", "Image", "s", strempty(s->image), "ImageId", "s",
                        strempty(s->image_id), "OOMKilled", "b", (int) o->oom_killed);
        if (r >= 0 && s->started > 0)
                r = sd_bus_message_append(reply, "{sv}", "Started", "t", s->started);
        if (r >= 0 && o->exit_code >= 0)
                r = sd_bus_message_append(reply, "{sv}", "ExitCode", "i", o->exit_code);
        return r;
}

/* One dictionary of aa{sv}. */
static int append_service(
                sd_bus_message *reply, const Instance *i, const InstanceService *s, bool with_state) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(reply, "{sv}", "Name", "s", s->name);
        if (r >= 0 && with_state)
                r = append_service_state(reply, s);
        if (r >= 0)
                r = append_service_use(reply, i, s);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_instance_use(sd_bus_message *reply, const Instance *i, bool services) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(reply, "{sv}", "Slug", "s", i->record->slug);
        if (r >= 0)
                r = append_use(reply, &i->use.total);
        if (r >= 0)
                r = append_disk(reply, i);
        if (r >= 0 && services) {
                r = bus_open_entry_array(reply, "Services", "a{sv}");
                FOREACH_ARRAY(s, i->services, i->n_services)
                        if (r >= 0)
                                r = append_service(reply, i, s, /* with_state= */ false);
                if (r >= 0)
                        r = bus_close_entry_array(reply);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* --- methods --- */

typedef int (*append_t)(sd_bus_message *reply, const Instance *i);

/* A question that is answered when the counters are read. */
typedef struct UseQuestion {
        Operation *operation;
        bool services;
        append_t append; /* of one instance; NULL: all of aa{sv} */
} UseQuestion;

static int append_all(sd_bus_message *reply, const Manager *m, char *const *ids, bool services) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        STRV_FOREACH(id, ids) {
                const Instance *i = instance_find_by_id(m, *id);

                if (r >= 0 && i)
                        r = append_instance_use(reply, i, services);
        }
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

static void on_use_read(char *const *ids, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const UseQuestion *q = userdata;
        const Manager *m = operation_manager(q->operation);
        const Instance *i = ids[0] ? instance_find_by_id(m, ids[0]) : NULL;
        _cleanup_error_ Error e = {};
        int r;

        if (q->append && !i)
                r = error_setf(&e, CCP_ERROR_NO_SUCH_INSTANCE, "The instance is gone. See: ccpctl list");
        else
                r = sd_bus_message_new_method_return(operation_message(q->operation), &reply);
        if (r >= 0)
                r = q->append ? q->append(reply, i) : append_all(reply, m, ids, q->services);
        if (r < 0) {
                if (!error_is_set(&e))
                        (void) error_set_errnof(&e, r, "Cannot tell what is used: %m");
                operation_fail(q->operation, &e);
                return;
        }
        operation_reply_message(q->operation, reply);
}

static int question_ask(
                sd_bus_message *message, Manager *m, char *const *ids, bool services, append_t append) {
        _cleanup_(operation_freep) Operation *o = NULL;
        _cleanup_free_ UseQuestion *q = NULL;
        int r;

        q = new0(UseQuestion, 1);
        if (!q)
                return -ENOMEM;
        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        *q = (UseQuestion) { .operation = o, .services = services, .append = append };

        r = manager_read_use(m, ids, services, on_use_read, q);
        if (r < 0) {
                _cleanup_error_ Error e = {};

                (void) error_set_errnof(&e, r, "Cannot tell what is used: %m");
                operation_fail(TAKE_PTR(o), &e);
                return 1;
        }

        TAKE_PTR(o);
        TAKE_PTR(q);
        return 1;
}

typedef struct UseOptions {
        bool services;
} UseOptions;

static const BusOption use_options[] = {
        { "services", "b", offsetof(UseOptions, services) },
};

static int slug_compare(const Instance *a, const Instance *b) {
        return strcmp(a->record->slug, b->record->slug);
}

int method_get_use(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_free_ char **ids = NULL;
        _cleanup_error_ Error e = {};
        UseOptions options = {};
        Manager *m = userdata;
        int r;

        r = bus_read_options(message, use_options, ELEMENTSOF(use_options), &options, &e);
        if (r >= 0)
                r = manager_check_loaded(m, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);

        HASH_SORT(m->instances, slug_compare);
        r = access_visible_instances(m, access_viewer(m), &ids);
        if (r < 0)
                return r;
        return question_ask(message, m, ids, options.services, NULL);
}

static int ask_about(sd_bus_message *message, Instance *i, append_t append) {
        char *ids[] = { i->record->id, NULL };

        return question_ask(message, i->manager, ids, /* services= */ true, append);
}

static int append_with_services(sd_bus_message *reply, const Instance *i) {
        return append_instance_use(reply, i, /* services= */ true);
}

int method_get_instance_use(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_error_ Error e = {};
        int r;

        r = bus_read_options(message, NULL, 0, NULL, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        return ask_about(message, userdata, append_with_services);
}

static int append_services(sd_bus_message *reply, const Instance *i) {
        int r;

        r = sd_bus_message_open_container(reply, 'a', "a{sv}");
        FOREACH_ARRAY(s, i->services, i->n_services)
                if (r >= 0)
                        r = append_service(reply, i, s, /* with_state= */ true);
        return r < 0 ? r : sd_bus_message_close_container(reply);
}

int method_list_services(sd_bus_message *message, void *userdata, _unused_ sd_bus_error *reterr) {
        return ask_about(message, userdata, append_services);
}
