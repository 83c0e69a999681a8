/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-kind.h"

#include "ccp/names.h"
#include "string-util.h"

static const char *const job_kind_table[_JOB_KIND_MAX] = {
        [JOB_CREATE] = "create",
        [JOB_START] = "start",
        [JOB_STOP] = "stop",
        [JOB_RESTART] = "restart",
        [JOB_DELETE] = "delete",
        [JOB_BACKUP] = "backup",
        [JOB_RESTORE] = "restore",
        [JOB_UNDO_RESTORE] = "undo-restore",
        [JOB_DISCARD_RESTORE] = "discard-restore",
        [JOB_CLONE] = "clone",
        [JOB_DRILL] = "drill",
        [JOB_IMPORT] = "import",
        [JOB_VERIFY] = "verify",
        [JOB_DELETE_BACKUP] = "delete-backup",
        [JOB_REPLICATE] = "replicate",
        [JOB_FETCH] = "fetch",
};
DEFINE_STRING_TABLE(job_kind, JobKind);

static const char *const job_state_table[_JOB_STATE_MAX] = {
        [JOB_WAITING] = "waiting",
        [JOB_QUEUED] = "queued",
        [JOB_RUNNING] = "running",
        [JOB_UNDOING] = "undoing",
        [JOB_SUCCEEDED] = "succeeded",
        [JOB_FAILED] = "failed",
        [JOB_CANCELLED] = "cancelled",
};
DEFINE_STRING_TABLE(job_state, JobState);

static const char *const step_state_table[_STEP_STATE_MAX] = {
        [STEP_PENDING] = "pending",
        [STEP_RUNNING] = "running",
        [STEP_DONE] = "done",
        [STEP_FAILED] = "failed",
        [STEP_UNDOING] = "undoing",
        [STEP_UNDONE] = "undone",
        [STEP_SKIPPED] = "skipped",
};
DEFINE_STRING_TABLE(step_state, StepState);

static const JobStep create_steps[] = {
        { "validate", "Check the request", 1, .by_daemon = true },
        { "allocate", "Allocate ports and a subnet", 1, .by_daemon = true },
        { "secrets", "Generate the secrets", 1, .by_daemon = true },
        { "record", "Record the instance", 1, .by_daemon = true },
        { "folder", "Create the folder", 1 },
        { "source", "Copy the source", 5 },
        { "context", "Open the secrets", 1 },
        { "render", "Render the files", 2 },
        { "static", "Copy the static files", 1 },
        { "pull", "Pull the images", 26, .optional = true },
        { "build", "Build the images", 20 },
        { "infrastructure", "Start the infrastructure", 15 },
        { "application", "Start the application", 25 },
};

static const JobStep start_steps[] = {
        { "infrastructure", "Start the infrastructure", 40 },
        { "application", "Start the application", 60 },
};

static const JobStep stop_steps[] = {
        { "containers", "Stop the containers", 100 },
};

static const JobStep restart_steps[] = {
        { "containers", "Restart the containers", 50 },
        { "health", "Wait until healthy", 50 },
};

static const JobStep delete_steps[] = {
        { "containers", "Remove the containers, networks and volumes", 80 },
        { "folder", "Remove the folder", 15 },
        { "record", "Remove the record", 5 },
};

static const JobStep backup_steps[] = {
        { "write", "Write the backup", 79 },
        { "verify", "Read it back", 20 },
        { "retention", "Delete old backups", 1 },
};

static const JobStep verify_steps[] = {
        { "read", "Read the backup", 100 },
};

static const JobStep delete_backup_steps[] = {
        { "choose", "Choose what goes", 10 },
        { "files", "Remove the files", 80 },
        { "records", "Remove the records", 10 },
};

static const JobStep restore_steps[] = {
        { "open", "Read the backup", 20 },
        { "volumes", "Fill new volumes", 25 },
        { "databases", "Restore the databases", 30 },
        { "render", "Make the new revision", 3 },
        { "switch", "Switch over", 5 },
        { "infrastructure", "Start the infrastructure", 7 },
        { "application", "Start the application", 10 },
};

static const JobStep undo_restore_steps[] = {
        { "find", "Find the former volumes", 5 },
        { "render", "Make the new revision", 10 },
        { "switch", "Switch over", 15 },
        { "infrastructure", "Start the infrastructure", 30 },
        { "application", "Start the application", 40 },
};

static const JobStep discard_restore_steps[] = {
        { "volumes", "Remove the former volumes", 100 },
};

static const JobStep drill_steps[] = {
        { "open", "Read the backup", 15 },
        { "volumes", "Fill volumes of its own", 20 },
        { "infrastructure", "Start the infrastructure", 15 },
        { "databases", "Restore the databases", 25 },
        { "application", "Start the application", 20 },
        { "remove", "Remove it again", 5 },
};

static const JobStep import_steps[] = {
        { "copy", "Copy the file", 40 },
        { "verify", "Read it back", 60 },
};

static const JobStep replicate_steps[] = {
        { "read", "Read the backup", 20 },
        { "upload", "Copy it to the storage", 70 },
        { "compare", "Compare the copy", 10 },
};

static const JobStep fetch_steps[] = {
        { "download", "Get the copy", 60 },
        { "verify", "Read it back", 40 },
};

/* A create whose data, source and lasting secrets are those of a backup. */
static const JobStep clone_steps[] = {
        { "validate", "Check the request", 1, .by_daemon = true },
        { "allocate", "Allocate ports and a subnet", 1, .by_daemon = true },
        { "secrets", "Generate the secrets", 1, .by_daemon = true },
        { "record", "Record the instance", 1, .by_daemon = true },
        { "open", "Read the backup", 10 },
        { "folder", "Create the folder", 1 },
        { "source", "Unpack the source", 4 },
        { "adopt", "Take over the secrets", 1 },
        { "context", "Open the secrets", 1 },
        { "render", "Render the files", 2 },
        { "static", "Copy the static files", 1 },
        { "pull", "Pull the images", 16, .optional = true },
        { "build", "Build the images", 15 },
        { "volumes", "Fill the volumes", 15 },
        { "infrastructure", "Start the infrastructure", 10 },
        { "databases", "Restore the databases", 10 },
        { "application", "Start the application", 10 },
};

static const struct {
        const JobStep *steps;
        size_t n;
        bool transfers; /* speaks to the storage */
        bool beside;
} kinds[_JOB_KIND_MAX] = {
        [JOB_CREATE] = { create_steps, ELEMENTSOF(create_steps) },
        [JOB_START] = { start_steps, ELEMENTSOF(start_steps) },
        [JOB_STOP] = { stop_steps, ELEMENTSOF(stop_steps) },
        [JOB_RESTART] = { restart_steps, ELEMENTSOF(restart_steps) },
        [JOB_DELETE] = { delete_steps, ELEMENTSOF(delete_steps) },
        [JOB_BACKUP] = { backup_steps, ELEMENTSOF(backup_steps) },
        [JOB_RESTORE] = { restore_steps, ELEMENTSOF(restore_steps) },
        [JOB_UNDO_RESTORE] = { undo_restore_steps, ELEMENTSOF(undo_restore_steps) },
        [JOB_DISCARD_RESTORE] = { discard_restore_steps, ELEMENTSOF(discard_restore_steps) },
        [JOB_CLONE] = { clone_steps, ELEMENTSOF(clone_steps) },
        [JOB_DRILL] = { drill_steps, ELEMENTSOF(drill_steps) },
        [JOB_IMPORT] = { import_steps, ELEMENTSOF(import_steps) },
        [JOB_VERIFY] = { verify_steps, ELEMENTSOF(verify_steps) },
        [JOB_DELETE_BACKUP] = { delete_backup_steps, ELEMENTSOF(delete_backup_steps) },
        [JOB_REPLICATE] = { replicate_steps, ELEMENTSOF(replicate_steps), .transfers = true,
                        .beside = true },
        [JOB_FETCH] = { fetch_steps, ELEMENTSOF(fetch_steps), .transfers = true },
};

static_assert(ELEMENTSOF(clone_steps) == JOB_STEPS_MAX, "JOB_STEPS_MAX is out of date");

const JobStep *job_kind_steps(JobKind kind, size_t *ret_n) {
        assert(kind >= 0 && kind < _JOB_KIND_MAX);

        if (ret_n)
                *ret_n = kinds[kind].n;
        return kinds[kind].steps;
}

const char *job_kind_unit(JobKind kind) {
        assert(kind >= 0 && kind < _JOB_KIND_MAX);

        return kinds[kind].transfers ? CCP_TRANSFER_UNIT : CCP_JOB_UNIT;
}

bool job_kind_is_beside(JobKind kind) {
        assert(kind >= 0 && kind < _JOB_KIND_MAX);

        return kinds[kind].beside;
}

int job_kind_find_step(JobKind kind, const char *name) {
        const JobStep *steps;
        size_t n;

        steps = job_kind_steps(kind, &n);
        for (size_t i = 0; i < n; i++)
                if (streq(steps[i].name, name))
                        return (int) i;

        return -ENOENT;
}

double job_kind_progress(JobKind kind, size_t step, double fraction) {
        const JobStep *steps;
        double done = 0, all = 0;
        size_t n;

        fraction = MAX(fraction, 0.0);
        steps = job_kind_steps(kind, &n);
        for (size_t i = 0; i < n; i++) {
                all += steps[i].weight;
                if (i < step)
                        done += steps[i].weight;
                else if (i == step)
                        done += steps[i].weight * MIN(fraction, 1.0);
        }

        return done / all;
}
