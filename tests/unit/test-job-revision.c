/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-folder.h"
#include "job-revision.h"
#include "json-util.h"
#include "string-util.h"
#include "test.h"

#define ID "11111111-2222-4333-8444-555555555555"

static char top[64];
static int revision_fd = -EBADF;
static json_t *files;

static void set_up(Job *j) {
        job_init(j, 1);
        j->instances_dir = top;
        j->claim.job = new0(JobRecord, 1);
        ck_assert_ptr_nonnull(j->claim.job);
        (void) snprintf(j->claim.job->instance, sizeof(j->claim.job->instance), "%s", ID);
        j->claim.job->slug = strdup("alpha");
        j->directory = strjoin(top, "/alpha");
        ASSERT_OK(job_revision_set(j, 3));
}

static void put(const char *name, const char *text) {
        json_t *record;

        ASSERT_OK(mkdir_parents_beneath(revision_fd, name, 0755));
        ASSERT_OK(write_file_beneath(revision_fd, name, text, strlen(text), 0644));
        ASSERT_OK(revision_file_describe(text, strlen(text), 0644, &record));
        ASSERT_OK(json_object_set_new(files, name, record));
}

static void change(const char *name, const char *text) {
        ASSERT_OK(write_file_beneath(revision_fd, name, text, strlen(text), 0644));
}

static void begin(void) {
        _cleanup_close_ int fd = -EBADF;
        _cleanup_job_ Job j;

        (void) snprintf(top, sizeof(top), "/tmp/test-job-revision.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(top));
        set_up(&j);
        ASSERT_OK(job_folder_make(&j, NULL));
        fd = job_folder_open(&j, NULL);
        ASSERT_OK(fd);
        revision_fd = mkdir_open_beneath(fd, "revisions/3", 0755);
        ASSERT_OK(revision_fd);
        files = json_object();
        put(JOB_BLUEPRINT_COPY, "name: x\n");
        put(BLUEPRINT_OVERRIDE_FILE, "services: {}\n");
        put("docker-compose.yml", "services: {}\n");
        put("conf/app.conf", "a = 1\n");
}

static void end(void) {
        _cleanup_close_ int tmp_fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        json_decref(TAKE_PTR(files));
        revision_fd = safe_close(revision_fd);
        ASSERT_OK(rm_rf_at(tmp_fd, top + STRLEN("/tmp/")));
}

/* The sentence of the refusal; NULL: all is well. */
static char *verify(void) {
        _cleanup_error_ Error error = {};
        _cleanup_job_ Job j;
        int r;

        set_up(&j);
        r = job_revision_verify(&j, files, &error);
        if (r >= 0)
                return NULL;

        ck_assert_str_eq(error.name, CCP_ERROR_WRONG_STATE);
        return TAKE_PTR(error.message);
}

static void assert_refused(const char *name, const char *what) {
        _cleanup_free_ char *message = verify();

        ck_assert_ptr_nonnull(message);
        ck_assert_msg(strstr(message, name) && strstr(message, what), "%s", message);
}

START_TEST(files_as_they_were_rendered_are_taken) {
        begin();
        ck_assert_ptr_null(verify());
        change("conf/app.conf", "a = 1\n");
        ck_assert_ptr_null(verify());
        end();
}
END_TEST

START_TEST(a_file_that_changed_is_refused_by_name) {
        static const char *const names[] = { JOB_BLUEPRINT_COPY, BLUEPRINT_OVERRIDE_FILE,
                "docker-compose.yml", "conf/app.conf" };

        FOREACH_ARRAY(name, names, ELEMENTSOF(names)) {
                begin();
                change(*name, "a = 2\n");
                assert_refused(*name, "was changed");
                end();
        }
}
END_TEST

START_TEST(a_file_that_vanished_or_was_replaced_is_refused) {
        begin();
        ASSERT_OK(unlinkat(revision_fd, "conf/app.conf", 0));
        assert_refused("conf/app.conf", "vanished");
        ASSERT_OK(symlinkat("../docker-compose.yml", revision_fd, "conf/app.conf"));
        assert_refused("conf/app.conf", "replaced");
        ASSERT_OK(unlinkat(revision_fd, "conf/app.conf", 0));
        ASSERT_OK(mkdirat(revision_fd, "conf/app.conf", 0755));
        assert_refused("conf/app.conf", "replaced");
        ASSERT_OK(rm_rf_at(revision_fd, "conf"));
        ASSERT_OK(symlinkat("/etc", revision_fd, "conf"));
        assert_refused("conf/app.conf", "replaced");
        end();
}
END_TEST

START_TEST(an_env_file_that_nobody_rendered_is_refused) {
        begin();
        change(".env", "IMAGE=other\n");
        assert_refused(".env", "was added");
        put(".env", "IMAGE=one\n");
        ck_assert_ptr_null(verify());
        end();
}
END_TEST

START_TEST(what_containers_may_change_they_may_change) {
        begin();
        ASSERT_OK(json_object_set_new(json_object_get(files, "conf/app.conf"), "writable", json_true()));
        change("conf/app.conf", "a = 2\n");
        ck_assert_ptr_null(verify());
        ASSERT_OK(unlinkat(revision_fd, "conf/app.conf", 0));
        ck_assert_ptr_null(verify());
        end();
}
END_TEST

START_TEST(without_a_record_nothing_is_taken) {
        begin();
        {
                _cleanup_error_ Error error = {}, other = {};
                _cleanup_job_ Job j;

                set_up(&j);
                ASSERT_OK(json_object_del(files, BLUEPRINT_OVERRIDE_FILE));
                ck_assert_int_lt(job_revision_verify(&j, files, &error), 0);
                ck_assert_int_lt(job_revision_verify(&j, NULL, &other), 0);
        }
        end();
}
END_TEST

TESTS("job-revision", files_as_they_were_rendered_are_taken, a_file_that_changed_is_refused_by_name,
                a_file_that_vanished_or_was_replaced_is_refused, an_env_file_that_nobody_rendered_is_refused,
                what_containers_may_change_they_may_change, without_a_record_nothing_is_taken)
