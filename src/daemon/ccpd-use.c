/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-use.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "ccpd-reload.h"
#include "fd-util.h"
#include "log.h"
#include "slice.h"
#include "string-util.h"
#include "use-cgroup.h"
#include "use-network.h"

/* Groups that are read in one turn of the loop: some 10 files each, together a few milliseconds. */
#define GROUPS_PER_TURN 32U
/* Who asks again sooner gets the same: however many ask, the kernel counts no more often. */
#define FRESH_USEC (200 * USEC_PER_MSEC)

struct UseReading {
        Manager *manager;
        char **ids;
        size_t next; /* to be read */
        bool services;
        usec_t fresh_since; /* monotonic */
        int root;           /* negative: there are no control groups */
        bool network_is_read;
        NetworkSnapshot network;
        sd_event_source *source;
        UseCallback callback;
        void *userdata;
        UseReading *prev_reading, *next_reading;
};

void instance_disk_done(InstanceUse *u) {
        FOREACH_ARRAY(d, u->disk, u->n_disk)
                free(d->name);
        u->disk = mfree(u->disk);
        u->n_disk = 0;
}

uint64_t instance_disk_sum(const Instance *i, DiskKind kind, const char *name) {
        uint64_t sum = USE_UNKNOWN;

        FOREACH_ARRAY(d, i->use.disk, i->use.n_disk)
                if ((kind < 0 || d->kind == kind) && (!name || streq(d->name, name)))
                        sum = (sum == USE_UNKNOWN ? 0 : sum) + d->bytes;
        return sum;
}

/* --- reading the kernel's counters --- */

static UseReading *use_reading_free(UseReading *q) {
        if (!q)
                return NULL;

        if (q->prev_reading)
                q->prev_reading->next_reading = q->next_reading;
        else if (q->manager->use_readings == q)
                q->manager->use_readings = q->next_reading;
        if (q->next_reading)
                q->next_reading->prev_reading = q->prev_reading;

        sd_event_source_disable_unref(q->source);
        network_snapshot_done(&q->network);
        safe_close(q->root);
        strv_free(q->ids);
        free(q->userdata);
        return mfree(q);
}
DEFINE_CLEANUP_FUNC(UseReading *, use_reading_free);

static void read_service(int slice, InstanceService *s) {
        _cleanup_close_ int group = -EBADF;
        pid_t pid;

        use_reset(&s->use);
        if (slice >= 0 && s->container)
                group = cgroup_open_container(slice, s->container);
        if (group >= 0) {
                cgroup_read_use(group, &s->use);
                if (cgroup_first_process(group, &pid) >= 0)
                        network_read_process(pid, s->container, &s->use);
        }
        s->use.time = now(CLOCK_REALTIME);
}

/* Returns how many groups were read. */
static unsigned read_instance(UseReading *q, Instance *i) {
        _cleanup_close_ int group = -EBADF;
        _cleanup_free_ char *slice = NULL;
        unsigned n = 0;

        if (slice_from_slug(i->record->slug, &slice) >= 0 && q->root >= 0)
                group = cgroup_open_slice(q->root, slice);

        if (i->use.read_at < q->fresh_since) {
                use_reset(&i->use.total);
                if (group >= 0)
                        cgroup_read_use(group, &i->use.total);
                if (i->record->has_subnet && !q->network_is_read) {
                        int r;

                        q->network_is_read = true;
                        r = network_snapshot_read(&q->network);
                        if (r < 0)
                                log_debug_errno(r, "Failed to read this host's interfaces, ignoring: %m");
                }
                if (i->record->has_subnet)
                        network_snapshot_get(&q->network, &i->record->subnet, &i->use.total);
                i->use.total.time = now(CLOCK_REALTIME);
                i->use.read_at = now(CLOCK_MONOTONIC);
                n++;
        }

        if (q->services && i->use.services_read_at < q->fresh_since) {
                FOREACH_ARRAY(s, i->services, i->n_services)
                        read_service(group, s);
                i->use.services_read_at = now(CLOCK_MONOTONIC);
                n += (unsigned) i->n_services;
        }
        return n;
}

static int on_turn(_unused_ sd_event_source *source, void *userdata) {
        UseReading *q = userdata;

        for (unsigned n = 0; n < GROUPS_PER_TURN && q->ids[q->next]; q->next++) {
                Instance *i = instance_find_by_id(q->manager, q->ids[q->next]);

                /* At least one, so that what is fresh costs something too. */
                n += i ? MAX(read_instance(q, i), 1U) : 1U;
        }

        if (q->ids[q->next])
                return sd_event_source_set_enabled(q->source, SD_EVENT_ONESHOT);

        q->callback(q->ids, q->userdata);
        use_reading_free(q);
        return 0;
}

static int use_reading_new(Manager *m, char *const *ids, UseReading **ret) {
        _cleanup_(use_reading_freep) UseReading *q = NULL;
        int r;

        q = new0(UseReading, 1);
        if (!q)
                return -ENOMEM;
        q->manager = m;
        q->root = -EBADF;
        q->ids = strv_copy(ids);
        if (!q->ids)
                return -ENOMEM;

        r = sd_event_add_defer(m->event, &q->source, on_turn, q);
        if (r < 0)
                return r;

        q->next_reading = m->use_readings;
        if (m->use_readings)
                m->use_readings->prev_reading = q;
        m->use_readings = q;

        *ret = TAKE_PTR(q);
        return 0;
}

int manager_read_use(Manager *m, char *const *ids, bool services, UseCallback callback, void *userdata) {
        const char *root = secure_getenv("CCP_CGROUP") ?: CGROUP_ROOT;
        UseReading *q;
        usec_t t;
        int r;

        r = use_reading_new(m, ids, &q);
        if (r < 0)
                return r;

        q->services = services;
        q->callback = callback;
        q->userdata = userdata;
        t = now(CLOCK_MONOTONIC);
        q->fresh_since = t > FRESH_USEC ? t - FRESH_USEC : 1;
        q->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (q->root < 0)
                log_debug_errno(errno, "Failed to open '%s', what instances use is not known: %m", root);
        return 0;
}

void manager_forget_use(Manager *m) {
        while (m->use_readings)
                use_reading_free(m->use_readings);
}

/* --- the records of the disk --- */

/* Takes the n records of one instance out of the list. */
static void instance_take_disk(Instance *i, DiskRecord *records, size_t n) {
        DiskRecord *copy;

        copy = new0(DiskRecord, n);
        if (!copy) {
                log_oom();
                return;
        }
        for (size_t k = 0; k < n; k++)
                copy[k] = TAKE_GENERIC(records[k], (DiskRecord) {});
        i->use.disk = copy;
        i->use.n_disk = n;
}

/* Gives each instance its part; the records come by instance. */
static void manager_take_disk(Manager *m, DiskRecords *l) {
        for (Instance *i = m->instances; i; i = i->hh.next)
                instance_disk_done(&i->use);

        for (size_t k = 0, n; k < l->n; k += n) {
                Instance *i = instance_find_by_id(m, l->items[k].instance);

                for (n = 1; k + n < l->n && streq(l->items[k + n].instance, l->items[k].instance); n++)
                        ;
                if (i)
                        instance_take_disk(i, l->items + k, n);
        }
}

static void on_disk_loaded(int r, DiskRecords *l, Error *error, void *userdata) {
        Manager *m = userdata;

        if (r < 0) {
                log_debug("Failed to read the use of the disk, all is read again later: %s", error->message);
                manager_resync_later(m);
                return;
        }

        manager_take_disk(m, l);
}

void manager_load_disk(Manager *m) {
        _cleanup_error_ Error e = {};

        if (store_load_disk(m->db, on_disk_loaded, m, NULL, &e) < 0) {
                log_debug("Failed to read the use of the disk, all is read again later: %s", e.message);
                manager_resync_later(m);
        }
}
