/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Making an instance of a backup: a create that has ports, a subnet and a domain of its own, and the data, the source tree
 * and the lasting secrets of the backup. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-archive.h"
#include "job-create.h"
#include "job-dump.h"
#include "job-engine.h"
#include "job-feed.h"
#include "job-folder.h"
#include "job-helper.h"
#include "job-images.h"
#include "job-refill.h"
#include "job-render.h"
#include "job-revision.h"
#include "job-stage.h"
#include "json-util.h"
#include "process.h"
#include "store-restore.h"
#include "string-util.h"

#define VOL "/usr/lib/ccpd/ccp-vol"
/* In the instance's folder: where that of the backup is unpacked. */
#define UNPACKED ".ccp-unpacked"

static int run_open(Job *j, Error *reterr) {
        JobArchive *a;
        int r;

        r = job_archive_get(j, &a, reterr);
        return r < 0 ? r : job_refill_check(j, a, reterr);
}

/* --- the source tree --- */

typedef struct Unpack {
        Job *job;
        JobFeed *feed;
} Unpack;

static int on_unpack(void *userdata) {
        const Unpack *u = userdata;

        job_tell_bytes(u->job, -1, job_feed_position(u->feed), 0, STREAM_FOLDER);
        return job_poll(u->job);
}

/* All of it becomes ours: the user ccpd may have another number here than where it was packed. */
static int unpack_folder(Job *j, JobArchive *a, const char *directory, Error *reterr) {
        char owner[STRLEN("4294967295:4294967295") + 1];
        char *const argv[] = { (char *) VOL, (char *) "unpack", (char *) directory, owner, NULL };
        _cleanup_process_result_ ProcessResult result = {};
        Unpack u = { .job = j };
        int fd, r, k;

        (void) snprintf(owner, sizeof(owner), "%u:%u", geteuid(), getegid());
        r = job_feed_new(a->reader, STREAM_FOLDER, &u.feed, &fd, reterr);
        if (r < 0)
                return r;
        r = process_run(argv, &(ProcessOptions) { .stdin_fd = fd, .poll = on_unpack, .userdata = &u },
                        &result);
        k = job_feed_finish(u.feed, reterr);
        if (k < 0)
                return k;
        if (r == -ECANCELED)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot run " VOL ": %m");
        return result.status == 0 ? 0
                                  : error_setf(reterr, CCP_ERROR_INTERNAL,
                                                    "Cannot unpack the folder of the backup: %s",
                                                    strempty(result.err.data));
}

/* Takes the source tree out of what was unpacked. 1 if it had none. */
static int take_source(int folder, const char *target) {
        _cleanup_free_ char *path = strjoin(UNPACKED "/", target);
        _cleanup_close_ int from = -EBADF, to = -EBADF;
        const char *name, *new_name;
        int r;

        if (!path)
                return -ENOMEM;
        r = rm_rf_beneath(folder, target);
        if (r >= 0)
                r = mkdir_parents_beneath(folder, target, 0755);
        if (r < 0)
                return r;
        /* What was unpacked may be somebody else's: no link in it leads anywhere. */
        from = open_parent_beneath(folder, path, &name);
        if (from < 0)
                return from == -ENOENT ? 1 : from;
        to = open_parent_beneath(folder, target, &new_name);
        if (to < 0)
                return to;
        if (renameat2(from, name, to, new_name, RENAME_NOREPLACE) < 0)
                return errno == ENOENT ? 1 : -errno;
        return fsync(to) < 0 || fsync(folder) < 0 ? -errno : 0;
}

static int run_source(Job *j, Error *reterr) {
        const char *target = j->blueprint->source.target ?: "source";
        _cleanup_free_ char *directory = strjoin(j->directory, "/" UNPACKED);
        _cleanup_close_ int folder = -EBADF, fd = -EBADF;
        JobArchive *a;
        int r, k;

        if (!directory)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = job_archive_get(j, &a, reterr);
        if (r < 0)
                return r;
        if (!archive_reader_find(a->reader, STREAM_FOLDER))
                return 1;

        folder = job_folder_open(j, reterr);
        if (folder < 0)
                return folder;
        r = rm_rf_at(folder, UNPACKED);
        fd = r < 0 ? r : mkdir_open_beneath(folder, UNPACKED, 0700);
        r = MIN(fd, 0);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot make %s: %m", directory);
        r = unpack_folder(j, a, directory, reterr);
        if (r < 0)
                return r;

        k = take_source(folder, target);
        r = rm_rf_at(folder, UNPACKED);
        if (k < 0 || r < 0)
                return error_set_errnof(
                                reterr, MIN(k, r), "Cannot put the source tree into %s: %m", j->directory);
        return k;
}

/* --- secrets --- */

/* What stands in no data is made anew: whoever has a token of the one instance has none of the other. The password of a
 * database goes into one that is made anew, too. */
static bool is_adopted(const Blueprint *b, const BlueprintSecret *s) {
        if (streq_ptr(s->rotates, "restart"))
                return false;
        FOREACH_ARRAY(d, b->state.databases, b->state.n_databases)
                if (streq_ptr(d->password, s->name))
                        return false;
        return true;
}

typedef struct Adopted {
        StoreSecret *items;
        size_t n;
} Adopted;

static void adopted_done(Adopted *a) {
        FOREACH_ARRAY(s, a->items, a->n)
                free((void *) s->sealed);
        free(a->items);
}
#define _cleanup_adopted_ _cleanup_(adopted_done)

static int adopt(Job *j, const Vault *vault, const char *name, const json_t *value, Adopted *ret,
                Error *reterr) {
        const VaultLabel label = { .instance = j->claim.job->instance, .name = name, .version = 1 };
        uint8_t *sealed;
        size_t size;
        int r;

        if (!json_is_string(value))
                return 0;
        r = vault_seal(vault, &label, json_string_value(value), json_string_length(value), &sealed, &size,
                        reterr);
        if (r < 0)
                return r;
        ret->items[ret->n++] = (StoreSecret) {
                .name = name,
                .key_id = vault_key_id(vault),
                .sealed = sealed,
                .size = size,
        };
        return 0;
}

static bool has_secret(const Job *j, const char *name) {
        FOREACH_ARRAY(s, j->claim.secrets.items, j->claim.secrets.n)
                if (streq(s->name, name))
                        return true;
        return false;
}

static int run_adopt(Job *j, Error *reterr) {
        const Blueprint *b = j->blueprint;
        _cleanup_adopted_ Adopted adopted = { .items = new0(StoreSecret, b->n_secrets + b->n_parameters) };
        _cleanup_(vault_freep) Vault *vault = NULL;
        _cleanup_json_ json_t *secrets = NULL;
        SecretRecords records = {};
        JobArchive *a;
        int r;

        if (!adopted.items)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = job_archive_get(j, &a, reterr);
        if (r >= 0)
                r = job_refill_read_secrets(a, &secrets, reterr);
        if (r >= 0)
                r = vault_open(&vault, reterr);
        if (r < 0)
                return r;

        FOREACH_ARRAY(s, b->secrets, b->n_secrets)
                if (r >= 0 && is_adopted(b, s))
                        r = adopt(j, vault, s->name, json_object_get(secrets, s->name), &adopted, reterr);
        /* Those that were given with the request count more. */
        FOREACH_ARRAY(p, b->parameters, b->n_parameters)
                if (r >= 0 && p->secret && !has_secret(j, p->name))
                        r = adopt(j, vault, p->name, json_object_get(secrets, p->name), &adopted, reterr);
        if (r >= 0)
                r = secrets_adopt(j->db, j->claim.job->instance, adopted.items, adopted.n, &records, reterr);
        if (r < 0)
                return r;

        secret_records_done(&j->claim.secrets);
        j->claim.secrets = records;
        if (asprintf(&j->detail, "%zu of %zu", adopted.n, records.n) < 0)
                j->detail = NULL;
        return 0;
}

/* --- data --- */

static int run_volumes(Job *j, Error *reterr) {
        const DockerOwner owner = job_engine_owner(j);
        uint64_t rows = 0;
        size_t n, i = 0;
        const char *key;
        JobArchive *a;
        json_t *volume;
        int r;

        r = job_archive_get(j, &a, reterr);
        if (r >= 0)
                r = job_helper_remove(j, reterr);
        if (r >= 0)
                r = job_dump_clean_up(j, reterr);
        if (r >= 0)
                r = job_engine_resolve(j, reterr);
        if (r < 0)
                return r;

        n = json_object_size(json_object_get(j->config, "volumes"));
        json_object_foreach(json_object_get(j->config, "volumes"), key, volume) {
                _cleanup_free_ char *name = job_revision_volume_name(j, key);

                if (!name)
                        return error_set_errnof(reterr, ENOMEM, "%m");
                job_set_range(j, (double) i / (double) n, (double) (i + 1) / (double) n);
                r = job_refill_volume(j, a, &owner, j->project, key, name, reterr);
                if (r < 0)
                        return r;
                i++;
        }
        r = job_refill_databases(j, a, true, &rows, reterr);
        return r < 0 ? r : n == 0 && rows == 0;
}

static int run_databases(Job *j, Error *reterr) {
        _cleanup_strv_free_ char **services = NULL;
        uint64_t rows = 0;
        JobArchive *a;
        int r;

        if (job_refill_list_services(j, false, &services) < 0)
                return error_set_errnof(reterr, ENOMEM, "%m");
        if (!services)
                return 1;
        r = job_archive_get(j, &a, reterr);
        if (r >= 0)
                r = job_refill_ensure_servers(j, reterr);
        return r < 0 ? r : job_refill_databases(j, a, false, &rows, reterr);
}

static const StepOps steps[] = {
        { "open", run_open, NULL, STEP_ENGINE },
        { "folder", job_folder_make, "remove-folder" },
        { "source", run_source, "remove-source" },
        { "adopt", run_adopt, NULL },
        { "context", job_values_build, NULL, STEP_MEMORY },
        { "render", job_render, "remove-revision", STEP_ENGINE },
        { "static", job_static_copy, NULL },
        { "pull", job_images_pull, NULL, STEP_ENGINE },
        { "build", job_images_build, "remove-images", STEP_ENGINE },
        { "volumes", run_volumes, "remove-containers", STEP_ENGINE },
        { "infrastructure", job_stage_run_infrastructure, "remove-containers", STEP_ENGINE },
        { "databases", run_databases, NULL, STEP_ENGINE },
        { "application", job_create_run_application, "remove-containers", STEP_ENGINE },
};

const JobOps job_clone_ops = {
        .steps = steps,
        .n_steps = ELEMENTSOF(steps),
        .prepare = job_create_prepare,
        .end = STORE_END_STATE,
        .undone = STORE_END_RELEASE,
};
