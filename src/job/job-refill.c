/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-refill.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "disk-room.h"
#include "fd-util.h"
#include "job-dump.h"
#include "job-folder.h"
#include "job-stage.h"
#include "job-volume.h"
#include "json-util.h"
#include "log.h"
#include "string-util.h"

/* What must be free beyond what is unpacked, as a part of that: file systems, and databases, take more than their data. */
#define SPACE_MARGIN 4U
#define SECRETS_SIZE_MAX (16U * 1024U * 1024U)

int job_refill_refuse(const Job *j, const JobArchive *a, const char *why, Error *reterr) {
        return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                        "Backup %" PRIu64 " cannot be restored into '%s': %s", a->record.id,
                        j->claim.job->slug, why);
}

/* A database of another version of the application is not for this one. */
static int check_version(const Job *j, const JobArchive *a, Error *reterr) {
        const InstanceRecord *i = job_instance(j);
        const BackupRecord *b = &a->record;
        _cleanup_free_ char *why = NULL;

        if (streq(b->blueprint, i->blueprint) && streq(b->blueprint_version, i->blueprint_version))
                return 0;
        if (json_is_true(json_object_get(j->claim.job->spec, "any_version")))
                return 0;
        if (asprintf(&why,
                            "it was made with version %s of the blueprint, and the instance has %s. Where "
                            "you know that "
                            "this one takes the data of that one, restore it with --any-version.",
                            b->blueprint_version, i->blueprint_version) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        return job_refill_refuse(j, a, why, reterr);
}

static int check_databases(const Job *j, const JobArchive *a, Error *reterr) {
        const BlueprintState *state = &j->blueprint->state;

        FOREACH_ARRAY(d, state->databases, state->n_databases) {
                _cleanup_free_ char *stream = job_archive_database_stream(d), *why = NULL;

                if (!stream)
                        return error_set_errnof(reterr, ENOMEM, "%m");
                if (archive_reader_find(a->reader, stream))
                        continue;
                if (asprintf(&why, "it has no dump of the database of '%s'.", d->service) < 0)
                        return error_set_errnof(reterr, ENOMEM, "%m");
                return job_refill_refuse(j, a, why, reterr);
        }
        return 0;
}

/* What a backup has to unpack, with a margin. */
typedef struct Unpacked {
        uint64_t volumes, folder;     /* bytes */
        uint64_t n_volumes, n_folder; /* files */
} Unpacked;

static void count(const JobArchive *a, Unpacked *ret) {
        const json_t *entry;
        size_t i;

        *ret = (Unpacked) {};
        json_array_foreach(json_object_get(archive_reader_manifest(a->reader), "streams"), i, entry) {
                uint64_t size = (uint64_t) json_integer_value(json_object_get(entry, "size")),
                         n = (uint64_t) json_integer_value(
                                         json_object_get(json_object_get(entry, "report"), "entries"));
                bool folder = streq(strempty(json_object_get_string(entry, "name")), STREAM_FOLDER);

                *(folder ? &ret->folder : &ret->volumes) += size + size / SPACE_MARGIN;
                *(folder ? &ret->n_folder : &ret->n_volumes) += n;
        }
}

static int check_disk(const char *where, uint64_t size, uint64_t n, Error *reterr) {
        _cleanup_close_ int fd = open(where, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (fd < 0)
                return error_set_errnof(
                                reterr, errno, "Cannot tell how much room there is in %s: %m", where);
        r = disk_check_room(fd, where, size, "Make room, then retry.", reterr);
        return r < 0 ? r : disk_check_entries(fd, where, n, reterr);
}

/* What is filled must fit beside what is there. */
static int check_space(Job *j, const JobArchive *a, Error *reterr) {
        _cleanup_json_ json_t *info = NULL;
        const char *root;
        Unpacked u;
        int r;

        count(a, &u);
        r = docker_info(j->docker, &info, reterr);
        if (r < 0)
                return r;
        root = json_object_get_string(info, "DockerRootDir");
        r = root ? check_disk(root, u.volumes, u.n_volumes, reterr)
                 : error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                   "The Docker Engine does not say where its data is.");
        if (r >= 0 && j->claim.job->kind == JOB_CLONE)
                r = check_disk(job_instances_dir(j), u.folder, u.n_folder, reterr);
        return r < 0 ? error_prefixf(reterr, r, "Backup %" PRIu64 " cannot be restored for '%s'",
                                       a->record.id, j->claim.job->slug)
                     : 0;
}

int job_refill_check(Job *j, const JobArchive *a, Error *reterr) {
        int r;

        r = check_version(j, a, reterr);
        if (r >= 0)
                r = check_databases(j, a, reterr);
        return r < 0 ? r : check_space(j, a, reterr);
}

/* --- secrets --- */

typedef struct Text {
        char *data;
        size_t size;
} Text;

static int take_text(const void *data, size_t size, void *userdata, Error *reterr) {
        Text *t = userdata;
        char *grown = new0(char, t->size + size + 1);

        if (!grown || t->size + size > SECRETS_SIZE_MAX) {
                free(grown);
                return error_set_errnof(reterr, ENOMEM, "Cannot read the secrets of the backup: %m");
        }
        if (t->data) {
                memcpy(grown, t->data, t->size);
                explicit_bzero(t->data, t->size);
        }
        memcpy(grown + t->size, data, size);
        free(t->data);
        t->data = grown;
        t->size += size;
        return 0;
}

static int parse_secrets(const Text *text, json_t **ret, Error *reterr) {
        json_t *secrets = NULL;
        int r;

        r = json_parse(strempty(text->data), text->size, JSON_REJECT_DUPLICATES, &secrets);
        if (r == -ENOMEM)
                return error_set_errnof(reterr, r, "%m");
        if (!json_is_object(secrets)) {
                json_decref(secrets);
                return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED, "The secrets of the backup are none.");
        }

        *ret = secrets;
        return 0;
}

int job_refill_read_secrets(JobArchive *a, json_t **ret, Error *reterr) {
        Text text = {};
        int r;

        r = archive_reader_extract(a->reader, STREAM_SECRETS, take_text, &text, reterr);
        if (r >= 0)
                r = parse_secrets(&text, ret, reterr);
        if (text.data)
                explicit_bzero(text.data, text.size);
        free(text.data);
        return r;
}

/* Data that was encrypted with another key than the instance has would be of no use to it. What the blueprint lets change
 * is in no data. */
int job_refill_check_secrets(Job *j, JobArchive *a, Error *reterr) {
        const json_t *present = json_object_get(j->values, "secrets");
        _cleanup_json_ json_t *secrets = NULL;
        int r;

        r = job_refill_read_secrets(a, &secrets, reterr);
        if (r < 0)
                return r;
        FOREACH_ARRAY(s, j->blueprint->secrets, j->blueprint->n_secrets)
                if (!s->rotates && json_object_get(secrets, s->name) &&
                                !json_equal(json_object_get(secrets, s->name),
                                                json_object_get(present, s->name))) {
                        _cleanup_free_ char *why = strjoin("its data was written with another ", s->name,
                                        " than the instance has.");

                        return job_refill_refuse(j, a, strempty(why), reterr);
                }
        return 0;
}

/* --- volumes and databases --- */

int job_refill_volume(Job *j, JobArchive *a, const DockerOwner *owner, const char *project, const char *key,
                const char *name, Error *reterr) {
        _cleanup_free_ char *stream = job_archive_volume_stream(key);
        int r;

        if (!stream)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = job_volume_make(j, owner, project, key, name, reterr);
        if (r < 0 || !archive_reader_find(a->reader, stream))
                return r;
        return job_volume_unpack(j, a->reader, stream, name,
                        json_object_get(archive_reader_find(a->reader, stream), "report"), reterr);
}

int job_refill_ensure_servers(Job *j, Error *reterr) {
        return j->engine_restarted ? job_stage_run_infrastructure(j, reterr) : 0;
}

int job_refill_databases(Job *j, JobArchive *a, bool offline, uint64_t *rows, Error *reterr) {
        const BlueprintState *state = &j->blueprint->state;
        bool any = false;
        int r;

        FOREACH_ARRAY(d, state->databases, state->n_databases) {
                _cleanup_free_ char *stream = job_archive_database_stream(d);
                uint64_t n;

                if (!stream)
                        return error_set_errnof(reterr, ENOMEM, "%m");
                if (job_dump_is_offline(d->kind) != offline)
                        continue;
                r = job_dump_restore(j, d, a->reader, stream, &n, reterr);
                if (r < 0)
                        return r;
                *rows += n;
                any = true;
        }
        if (!any)
                return 0;
        free(j->detail);
        if (asprintf(&j->detail, "%" PRIu64 " rows", *rows) < 0)
                j->detail = NULL;
        return 0;
}

int job_refill_list_services(const Job *j, bool offline, char ***ret) {
        const BlueprintState *state = &j->blueprint->state;
        _cleanup_strv_free_ char **l = NULL;

        FOREACH_ARRAY(d, state->databases, state->n_databases)
                if (job_dump_is_offline(d->kind) == offline && !strv_contains(l, d->service) &&
                                strv_extend(&l, d->service) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(l);
        return 0;
}
