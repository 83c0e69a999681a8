/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alert-webhook.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>

#include "alert-payload.h"
#include "alert-sign.h"
#include "alloc-util.h"
#include "store-alert.h"
#include "string-util.h"

#define TIMEOUT_MSEC 10000L
/* Of an answer, so much is read; so much of it is quoted. */
#define ANSWER_MAX (64U * 1024U)
#define QUOTE_MAX 100U
/* A receiver that needs each alert, not a digest: what does not fit goes into the next message. */
#define NOTICES_MAX 200U
#define HEADER_MAX 256U

#define HTTP_REQUEST_TIMEOUT 408
#define HTTP_TOO_MANY_REQUESTS 429

struct AlertWebhook {
        const Vault *vault;
        CURL *easy;
};

typedef struct Answer {
        size_t size;
        char quote[QUOTE_MAX + 1];
} Answer;

int alert_webhook_new(const Vault *vault, AlertWebhook **ret) {
        AlertWebhook *w;

        if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
                return -EIO;

        w = new0(AlertWebhook, 1);
        if (!w)
                return -ENOMEM;
        *w = (AlertWebhook) { .vault = vault, .easy = curl_easy_init() };
        if (!w->easy) {
                free(w);
                return -ENOMEM;
        }

        *ret = w;
        return 0;
}

AlertWebhook *alert_webhook_free(AlertWebhook *w) {
        if (!w)
                return NULL;

        curl_easy_cleanup(w->easy);
        curl_global_cleanup();
        return mfree(w);
}

/* The first line, as far as it is text. */
static void answer_quote(Answer *a, const char *data, size_t size) {
        size_t n = strlen(a->quote);

        for (size_t i = 0; i < size && n < QUOTE_MAX; i++) {
                if (data[i] == '\n' || data[i] == '\r' || data[i] == 0)
                        break;
                a->quote[n++] = (char) (data[i] >= ' ' && data[i] <= '~' ? data[i] : '?');
        }
        a->quote[n] = 0;
}

static size_t on_data(const char *data, size_t size, size_t n, void *userdata) {
        Answer *a = userdata;

        if (a->size == 0)
                answer_quote(a, data, size * n);
        a->size += size * n;
        /* What is beyond is of no interest; the status came before. */
        return a->size > ANSWER_MAX ? 0 : size * n;
}

void alert_webhook_judge(AlertResult *ret, const char *host, long status, const char *text) {
        bool ends = status >= 400 && status < 500 &&
                        !IN_SET(status, HTTP_REQUEST_TIMEOUT, HTTP_TOO_MANY_REQUESTS);

        if (status >= 200 && status < 300) {
                *ret = (AlertResult) { .outcome = ALERT_OUTCOME_DELIVERED, .answered = true };
                return;
        }

        if (status >= 300 && status < 400)
                alert_result_set(ret, ALERT_OUTCOME_RETRY, /* answered= */ true,
                                "%s answered %li, a redirection, which is not followed: set "
                                "alert_webhook_url to the "
                                "place itself.",
                                host, status);
        else
                alert_result_set(ret, ends ? ALERT_OUTCOME_FAILED : ALERT_OUTCOME_RETRY,
                                /* answered= */ true, "%s answered %li%s%s%s", host, status,
                                isempty(text) ? "." : ": \"", strempty(text), isempty(text) ? "" : "\"");
}

/* --- the request --- */

/* "t=1763640000,v1=HEX", and another v1 for a day after the secret was replaced. */
static int build_signature(
                const AlertWebhook *w, const AlertMessage *m, const char *body, char **ret, Error *reterr) {
        _cleanup_string_builder_ StringBuilder b = {};
        usec_t realtime = now(CLOCK_REALTIME);

        string_builder_appendf(&b, "CCP-Signature: t=%llu", (unsigned long long) (realtime / USEC_PER_SEC));
        FOREACH_ARRAY(s, m->secrets.items, m->secrets.n) {
                const VaultLabel label = {
                        .instance = STORE_ALERT_SECRET_INSTANCE,
                        .name = STORE_ALERT_SECRET_NAME,
                        .version = s->version,
                };
                _cleanup_vault_plain_ char *plain = NULL;
                char signature[ALERT_SIGNATURE_HEX_MAX];
                size_t size;
                int r;

                r = vault_unseal(w->vault, &label, s->key_id, s->sealed, s->sealed_size, &plain, &size,
                                reterr);
                if (r < 0)
                        return r;
                alert_sign(plain, size, realtime, body, strlen(body), signature);
                string_builder_appendf(&b, ",v1=%s", signature);
        }

        return string_builder_finish(&b, ret, NULL) < 0
                        ? error_set_errnof(reterr, ENOMEM, "Cannot sign the message: %m")
                        : 0;
}

static int append_header(struct curl_slist **l, const char *header) {
        struct curl_slist *longer = curl_slist_append(*l, header);

        if (!longer)
                return -ENOMEM;
        *l = longer;
        return 0;
}

static int build_headers(const AlertMessage *m, const char *signature, struct curl_slist **ret) {
        struct curl_slist *l = NULL;
        char delivery[HEADER_MAX], key[HEADER_MAX];
        int r = 0;

        (void) snprintf(delivery, sizeof(delivery), "CCP-Delivery: %s", m->uuid);
        (void) snprintf(key, sizeof(key), "Idempotency-Key: %s", m->uuid);
        /* No "Expect: 100-continue", for which some receivers have no answer. */
        FOREACH_ARRAY(h,
                        ((const char *[]) { "Content-Type: application/json", "Expect:", signature, delivery,
                                        key }),
                        5)
                r = r < 0 ? r : append_header(&l, *h);
        if (r < 0) {
                curl_slist_free_all(l);
                return r;
        }

        *ret = l;
        return 0;
}

static CURLcode set_options(
                CURL *easy, const char *url, const char *body, struct curl_slist *headers, Answer *answer) {
        CURLcode c = CURLE_OK;

#define SET(option, value) c = c == CURLE_OK ? curl_easy_setopt(easy, (option), (value)) : c
        curl_easy_reset(easy);
        SET(CURLOPT_URL, url);
        SET(CURLOPT_PROTOCOLS_STR, "http,https");
        SET(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
        SET(CURLOPT_FOLLOWLOCATION, 0L);
        SET(CURLOPT_SSL_VERIFYPEER, 1L);
        SET(CURLOPT_SSL_VERIFYHOST, 2L);
        SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
        SET(CURLOPT_TIMEOUT_MS, TIMEOUT_MSEC);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_USERAGENT, "ccpd/" CCP_VERSION);
        SET(CURLOPT_HTTPHEADER, headers);
        SET(CURLOPT_POSTFIELDS, body);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) strlen(body));
        SET(CURLOPT_WRITEFUNCTION, on_data);
        SET(CURLOPT_WRITEDATA, answer);
#undef SET
        return c;
}

static void url_host(const char *url, char ret[static HEADER_MAX]) {
        const char *s = strstr(url, "://");

        s = s ? s + 3 : url;
        (void) snprintf(ret, HEADER_MAX, "%.*s", (int) MIN(strcspn(s, "/?"), (size_t) HEADER_MAX - 1), s);
}

static void post(AlertWebhook *w, const char *url, const char *body, struct curl_slist *headers,
                AlertResult *ret) {
        char host[HEADER_MAX];
        Answer answer = {};
        curl_off_t after = 0;
        long status = 0;
        CURLcode c;

        url_host(url, host);
        c = set_options(w->easy, url, body, headers, &answer);
        if (c == CURLE_OK)
                c = curl_easy_perform(w->easy);
        (void) curl_easy_getinfo(w->easy, CURLINFO_RESPONSE_CODE, &status);
        (void) curl_easy_getinfo(w->easy, CURLINFO_RETRY_AFTER, &after);

        /* Once there is a status, what comes after it changes nothing. */
        if (status >= 200)
                alert_webhook_judge(ret, host, status, answer.quote);
        else
                alert_result_set(ret, ALERT_OUTCOME_RETRY, /* answered= */ false,
                                "%s cannot be reached: %s.", host, curl_easy_strerror(c));
        ret->retry_after = after > 0 ? (usec_t) MIN(after, (curl_off_t) INT32_MAX) * USEC_PER_SEC : 0;
}

static void webhook_send(const AlertMessage *m, AlertResult *ret, void *userdata) {
        _cleanup_free_ char *body = NULL, *signature = NULL;
        struct curl_slist *headers = NULL;
        _cleanup_error_ Error e = {};
        AlertWebhook *w = userdata;
        int r;

        if (m->secrets.n == 0) {
                alert_result_set(ret, ALERT_OUTCOME_RETRY, /* answered= */ false,
                                "There is no secret to sign with yet. See: journalctl -u ccpd");
                return;
        }

        r = alert_message_to_json(m, alert_host_name(), &body);
        if (r < 0)
                (void) error_set_errnof(&e, r, "Cannot write the message: %m");
        else
                r = build_signature(w, m, body, &signature, &e);
        if (r >= 0) {
                r = build_headers(m, signature, &headers);
                if (r < 0)
                        (void) error_set_errnof(&e, r, "Cannot write the message: %m");
        }
        if (r < 0) {
                alert_result_set(ret, ALERT_OUTCOME_RETRY, /* answered= */ false, "%s", e.message);
                return;
        }

        post(w, m->settings->alert_webhook_url, body, headers, ret);
        curl_slist_free_all(headers);
}

static bool webhook_is_on(const Settings *settings) {
        return !isempty(settings->alert_webhook_url);
}

AlertCarrier alert_webhook_carrier(AlertWebhook *w) {
        return (AlertCarrier) {
                .channel = ALERT_WEBHOOK,
                .notices_max = NOTICES_MAX,
                .is_on = webhook_is_on,
                .send = webhook_send,
                .userdata = w,
        };
}
