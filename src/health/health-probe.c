/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "health-probe.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "alloc-util.h"
#include "docker-transfer.h"
#include "fd-util.h"
#include "string-util.h"

#define ADDRESS_DEFAULT "127.0.0.1"
/* So much of an answer is read before the connection is closed on it. */
#define HTTP_BODY_MAX (64U * 1024U)
/* The Engine's proxy accepts before it knows whether the container listens; if it does not, it closes. */
#define TCP_SETTLE_USEC (300 * USEC_PER_MSEC)
#define OUTPUT_IN_REASON_MAX 200

typedef struct HttpProbe {
        const EngineContext *context;
        size_t size;
        int polled;
} HttpProbe;

static size_t on_http_body(_unused_ char *data, size_t unit, size_t n, void *userdata) {
        HttpProbe *p = userdata;

        p->size += unit * n;
        return p->size > HTTP_BODY_MAX ? CURL_WRITEFUNC_ERROR : unit * n;
}

static int on_http_progress(void *userdata, _unused_ curl_off_t dl_total, _unused_ curl_off_t dl,
                _unused_ curl_off_t ul_total, _unused_ curl_off_t ul) {
        HttpProbe *p = userdata;

        if (p->context->poll)
                p->polled = MIN(p->context->poll(p->context->userdata), 0);
        return p->polled < 0;
}

/* Where a service listens that is bound to all addresses. */
static const char *target_address(const HealthTarget *t) {
        const char *address = t->address ?: ADDRESS_DEFAULT;

        if (streq(address, "0.0.0.0"))
                return ADDRESS_DEFAULT;
        return streq(address, "::") ? "::1" : address;
}

static int http_prepare(CURL *easy, const HealthTarget *t, HttpProbe *probe, struct curl_slist **headers) {
        _cleanup_free_ char *url = NULL, *host = NULL;
        const char *address = target_address(t), *path = t->service->health.path;
        bool ipv6 = strchr(address, ':');

        if (asprintf(&url, "http://%s%s%s:%u%s", ipv6 ? "[" : "", address, ipv6 ? "]" : "", t->port,
                            isempty(path) ? "/" : path) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        if (!isempty(t->host)) {
                host = strjoin("Host: ", t->host);
                *headers = host ? curl_slist_append(NULL, host) : NULL;
                if (!*headers)
                        return -ENOMEM;
        }

        if (curl_easy_setopt(easy, CURLOPT_URL, url) != CURLE_OK ||
                        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") != CURLE_OK ||
                        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") != CURLE_OK ||
                        curl_easy_setopt(easy, CURLOPT_USERAGENT, "ccpd") != CURLE_OK)
                return -ENOMEM;
        (void) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, *headers);
        (void) curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        (void) curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) (PROBE_TIMEOUT_USEC / USEC_PER_MSEC));
        (void) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_http_body);
        (void) curl_easy_setopt(easy, CURLOPT_WRITEDATA, probe);
        (void) curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_http_progress);
        (void) curl_easy_setopt(easy, CURLOPT_XFERINFODATA, probe);
        (void) curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
        return 0;
}

static int probe_http(const EngineContext *c, const HealthTarget *t, char **ret_reason) {
        const BlueprintHealth *h = &t->service->health;
        unsigned wanted = h->status > 0 ? (unsigned) h->status : 200;
        HttpProbe probe = { .context = c };
        struct curl_slist *headers = NULL;
        CURLcode code = CURLE_OK;
        CURL *easy;
        long status = 0;
        int r;

        easy = curl_easy_init();
        if (!easy)
                return -ENOMEM;

        r = http_prepare(easy, t, &probe, &headers);
        if (r >= 0) {
                code = curl_easy_perform(easy);
                (void) curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        }
        curl_easy_cleanup(easy);
        curl_slist_free_all(headers);
        if (r < 0)
                return r;
        if (probe.polled < 0)
                return probe.polled;

        if (code == CURLE_WRITE_ERROR)
                code = CURLE_OK; /* more than we care to read */
        if (code == CURLE_OK && status == (long) wanted)
                return 1;

        r = code == CURLE_OK ? asprintf(ret_reason, "answers %ld instead of %u to GET %s on port %u", status,
                                               wanted, isempty(h->path) ? "/" : h->path, t->port)
                             : asprintf(ret_reason, "does not answer HTTP on port %u (%s)", t->port,
                                               curl_easy_strerror(code));
        return r < 0 ? -ENOMEM : 0;
}

static int tcp_address(const HealthTarget *t, struct sockaddr_storage *ret, socklen_t *ret_size) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(t->port) };
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(t->port) };

        if (inet_pton(AF_INET, target_address(t), &in.sin_addr) == 1) {
                memcpy(ret, &in, sizeof(in));
                *ret_size = sizeof(in);
                return 0;
        }
        if (inet_pton(AF_INET6, target_address(t), &in6.sin6_addr) == 1) {
                memcpy(ret, &in6, sizeof(in6));
                *ret_size = sizeof(in6);
                return 0;
        }

        return -EINVAL;
}

/* Connects, and sees whether the other side keeps the connection. Returns 0 or a negative errno. */
static int tcp_try(const HealthTarget *t) {
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_storage address = {};
        struct pollfd p = { .events = POLLOUT };
        socklen_t size, error_size = sizeof(int);
        int error = 0, r;
        char byte;

        r = tcp_address(t, &address, &size);
        if (r < 0)
                return r;

        fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *) &address, size) < 0 && errno != EINPROGRESS)
                return -errno;

        /* To an address of this host, a connection is there at once or not at all. */
        p.fd = fd;
        r = poll(&p, 1, (int) (USEC_PER_SEC / USEC_PER_MSEC));
        if (r <= 0)
                return r < 0 ? -errno : -ETIMEDOUT;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size) < 0)
                return -errno;
        if (error != 0)
                return -error;

        p.events = POLLIN | POLLRDHUP;
        if (poll(&p, 1, (int) (TCP_SETTLE_USEC / USEC_PER_MSEC)) <= 0)
                return 0;
        return recv(fd, &byte, 1, MSG_DONTWAIT) > 0 ? 0 : -ECONNREFUSED;
}

static int probe_tcp(_unused_ const EngineContext *c, const HealthTarget *t, char **ret_reason) {
        int r;

        r = tcp_try(t);
        if (r == -ENOMEM)
                return r;
        if (r >= 0)
                return 1;

        return asprintf(ret_reason, "does not listen on port %u (%s)", t->port, strerror(-r)) < 0 ? -ENOMEM
                                                                                                  : 0;
}

static int probe_command(const EngineVTable *engine, const EngineContext *c, const HealthTarget *t,
                char **ret_reason, Error *reterr) {
        _cleanup_engine_exec_result_ EngineExecResult result = {};
        _cleanup_error_ Error error = {};
        int r;

        r = engine->exec(c, t->service->name, t->service->health.command, PROBE_COMMAND_TIMEOUT_USEC,
                        &result, &error);
        if (IN_SET(r, -ECANCELED, -ENOMEM)) {
                error_move(reterr, &error);
                return r;
        }
        if (r >= 0 && result.status == 0)
                return 1;

        r = r < 0 ? asprintf(ret_reason, "can't be asked by its health command: %s", strempty(error.message))
                  : asprintf(ret_reason, "fails its health command (exit code %d): %.*s", result.status,
                                    OUTPUT_IN_REASON_MAX, strempty(result.output));
        return r < 0 ? -ENOMEM : 0;
}

int health_probe(const EngineVTable *engine, const EngineContext *c, const HealthTarget *target,
                char **ret_reason, Error *reterr) {
        int r;

        switch (target->service->health.type) {
        case HEALTH_TYPE_HTTP:
                r = docker_curl_init();
                if (r >= 0)
                        r = probe_http(c, target, ret_reason);
                break;
        case HEALTH_TYPE_TCP:
                r = probe_tcp(c, target, ret_reason);
                break;
        case HEALTH_TYPE_COMMAND:
                return probe_command(engine, c, target, ret_reason, reterr);
        default:
                return 1;
        }

        if (r == -ECANCELED)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The work was cancelled.");
        if (r < 0)
                return error_set_errnof(
                                reterr, r, "Cannot look at the service '%s': %m", target->service->name);
        return r;
}
