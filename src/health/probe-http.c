/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "alloc-util.h"
#include "probe-internal.h"

/* So much of an answer is read before the connection is closed on it. */
#define BODY_MAX (64U * 1024U)

static size_t on_body(_unused_ char *data, size_t unit, size_t n, void *userdata) {
        ProbeRun *run = userdata;

        run->n_body += unit * n;
        return run->n_body > BODY_MAX ? CURL_WRITEFUNC_ERROR : unit * n;
}

static bool is_https(const ProbeRun *run) {
        return run->probe->health->type == HEALTH_TYPE_HTTPS;
}

/* The address as it stands in a URL. */
static char *bracketed(const Probe *p) {
        const char *address = probe_address(p);

        return strchr(address, ':') ? strjoin("[", address, "]") : strdup(address);
}

/* A name or an address, maybe with a port: nothing that would be more than a host in a header or a URL. */
static bool host_is_valid(const char *s) {
        return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]")] == 0;
}

/* Over TLS the host is asked for by its name, which the certificate has to bear, while the connection goes to
 * where the instance listens. */
static int set_host(ProbeRun *run, const char *address) {
        _cleanup_free_ char *text = NULL;
        const Probe *p = run->probe;
        struct curl_slist **list = is_https(run) ? &run->connect_to : &run->headers;

        if (isempty(p->host))
                return 0;

        if (is_https(run)) {
                if (asprintf(&text, "::%s:%u", address, p->port) < 0)
                        text = NULL;
        } else
                text = strjoin("Host: ", p->host);
        *list = text ? curl_slist_append(NULL, text) : NULL;
        return *list ? 0 : -ENOMEM;
}

static int set_url(ProbeRun *run) {
        _cleanup_free_ char *url = NULL, *address = NULL;
        const Probe *p = run->probe;
        int r;

        address = bracketed(p);
        if (!address)
                return -ENOMEM;
        r = set_host(run, address);
        if (r < 0)
                return r;

        if (asprintf(&url, "%s://%s:%u%s", health_type_to_string(p->health->type),
                            run->connect_to ? p->host : address, p->port,
                            isempty(p->health->path) ? "/" : p->health->path) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        return curl_easy_setopt(run->easy, CURLOPT_URL, url) == CURLE_OK ? 0 : -ENOMEM;
}

static int http_begin(ProbeRun *run) {
        CURL *easy = run->easy;
        int r;

        if (!host_is_valid(strempty(run->probe->host)))
                return probe_run_bad(run, "is to be asked for a host that is none");

        r = set_url(run);
        if (r < 0)
                return r;
        if (curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") != CURLE_OK ||
                        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, is_https(run) ? "https" : "http") !=
                                        CURLE_OK ||
                        curl_easy_setopt(easy, CURLOPT_USERAGENT, "ccpd") != CURLE_OK)
                return -ENOMEM;
        (void) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, run->headers);
        (void) curl_easy_setopt(easy, CURLOPT_CONNECT_TO, run->connect_to);
        (void) curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
        (void) curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
        (void) curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        (void) curl_easy_setopt(easy, CURLOPT_PRIVATE, run);
        (void) curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, run->message);
        (void) curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) (PROBE_TIMEOUT_USEC / USEC_PER_MSEC));
        (void) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        (void) curl_easy_setopt(easy, CURLOPT_WRITEDATA, run);
        return probe_run_add_transfer(run);
}

static int http_on_transfer(ProbeRun *run, CURLcode code) {
        const BlueprintHealth *h = run->probe->health;
        const char *name = is_https(run) ? "HTTPS" : "HTTP";
        unsigned wanted = h->status > 0 ? (unsigned) h->status : 200;
        curl_off_t took = 0;
        long status = 0;

        (void) curl_easy_getinfo(run->easy, CURLINFO_RESPONSE_CODE, &status);
        (void) curl_easy_getinfo(run->easy, CURLINFO_TOTAL_TIME_T, &took);

        if (code == CURLE_WRITE_ERROR)
                code = CURLE_OK; /* more than we care to read */
        if (code == CURLE_OK) {
                run->probe->latency = (usec_t) MAX(took, (curl_off_t) 1);
                if (status == (long) wanted)
                        return probe_run_good(run, run->probe->latency);
                return probe_run_bad(run, "answers %ld instead of %u to GET %s on port %u", status, wanted,
                                isempty(h->path) ? "/" : h->path, run->probe->port);
        }
        if (IN_SET(code, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM, CURLE_SSL_ISSUER_ERROR))
                return probe_run_bad(run, "has a bad certificate on port %u (%s)", run->probe->port,
                                run->message[0] ? run->message : curl_easy_strerror(code));

        return probe_run_bad(run, "does not answer %s on port %u (%s)", name, run->probe->port,
                        curl_easy_strerror(code));
}

static void http_end(ProbeRun *run) {
        curl_slist_free_all(run->headers);
        curl_slist_free_all(run->connect_to);
}

const ProbeOps probe_http_ops = {
        .begin = http_begin,
        .on_transfer = http_on_transfer,
        .end = http_end,
};
