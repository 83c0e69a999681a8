/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-aside.h"

#include <sodium.h>
#include <stdio.h>

#include "alloc-util.h"
#include "aside.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-engine.h"
#include "job-folder.h"
#include "job-remove.h"
#include "json-util.h"
#include "string-util.h"

#define COMPOSE_FILE "compose.json"
/* In the instance's folder; no blueprint has such a target. */
#define FOLDER ".ccp-aside"
struct JobAside {
        char id[STORE_ID_MAX];
        char *project, *directory;
        json_t *config; /* of the instance, while the job's is that of the project */
};

JobAside *job_aside_free(JobAside *a) {
        if (!a)
                return NULL;

        free(a->project);
        free(a->directory);
        json_decref(a->config);
        return mfree(a);
}

/* The same for each attempt at the job, and no instance's. */
static void make_id(const Job *j, char ret[static STORE_ID_MAX]) {
        uint8_t hash[16];
        char hex[2 * sizeof(hash) + 1];
        _cleanup_free_ char *text = NULL;

        if (asprintf(&text, "aside %s %s", j->claim.job->instance, j->id_text) < 0)
                text = NULL;
        (void) crypto_generichash(hash, sizeof(hash), (const uint8_t *) strempty(text),
                        strlen(strempty(text)), NULL, 0);
        (void) sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
        (void) snprintf(ret, STORE_ID_MAX, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                        hex + 20);
}

static int aside_new(const Job *j, JobAside **ret) {
        JobAside *a = new0(JobAside, 1);

        if (!a)
                return -ENOMEM;
        make_id(j, a->id);
        a->project = strjoin(JOB_ASIDE_PROJECT_PREFIX, j->id_text);
        a->directory = strjoin(j->directory, "/" FOLDER);
        if (!a->project || !a->directory) {
                job_aside_free(a);
                return -ENOMEM;
        }

        *ret = a;
        return 0;
}

DockerOwner job_aside_owner(const Job *j) {
        return (DockerOwner) { .slug = j->claim.job->slug, .uuid = j->aside->id };
}

void job_aside_set_context(const Job *j, EngineContext *c) {
        c->project = j->aside->project;
        c->directory = j->aside->directory;
        c->compose_file = COMPOSE_FILE;
        c->no_override = true;
        c->profiles = NULL;
}

static int write_compose_file(Job *j, const json_t *config, Error *reterr) {
        _cleanup_close_ int folder = -EBADF, fd = -EBADF;
        _cleanup_erase_ char *text = json_format(config, JSON_SORT_KEYS);
        int r;

        if (!text)
                return error_set_errnof(reterr, ENOMEM, "%m");
        folder = job_folder_open(j, reterr);
        if (folder < 0)
                return folder;
        fd = mkdir_open_beneath(folder, FOLDER, 0700);
        r = fd < 0 ? fd : write_file_beneath(fd, COMPOSE_FILE, text, strlen(text), 0600);
        return r < 0 ? error_set_errnof(reterr, r, "Cannot write %s/" FOLDER "/" COMPOSE_FILE ": %m",
                                       j->directory)
                     : 0;
}

int job_aside_enter(Job *j, char *const *services, const json_t *volumes, Error *reterr) {
        AsideInput input = {
                .project = j->project,
                .slug = j->claim.job->slug,
                .services = services,
                .volumes = volumes,
        };
        _cleanup_json_ json_t *config = NULL;
        JobAside *a;
        int r;

        assert(!j->aside);
        r = job_engine_resolve(j, reterr);
        if (r < 0)
                return r;
        r = aside_new(j, &a);
        if (r < 0)
                return error_set_errnof(reterr, r, "%m");

        input.id = a->id;
        r = aside_make(j->config, &input, &config, reterr);
        if (r >= 0)
                r = write_compose_file(j, config, reterr);
        if (r < 0) {
                job_aside_free(a);
                return r;
        }

        a->config = j->config;
        j->config = TAKE_PTR(config);
        j->aside = a;
        return 0;
}

void job_aside_leave(Job *j) {
        if (!j->aside)
                return;

        json_decref(j->config);
        j->config = TAKE_PTR(j->aside->config);
        j->aside = job_aside_free(j->aside);
}

int job_aside_remove(Job *j, Error *reterr) {
        _cleanup_close_ int folder = -EBADF;
        _cleanup_error_ Error error = {};
        bool entered = j->aside;
        int r;

        if (!entered) {
                r = aside_new(j, &j->aside);
                if (r < 0)
                        return error_set_errnof(reterr, r, "%m");
        }
        r = job_engine_down(j, true, reterr);
        if (!entered)
                j->aside = job_aside_free(j->aside);
        if (r < 0)
                return r;

        /* Where there is no folder of the instance, there is none of ours. */
        folder = job_folder_open(j, &error);
        return folder < 0 ? 0 : job_tree_remove(j, folder, j->directory, FOLDER, reterr);
}
