/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-undo.h"

#include "job-backup.h"
#include "job-delete-backup.h"
#include "job-drill.h"
#include "job-engine.h"
#include "job-fetch.h"
#include "job-folder.h"
#include "job-images.h"
#include "job-restore.h"
#include "job-revision.h"
#include "json-util.h"
#include "string-util.h"

static int undo_folder(Job *j, const json_t *record _unused_, Error *reterr) {
        return job_folder_remove(j, reterr);
}

static int undo_source(Job *j, const json_t *record, Error *reterr) {
        return job_source_remove(j, json_object_get_string(record, "target") ?: "source", reterr);
}

static int undo_revision(Job *j, const json_t *record, Error *reterr) {
        uint32_t revision = job_undo_revision(record);

        return revision > 0 ? job_revision_remove(j, revision, reterr) : 0;
}

static int undo_images(Job *j, const json_t *record _unused_, Error *reterr) {
        return job_images_remove(j, reterr);
}

static int undo_containers(Job *j, const json_t *record _unused_, Error *reterr) {
        return job_engine_down(j, true, reterr);
}

static int undo_by_stop(Job *j, const json_t *record _unused_, Error *reterr) {
        return job_engine_stop(j, reterr);
}

static int undo_by_start(Job *j, const json_t *record _unused_, Error *reterr) {
        return job_engine_start_existing(j, reterr);
}

static int undo_backup(Job *j, const json_t *record _unused_, Error *reterr) {
        return job_backup_undo(j, reterr);
}

static int undo_import(Job *j, const json_t *record _unused_, Error *reterr) {
        int r;

        r = job_backup_undo_file(j, reterr);
        return r < 0 ? r : job_import_forget_brought(j, reterr);
}

static int undo_drill(Job *j, const json_t *record _unused_, Error *reterr) {
        return job_drill_undo(j, reterr);
}

static int undo_restore_volumes(Job *j, const json_t *record _unused_, Error *reterr) {
        return job_restore_undo_volumes(j, reterr);
}

static int undo_restore_render(Job *j, const json_t *record _unused_, Error *reterr) {
        return job_restore_undo_render(j, reterr);
}

static int undo_restore_switch(Job *j, const json_t *record _unused_, Error *reterr) {
        return job_restore_undo_switch(j, reterr);
}

static int undo_fetch(Job *j, const json_t *record _unused_, Error *reterr) {
        return job_fetch_undo(j, reterr);
}

static int undo_delete_backup(Job *j, const json_t *record _unused_, Error *reterr) {
        return job_delete_backup_undo(j, reterr);
}

static const struct {
        const char *name;
        int (*undo)(Job *j, const json_t *record, Error *reterr);
} actions[] = {
        { "remove-folder", undo_folder }, { "remove-source", undo_source },
        { "remove-revision", undo_revision }, { "remove-images", undo_images },
        { "remove-containers", undo_containers }, /* with networks and volumes */
        { "stop-containers", undo_by_stop }, { "start-containers", undo_by_start },
        { "discard-backup", undo_backup }, { "discard-restore", undo_restore_volumes },
        { "discard-revision", undo_restore_render }, { "switch-back", undo_restore_switch },
        { "remove-aside", undo_drill }, { "discard-import", undo_import }, { "discard-fetched", undo_fetch },
        { "keep-backups", undo_delete_backup }, /* but for those whose file is gone */
};

int job_undo_new(const Job *j, const char *action, json_t **ret) {
        const char *target = j->blueprint ? j->blueprint->source.target : NULL;
        json_t *record;

        record = json_pack("{s:s, s:s, s:s, s:s, s:I, s:s*}", "action", action, "slug", j->claim.job->slug,
                        "instance", j->claim.job->instance, "project", j->project, "revision",
                        (json_int_t) j->revision, "target", target);
        if (!record)
                return -ENOMEM;

        *ret = record;
        return 0;
}

uint32_t job_undo_revision(const json_t *record) {
        json_int_t i = json_integer_value(json_object_get(record, "revision"));

        return i > 0 && i <= UINT32_MAX ? (uint32_t) i : 0;
}

int job_undo_run(Job *j, const json_t *record, Error *reterr) {
        const char *action = json_object_get_string(record, "action"),
                   *instance = json_object_get_string(record, "instance"),
                   *slug = json_object_get_string(record, "slug");

        /* A record that is not about this job's instance was not written by this program. */
        if (!streq_ptr(instance, j->claim.job->instance) || !streq_ptr(slug, j->claim.job->slug))
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "What was recorded to be undone is about another instance.");

        FOREACH_ARRAY(a, actions, ELEMENTSOF(actions))
                if (streq_ptr(a->name, action))
                        return a->undo(j, record, reterr);

        return error_setf(reterr, CCP_ERROR_INTERNAL, "What was recorded to be undone is not known: '%s'.",
                        strempty(action));
}
