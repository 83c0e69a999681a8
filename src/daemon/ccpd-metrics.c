/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ccpd-metrics.h"

#include "ccpd-use.h"
#include "string-util.h"

#define BEGIN(w, ...) metrics_begin((w), &(const Metric) { __VA_ARGS__ })
#define LABELS(...) \
        ((const MetricLabel[]) { __VA_ARGS__ }), ELEMENTSOF(((const MetricLabel[]) { __VA_ARGS__ }))
#define FOREACH_INSTANCE(i, m) for (const Instance *i = (m)->instances; i; i = i->hh.next)

/* "slug", since "instance" is what Prometheus calls whom it asks. */
#define SLUG(i) { "slug", (i)->record->slug }

/* --- ccpd itself --- */

static void add_daemon(MetricsWriter *w, const Manager *m) {
        BEGIN(w, "ccpd_build", METRIC_INFO, NULL, "The version of ccpd.");
        metrics_add_info(w, LABELS({ "version", CCP_VERSION }));

        BEGIN(w, "ccpd_up", METRIC_GAUGE, NULL, "1 if ccpd answers.");
        metrics_add(w, NULL, 0, 1);

        BEGIN(w, "ccpd_store_available", METRIC_GAUGE, NULL, "1 if PostgreSQL answers.");
        metrics_add(w, NULL, 0, m->loaded && db_is_available(m->db));

        BEGIN(w, "ccpd_engine_available", METRIC_GAUGE, NULL, "1 if Docker answers.");
        metrics_add(w, NULL, 0, m->engine_state == ENGINE_AVAILABLE);
}

static void add_counts(MetricsWriter *w, const Manager *m) {
        uint64_t n[_INSTANCE_STATE_MAX] = {}, n_active = 0;

        FOREACH_INSTANCE(i, m)
        n[i->record->state]++;
        BEGIN(w, "ccpd_instances", METRIC_GAUGE, NULL, "Instances by state.");
        for (InstanceState s = 0; s < _INSTANCE_STATE_MAX; s++)
                metrics_add(w, LABELS({ "state", instance_state_to_string(s) }), n[s]);

        for (const Job *j = m->jobs; j; j = j->hh.next)
                n_active += !job_state_is_final(j->record->state);
        BEGIN(w, "ccpd_jobs_active", METRIC_GAUGE, NULL, "Jobs that wait or run.");
        metrics_add(w, NULL, 0, n_active);

        BEGIN(w, "ccpd_jobs", METRIC_COUNTER, NULL,
                        "Jobs that ended since ccpd was started, by kind and result.");
        for (JobKind k = 0; k < _JOB_KIND_MAX; k++)
                for (JobState s = 0; s < _JOB_STATE_MAX; s++)
                        if (job_state_is_final(s))
                                metrics_add(w,
                                                LABELS({ "kind", job_kind_to_string(k) },
                                                                { "result", job_state_to_string(s) }),
                                                m->jobs_ended[k][s]);
}

/* --- instances --- */

static void add_infos(MetricsWriter *w, const Manager *m) {
        BEGIN(w, "ccpd_instance", METRIC_INFO, NULL, "What an instance is.");
        FOREACH_INSTANCE(i, m)
        metrics_add_info(w,
                        LABELS(SLUG(i), { "name", i->record->name }, { "domain", i->record->domain },
                                        { "blueprint", i->record->blueprint },
                                        { "blueprint_version", i->record->blueprint_version }));

        BEGIN(w, "ccpd_instance_state_changed_timestamp_seconds", METRIC_GAUGE, "seconds",
                        "When the instance came into its state.");
        FOREACH_INSTANCE(i, m)
        metrics_add_usec(w, LABELS(SLUG(i)), i->record->state_changed_at);
}

static void add_states(MetricsWriter *w, const Manager *m) {
        const char *states[_INSTANCE_STATE_MAX], *healths[_HEALTH_MAX];

        for (InstanceState s = 0; s < _INSTANCE_STATE_MAX; s++)
                states[s] = instance_state_to_string(s);
        BEGIN(w, "ccpd_instance_state", METRIC_STATE_SET, NULL, "The state of an instance.");
        FOREACH_INSTANCE(i, m)
        metrics_add_state(w, LABELS(SLUG(i)), states, ELEMENTSOF(states), (size_t) i->record->state);

        for (Health h = 0; h < _HEALTH_MAX; h++)
                healths[h] = health_to_string(h);
        BEGIN(w, "ccpd_instance_health", METRIC_STATE_SET, NULL, "The health of an instance.");
        FOREACH_INSTANCE(i, m)
        metrics_add_state(w, LABELS(SLUG(i)), healths, ELEMENTSOF(healths), (size_t) i->health);
}

static void add_services(MetricsWriter *w, const Manager *m) {
        BEGIN(w, "ccpd_service_running", METRIC_GAUGE, NULL, "1 if the container of a service runs.");
        FOREACH_INSTANCE(i, m)
        FOREACH_ARRAY(s, i->services, i->n_services)
                metrics_add(w, LABELS(SLUG(i), { "service", s->name }),
                                s->observation.state == CONTAINER_RUNNING);

        BEGIN(w, "ccpd_service_restarts", METRIC_COUNTER, NULL,
                        "Ends of a container that nobody asked for.");
        FOREACH_INSTANCE(i, m)
        FOREACH_ARRAY(s, i->services, i->n_services)
                metrics_add(w, LABELS(SLUG(i), { "service", s->name }), s->n_restarts);
}

static void add_use(MetricsWriter *w, const Manager *m) {
        static const struct {
                UseField field;
                Metric metric;
        } table[] = {
                { USE_CPU_USEC,
                                { "ccpd_instance_cpu_seconds", METRIC_COUNTER, "seconds",
                                                "Processor time that the containers of an instance "
                                                "took." } },
                { USE_MEMORY,
                                { "ccpd_instance_memory_bytes", METRIC_GAUGE, "bytes",
                                                "Memory of an instance, with what is cached of files." } },
                { USE_MEMORY_CACHE,
                                { "ccpd_instance_memory_cache_bytes", METRIC_GAUGE, "bytes",
                                                "The part of its memory that is given back first." } },
                { USE_OOM_KILLS,
                                { "ccpd_instance_oom_kills", METRIC_COUNTER, NULL,
                                                "Processes that were killed for want of memory." } },
                { USE_TASKS, { "ccpd_instance_tasks", METRIC_GAUGE, NULL, "Processes and threads." } },
                { USE_IO_READ,
                                { "ccpd_instance_io_read_bytes", METRIC_COUNTER, "bytes",
                                                "Bytes read from disks." } },
                { USE_IO_WRITTEN,
                                { "ccpd_instance_io_written_bytes", METRIC_COUNTER, "bytes",
                                                "Bytes written to disks." } },
                { USE_NETWORK_RECEIVED,
                                { "ccpd_instance_network_received_bytes", METRIC_COUNTER, "bytes",
                                                "Bytes that came from outside the instance." } },
                { USE_NETWORK_SENT,
                                { "ccpd_instance_network_sent_bytes", METRIC_COUNTER, "bytes",
                                                "Bytes that went out of the instance." } },
        };

        FOREACH_ARRAY(t, table, ELEMENTSOF(table)) {
                metrics_begin(w, &t->metric);
                FOREACH_INSTANCE(i, m) {
                        uint64_t value = use_get(&i->use.total, t->field);

                        if (value == USE_UNKNOWN)
                                continue;
                        if (t->field == USE_CPU_USEC)
                                metrics_add_usec(w, LABELS(SLUG(i)), value);
                        else
                                metrics_add(w, LABELS(SLUG(i)), value);
                }
        }
}

static void add_disk(MetricsWriter *w, const Manager *m) {
        BEGIN(w, "ccpd_instance_disk_bytes", METRIC_GAUGE, "bytes",
                        "What a folder, volume or container of an instance takes of the disk.");
        FOREACH_INSTANCE(i, m)
        FOREACH_ARRAY(d, i->use.disk, i->use.n_disk)
                metrics_add(w,
                                LABELS(SLUG(i), { "kind", disk_kind_to_string(d->kind) },
                                                { "name", d->name }),
                                d->bytes);

        BEGIN(w, "ccpd_instance_disk_measured_timestamp_seconds", METRIC_GAUGE, "seconds",
                        "When the disk was measured.");
        FOREACH_INSTANCE(i, m)
        if (i->use.n_disk > 0)
                metrics_add_usec(w, LABELS(SLUG(i)), i->use.disk[0].measured_at);
}

static void add_backups(MetricsWriter *w, const Manager *m) {
        BEGIN(w, "ccpd_instance_backups", METRIC_GAUGE, NULL, "Backups that there are of an instance.");
        FOREACH_INSTANCE(i, m)
        metrics_add(w, LABELS(SLUG(i)), i->record->backups.n_ids);

        BEGIN(w, "ccpd_instance_backups_damaged", METRIC_GAUGE, NULL, "Those of them that are damaged.");
        FOREACH_INSTANCE(i, m)
        metrics_add(w, LABELS(SLUG(i)), i->record->backups.n_damaged);

        BEGIN(w, "ccpd_instance_backup_timestamp_seconds", METRIC_GAUGE, "seconds",
                        "When the newest backup that is verified was made.");
        FOREACH_INSTANCE(i, m)
        if (i->record->backups.last_at > 0)
                metrics_add_usec(w, LABELS(SLUG(i)), i->record->backups.last_at);

        BEGIN(w, "ccpd_instance_backup_verified_timestamp_seconds", METRIC_GAUGE, "seconds",
                        "When a backup was read back the last time.");
        FOREACH_INSTANCE(i, m)
        if (i->record->backups.verified_at > 0)
                metrics_add_usec(w, LABELS(SLUG(i)), i->record->backups.verified_at);

        BEGIN(w, "ccpd_instance_backup_unread_timestamp_seconds", METRIC_GAUGE, "seconds",
                        "When the backup was read that was read the longest ago.");
        FOREACH_INSTANCE(i, m)
        if (i->record->backups.unread_since > 0)
                metrics_add_usec(w, LABELS(SLUG(i)), i->record->backups.unread_since);

        BEGIN(w, "ccpd_instance_backup_drilled_timestamp_seconds", METRIC_GAUGE, "seconds",
                        "When a backup was restored by a drill the last time, with success.");
        FOREACH_INSTANCE(i, m)
        if (i->record->backups.drilled_at > 0)
                metrics_add_usec(w, LABELS(SLUG(i)), i->record->backups.drilled_at);

        BEGIN(w, "ccpd_instance_backup_replicated_timestamp_seconds", METRIC_GAUGE, "seconds",
                        "When a backup was copied to the storage the last time.");
        FOREACH_INSTANCE(i, m)
        if (i->record->backups.replicated_at > 0)
                metrics_add_usec(w, LABELS(SLUG(i)), i->record->backups.replicated_at);
}

int manager_make_metrics(const Manager *m, MetricsFormat format, char **ret, size_t *ret_size) {
        _cleanup_metrics_ MetricsWriter w = { .format = format };

        add_daemon(&w, m);
        add_counts(&w, m);
        add_infos(&w, m);
        add_states(&w, m);
        add_services(&w, m);
        add_use(&w, m);
        add_disk(&w, m);
        add_backups(&w, m);
        return metrics_finish(&w, ret, ret_size);
}
