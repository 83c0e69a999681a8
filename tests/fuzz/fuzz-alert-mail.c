/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Mails and messages about names and causes that are anything: the lines of a head are ours, all of it is ASCII, and what is JSON
 * is JSON. */

#include "alert-mail.h"
#include "alert-payload.h"
#include "alloc-util.h"
#include "fuzz.h"
#include "json-util.h"
#include "string-util.h"

static const char *const heads[] = { "Date: ", "From: ", "To: ", "Subject: ", "Message-ID: ",
        "Auto-Submitted: ", "MIME-Version: ", "Content-Type: ", "Content-Transfer-Encoding: ", " " };

static void check_mail(const char *mail) {
        const char *body = strstr(mail, "\n\n");

        if (!body || strstr(body, "\n.\n") || strstr(body, "\nFrom "))
                abort();
        for (const char *p = mail; *p; p++)
                if (*p != '\n' && *p != '\t' && (*p < ' ' || *p > '~'))
                        abort();
        for (const char *line = mail; line <= body; line = strchr(line, '\n') + 1) {
                bool known = false;

                FOREACH_ARRAY(head, heads, ELEMENTSOF(heads))
                        known = known || startswith(line, *head);
                if (!known || strcspn(line, "\n") > 78)
                        abort();
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static char *const to[] = { (char *) "root", NULL };
        _cleanup_free_ char *text = strndup((const char *) data, size), *mail = NULL, *body = NULL;
        _cleanup_json_ json_t *json = NULL;
        AlertNotice n = {
                .alert = 1,
                .rule = (char *) "instance-unhealthy",
                .severity = (char *) "error",
                .slug = text,
                .name = text,
                .subject = (char *) "",
                .message = text,
        };
        AlertMessage m = { .uuid = "11111111-2222-3333-4444-555555555555", .notices = &n, .n_notices = 1 };

        if (!text)
                return 0;
        /* The records take nothing else. */
        utf8_make_valid(text);
        if (alert_mail_build(&m, "server", to, 0, &mail) < 0 ||
                        alert_message_to_json(&m, "server", &body) < 0)
                abort();
        check_mail(mail);
        json = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
        if (!json)
                abort();
        return 0;
}
