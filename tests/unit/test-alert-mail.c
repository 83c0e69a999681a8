/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert-mail.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "test.h"

#define NOW (1763640000 * USEC_PER_SEC)

static char *const to[] = { (char *) "root", (char *) "ops@example.org", NULL };

static AlertNotice notice(const char *slug, const char *name, const char *text) {
        return (AlertNotice) {
                .alert = 12,
                .rule = (char *) "instance-unhealthy",
                .severity = (char *) "error",
                .status = ALERT_STATUS_FIRING,
                .slug = (char *) slug,
                .name = (char *) name,
                .subject = (char *) "",
                .since = NOW,
                .told = NOW,
                .message = (char *) text,
        };
}

static char *build(AlertNotice *notices, size_t n) {
        AlertMessage m = {
                .uuid = "11111111-2222-3333-4444-555555555555", .notices = notices, .n_notices = n
        };
        char *text;

        ASSERT_OK(alert_mail_build(&m, "server", to, NOW, &text));
        return text;
}

/* What each mail must be, whatever is in it. */
static void check_form(const char *mail) {
        const char *body = strstr(mail, "\n\n");
        size_t column = 0;

        ck_assert_ptr_nonnull(body);
        for (const char *p = mail; *p; p++) {
                column = *p == '\n' ? 0 : column + 1;
                ck_assert_msg(*p == '\n' || *p == '\t' || (*p >= ' ' && *p <= '~'), "a byte %02x in: %s",
                                (unsigned) *p & 0xff, mail);
                ck_assert_msg(column <= 78, "a line of more than 78 letters in: %s", mail);
        }
        /* Exactly our headers, or folded lines of them. */
        for (const char *line = mail; line <= body; line = strchr(line, '\n') + 1) {
                bool known = line[0] == ' ';

                FOREACH_ARRAY(name,
                                ((const char *[]) { "Date: ", "From: ", "To: ", "Subject: ", "Message-ID: ",
                                                "Auto-Submitted: ", "MIME-Version: ", "Content-Type: ",
                                                "Content-Transfer-Encoding: " }),
                                9)
                        known = known || startswith(line, *name);
                ck_assert_msg(known, "a header of strangers: %s", line);
        }
}

/* The body with its encoding undone. */
static char *decode(const char *mail) {
        const char *p = strstr(mail, "\n\n") + 2;
        _cleanup_string_builder_ StringBuilder b = {};
        char *text;

        for (; *p; p++) {
                unsigned byte;

                if (*p != '=')
                        string_builder_append_n(&b, p, 1);
                else if (p[1] == '\n')
                        p++;
                else {
                        ck_assert_int_eq(sscanf(p + 1, "%2X", &byte), 1);
                        string_builder_append_n(&b, (char[]) { (char) byte }, 1);
                        p += 2;
                }
        }
        ASSERT_OK(string_builder_finish(&b, &text, NULL));
        return text;
}

START_TEST(a_mail_says_what_since_when_and_what_to_do) {
        AlertNotice n = notice("alpha", "Alpha Chapter", "alpha is unhealthy: db has ended");
        _cleanup_free_ char *mail = build(&n, 1), *text = decode(mail);

        check_form(mail);
        ck_assert_ptr_nonnull(startswith(mail,
                        "Date: Thu, 20 Nov 2025 12:00:00 +0000\nFrom: ccpd (ccpd on server)\n"
                        "To: root,\n ops@example.org\n"
                        "Subject: [ccpd server] firing: alpha is unhealthy\n"
                        "Message-ID: <11111111-2222-3333-4444-555555555555@server>\n"));
        FOREACH_ARRAY(part,
                        ((const char *[]) { "alpha is unhealthy: db has ended", "alpha (Alpha Chapter)",
                                        "2025-11-20", "ccpctl status alpha", "ccpctl alert silence" }),
                        5)
                ck_assert_msg(strstr(text, *part), "no '%s' in: %s", *part, text);
}
END_TEST

START_TEST(no_name_gets_out_of_its_place) {
        static const char *const hostile[] = {
                "x\nBcc: victim@example.org",
                "x\r\n\r\n.\r\nMAIL FROM:<a@b>",
                "\nFrom a\n",
                "=?UTF-8?Q?evil?=",
                "\x01\x1b[2J\x7f",
                "From the beginning",
                ".",
                "=",
                "trailing blanks   ",
                "\xff\xfe",
                "Zoë ☃ Чаптер 章 \xf0\x9f\x92\xa5",
        };

        FOREACH_ARRAY(s, hostile, ELEMENTSOF(hostile)) {
                AlertNotice n = notice("alpha", *s, *s);
                _cleanup_free_ char *mail = NULL, *text = NULL;

                mail = build(&n, 1);
                check_form(mail);
                text = decode(mail);
                ck_assert_ptr_null(strstr(mail, "\n.\n"));
                ck_assert_ptr_null(strstr(mail, "\nFrom "));
                ck_assert_ptr_null(strstr(text, "\nBcc"));
                /* In a subject too. */
                n = notice(*s, *s, *s);
                free(mail);
                mail = build(&n, 1);
                check_form(mail);
                ck_assert_ptr_null(strstr(mail, "\nBcc"));
        }
}
END_TEST

START_TEST(umlauts_are_what_they_were) {
        static const char text[] = "Zürich ☃ is unhealthy, and this line is longer than any line of a mail "
                                   "may be, so that "
                                   "it has to be cut";
        AlertNotice n = notice("alpha", text, text);
        _cleanup_free_ char *mail = build(&n, 1), *decoded = decode(mail);

        check_form(mail);
        ck_assert_ptr_nonnull(strstr(decoded, text));
}
END_TEST

START_TEST(a_subject_is_encoded_where_it_must_be) {
        AlertNotice n = notice("z\xc3\xbcrich", "", "");
        _cleanup_free_ char *mail = build(&n, 1);

        check_form(mail);
        ck_assert_ptr_nonnull(strstr(mail, "Subject: =?UTF-8?Q?=5Bccpd=20server=5D=20"));
        ck_assert_ptr_nonnull(strstr(mail, "=C3=BC"));
        ck_assert_ptr_null(strstr(mail, "\xc3"));
}
END_TEST

START_TEST(many_are_abbreviated_the_worst_first) {
        AlertNotice l[290];
        _cleanup_free_ char *mail = NULL, *text = NULL;
        unsigned n = 0;

        FOREACH_ARRAY(i, l, ELEMENTSOF(l))
                *i = notice("alpha", "Alpha", "alpha is so");
        l[3].status = ALERT_STATUS_RESOLVED;
        l[289].severity = (char *) "critical";
        l[289].slug = (char *) "worst";
        mail = build(l, ELEMENTSOF(l));
        check_form(mail);
        ck_assert_ptr_nonnull(strstr(mail, "Subject: [ccpd server] 290 alerts: 289 firing, 1 resolved\n"));
        text = decode(mail);
        ck_assert_ptr_nonnull(strstr(text, "and 240 more.\n"));
        ck_assert_ptr_nonnull(startswith(text, "  firing     worst is unhealthy\n"));
        for (const char *p = text; (p = strstr(p, "  what ")); p++)
                n++;
        ck_assert_uint_eq(n, ALERT_MAIL_LISTED_MAX);
}
END_TEST

/* --- sendmail --- */

static void send_by(const char *script, AlertResult *ret) {
        char folder[] = "/tmp/ccp-test-mail.XXXXXX";
        _cleanup_free_ char *program = NULL;
        AlertNotice n = notice("alpha", "Alpha", "alpha is unhealthy");
        Settings settings = { .alert_mail_to = (char *) "root, ops@example.org" };
        AlertMessage m = {
                .uuid = "11111111-2222-3333-4444-555555555555",
                .notices = &n,
                .n_notices = 1,
                .settings = &settings,
        };
        AlertCarrier c;
        FILE *f;

        ck_assert_ptr_nonnull(mkdtemp(folder));
        program = strjoin(folder, "/sendmail");
        if (script) {
                f = fopen(program, "we");
                ck_assert_ptr_nonnull(f);
                (void) fprintf(f, "#!/bin/sh\n%s\n", script);
                ck_assert_int_eq(fclose(f), 0);
                ck_assert_int_eq(chmod(program, 0755), 0);
        }

        c = alert_mail_carrier(program);
        ck_assert(c.is_on(&settings));
        c.send(&m, ret, c.userdata);
        (void) unlink(program);
        ck_assert_int_eq(rmdir(folder), 0);
}

START_TEST(sendmail_gets_the_mail_and_the_addresses) {
        _cleanup_alert_result_ AlertResult r = {};

        send_by("test \"$*\" = '-i -- root ops@example.org' && grep -q '^Subject: .ccpd .*firing: alpha is "
                "unhealthy$'",
                        &r);
        ck_assert_msg(r.outcome == ALERT_OUTCOME_DELIVERED, "%s", r.error);
}
END_TEST

START_TEST(a_sendmail_that_fails_is_tried_again) {
        _cleanup_alert_result_ AlertResult failed = {}, missing = {};

        send_by("cat >/dev/null; printf 'queue\\033 is full\\nmore' >&2; exit 75", &failed);
        ck_assert_int_eq(failed.outcome, ALERT_OUTCOME_RETRY);
        ck_assert_ptr_nonnull(strstr(failed.error, "status 75: \"queue? is full\""));

        send_by(NULL, &missing);
        ck_assert_int_eq(missing.outcome, ALERT_OUTCOME_RETRY);
        ck_assert(!missing.answered);
        ck_assert_ptr_nonnull(strstr(missing.error, "install"));
}
END_TEST

TESTS("alert-mail", a_mail_says_what_since_when_and_what_to_do, no_name_gets_out_of_its_place,
                umlauts_are_what_they_were, a_subject_is_encoded_where_it_must_be,
                many_are_abbreviated_the_worst_first, sendmail_gets_the_mail_and_the_addresses,
                a_sendmail_that_fails_is_tried_again)
