/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "job-folder.h"
#include "string-util.h"
#include "test.h"

#define ID "11111111-2222-4333-8444-555555555555"
#define OTHER_ID "99999999-2222-4333-8444-555555555555"

static char top[64];
static int top_fd = -EBADF;

static void set_up(Job *j, const char *id) {
        job_init(j, 1);
        j->instances_dir = top;
        j->claim.job = new0(JobRecord, 1);
        j->claim.instance = new0(InstanceRecord, 1);
        ck_assert_ptr_nonnull(j->claim.job);
        ck_assert_ptr_nonnull(j->claim.instance);
        (void) snprintf(j->claim.job->instance, sizeof(j->claim.job->instance), "%s", id);
        j->claim.job->slug = strdup("alpha");
        j->directory = strjoin(top, "/alpha");
        j->blueprint = new0(Blueprint, 1);
        ck_assert_ptr_nonnull(j->blueprint);
}

static void begin(void) {
        (void) snprintf(top, sizeof(top), "/tmp/test-job-folder.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(top));
        top_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(top_fd);
}

static void end(void) {
        _cleanup_close_ int tmp_fd = -EBADF;

        top_fd = safe_close(top_fd);
        tmp_fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ASSERT_OK(tmp_fd);
        ASSERT_OK(rm_rf_at(tmp_fd, top + STRLEN("/tmp/")));
}

static bool exists(const char *path) {
        return faccessat(top_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) >= 0;
}

static void put(const char *path, const char *text, mode_t mode) {
        ASSERT_OK(mkdir_parents_beneath(top_fd, path, 0755));
        ASSERT_OK(write_file_beneath(top_fd, path, text, strlen(text), mode));
}

START_TEST(a_folder_is_closed_and_bears_the_mark_and_can_be_made_twice) {
        _cleanup_error_ Error error = {};
        struct stat st;

        begin();
        {
                _cleanup_job_ Job j;

                set_up(&j, ID);
                ASSERT_OK(job_folder_make(&j, &error));
                ASSERT_OK(job_folder_make(&j, &error));
                ASSERT_OK(fstatat(top_fd, "alpha", &st, 0));
                ck_assert_uint_eq(st.st_mode & 07777, 0700);
                ck_assert(exists("alpha/" JOB_MARKER_FILE));
                ck_assert(!exists(".new." ID));
        }
        end();
}
END_TEST

START_TEST(a_folder_that_is_not_ours_is_neither_adopted_nor_removed) {
        begin();
        ASSERT_OK(mkdirat(top_fd, "alpha", 0700));
        put("alpha/precious", "x", 0600);
        {
                _cleanup_error_ Error error = {};
                _cleanup_job_ Job j;

                set_up(&j, ID);
                ASSERT_ERROR(job_folder_make(&j, &error), EEXIST);
                ck_assert_str_eq(error.name, CCP_ERROR_SLUG_TAKEN);
                ASSERT_OK(job_folder_remove(&j, NULL));
                ck_assert(exists("alpha/precious"));
        }
        end();
}
END_TEST

START_TEST(the_folder_of_another_instance_of_the_same_name_is_not_ours) {
        begin();
        {
                _cleanup_job_ Job other, j;

                set_up(&other, OTHER_ID);
                set_up(&j, ID);
                ASSERT_OK(job_folder_make(&other, NULL));
                ASSERT_ERROR(job_folder_make(&j, NULL), EEXIST);
                ASSERT_OK(job_folder_remove(&j, NULL));
                ck_assert(exists("alpha"));
        }
        end();
}
END_TEST

START_TEST(a_link_in_its_place_is_not_followed) {
        begin();
        ASSERT_OK(mkdirat(top_fd, "elsewhere", 0700));
        ASSERT_OK(symlinkat("elsewhere", top_fd, "alpha"));
        {
                _cleanup_job_ Job j;

                set_up(&j, ID);
                ASSERT_ERROR(job_folder_make(&j, NULL), EEXIST);
                ASSERT_OK(job_folder_remove(&j, NULL));
                ck_assert(exists("elsewhere"));
        }
        end();
}
END_TEST

START_TEST(what_earlier_attempts_left_is_removed) {
        begin();
        put(".new." ID "/.ccp", ID "\n", 0600);
        put(".old." ID "/deep/file", "x", 0600);
        put(".old." OTHER_ID "/file", "x", 0600);
        {
                _cleanup_job_ Job j;

                set_up(&j, ID);
                ASSERT_OK(job_folder_make(&j, NULL));
                ASSERT_OK(job_folder_remove(&j, NULL));
                ASSERT_OK(job_folder_remove(&j, NULL));
                ck_assert(!exists("alpha"));
                ck_assert(!exists(".new." ID));
                ck_assert(!exists(".old." ID));
                ck_assert(exists(".old." OTHER_ID));
        }
        end();
}
END_TEST

START_TEST(a_source_tree_is_copied_without_what_is_excluded_or_leads_out) {
        _cleanup_free_ char *source = NULL;
        struct stat st;

        begin();
        put("tree/app.js", "code", 0644);
        put("tree/bin/run", "x", 04755);
        put("tree/node_modules/big", "x", 0644);
        put("tree/.env", "SECRET=1", 0600);
        ASSERT_OK(symlinkat("/etc/passwd", top_fd, "tree/out"));
        ASSERT_OK(symlinkat("app.js", top_fd, "tree/in"));
        source = strjoin(top, "/tree");
        {
                _cleanup_error_ Error error = {};
                _cleanup_job_ Job j;

                set_up(&j, ID);
                j.claim.instance->source = strdup(source);
                ASSERT_OK(strv_extend(&j.blueprint->source.exclude, "node_modules"));
                ASSERT_OK(strv_extend(&j.blueprint->source.exclude, ".env"));
                ASSERT_OK(job_folder_make(&j, NULL));

                /* Below the folder of the instances, a source tree would be another instance's. */
                ASSERT_ERROR(job_source_copy(&j, &error), EINVAL);
                error_done(&error);

                j.instances_dir = "/nonexistent";
                ck_assert_int_eq(job_source_copy(&j, &error), 0);
                ck_assert(exists("alpha/source/app.js"));
                ck_assert(exists("alpha/source/in"));
                ck_assert(!exists("alpha/source/out"));
                ck_assert(!exists("alpha/source/node_modules"));
                ck_assert(!exists("alpha/source/.env"));
                ASSERT_OK(fstatat(top_fd, "alpha/source/bin/run", &st, 0));
                ck_assert_uint_eq(st.st_mode & 07777, 0755);

                /* What is in the copy alone goes. */
                put("alpha/source/stale", "x", 0644);
                ck_assert_int_eq(job_source_copy(&j, &error), 0);
                ck_assert(!exists("alpha/source/stale"));

                ASSERT_OK(job_source_remove(&j, "source", NULL));
                ck_assert(!exists("alpha/source"));
                ASSERT_OK(job_source_remove(&j, "source", NULL));
        }
        end();
}
END_TEST

START_TEST(a_source_tree_that_is_missing_counts_only_if_somebody_asked_for_it) {
        begin();
        {
                _cleanup_error_ Error error = {};
                _cleanup_job_ Job j;

                set_up(&j, ID);
                ASSERT_OK(job_folder_make(&j, NULL));
                ck_assert_int_eq(job_source_copy(&j, NULL), 1);

                j.blueprint->source.path = strdup("/nonexistent/tree");
                ck_assert_int_eq(job_source_copy(&j, NULL), 1);

                j.blueprint->source.required = true;
                ASSERT_ERROR(job_source_copy(&j, &error), EINVAL);
                ck_assert_ptr_nonnull(strstr(error.message, "--source=DIR"));
                error_done(&error);

                j.blueprint->source.required = false;
                j.claim.instance->source = strdup("/nonexistent/other");
                ASSERT_ERROR(job_source_copy(&j, &error), EINVAL);
                error_done(&error);

                j.claim.instance->source = mfree(j.claim.instance->source);
                j.claim.instance->source = strdup("relative/tree");
                ASSERT_ERROR(job_source_copy(&j, &error), EINVAL);
        }
        end();
}
END_TEST

/* In /run the worker has its credential, the master key. */
START_TEST(a_source_tree_is_not_of_the_system) {
        static const char *const places[] = { "/run", "/proc/self", "/dev/shm", "/sys/kernel" };

        begin();
        FOREACH_ARRAY(place, places, ELEMENTSOF(places)) {
                _cleanup_job_ Job j;

                set_up(&j, ID);
                ASSERT_OK(job_folder_make(&j, NULL));
                ASSERT_OK(symlinkat(*place, top_fd, "link"));
                for (unsigned through_link = 0; through_link < 2; through_link++) {
                        _cleanup_error_ Error error = {};

                        free(j.claim.instance->source);
                        j.claim.instance->source = through_link ? strjoin(top, "/link") : strdup(*place);
                        ASSERT_ERROR(job_source_copy(&j, &error), EINVAL);
                        ck_assert_msg(strstr(error.message, "no application is kept") != NULL, "%s",
                                        error.message);
                        ck_assert(!exists("alpha/source"));
                }
                ASSERT_OK(unlinkat(top_fd, "link", 0));
        }
        end();
}
END_TEST

/* Its owner may swap a folder of it for a link while it is copied. */
START_TEST(a_source_tree_that_changes_while_it_is_copied_leads_nowhere_else) {
        _cleanup_free_ char *source = NULL, *elsewhere = NULL;
        pid_t owner;

        begin();
        put("tree/one", "x", 0644);
        put("tree/sub/file", "x", 0644);
        put("elsewhere/secret", "x", 0644);
        source = strjoin(top, "/tree");
        elsewhere = strjoin(top, "/elsewhere");
        ASSERT_OK(symlinkat(elsewhere, top_fd, "tree/.link"));

        owner = fork();
        ASSERT_OK(owner);
        if (owner == 0) {
                (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        (void) renameat2(top_fd, "tree/sub", top_fd, "tree/.link", RENAME_EXCHANGE);
        }

        for (unsigned n = 0; n < 200; n++) {
                _cleanup_error_ Error error = {};
                _cleanup_job_ Job j;

                set_up(&j, ID);
                j.claim.instance->source = strdup(source);
                ASSERT_OK(job_folder_make(&j, NULL));
                j.instances_dir = "/nonexistent";
                (void) job_source_copy(&j, &error);
                ck_assert(!exists("alpha/source/sub/secret"));
                ck_assert(!exists("alpha/source/.link/secret"));
                ASSERT_OK(job_source_remove(&j, "source", NULL));
        }

        ASSERT_OK(kill(owner, SIGKILL));
        ck_assert_int_eq(waitpid(owner, NULL, 0), owner);
        end();
}
END_TEST

START_TEST(a_source_tree_may_not_be_copied_over_what_ccpd_keeps) {
        begin();
        {
                _cleanup_error_ Error error = {};
                _cleanup_job_ Job j;

                set_up(&j, ID);
                ASSERT_OK(job_folder_make(&j, NULL));
                j.blueprint->source.path = strdup("/usr/share/doc");
                j.blueprint->source.target = strdup("revisions/x");
                ASSERT_ERROR(job_source_copy(&j, &error), EBADMSG);
        }
        end();
}
END_TEST

TESTS("job-folder", a_folder_is_closed_and_bears_the_mark_and_can_be_made_twice,
                a_folder_that_is_not_ours_is_neither_adopted_nor_removed,
                the_folder_of_another_instance_of_the_same_name_is_not_ours,
                a_link_in_its_place_is_not_followed, what_earlier_attempts_left_is_removed,
                a_source_tree_is_copied_without_what_is_excluded_or_leads_out,
                a_source_tree_that_is_missing_counts_only_if_somebody_asked_for_it,
                a_source_tree_that_changes_while_it_is_copied_leads_nowhere_else,
                a_source_tree_is_not_of_the_system, a_source_tree_may_not_be_copied_over_what_ccpd_keeps)
