/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-logs-bus.h"

#include <errno.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-access.h"
#include "ccpd-instance-bus.h"
#include "ccpd-logs.h"
#include "ccpd-manager.h"
#include "string-util.h"
#include "strv.h"
#include "validate.h"

/* Lines that are shown unless others are asked for. */
#define LINES_DEFAULT 100U
#define LINES_UNSET (UINT64_MAX - 1)

/* Of one answer of ReadLogs. */
#define ENTRIES_MAX 1000U
#define ANSWER_SIZE (1024U * 1024U)
#define MESSAGE_SIZE (256U * 1024U)

/* --- what is asked for --- */

static int no_such_service(const Instance *i, const char *name, Error *reterr) {
        const Blueprint *b = blueprint_cache_find(i->manager->blueprints, i->record->blueprint);
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *list = NULL;
        int r = 0;

        if (b)
                FOREACH_ARRAY(s, b->services, b->n_services)
                        if (r >= 0)
                                r = strv_extend(&names, s->name);
        FOREACH_ARRAY(s, i->services, i->n_services)
                if (r >= 0 && !strv_contains(names, s->name))
                        r = strv_extend(&names, s->name);
        list = r < 0 ? NULL : strv_join(names, ", ");
        if (!list)
                return -ENOMEM;

        return error_setf(reterr, CCP_ERROR_NO_SUCH_SERVICE, "'%s' has no service '%s', only: %s.",
                        i->record->slug, TEXT_FOR_ERROR(name), list);
}

/* What is known of neither the blueprint nor a container cannot be checked. */
static bool services_are_known(const Instance *i) {
        return i->n_services > 0 || blueprint_cache_find(i->manager->blueprints, i->record->blueprint);
}

static int read_services(sd_bus_message *message, const Instance *i, char ***ret, Error *reterr) {
        _cleanup_strv_free_ char **services = NULL;
        const char *name;
        int r;

        r = sd_bus_message_enter_container(message, 'a', "s");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(message, "s", &name)) > 0) {
                if (services_are_known(i) && !instance_knows_service(i, name))
                        return no_such_service(i, name, reterr);
                if (strv_length(services) >= LOG_SERVICES_MAX)
                        return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                        "At most %u services can be named.", LOG_SERVICES_MAX);
                r = strv_extend(&services, name);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;

        *ret = TAKE_PTR(services);
        return sd_bus_message_exit_container(message);
}

#define COMMON_OPTIONS                                                                                \
        { "lines", "t", offsetof(LogRequest, lines) }, { "since", "t", offsetof(LogRequest, since) }, \
                        { "until", "t", offsetof(LogRequest, until) },                                \
                        { "cursor", "s", offsetof(LogRequest, cursor) },                              \
                        { "pattern", "s", offsetof(LogRequest, pattern) }, {                          \
                "all", "b", offsetof(LogRequest, all)                                                 \
        }

static const BusOption open_options[] = {
        COMMON_OPTIONS,
        { "follow", "b", offsetof(LogRequest, follow) },
};

static const BusOption read_options[] = {
        COMMON_OPTIONS,
        { "limit", "t", offsetof(LogRequest, limit) },
        { "timeout", "t", offsetof(LogRequest, wait) },
};

/* Strings of the request are the message's, but for the services. */
static int read_request(sd_bus_message *message, const Instance *i, const BusOption *options, size_t n,
                LogRequest *q, Error *reterr) {
        int r;

        q->id = i->record->id;
        q->lines = LINES_UNSET;
        r = read_services(message, i, &q->services, reterr);
        if (r >= 0)
                r = bus_read_options(message, options, n, q, reterr);
        if (r < 0)
                return r;

        /* Who says from when on wants all since then. */
        if (q->lines == LINES_UNSET)
                q->lines = q->since > 0 ? LOG_LINES_ALL : LINES_DEFAULT;
        q->audit = access_sees_fleet(i->manager, access_viewer(i->manager));
        return log_request_validate(q, reterr);
}

/* --- the answer --- */

static int append_entry(sd_bus_message *m, _unused_ Operation *o, const void *items, size_t k) {
        const LogEntry *e = (const LogEntry *) items + k;
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}{sv}", "Time", "t", e->time, "Cursor", "s", e->cursor,
                                "Source", "s", log_source_to_string(e->source));
        if (r >= 0 && e->service)
                r = sd_bus_message_append(m, "{sv}", "Service", "s", e->service);
        if (r >= 0)
                r = sd_bus_message_append(m, "{sv}{sv}", "Priority", "u", (uint32_t) e->priority, "Message",
                                "s", e->message);
        if (r >= 0 && e->truncated)
                r = sd_bus_message_append(m, "{sv}", "Truncated", "b", true);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_answer(sd_bus_message *m, Operation *o, const LogAnswer *answer) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "a{sv}");
        for (size_t k = 0; r >= 0 && k < answer->n_entries; k++)
                r = append_entry(m, o, answer->entries, k);
        if (r >= 0)
                r = sd_bus_message_close_container(m);
        return r < 0 ? r : sd_bus_message_append(m, "s", strempty(answer->cursor));
}

static void on_answer(const LogAnswer *answer, Error *error, void *userdata) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_error_ Error e = {};
        Operation *o = userdata;
        int r;

        if (!answer) {
                operation_fail(o, error);
                return;
        }
        if (answer->fd >= 0) {
                operation_reply(o, "h", answer->fd);
                return;
        }

        r = sd_bus_message_new_method_return(operation_message(o), &reply);
        if (r >= 0)
                r = append_answer(reply, o, answer);
        if (r >= 0) {
                operation_reply_message(o, reply);
                return;
        }

        (void) error_set_errnof(&e, r, "Cannot tell what is in the logs: %m");
        operation_fail(o, &e);
}

static int submit(sd_bus_message *message, Instance *i, const LogRequest *q, bool hand_over) {
        _cleanup_error_ Error e = {};
        Operation *o;
        int r;

        o = operation_new(i->manager, message);
        if (!o)
                return -ENOMEM;

        r = logs_read(i->manager, q,
                        &(LogReaderOptions) {
                                        .uid = operation_actor(o)->uid,
                                        .caller = sd_bus_message_get_sender(message),
                                        .fleet = q->audit,
                                        .hand_over = hand_over,
                                        .handler = on_answer,
                                        .userdata = o,
                        },
                        &e);
        if (r < 0)
                operation_fail(o, &e);
        return 1;
}

int method_open_logs(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        LogRequest q = LOG_REQUEST_NEW;
        _cleanup_error_ Error e = {};
        Instance *i = userdata;
        int r;

        r = read_request(message, i, open_options, ELEMENTSOF(open_options), &q, &e);
        if (r >= 0)
                r = submit(message, i, &q, /* hand_over= */ true);
        strv_free(q.services);
        return error_is_set(&e) ? bus_error_move(reterr, &e) : r;
}

int method_read_logs(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        LogRequest q = LOG_REQUEST_NEW;
        _cleanup_error_ Error e = {};
        Instance *i = userdata;
        int r;

        q.limit = ENTRIES_MAX;
        q.size = ANSWER_SIZE;
        q.message = MESSAGE_SIZE;
        r = read_request(message, i, read_options, ELEMENTSOF(read_options), &q, &e);
        if (r >= 0 && (q.limit == 0 || q.limit > ENTRIES_MAX))
                r = error_setf(&e, CCP_ERROR_INVALID_ARGUMENT, "The limit of an answer must be 1 to %u.",
                                ENTRIES_MAX);
        if (r >= 0)
                r = submit(message, i, &q, /* hand_over= */ false);
        strv_free(q.services);
        return error_is_set(&e) ? bus_error_move(reterr, &e) : r;
}
