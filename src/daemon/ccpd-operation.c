/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-operation.h"

#include <errno.h>
#include <stdarg.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "ccpd-access.h"
#include "ccpd-manager.h"
#include "log.h"

struct Operation {
        Manager *manager;
        Operation *prev, *next;
        sd_bus_message *message;
        AuditActor actor;
        char *actor_strings; /* one block of memory with all of them */
        bool answered;
};

static size_t string_size(const char *s) {
        return s ? strlen(s) + 1 : 0;
}

static const char *put_string(char **buffer, const char *s) {
        char *start = *buffer;

        if (!s)
                return NULL;
        *buffer = stpcpy(start, s) + 1;
        return start;
}

/* He may be gone before the end, and with him what he is known by. */
static int operation_copy_actor(Operation *o, const AuditActor *a) {
        char *p;

        p = o->actor_strings = malloc(1 + string_size(a->user) + string_size(a->process) +
                        string_size(a->unit) + string_size(a->session) + string_size(a->remote_host));
        if (!p)
                return -ENOMEM;

        o->actor = *a;
        o->actor.user = put_string(&p, a->user);
        o->actor.process = put_string(&p, a->process);
        o->actor.unit = put_string(&p, a->unit);
        o->actor.session = put_string(&p, a->session);
        o->actor.remote_host = put_string(&p, a->remote_host);
        return 0;
}

Operation *operation_new(Manager *m, sd_bus_message *message) {
        const Caller *c = access_viewer(m);
        Operation *o;

        /* Whoever got through the door is known. */
        assert(c);

        o = new0(Operation, 1);
        if (!o)
                return NULL;

        *o = (Operation) {
                .manager = m,
                .message = sd_bus_message_ref(message),
                .next = m->operations,
        };
        if (m->operations)
                m->operations->prev = o;
        m->operations = o;

        if (operation_copy_actor(o, &c->actor) < 0)
                return operation_free(o);
        return o;
}

Operation *operation_free(Operation *o) {
        if (!o)
                return NULL;

        if (!o->answered) {
                _cleanup_error_ Error e = {};

                (void) error_setf(&e, CCP_ERROR_INTERNAL, "The call was given up before it had a result.");
                (void) bus_reply_error(o->message, &e);
        }

        if (o->prev)
                o->prev->next = o->next;
        else
                o->manager->operations = o->next;
        if (o->next)
                o->next->prev = o->prev;

        sd_bus_message_unref(o->message);
        free(o->actor_strings);
        return mfree(o);
}

unsigned operations_count(const Manager *m, uid_t uid) {
        unsigned n = 0;

        for (const Operation *o = m->operations; o; o = o->next)
                n += o->actor.uid == uid;
        return n;
}

sd_bus_message *operation_message(Operation *o) {
        return o->message;
}

Manager *operation_manager(Operation *o) {
        return o->manager;
}

const AuditActor *operation_actor(const Operation *o) {
        return &o->actor;
}

void operation_reply_message(Operation *o, sd_bus_message *reply) {
        int r;

        if (!o)
                return;

        r = sd_bus_message_send(reply);
        if (r < 0)
                log_warning_errno(r, "Failed to answer a call: %m");
        o->answered = r >= 0;
        operation_free(o);
}

void operation_reply(Operation *o, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        va_list ap;
        int r;

        if (!o)
                return;

        r = sd_bus_message_new_method_return(o->message, &reply);
        if (r >= 0 && types) {
                va_start(ap, types);
                r = sd_bus_message_appendv(reply, types, ap);
                va_end(ap);
        }
        if (r < 0) {
                /* Not answered: operation_free() says so. */
                log_debug_errno(r, "Failed to build an answer: %m");
                operation_free(o);
                return;
        }

        operation_reply_message(o, reply);
}

void operation_fail(Operation *o, const Error *error) {
        int r;

        if (!o)
                return;

        r = bus_reply_error(o->message, error);
        if (r < 0)
                log_debug_errno(r, "Failed to answer a call, ignoring: %m");
        o->answered = true;
        operation_free(o);
}

void operation_reply_array(Operation *o, const char *contents, const void *items, size_t n,
                operation_append_t append, const char *what) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_error_ Error e = {};
        int r;

        r = sd_bus_message_new_method_return(o->message, &reply);
        if (r >= 0)
                r = sd_bus_message_open_container(reply, 'a', contents);
        for (size_t k = 0; r >= 0 && k < n; k++)
                r = append(reply, o, items, k);
        if (r >= 0)
                r = sd_bus_message_close_container(reply);
        if (r >= 0) {
                operation_reply_message(o, reply);
                return;
        }

        (void) error_set_errnof(&e, r, "Cannot %s: %m", what);
        operation_fail(o, &e);
}
