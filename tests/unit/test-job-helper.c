/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What is left of helpers' images. The Engine is kept in this file: it defines the docker program that job-helper.c runs, and
 * what it asks the worker for, so the linker takes none of them. */

#include "job-helper.h"

#include <errno.h>

#include "test.h"

#include "alloc-util.h"
#include "string-util.h"

static struct {
        bool named;          /* there is an image under the job's name */
        unsigned n_nameless; /* and so many that had it before: nobody finds them any more */
        unsigned n_imports, n_runs;
        bool cancelled;        /* the job is */
        bool removals_fail;    /* the Engine refuses to remove images */
        bool cancelled_by_run; /* it is cancelled while the helper runs */
} engine;

int job_poll(_unused_ void *userdata) {
        return engine.cancelled ? -ECANCELED : 0;
}

int job_sleep(_unused_ Job *j, _unused_ usec_t span) {
        return job_poll(NULL);
}

static int call_image(const char *verb, ProcessResult *ret, Error *reterr) {
        if (streq(verb, "import")) {
                engine.n_imports++;
                engine.n_nameless += engine.named;
                engine.named = true;
        } else if (streq(verb, "ls")) {
                if (engine.named)
                        ck_assert_ptr_nonnull(ret->out.data = strdup("0123456789ab\n"));
        } else {
                ck_assert_str_eq(verb, "rm");
                if (engine.removals_fail)
                        return error_setf(reterr, CCP_ERROR_ENGINE_FAILED, "It is in use.");
                engine.named = false;
        }
        return 0;
}

/* A call is ended before the Engine has done anything if the job is cancelled, and the call does not say otherwise. */
int docker_cli(_unused_ Job *j, char *const *argv, const DockerCliOptions *options, ProcessResult *ret,
                Error *reterr) {
        int r = options && options->poll ? options->poll(options->userdata) : job_poll(NULL);

        *ret = (ProcessResult) {};
        if (r < 0)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The job was cancelled.");
        if (streq(argv[0], "image"))
                return call_image(argv[1], ret, reterr);
        ck_assert_str_eq(argv[0], "container");
        if (streq(argv[1], "run")) {
                ck_assert(engine.named);
                engine.n_runs++;
                engine.cancelled = engine.cancelled_by_run;
        }
        return 0;
}

static int run(Job *j) {
        _cleanup_process_result_ ProcessResult result = {};

        return job_helper_run(
                        j, &(JobHelper) { .argv = (char *[]) { (char *) "/ccp-vol", NULL } }, &result, NULL);
}

static Job begin(void) {
        memset(&engine, 0, sizeof(engine));
        return (Job) { .id = 7, .id_text = "7" };
}

static void expect_nothing_left(void) {
        ck_assert(!engine.named);
        ck_assert_uint_eq(engine.n_nameless, 0);
}

START_TEST(an_image_goes_with_its_helper) {
        Job j = begin();

        ASSERT_OK(run(&j));
        expect_nothing_left();
        ASSERT_OK(run(&j));
        expect_nothing_left();
        ck_assert_uint_eq(engine.n_imports, 2);
}
END_TEST

START_TEST(an_image_goes_also_when_the_job_is_cancelled) {
        Job j = begin();

        engine.cancelled_by_run = true;
        ASSERT_OK(run(&j));
        expect_nothing_left();
        /* What the Engine was asked for before anybody looked. */
        ASSERT_ERROR(run(&j), ECANCELED);
        ck_assert_uint_eq(engine.n_runs, 1);
        expect_nothing_left();
}
END_TEST

START_TEST(an_image_that_was_left_is_used_again) {
        Job j = begin();

        engine.removals_fail = true;
        ASSERT_OK(run(&j));
        ck_assert(engine.named);
        ASSERT_OK(run(&j));
        ck_assert_uint_eq(engine.n_imports, 1);
        ck_assert_uint_eq(engine.n_nameless, 0);

        engine.removals_fail = false;
        ASSERT_OK(run(&j));
        expect_nothing_left();
        ASSERT_OK(run(&j));
        expect_nothing_left();
}
END_TEST

START_TEST(what_a_killed_worker_left_is_removed) {
        Job j = begin();

        engine.named = true;
        ASSERT_OK(job_helper_remove(&j, NULL));
        expect_nothing_left();
        ASSERT_OK(job_helper_remove(&j, NULL));
}
END_TEST

TESTS("job-helper", an_image_goes_with_its_helper, an_image_goes_also_when_the_job_is_cancelled,
                an_image_that_was_left_is_used_again, what_a_killed_worker_left_is_removed)
