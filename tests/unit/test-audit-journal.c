/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "log.h"
#include "store-audit.h"
#include "store-internal.h"
#include "string-util.h"
#include "test.h"

/* What is written to standard error meanwhile. */
static FILE *captured;
static int saved = -EBADF;

static void begin(void) {
        log_set_target(LOG_TARGET_CONSOLE);
        captured = tmpfile();
        ck_assert_ptr_nonnull(captured);
        (void) fflush(stderr);
        saved = dup(STDERR_FILENO);
        ck_assert_int_ge(dup2(fileno(captured), STDERR_FILENO), 0);
}

static const char *end(void) {
        static char text[1024];
        size_t n;

        (void) fflush(stderr);
        ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
        saved = safe_close(saved);
        rewind(captured);
        n = fread(text, 1, sizeof(text) - 1, captured);
        text[n] = 0;
        (void) fclose(captured);
        return text;
}

static void check(const AuditRecord *a, const char *expected) {
        begin();
        audit_record_log(a);
        ck_assert_str_eq(end(), expected);
}

START_TEST(entries_read_like_sentences) {
        AuditRecord a = {
                .action = (char *) "INSTANCE_DELETE",
                .outcome = (char *) "accepted",
                .instance = (char *) "edmonton",
                .user = (char *) "alice",
                .login_uid = -1,
                .job = 12,
        };

        check(&a, "alice deleted edmonton: accepted (job 12).\n");
        a.outcome = (char *) "failed";
        a.error_name = (char *) CCP_ERROR_UNHEALTHY;
        check(&a, "alice deleted edmonton: failed (Unhealthy, job 12).\n");
        a.outcome = (char *) "denied";
        a.error_name = NULL;
        a.job = 0;
        check(&a, "alice tried to delete edmonton: denied.\n");

        a = (AuditRecord) {
                .action = (char *) "SETTINGS_UPDATE",
                .outcome = (char *) "succeeded",
                .user = (char *) "root",
                .login_uid = -1,
        };
        check(&a, "root changed the settings: succeeded.\n");
        a.action = (char *) "USER_CREATE";
        a.instance = (char *) "edmonton";
        check(&a, "root granted a role for edmonton: succeeded.\n");

        /* An entry of a later version */
        a.action = (char *) "MOON_PAINT";
        a.outcome = (char *) "postponed";
        check(&a, "root MOON_PAINT edmonton: postponed.\n");
}
END_TEST

START_TEST(each_action_has_a_sentence) {
        for (AuditAction i = 0; i < _AUDIT_ACTION_MAX; i++) {
                _cleanup_error_ Error error = {};
                const AuditActor actor = { .user = "root", .login_uid = -1 };
                const char *text;
                const AuditEntry entry = { .action = i, .outcome = AUDIT_SUCCEEDED, .actor = &actor };

                (void) error_setf(&error, CCP_ERROR_INTERNAL, "Why.");
                begin();
                audit_entry_log_lost(&entry, &error);
                text = end();
                ck_assert_msg(startswith(text, "root tried to ") &&
                                                endswith(text, ": lost from the audit record: Why.\n") &&
                                                !strstr(text, "null"),
                                "%s", text);
        }
}
END_TEST

START_TEST(an_end_that_is_recorded_later_is_not_lost) {
        _cleanup_error_ Error error = {};
        JobRecord job = {
                .kind = JOB_STOP,
                .slug = (char *) "edmonton",
                .started_by = (char *) "alice",
                .id = 12,
        };
        const StoreFinishOp op = { .job = &job, .finish = { .job = 12, .state = JOB_SUCCEEDED } };

        (void) error_setf(&error, CCP_ERROR_CANCELLED, "It was interrupted.");
        begin();
        store_finish_log(&op, -ECANCELED, &error);
        ck_assert_str_eq(end(), "");

        error_done(&error);
        (void) error_setf(&error, CCP_ERROR_STORE_UNAVAILABLE, "Why.");
        begin();
        store_finish_log(&op, -EHOSTDOWN, &error);
        ck_assert_str_eq(end(), "alice tried to stop edmonton: lost from the audit record (job 12): Why.\n");
}
END_TEST

TESTS("audit-journal", entries_read_like_sentences, each_action_has_a_sentence,
                an_end_that_is_recorded_later_is_not_lost)
