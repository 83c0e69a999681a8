/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-helper.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ccp/names.h"
#include "fd-util.h"
#include "log.h"
#include "string-util.h"

/* An empty archive: two blocks of zeros */
#define TAR_SIZE 1024
#define IMAGE_PATIENCE_USEC (10 * USEC_PER_SEC)
#define REMOVE_DELAY_USEC (250 * USEC_PER_MSEC)
#define REMOVE_PATIENCE_USEC (15 * USEC_PER_SEC)

/* A call about the image, which takes milliseconds. */
typedef struct ImageCall {
        Job *job;
        usec_t begin; /* monotonic */
} ImageCall;

/* One for each job, so that what is left of it can be found. */
static char *image_name(const Job *j) {
        return strjoin("ccp-helper:job-", j->id_text);
}

/* A cancelled job waits for it, too. What the Engine has been asked for it makes, also when nobody waits for it any more;
 * and another image that takes over the name of one that was left would leave that without any. */
static int on_image_call(void *userdata) {
        const ImageCall *c = userdata;

        return now(CLOCK_MONOTONIC) - c->begin < IMAGE_PATIENCE_USEC ? 0 : job_poll(c->job);
}

static int call_image(Job *j, char *const *argv, int stdin_fd, ProcessResult *ret, Error *reterr) {
        ImageCall call = { j, now(CLOCK_MONOTONIC) };
        const DockerCliOptions options = { .stdin_fd = stdin_fd, .poll = on_image_call, .userdata = &call };

        return docker_cli(j, argv, &options, ret, reterr);
}

/* 1 if it does. */
static int image_exists(Job *j, const char *image, Error *reterr) {
        char *const argv[] = { (char *) "image", (char *) "ls", (char *) "--quiet", (char *) image, NULL };
        _cleanup_process_result_ ProcessResult found = {};
        int r;

        r = call_image(j, argv, -EBADF, &found, reterr);
        return r < 0 ? r : !isempty(found.out.data);
}

/* Makes an image with nothing in it: no image of anybody else can be counted on. */
static int make_image(Job *j, const char *image, Error *reterr) {
        char *const argv[] = { (char *) "image", (char *) "import", (char *) "-", (char *) image, NULL };
        _cleanup_process_result_ ProcessResult result = {};
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (j->helper_image_left) {
                r = image_exists(j, image, reterr);
                if (r != 0)
                        return MIN(r, 0);
        }

        fd = memfd_create("empty.tar", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, TAR_SIZE) < 0)
                return error_set_errnof(reterr, errno, "Cannot make an empty archive: %m");
        return call_image(j, argv, fd, &result, reterr);
}

static int remove_image(Job *j, const char *image, Error *reterr) {
        char *const argv[] = { (char *) "image", (char *) "rm", (char *) image, NULL };
        _cleanup_process_result_ ProcessResult result = {};
        int r;

        r = image_exists(j, image, reterr);
        if (r > 0)
                r = call_image(j, argv, -EBADF, &result, reterr);
        j->helper_image_left = r < 0;
        return r;
}

static int build_argv(const Job *j, const JobHelper *h, const char *image, char ***ret) {
        static const char *const head[] = {
                "container",
                "run",
                "--rm",
                "--pull=never",
                "--network=none",
                "--log-driver=none",
                "--read-only",
                "--user=0:0",
                /* Where the Engine maps users: to be root in all that containers wrote. */
                "--userns=host",
                "--cap-drop=ALL",
                "--security-opt=no-new-privileges",
                /* What containers wrote must not make it take the host's memory. */
                "--memory=1g",
                "--memory-swap=1g",
                "--pids-limit=64",
        };
        _cleanup_strv_free_ char **l = NULL;
        int r = 0;

        FOREACH_ARRAY(a, head, ELEMENTSOF(head))
                if (r >= 0)
                        r = strv_extend(&l, *a);
        /* It works for a job, and has the weight of one. */
        if (r >= 0)
                r = strv_extend(&l, "--cgroup-parent=" CCP_JOBS_SLICE);
        if (r >= 0)
                r = strv_extendf(&l, "--name=ccp-helper-%s", j->id_text);
        if (r >= 0 && h->options && h->options->stdin_fd >= 0)
                r = strv_extend(&l, "--interactive");
        FOREACH_ARRAY(c, h->capabilities, h->n_capabilities)
                if (r >= 0)
                        r = strv_extendf(&l, "--cap-add=%s", *c);
        FOREACH_ARRAY(m, h->mounts, h->n_mounts)
                if (r >= 0)
                        r = strv_extendf(&l, "--mount=type=%s,source=%s,target=%s%s", m->type, m->source,
                                        m->target, m->writable ? "" : ",readonly");
        if (r >= 0)
                r = strv_extendf(&l, "--entrypoint=%s", h->argv[0]);
        if (r >= 0)
                r = strv_extend(&l, image);
        STRV_FOREACH(s, h->argv + 1)
                if (r >= 0)
                        r = strv_extend(&l, *s);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(l);
        return 0;
}

int job_helper_run(Job *j, const JobHelper *helper, ProcessResult *ret, Error *reterr) {
        _cleanup_free_ char *image = image_name(j);
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_error_ Error error = {};
        int r;

        if (!image)
                return error_set_errnof(reterr, ENOMEM, "%m");
        r = make_image(j, image, reterr);
        if (r < 0)
                return r;

        r = build_argv(j, helper, image, &argv);
        r = r < 0 ? error_set_errnof(reterr, r, "%m") : docker_cli(j, argv, helper->options, ret, reterr);
        if (remove_image(j, image, &error) < 0)
                log_info("Cannot remove the image %s, leaving it: %s", image, strempty(error.message));
        return r;
}

int job_helper_remove(Job *j, Error *reterr) {
        _cleanup_free_ char *name = strjoin("ccp-helper-", j->id_text), *image = image_name(j);
        char *const argv[] = { (char *) "container", (char *) "rm", (char *) "--force", (char *) "--volumes",
                name, NULL };
        usec_t end = now(CLOCK_MONOTONIC) + REMOVE_PATIENCE_USEC;
        int r;

        if (!name || !image)
                return error_set_errnof(reterr, ENOMEM, "%m");
        for (;;) {
                _cleanup_process_result_ ProcessResult result = {};
                _cleanup_error_ Error error = {};

                /* Where there is none, that is no failure. */
                r = docker_cli(j, argv, NULL, &result, &error);
                if (r >= 0)
                        return remove_image(j, image, reterr);
                /* The Engine is at it itself: the container's program was killed. */
                if (!docker_error_is_removal(&error) || now(CLOCK_MONOTONIC) >= end ||
                                job_sleep(j, REMOVE_DELAY_USEC) < 0) {
                        error_move(reterr, &error);
                        return r;
                }
        }
}
