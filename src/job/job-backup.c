/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Backing an instance up: one file, which is a backup once it was read back from the disk. Until then it has another name,
 * and is removed by whatever ends the job otherwise. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "archive-pool.h"
#include "archive-writer.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-archive.h"
#include "job-backup.h"
#include "job-delete-backup.h"
#include "job-dump.h"
#include "job-engine.h"
#include "job-folder.h"
#include "job-helper.h"
#include "job-quiesce.h"
#include "job-render.h"
#include "job-revision.h"
#include "job-volume.h"
#include "json-util.h"
#include "log.h"
#include "string-util.h"
#include "validate.h"

/* So often it is looked whether there is room for as much again. */
#define SPACE_CHECK_SIZE (16U * 1024U * 1024U)

typedef struct Backup {
        Job *job;
        BackupRecord record;
        BackupKeys *keys;
        ArchiveHeader header;
        ArchiveWriter *writer;
        int folder, fd; /* of this instance's backups; of the file */
        char *part;
        json_t *entry;    /* of the stream that is being written; borrowed */
        BackupSize last;  /* that of the latest backup; 0: there is none */
        uint64_t checked; /* n_bytes when it was looked whether there is room */
        uint64_t n_changed, n_skipped;
        size_t n_items, n_done;
        uint64_t n_bytes; /* of what was taken in so far */
        uint64_t flushed; /* write_behind() */
} Backup;

static void backup_done(Backup *b) {
        archive_writer_free(b->writer);
        archive_header_done(&b->header);
        backup_keys_free(b->keys);
        backup_record_done(&b->record);
        safe_close(b->fd);
        safe_close(b->folder);
        free(b->part);
}
#define _cleanup_backup_ _cleanup_(backup_done)

/* What a worker that was killed left of the Engine's things. */
static int clean_up(Job *j, Error *reterr) {
        int r;

        r = job_helper_remove(j, reterr);
        return r < 0 ? r : job_quiesce_end(j, reterr);
}

int job_backup_undo(Job *j, Error *reterr) {
        _cleanup_error_ Error error = {};
        int r, k;

        /* What cannot be started again leaves no file behind. */
        r = clean_up(j, reterr);
        if (r == -ECANCELED)
                return r;
        k = job_backup_undo_file(j, &error);
        if (r < 0)
                return r;
        if (k < 0)
                error_move(reterr, &error);
        return k;
}

static int remove_unfinished(const BackupRecord *record, Error *reterr) {
        _cleanup_free_ char *part = strjoin(record->file, JOB_BACKUP_PART_SUFFIX);
        _cleanup_close_ int folder = -EBADF;

        if (!part)
                return error_set_errnof(reterr, ENOMEM, "%m");
        folder = backup_folder_find(record->instance, reterr);
        if (folder < 0)
                return folder == -ENOENT ? 0 : folder;

        /* As long as it has the one name, what has the other is not its own. */
        if (unlinkat(folder, part, 0) < 0 &&
                        (errno != ENOENT || (unlinkat(folder, record->file, 0) < 0 && errno != ENOENT)))
                return error_set_errnof(
                                reterr, errno, "Cannot remove the unfinished backup %s: %m", record->file);
        /* On a disk that cannot even do that nothing is won by a record that nobody can remove. */
        (void) fsync(folder);
        return 0;
}

/* The record goes last: what it does not name is found by nobody. */
int job_backup_undo_file(Job *j, Error *reterr) {
        _cleanup_backup_record_ BackupRecord record = {};
        int r;

        r = backup_get_of_job(j->db, j->id, &record, reterr);
        if (r == -ENOENT)
                error_done(reterr);
        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (!IN_SET(record.state, BACKUP_WRITING, BACKUP_WRITTEN))
                return 0;

        r = remove_unfinished(&record, reterr);
        return r < 0 ? r : backup_discard(j->db, j->id, reterr);
}

/* --- streams --- */

static int take(const void *data, size_t size, void *userdata, Error *reterr) {
        Backup *b = userdata;
        uint64_t expected;
        int r;

        b->n_bytes += size;
        if (b->n_bytes - b->checked >= SPACE_CHECK_SIZE) {
                b->checked = b->n_bytes;
                r = job_archive_check_space(b->folder, SPACE_CHECK_SIZE, reterr);
                if (r < 0)
                        return r;
        }
        /* As much as the last time, until it is more. */
        expected = b->n_bytes < b->last.contents ? b->last.contents : 0;
        job_tell_bytes(b->job, expected > 0 ? -1 : (double) b->n_done / (double) b->n_items, b->n_bytes,
                        expected, "%s", strempty(json_object_get_string(b->entry, "name")));
        r = archive_writer_write(b->writer, data, size, reterr);
        return r < 0 ? r : job_archive_write_behind(b->part, b->fd, &b->flushed, reterr);
}

static int begin_stream(Backup *b, const char *kind, const char *name, Error *reterr) {
        int r;

        r = archive_writer_begin(b->writer, name, &b->entry, reterr);
        if (r < 0)
                return r;
        return json_object_set_new(b->entry, "kind", json_string(kind)) < 0
                        ? error_set_errnof(reterr, ENOMEM, "%m")
                        : 0;
}

static int end_stream(Backup *b, Error *reterr) {
        b->n_done++;
        return archive_writer_end(b->writer, reterr);
}

static int put_database(Backup *b, const BlueprintDatabase *d, Error *reterr) {
        _cleanup_free_ char *name = NULL, *version = NULL;
        int r;

        name = job_archive_database_stream(d);
        if (!name)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = begin_stream(b, "database", name, reterr);
        if (r < 0)
                return r;
        if (json_object_set_new(b->entry, "service", json_string(d->service)) < 0 ||
                        json_object_set_new(b->entry, "database", json_string(strempty(d->database))) < 0 ||
                        json_object_set_new(b->entry, "engine",
                                        json_string(database_kind_to_string(d->kind))) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = job_dump_database(b->job, d, job_quiesce_is_down(b->job, d), take, b, &version, reterr);
        if (r < 0)
                return r;
        if (version && json_object_set_new(b->entry, "version", json_string(version)) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        return end_stream(b, reterr);
}

static int put_tree(Backup *b, const char *kind, const char *name, const char *type, const char *source,
                Error *reterr) {
        _cleanup_volume_report_ VolumeReport report = {};
        int r;

        r = begin_stream(b, kind, name, reterr);
        if (r >= 0)
                r = job_volume_pack(b->job, type, source, take, b, &report, reterr);
        if (r < 0)
                return r;

        b->n_changed += report.n_changed;
        b->n_skipped += report.n_skipped;
        if (json_object_set(b->entry, "report", report.object) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        return end_stream(b, reterr);
}

/* What the instance has of the volumes of its blueprint: features that are off have none. */
static int put_volumes(Backup *b, Error *reterr) {
        const DockerOwner owner = job_engine_owner(b->job);
        const BlueprintState *state = &b->job->blueprint->state;
        _cleanup_docker_objects_ DockerObjects volumes = {};
        int r;

        r = docker_list_owned(b->job->docker, DOCKER_VOLUME, &owner, &volumes, reterr);
        if (r < 0)
                return r;

        FOREACH_ARRAY(v, state->volumes, state->n_volumes) {
                _cleanup_free_ char *name = job_archive_volume_stream(v->name),
                                    *volume = job_revision_volume_name(b->job, v->name);
                bool found = false;

                if (!volume || !name)
                        return error_set_errnof(reterr, ENOMEM, "%m");
                FOREACH_ARRAY(o, volumes.items, volumes.n)
                        found = found || streq_ptr(o->id, volume);
                if (!found) {
                        log_info("There is no volume '%s'.", v->name);
                        continue;
                }

                r = put_tree(b, "volume", name, "volume", volume, reterr);
                if (r < 0)
                        return r;
        }

        return put_tree(b, "folder", STREAM_FOLDER, "bind", b->job->directory, reterr);
}

static int put_secrets(Backup *b, Error *reterr) {
        _cleanup_erase_ char *text = json_format(b->job->secrets, JSON_SORT_KEYS);
        int r;

        if (!text)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = begin_stream(b, "secrets", STREAM_SECRETS, reterr);
        if (r >= 0)
                r = archive_writer_write(b->writer, text, strlen(text), reterr);
        return r < 0 ? r : end_stream(b, reterr);
}

/* --- the file --- */

static json_t *describe_instance(const InstanceRecord *i) {
        _cleanup_json_ json_t *o = NULL, *ports = json_object(), *features = json_array();

        o = json_pack("{s:s, s:s, s:s, s:s*, s:s, s:s, s:s, s:O*, s:O*, s:s, s:s*, s:I}", "id", i->id,
                        "slug", i->slug, "name", i->name, "domain", i->domain, "blueprint", i->blueprint,
                        "blueprint_version", i->blueprint_version, "engine", i->engine, "parameters",
                        i->parameters, "images", i->images, "bind_address", i->bind_address, "source",
                        i->source, "revision", (json_int_t) i->revision);
        if (!o || !ports || !features)
                return NULL;

        FOREACH_ARRAY(p, i->ports, i->n_ports)
                if (json_object_set_new(ports, p->name, json_integer(p->number)) < 0)
                        return NULL;
        STRV_FOREACH(f, i->features)
                if (json_array_append_new(features, json_string(*f)) < 0)
                        return NULL;
        if (json_object_set(o, "ports", ports) < 0 || json_object_set(o, "features", features) < 0)
                return NULL;
        return TAKE_PTR(o);
}

static int open_file(Backup *b, Error *reterr) {
        const ArchiveWriterOptions options = { .n_threads = archive_pool_threads() };
        ArchiveSealers sealers;
        int r;

        free(b->part);
        b->part = strjoin(b->record.file, JOB_BACKUP_PART_SUFFIX);
        if (!b->part)
                return error_set_errnof(reterr, ENOMEM, "%m");
        b->fd = safe_close(b->fd);
        b->fd = job_archive_make_unfinished(b->folder, b->part, b->last.file, reterr);
        if (b->fd < 0)
                return b->fd;

        archive_header_done(&b->header);
        b->header = (ArchiveHeader) {
                .sequence = b->record.sequence,
                .created_at = b->record.created_at,
                .slug = strdup(b->job->claim.job->slug),
                .software = strdup("ccpd " CCP_VERSION),
        };
        if (!b->header.slug || !b->header.software)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = backup_parse_id(b->job->claim.job->instance, b->header.instance);
        if (r < 0)
                return error_set_errnof(reterr, r, "The id of the instance is none: %m");

        sealers = backup_keys_sealers(b->keys);
        return archive_writer_new(b->fd, &b->header, &sealers, &options, &b->writer, reterr);
}

static int finish_file(Backup *b, Error *reterr) {
        _cleanup_json_ json_t *instance = describe_instance(job_instance(b->job)), *manifest = NULL;
        int r;

        manifest = instance
                        ? json_pack("{s:i, s:O, s:s, s:I}", "version", 1, "instance", instance,
                                          "consistency", backup_consistency_to_string(b->record.consistency),
                                          "created_at", (json_int_t) b->record.created_at)
                        : NULL;
        if (!manifest)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = archive_writer_finish(b->writer, manifest, reterr);
        if (r >= 0)
                r = job_archive_sync_unfinished(b->folder, b->part, b->fd, reterr);
        if (r < 0)
                return r;

        b->record.size = archive_writer_size(b->writer);
        backup_format_id(b->header.id, b->record.archive);
        b->record.contents = json_incref(json_object_get(manifest, "streams"));
        b->record.config = json_incref(instance);
        return 0;
}

/* What the instance's containers have, while they are as quiet as the backup is to be consistent. Dumps are taken
 * first: a database that is paused answers nobody. */
static int put_contents(Backup *b, Error *reterr) {
        const BlueprintState *state = &b->job->blueprint->state;
        int r;

        r = job_quiesce_for_dumps(b->job, b->record.consistency, reterr);
        if (r < 0)
                return r;
        FOREACH_ARRAY(d, state->databases, state->n_databases) {
                r = put_database(b, d, reterr);
                if (r < 0)
                        return r;
        }

        r = job_quiesce_for_volumes(b->job, b->record.consistency, reterr);
        return r < 0 ? r : put_volumes(b, reterr);
}

/* One file, from its first byte to its last. */
static int write_file(Backup *b, Error *reterr) {
        const BlueprintState *state = &b->job->blueprint->state;
        _cleanup_error_ Error error = {};
        int r, k;

        b->n_changed = b->n_skipped = 0;
        b->n_done = 0;
        b->n_bytes = b->checked = 0;
        b->n_items = state->n_databases + state->n_volumes + 2;
        r = open_file(b, reterr);
        if (r < 0)
                return r;

        r = put_contents(b, reterr);
        k = b->record.consistency == BACKUP_LIVE ? 0 : job_quiesce_end(b->job, &error);
        if (r < 0)
                return r;
        if (k < 0) {
                error_move(reterr, &error);
                return k;
        }

        r = put_secrets(b, reterr);
        return r < 0 ? r : finish_file(b, reterr);
}

static int write_twice_at_most(Backup *b, Error *reterr) {
        int r;

        b->record.consistency = job_quiesce_first(b->job);
        r = backup_begin(b->job->db, &b->record, &b->last, reterr);
        if (r >= 0)
                r = write_file(b, reterr);
        if (r < 0 || b->n_changed == 0 || !job_quiesce_may_pause(b->job))
                return r;

        log_info("%" PRIu64 " files changed while they were read: once more, with the containers paused.",
                        b->n_changed);
        b->writer = archive_writer_free(b->writer);
        json_decref(b->record.contents);
        json_decref(b->record.config);
        b->record.contents = b->record.config = NULL;
        b->record.consistency = BACKUP_PAUSED;
        return write_file(b, reterr);
}

static int run_write(Job *j, Error *reterr) {
        _cleanup_backup_ Backup b = { .job = j, .folder = -EBADF, .fd = -EBADF, .record.job = j->id };
        int r;

        r = clean_up(j, reterr);
        if (r >= 0)
                r = job_archive_load_keys(j, j->claim.job->instance, &b.keys, reterr);
        if (r < 0)
                return r;
        /* Where others should be already it is not made: that would hide that its file system is not mounted. */
        b.folder = backup_folder_open(j->claim.job->instance, job_instance(j)->backups.last == 0, reterr);
        if (b.folder < 0)
                return b.folder;
        (void) snprintf(b.record.instance, sizeof(b.record.instance), "%s", j->claim.job->instance);
        b.record.blueprint = strdup(job_instance(j)->blueprint);
        b.record.blueprint_version = strdup(job_instance(j)->blueprint_version);
        if (!b.record.blueprint || !b.record.blueprint_version)
                return error_set_errnof(reterr, ENOMEM, "%m");

        r = write_twice_at_most(&b, reterr);
        if (r >= 0)
                r = backup_set_written(j->db, &b.record, reterr);
        if (r < 0)
                return r;

        if (asprintf(&j->detail, "%" PRIu64 " MiB, %s%s", b.record.size / 1024 / 1024,
                            backup_consistency_to_string(b.record.consistency),
                            b.n_changed > 0 ? ", with files that changed while they were read"
                                            : b.n_skipped > 0 ? ", without sockets and devices"
                                                              : "") < 0)
                j->detail = NULL;
        return 0;
}

/* --- reading it back --- */

int job_backup_check_dumps(Job *j, ArchiveReader *reader, Error *reterr) {
        const BlueprintState *state = &j->blueprint->state;

        FOREACH_ARRAY(d, state->databases, state->n_databases) {
                _cleanup_free_ char *name = job_archive_database_stream(d);
                int r;

                if (!name)
                        return error_set_errnof(reterr, ENOMEM, "%m");
                /* The blueprint may have another one by now. */
                if (!archive_reader_find(reader, name))
                        continue;
                r = job_dump_check(j, d, reader, name, reterr);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int run_verify(Job *j, Error *reterr) {
        _cleanup_(archive_reader_freep) ArchiveReader *reader = NULL;
        _cleanup_backup_record_ BackupRecord record = {};
        _cleanup_close_ int folder = -EBADF, fd = -EBADF;
        _cleanup_free_ char *part = NULL;
        int r;

        r = clean_up(j, reterr);
        if (r >= 0)
                r = backup_get_of_job(j->db, j->id, &record, reterr);
        if (r < 0)
                return r;
        folder = backup_folder_open(j->claim.job->instance, false, reterr);
        if (folder < 0)
                return folder;
        part = strjoin(record.file, JOB_BACKUP_PART_SUFFIX);
        if (!part)
                return error_set_errnof(reterr, ENOMEM, "%m");

        fd = job_archive_open_unfinished(folder, part, record.file, reterr);
        if (fd < 0)
                return fd;
        r = job_archive_verify(j, fd, &record, &reader, reterr);
        if (r >= 0)
                r = job_backup_check_dumps(j, reader, reterr);
        if (r < 0)
                return r;

        r = job_archive_finish(folder, part, record.file, RENAME_NOREPLACE, reterr);
        if (r < 0)
                return r;
        r = job_archive_set_verified(j, record.id, reader, reterr);
        if (r < 0)
                return r;
        if (asprintf(&j->detail, "backup %" PRIu64, record.id) < 0)
                j->detail = NULL;
        return 0;
}

int job_backup_prepare(Job *j, Error *reterr) {
        int r;

        if (j->values)
                return 0;
        r = job_active_revision_find(j, reterr);
        if (r < 0)
                return r;
        j->profiles = strv_free(j->profiles);
        return job_values_build(j, reterr);
}

static const StepOps steps[] = {
        { "write", run_write, "discard-backup", STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "verify", run_verify, NULL, STEP_ENGINE | STEP_KEEPS_RUNNING },
        { "retention", job_retention_run, "keep-backups", 0 },
};

const JobOps job_backup_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .prepare = job_backup_prepare,
        .end = STORE_END_ASIDE,
        .undone = STORE_END_ASIDE,
};
