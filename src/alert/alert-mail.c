/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert-mail.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "alert-payload.h"
#include "alert-target.h"
#include "alloc-util.h"
#include "fd-util.h"
#include "process.h"
#include "string-util.h"
#include "strv.h"

#define SENDMAIL "/usr/sbin/sendmail"
#define SENDMAIL_TIMEOUT_USEC USEC_PER_MINUTE
/* Nobody is told of more at once. */
#define NOTICES_MAX 5000U
#define QUOTE_MAX 200U

/* RFC 2045, RFC 2047: letters in one line, and in one encoded word, so that with "=?UTF-8?Q?" and "?=" around it and a
 * character of four bytes at its end it fits into a line. */
#define LINE_MAX_QP 76U
#define WORD_MAX 50U

/* --- encoding --- */

static bool is_plain(const char *s) {
        for (const char *p = s; *p; p++)
                if (*p < ' ' || *p > '~')
                        return false;
        return !strstr(s, "=?");
}

/* A header and its text, in encoded words where it has anything else than plain letters. Characters are not cut. */
static void append_header(StringBuilder *b, const char *name, const char *s) {
        size_t n = strlen(name);

        string_builder_append(b, name);
        if (is_plain(s)) {
                string_builder_append(b, s);
                return;
        }

        string_builder_append(b, "=?UTF-8?Q?");
        for (; *s; s++) {
                unsigned char c = (unsigned char) *s;
                bool literal = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');

                if (n >= WORD_MAX && (c & 0xC0) != 0x80) {
                        string_builder_append(b, "?=\n =?UTF-8?Q?");
                        n = 0;
                }
                if (literal)
                        string_builder_append_n(b, s, 1);
                else
                        string_builder_appendf(b, "=%02X", c);
                n += literal ? 1 : 3;
        }
        string_builder_append(b, "?=");
}

static size_t append_byte(StringBuilder *b, const char *s, bool at_begin) {
        unsigned char c = (unsigned char) *s;
        bool at_end = IN_SET(s[1], '\n', 0), blank = IN_SET(c, ' ', '\t');
        /* Mailboxes are split at lines that begin with "From ". */
        bool from = at_begin && startswith(s, "From ");

        if (c == '=' || c > '~' || (c < ' ' && c != '\t') || (blank && at_end) || from) {
                string_builder_appendf(b, "=%02X", c);
                return 3;
        }
        string_builder_append_n(b, s, 1);
        return 1;
}

static void append_quoted_printable(StringBuilder *b, const char *s) {
        size_t n = 0;

        for (; *s; s++) {
                if (*s == '\n') {
                        string_builder_append(b, "\n");
                        n = 0;
                        continue;
                }
                if (n + 3 >= LINE_MAX_QP) {
                        string_builder_append(b, "=\n");
                        n = 0;
                }
                n += append_byte(b, s, n == 0);
        }
}

/* --- the text --- */

/* Lines of one alert. Text of strangers stays in its line. */
static void append_line(StringBuilder *b, const char *label, const char *text) {
        if (isempty(text))
                return;

        string_builder_appendf(b, "  %-11s", label);
        for (; *text; text++)
                string_builder_append_n(b, (unsigned char) *text < ' ' ? " " : text, 1);
        string_builder_append(b, "\n");
}

static int append_notice(StringBuilder *b, const AlertNotice *n) {
        _cleanup_free_ char *title = alert_notice_title(n), *next = alert_notice_next_step(n),
                            *instance = NULL;
        char repeated[64] = "";

        instance = n->slug ? strjoin(n->slug, " (", strempty(n->name), ")") : strdup("");
        if (!title || !next || !instance)
                return -ENOMEM;
        if (n->number > 0)
                (void) snprintf(repeated, sizeof(repeated), "for the %u. time since then", n->number + 1);

        append_line(b, alert_status_to_string(n->status), title);
        append_line(b, "what", n->message);
        append_line(b, "severity", n->severity);
        append_line(b, "instance", instance);
        append_line(b, "since", FORMAT_TIMESTAMP(n->since));
        append_line(b, "told", repeated);
        append_line(b, "next step", n->status == ALERT_STATUS_FIRING ? next : "");
        string_builder_append(b, "\n");
        return 0;
}

/* What is worst comes first. */
static unsigned notice_rank(const AlertNotice *n) {
        AlertSeverity severity = alert_severity_from_string(n->severity);

        return n->status == ALERT_STATUS_RESOLVED
                        ? _ALERT_SEVERITY_MAX
                        : (unsigned) (ALERT_CRITICAL - MAX(severity, ALERT_WARNING));
}

static int build_text(const AlertMessage *m, const char *host, char **ret) {
        _cleanup_string_builder_ StringBuilder b = {};
        size_t n_listed = 0;

        for (unsigned rank = 0; rank <= _ALERT_SEVERITY_MAX; rank++)
                FOREACH_ARRAY(n, m->notices, m->n_notices) {
                        int r;

                        if (notice_rank(n) != rank || n_listed >= ALERT_MAIL_LISTED_MAX)
                                continue;
                        n_listed++;
                        r = append_notice(&b, n);
                        if (r < 0)
                                return r;
                }

        if (n_listed < m->n_notices)
                string_builder_appendf(&b, "and %zu more.\n\n", m->n_notices - n_listed);
        string_builder_appendf(&b,
                        "All that fires: ccpctl alert list\n"
                        "To hear nothing of it for a while: ccpctl alert silence --for 2h\n"
                        "-- \n"
                        "ccpd on %s\n",
                        host);
        return string_builder_finish(&b, ret, NULL);
}

/* In English, whatever the locale. */
static void append_date(StringBuilder *b, usec_t realtime) {
        static const char *const days[] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" },
                                 *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
                                         "Sep", "Oct", "Nov", "Dec" };
        time_t seconds = (time_t) (realtime / USEC_PER_SEC);
        struct tm tm;

        if (gmtime_r(&seconds, &tm))
                string_builder_appendf(b, "Date: %s, %02i %s %i %02i:%02i:%02i +0000\n", days[tm.tm_wday],
                                tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                                tm.tm_sec);
}

int alert_mail_build(const AlertMessage *m, const char *host, char *const *to, usec_t realtime, char **ret) {
        _cleanup_free_ char *subject = alert_message_summary(m, host), *text = NULL,
                            *list = strv_join(to, ",\n ");
        _cleanup_string_builder_ StringBuilder b = {};
        int r;

        if (!subject || !list)
                return -ENOMEM;
        r = build_text(m, host, &text);
        if (r < 0)
                return r;

        append_date(&b, realtime);
        string_builder_appendf(&b, "From: ccpd (ccpd on %s)\nTo: %s\n", host, list);
        append_header(&b, "Subject: ", subject);
        string_builder_appendf(&b,
                        "\nMessage-ID: <%s@%s>\n"
                        "Auto-Submitted: auto-generated\n"
                        "MIME-Version: 1.0\n"
                        "Content-Type: text/plain; charset=UTF-8\n"
                        "Content-Transfer-Encoding: quoted-printable\n\n",
                        m->uuid, host);
        append_quoted_printable(&b, text);
        return string_builder_finish(&b, ret, NULL);
}

/* --- sending --- */

static int text_to_fd(const char *text, int *ret) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = memfd_create("mail", MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = loop_write(fd, text, strlen(text));
        if (r < 0)
                return r;
        if (lseek(fd, 0, SEEK_SET) < 0)
                return -errno;

        *ret = TAKE_FD(fd);
        return 0;
}

static void judge_status(AlertResult *ret, const char *program, const ProcessResult *p) {
        const char *text = strempty(p->err.data);
        char quote[QUOTE_MAX + 1] = "";
        size_t n;

        if (p->status == 0) {
                *ret = (AlertResult) { .outcome = ALERT_OUTCOME_DELIVERED, .answered = true };
                return;
        }

        n = MIN(strcspn(text, "\r\n"), sizeof(quote) - 1);
        for (size_t i = 0; i < n; i++)
                quote[i] = (char) (text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
        alert_result_set(ret, ALERT_OUTCOME_RETRY, /* answered= */ true, "%s failed with status %i%s%s%s",
                        program, p->status, isempty(quote) ? "." : ": \"", quote,
                        isempty(quote) ? "" : "\"");
}

static int run_sendmail(const char *program, char *const *to, const char *text, AlertResult *ret) {
        _cleanup_process_result_ ProcessResult p = {};
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_close_ int fd = -EBADF;
        int r;

        r = text_to_fd(text, &fd);
        if (r < 0)
                return r;
        FOREACH_ARRAY(s, ((const char *[]) { program, "-i", "--" }), 3) {
                r = strv_extend(&argv, *s);
                if (r < 0)
                        return r;
        }
        STRV_FOREACH(address, to) {
                r = strv_extend(&argv, *address);
                if (r < 0)
                        return r;
        }

        /* A mail server may go on delivering when it has accepted the mail. */
        r = process_run(argv,
                        &(ProcessOptions) {
                                        .stdin_fd = fd,
                                        .timeout = SENDMAIL_TIMEOUT_USEC,
                                        .leave_children = true,
                        },
                        &p);
        if (r >= 0)
                judge_status(ret, program, &p);
        return r;
}

static void mail_send(const AlertMessage *m, AlertResult *ret, void *userdata) {
        const char *program = userdata;
        _cleanup_strv_free_ char **to = NULL;
        _cleanup_free_ char *text = NULL;
        _cleanup_error_ Error e = {};
        int r;

        r = mail_addresses_parse(m->settings->alert_mail_to, &to, &e);
        if (r < 0) {
                alert_result_set(ret, ALERT_OUTCOME_FAILED, /* answered= */ false, "%s", e.message);
                return;
        }

        if (access(program, X_OK) < 0) {
                alert_result_set(ret, ALERT_OUTCOME_RETRY, /* answered= */ false,
                                "There is no %s: install a mail server, such as postfix, exim4 or "
                                "msmtp-mta.",
                                program);
                return;
        }

        r = alert_mail_build(m, alert_host_name(), to, now(CLOCK_REALTIME), &text);
        if (r >= 0)
                r = run_sendmail(program, to, text, ret);
        if (r < 0) {
                errno = -r;
                alert_result_set(ret, ALERT_OUTCOME_RETRY, /* answered= */ false, "%s cannot be run: %m.",
                                program);
        }
}

static bool mail_is_on(const Settings *settings) {
        return !isempty(settings->alert_mail_to);
}

AlertCarrier alert_mail_carrier(const char *program) {
        return (AlertCarrier) {
                .channel = ALERT_MAIL,
                .notices_max = NOTICES_MAX,
                .is_on = mail_is_on,
                .send = mail_send,
                .userdata = (void *) (program ?: SENDMAIL),
        };
}
