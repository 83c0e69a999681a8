/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-volume.h"

#include "alloc-util.h"
#include "job-helper.h"
#include "json-util.h"
#include "log.h"
#include "string-util.h"

#define PROGRAM "/usr/lib/ccpd/ccp-vol"
#define PROGRAM_THERE "/ccp-vol"
#define FOLDER_THERE "/volume"
/* More than a report can have: two hundred paths, each byte written as six. */
#define REPORT_MAX (4U * 1024U * 1024U)

void volume_report_done(VolumeReport *r) {
        json_decref(r->object);
        *r = (VolumeReport) {};
}

/* The last line of what it wrote to stderr. */
static int read_report(const ProcessResult *result, json_t **ret) {
        const char *text = strempty(result->err.data), *line = text;
        json_t *o;
        int r;

        for (const char *p = text; *p; p++)
                if (*p == '\n' && p[1])
                        line = p + 1;

        r = json_parse(line, strlen(line), JSON_REJECT_DUPLICATES, &o);
        if (r < 0)
                return r;
        if (!json_is_object(o)) {
                json_decref(o);
                return -EBADMSG;
        }
        *ret = o;
        return 0;
}

static int read_counts(VolumeReport *r) {
        const json_t *changed = json_object_get(r->object, "n_changed"),
                     *skipped = json_object_get(r->object, "n_skipped");

        if (!json_is_integer(changed) || !json_is_integer(skipped) ||
                        !json_object_get_string(r->object, "inventory"))
                return -EBADMSG;
        r->n_changed = (uint64_t) json_integer_value(changed);
        r->n_skipped = (uint64_t) json_integer_value(skipped);
        return 0;
}

/* Two seconds after a container's end the Engine gives up what of its output is still under way, and says nothing of it
 * (moby's handleContainerExit(); seen with 26.1 on a busy machine). Once more it may come through. */
static int fail_lost(Job *j, const char *source, const char *verb, const ProcessResult *result,
                uint64_t size, Error *reterr) {
        j->output_lost = true;
        log_info("Of what ccp-vol wrote, when it was to %s '%s', %" PRIu64
                 " bytes and %zu of the report came.",
                        verb, source, size, result->err.size);
        return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                        "Cannot %s '%s': the Docker Engine lost a part of what ccp-vol wrote. Is the server "
                        "overloaded? See: journalctl -u docker",
                        verb, source);
}

/* What came of a run of ccp-vol: its report, if it ended well. 'size' bytes of the stream came of it. */
static int take_report(Job *j, char *const *argv, const char *source, const char *verb,
                const ProcessResult *result, uint64_t size, VolumeReport *ret, Error *reterr) {
        _cleanup_volume_report_ VolumeReport report = {};
        int r;

        r = read_report(result, &report.object);
        if (result->status != 0 && r >= 0)
                return error_setf(reterr,
                                streq_ptr(json_object_get_string(report.object, "error"), "NoSpace")
                                                ? CCP_ERROR_NO_SPACE
                                                : CCP_ERROR_ENGINE_FAILED,
                                "Cannot %s '%s': %s", verb, source,
                                strempty(json_object_get_string(report.object, "message")));
        if (result->status != 0)
                return docker_cli_failed(j, argv, result, reterr);
        if (r == -ENOMEM)
                return error_set_errnof(reterr, r, "%m");
        if (r < 0 || read_counts(&report) < 0 ||
                        (uint64_t) json_integer_value(json_object_get(report.object, "stream")) != size)
                return fail_lost(j, source, verb, result, size, reterr);

        *ret = TAKE_GENERIC(report, (VolumeReport) {});
        return 0;
}

typedef struct Pack {
        int (*sink)(const void *data, size_t size, void *userdata, Error *reterr);
        void *userdata;
        uint64_t size;
} Pack;

static int on_packed(const void *data, size_t size, void *userdata, Error *reterr) {
        Pack *p = userdata;

        p->size += size;
        return p->sink(data, size, p->userdata, reterr);
}

int job_volume_pack(Job *j, const char *type, const char *source,
                int (*sink)(const void *data, size_t size, void *userdata, Error *reterr), void *userdata,
                VolumeReport *ret, Error *reterr) {
        static const char *const capabilities[] = { "DAC_READ_SEARCH" };
        static char *const argv[] = { (char *) PROGRAM_THERE, (char *) "pack", (char *) FOLDER_THERE, NULL };
        const HelperMount mounts[] = {
                { "bind", PROGRAM, PROGRAM_THERE },
                { type, source, FOLDER_THERE },
        };
        Pack pack = { .sink = sink, .userdata = userdata };
        const DockerCliOptions options = {
                .stdin_fd = -EBADF,
                .output = on_packed,
                .userdata = &pack,
                .stderr_limit = REPORT_MAX,
                .any_status = true,
        };
        _cleanup_process_result_ ProcessResult result = {};
        int r;

        r = job_helper_run(j,
                        &(JobHelper) {
                                        .capabilities = capabilities,
                                        .n_capabilities = ELEMENTSOF(capabilities),
                                        .mounts = mounts,
                                        .n_mounts = ELEMENTSOF(mounts),
                                        .argv = argv,
                                        .options = &options,
                        },
                        &result, reterr);
        if (r < 0)
                return error_prefixf(reterr, r, "Cannot read '%s'", source);
        return take_report(j, argv, source, "read", &result, pack.size, ret, reterr);
}

/* --- the way back --- */

int job_volume_make(Job *j, const DockerOwner *owner, const char *project, const char *key, const char *name,
                Error *reterr) {
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_process_result_ ProcessResult result = {};
        int r;

        r = docker_remove(j->docker, DOCKER_VOLUME, name, owner, reterr);
        if (r < 0)
                return r;

        r = strv_extend(&argv, "volume");
        if (r >= 0)
                r = strv_extend(&argv, "create");
        if (r >= 0)
                r = strv_extendf(&argv, "--label=" CCP_LABEL_INSTANCE "=%s", owner->slug);
        if (r >= 0)
                r = strv_extendf(&argv, "--label=" CCP_LABEL_ID "=%s", owner->uuid);
        if (r >= 0)
                r = strv_extendf(&argv, "--label=" COMPOSE_LABEL_PROJECT "=%s", project);
        if (r >= 0)
                r = strv_extendf(&argv, "--label=" COMPOSE_LABEL_VOLUME "=%s", key);
        if (r >= 0)
                r = strv_extend(&argv, name);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");
        return docker_cli(j, argv, NULL, &result, reterr);
}

/* Keeps the line on progress going while the program reads. */
static void tell(Job *j, const char *stream, uint64_t size, const JobFeed *feed) {
        job_tell_bytes(j, -1, job_feed_position(feed), size, "%s", stream);
}

typedef struct Unpack {
        Job *job;
        JobFeed *feed;
        const char *stream;
        uint64_t size;
} Unpack;

static int on_unpack(void *userdata) {
        const Unpack *u = userdata;

        tell(u->job, u->stream, u->size, u->feed);
        return job_poll(u->job);
}

int job_volume_unpack(Job *j, ArchiveReader *reader, const char *stream, const char *volume,
                const json_t *packed, Error *reterr) {
        static const char *const capabilities[] = { "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETFCAP" };
        static char *const argv[] = { (char *) PROGRAM_THERE, (char *) "unpack", (char *) FOLDER_THERE,
                NULL };
        const HelperMount mounts[] = {
                { "bind", PROGRAM, PROGRAM_THERE, .writable = false },
                { "volume", volume, FOLDER_THERE, .writable = true },
        };
        const json_t *entry = archive_reader_find(reader, stream);
        Unpack u = {
                .job = j,
                .stream = stream,
                .size = (uint64_t) json_integer_value(json_object_get(entry, "size")),
        };
        DockerCliOptions options = {
                .poll = on_unpack, .userdata = &u, .stderr_limit = REPORT_MAX, .any_status = true
        };
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_volume_report_ VolumeReport report = {};
        _cleanup_error_ Error error = {};
        int r, k;

        r = job_feed_new(reader, stream, &u.feed, &options.stdin_fd, reterr);
        if (r < 0)
                return r;
        r = job_helper_run(j,
                        &(JobHelper) {
                                        .capabilities = capabilities,
                                        .n_capabilities = ELEMENTSOF(capabilities),
                                        .mounts = mounts,
                                        .n_mounts = ELEMENTSOF(mounts),
                                        .argv = argv,
                                        .options = &options,
                        },
                        &result, &error);
        k = job_feed_finish(u.feed, reterr);
        if (k < 0)
                return k;
        if (r < 0) {
                error_move(reterr, &error);
                return error_prefixf(reterr, r, "Cannot fill the volume '%s'", volume);
        }
        r = take_report(j, argv, volume, "fill", &result, 0, &report, reterr);
        if (r < 0)
                return r;

        if (!streq_ptr(json_object_get_string(report.object, "inventory"),
                            json_object_get_string(packed, "inventory")))
                return error_setf(reterr, CCP_ERROR_BACKUP_DAMAGED,
                                "The volume '%s' is not what was backed up once it is unpacked.", volume);
        return 0;
}
