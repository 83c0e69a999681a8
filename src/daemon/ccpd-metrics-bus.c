/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-metrics-bus.h"

#include <errno.h>

#include "alloc-util.h"
#include "bus-error.h"
#include "bus-options.h"
#include "ccpd-metrics.h"
#include "ccpd-use.h"
#include "fd-util.h"
#include "string-util.h"

typedef struct MetricsQuestion {
        Operation *operation;
        MetricsFormat format;
} MetricsQuestion;

static const BusOption metrics_options[] = {
        { "format", "s", 0 },
};

static int make_memfd(const Manager *m, MetricsFormat format, int *ret) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = manager_make_metrics(m, format, &text, &size);
        if (r >= 0)
                r = *ret = memfd_new_sealed("metrics", text, size);
        return r;
}

static void on_use_read(_unused_ char *const *ids, void *userdata) {
        const MetricsQuestion *q = userdata;
        _cleanup_close_ int fd = -EBADF;
        _cleanup_error_ Error e = {};
        int r;

        r = make_memfd(operation_manager(q->operation), q->format, &fd);
        if (r < 0) {
                (void) error_set_errnof(&e, r, "Cannot write the metrics: %m");
                operation_fail(q->operation, &e);
        } else
                operation_reply(q->operation, "h", fd);
}

/* Of all instances: who may ask at all, may see them all. */
static int question_ask(Manager *m, MetricsQuestion **q) {
        _cleanup_free_ char **ids = NULL;
        size_t n = 0;
        int r;

        ids = new0(char *, HASH_COUNT(m->instances) + 1);
        if (!ids)
                return -ENOMEM;
        for (Instance *i = m->instances; i; i = i->hh.next)
                ids[n++] = i->record->id;

        r = manager_read_use(m, ids, /* services= */ false, on_use_read, *q);
        if (r >= 0)
                TAKE_PTR(*q);
        return r;
}

int method_get_metrics(sd_bus_message *message, void *userdata, sd_bus_error *reterr) {
        _cleanup_(operation_freep) Operation *o = NULL;
        _cleanup_free_ MetricsQuestion *q = NULL;
        MetricsFormat format = METRICS_OPENMETRICS;
        const char *name = NULL;
        _cleanup_error_ Error e = {};
        Manager *m = userdata;
        int r;

        r = bus_read_options(message, metrics_options, ELEMENTSOF(metrics_options), (void *) &name, &e);
        if (r < 0)
                return bus_error_move(reterr, &e);
        if (name)
                format = metrics_format_from_string(name);
        if (format < 0)
                return sd_bus_error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The format has to be openmetrics or prometheus.");

        q = new0(MetricsQuestion, 1);
        if (!q)
                return -ENOMEM;
        o = operation_new(m, message);
        if (!o)
                return -ENOMEM;
        *q = (MetricsQuestion) { .operation = o, .format = format };

        r = question_ask(m, &q);
        if (r < 0) {
                (void) error_set_errnof(&e, r, "Cannot write the metrics: %m");
                operation_fail(TAKE_PTR(o), &e);
                return 1;
        }

        TAKE_PTR(o);
        return 1;
}
