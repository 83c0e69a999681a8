/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-volume.h"

#include "job-helper.h"
#include "json-util.h"
#include "string-util.h"

#define PROGRAM "/usr/lib/ccpd/ccp-vol"
#define PROGRAM_THERE "/ccp-vol"
#define FOLDER_THERE "/volume"

void volume_report_done(VolumeReport *r) {
        json_decref(r->object);
        *r = (VolumeReport) {};
}

/* The last line of what it wrote to stderr. */
static int read_report(const ProcessResult *result, json_t **ret) {
        const char *text = strempty(result->err.data), *line = text;
        json_t *o;

        for (const char *p = text; *p; p++)
                if (*p == '\n' && p[1])
                        line = p + 1;

        o = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
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

int job_volume_pack(Job *j, const char *type, const char *source,
                int (*sink)(const void *data, size_t size, void *userdata, Error *reterr), void *userdata,
                VolumeReport *ret, Error *reterr) {
        static const char *const capabilities[] = { "DAC_READ_SEARCH" };
        static char *const argv[] = { (char *) PROGRAM_THERE, (char *) "pack", (char *) FOLDER_THERE, NULL };
        const HelperMount mounts[] = {
                { "bind", PROGRAM, PROGRAM_THERE },
                { type, source, FOLDER_THERE },
        };
        const DockerCliOptions options = {
                .stdin_fd = -EBADF, .output = sink, .userdata = userdata, .any_status = true
        };
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_volume_report_ VolumeReport report = {};
        int r, k;

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

        k = read_report(&result, &report.object);
        if (result.status != 0 && k >= 0)
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED, "Cannot read '%s': %s", source,
                                strempty(json_object_get_string(report.object, "message")));
        if (result.status != 0)
                return docker_cli_failed(j, argv, &result, reterr);
        if (k < 0 || read_counts(&report) < 0)
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "Reading '%s' ended well, but without a word on what was read.", source);

        *ret = TAKE_GENERIC(report, (VolumeReport) {});
        return 0;
}
