/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker-transfer.h"

#include <stdio.h>
#include <strings.h>

#include "alloc-util.h"
#include "json-util.h"

#define POLL_INTERVAL_USEC (200 * USEC_PER_MSEC)
#define API_VERSION_HEADER "Api-Version:"
#define MESSAGE_MAX 1024

int docker_curl_init(void) {
        return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 0 : -ENOMEM;
}

static size_t on_body(char *data, size_t unit, size_t n, void *userdata) {
        DockerTransfer *t = userdata;
        long status = 0;
        int r;

        n *= unit;
        (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        if (t->stream && status < 300) {
                r = t->stream(data, n, t->stream_userdata);
                if (r < 0) {
                        t->error = r;
                        return CURL_WRITEFUNC_ERROR;
                }
                return n;
        }

        if (n > t->body_max - t->body.size) {
                t->error = -EFBIG;
                return CURL_WRITEFUNC_ERROR;
        }
        string_builder_append_n(&t->body, data, n);
        if (t->body.failed) {
                t->error = -ENOMEM;
                return CURL_WRITEFUNC_ERROR;
        }

        return n;
}

static size_t on_header(char *data, size_t unit, size_t n, void *userdata) {
        DockerTransfer *t = userdata;
        const char *p = data, *end = data + unit * n;
        size_t k = 0;

        if (t->stream_begins && unit * n == STRLEN("\r\n") && memcmp(data, "\r\n", STRLEN("\r\n")) == 0) {
                long status = 0;

                (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
                if (status >= 200 && status < 300)
                        t->stream_begins(t->stream_userdata);
        }

        if (unit * n < STRLEN(API_VERSION_HEADER) ||
                        strncasecmp(data, API_VERSION_HEADER, STRLEN(API_VERSION_HEADER)) != 0)
                return unit * n;

        for (p += STRLEN(API_VERSION_HEADER); p < end && IN_SET(*p, ' ', '\t');)
                p++;
        while (p < end && !IN_SET(*p, '\r', '\n', ' ') && k < sizeof(t->version) - 1)
                t->version[k++] = *p++;
        t->version[k] = 0;

        return unit * n;
}

static int on_progress(_unused_ void *userdata, _unused_ curl_off_t dl_total, _unused_ curl_off_t dl,
                _unused_ curl_off_t ul_total, _unused_ curl_off_t ul) {
        DockerTransfer *t = userdata;
        usec_t n = now(CLOCK_MONOTONIC);

        if (n < t->next_poll)
                return 0;

        t->next_poll = n + POLL_INTERVAL_USEC;
        t->polled = MIN(t->poll(t->poll_userdata), 0);
        return t->polled < 0;
}

int docker_transfer_prepare(DockerTransfer *t, CURL *easy, const char *socket, const char *method,
                const char *path, usec_t timeout, size_t body_max) {
        _cleanup_free_ char *url = NULL;

        url = strjoin("http://localhost", path);
        if (!url)
                return -ENOMEM;

        t->easy = easy;
        t->socket = socket;
        t->body_max = body_max ?: DOCKER_BODY_MAX;

        curl_easy_reset(easy);
        /* The first one copies its argument and can run out of memory; so can those with strings below. */
        if (curl_easy_setopt(easy, CURLOPT_URL, url) != CURLE_OK ||
                        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket) != CURLE_OK ||
                        curl_easy_setopt(easy, CURLOPT_NOPROXY, "*") != CURLE_OK ||
                        curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http") != CURLE_OK ||
                        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) != CURLE_OK)
                return -ENOMEM;

        if (streq(method, "POST")) {
                (void) curl_easy_setopt(easy, CURLOPT_POST, 1L);
                (void) curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
        }
        (void) curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
        /* On a kept connection libcurl would by itself repeat a request that the Engine's end has cut off:
         * that hides a gap in the events, and starts by its socket an Engine that was just stopped. */
        (void) curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
        (void) curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
        (void) curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->message);
        (void) curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                        (long) (DOCKER_CONNECT_TIMEOUT_USEC / USEC_PER_MSEC));
        (void) curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long) (timeout / USEC_PER_MSEC));
        (void) curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
        (void) curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
        (void) curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
        (void) curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
        (void) curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
        (void) curl_easy_setopt(easy, CURLOPT_XFERINFODATA, t);
        (void) curl_easy_setopt(easy, CURLOPT_NOPROGRESS, t->poll ? 0L : 1L);
        return 0;
}

int docker_transfer_set_body(DockerTransfer *t, const json_t *body) {
        char *text;
        int r;

        t->headers = curl_slist_append(NULL, "Content-Type: application/json");
        text = json_format(body, JSON_COMPACT);
        if (!t->headers || !text) {
                free(text);
                return -ENOMEM;
        }

        (void) curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
        (void) curl_easy_setopt(t->easy, CURLOPT_POSTFIELDSIZE, (long) strlen(text));
        r = curl_easy_setopt(t->easy, CURLOPT_COPYPOSTFIELDS, text) == CURLE_OK ? 0 : -ENOMEM;
        free(text);
        return r;
}

void docker_transfer_done(DockerTransfer *t) {
        string_builder_done(&t->body);
        /* The handle must not write into what is gone. */
        if (t->easy)
                curl_easy_reset(t->easy);
        t->easy = NULL;
        curl_slist_free_all(t->headers);
        t->headers = NULL;
}

static int transfer_unavailable(const DockerTransfer *t, CURLcode code, Error *reterr) {
        long error = 0;

        (void) curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &error);
        if (code == CURLE_COULDNT_CONNECT && IN_SET(error, EACCES, EPERM))
                return error_setf(reterr, CCP_ERROR_ENGINE_UNAVAILABLE,
                                "The Docker Engine's socket %s may not be opened by this user. Add it to "
                                "the group docker.",
                                t->socket);
        if (code == CURLE_COULDNT_CONNECT)
                return error_setf(reterr, CCP_ERROR_ENGINE_UNAVAILABLE,
                                "The Docker Engine can't be reached at %s: %s. Check that docker.service "
                                "runs.",
                                t->socket, error > 0 ? strerror((int) error) : curl_easy_strerror(code));
        if (code == CURLE_OPERATION_TIMEDOUT)
                return error_setf(reterr, CCP_ERROR_ENGINE_UNAVAILABLE,
                                "The Docker Engine did not answer in time. Check docker.service and its "
                                "journal.");

        return error_setf(reterr, CCP_ERROR_ENGINE_UNAVAILABLE,
                        "The connection to the Docker Engine broke off (%s). Check that docker.service "
                        "runs.",
                        t->message[0] ? t->message : curl_easy_strerror(code));
}

static int transfer_failed(DockerTransfer *t, CURLcode code, Error *reterr) {
        if (t->polled == -ECANCELED)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The work was cancelled.");
        if (t->polled < 0)
                return error_set_errnof(reterr, t->polled, "The call of the Docker Engine was ended: %m");
        if (t->error == -EFBIG)
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "The Docker Engine's answer is larger than %zu MiB.", t->body_max >> 20);
        if (t->error == -EBADMSG)
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "The Docker Engine sent a stream that can't be understood.");
        if (t->error < 0)
                return error_set_errnof(reterr, t->error, "The Docker Engine's answer can't be read: %m");
        if (IN_SET(code, CURLE_COULDNT_CONNECT, CURLE_OPERATION_TIMEDOUT, CURLE_GOT_NOTHING,
                            CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_PARTIAL_FILE))
                return transfer_unavailable(t, code, reterr);

        return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                        "What answers at %s does not speak the Docker Engine's protocol (%s).", t->socket,
                        t->message[0] ? t->message : curl_easy_strerror(code));
}

#define JSON_NUL "\\u0000"

int docker_json_load(const char *data, size_t size, json_t **ret) {
        _cleanup_free_ char *copy = NULL;

        if (!memmem(data, size, JSON_NUL, STRLEN(JSON_NUL)))
                return json_parse(data, size, 0, ret);

        copy = malloc(size);
        if (!copy)
                return -ENOMEM;
        memcpy(copy, data, size);

        for (size_t i = 0; i + STRLEN(JSON_NUL) <= size; i++) {
                if (copy[i] != '\\')
                        continue;
                if (memcmp(copy + i, JSON_NUL, STRLEN(JSON_NUL)) == 0)
                        memcpy(copy + i, "\\ufffd", STRLEN(JSON_NUL));
                /* What it escapes: maybe another one of its kind. */
                i++;
        }

        return json_parse(copy, size, 0, ret);
}

/* The Engine says why it refused as {"message": "…"}. */
static int transfer_refused(DockerTransfer *t, long status, Error *reterr) {
        _cleanup_json_ json_t *json = NULL;
        _cleanup_free_ char *text = NULL;
        const char *message;
        int r;

        if (docker_json_load(strempty(t->body.data), t->body.size, &json) == -ENOMEM)
                return -ENOMEM;
        message = json_object_get_string(json, "message");
        if (message && text_make_printable(message, strnlen(message, MESSAGE_MAX), &text) < 0)
                return -ENOMEM;

        r = error_setf(reterr, CCP_ERROR_ENGINE_FAILED, "The Docker Engine refused (%ld): %s", status,
                        text ?: "it did not say why");
        return status == 404 ? -ENOENT : r;
}

int docker_transfer_finish(DockerTransfer *t, CURLcode code, json_t **ret, Error *reterr) {
        long status = 0;
        int r;

        if (code != CURLE_OK)
                return transfer_failed(t, code, reterr);

        (void) curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
        if (status >= 400)
                return transfer_refused(t, status, reterr);
        if (!ret)
                return 0;

        r = docker_json_load(strempty(t->body.data), t->body.size, ret);
        if (r == -EBADMSG)
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "The Docker Engine answered with something that is no JSON.");
        return r < 0 ? error_set_errnof(reterr, r, "The Docker Engine's answer can't be read: %m") : 0;
}

static int version_parse(const char *s, unsigned *ret_major, unsigned *ret_minor) {
        char end;

        return strlen(s) < DOCKER_VERSION_TEXT_MAX && sscanf(s, "%4u.%4u%c", ret_major, ret_minor, &end) == 2
                        ? 0
                        : -EINVAL;
}

static bool version_is_lower(unsigned major, unsigned minor, const char *than) {
        unsigned m = 0, n = 0;

        (void) version_parse(than, &m, &n);
        return major < m || (major == m && minor < n);
}

int docker_negotiate(const char *theirs, char *buf, Error *reterr) {
        unsigned major, minor;

        if (isempty(theirs) || version_parse(theirs, &major, &minor) < 0)
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "The Docker Engine does not say which version of its interface it speaks.");
        if (version_is_lower(major, minor, DOCKER_API_MIN))
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "The Docker Engine speaks version %u.%u of its interface; %s is needed at "
                                "least. Install Docker 20.10 or newer.",
                                major, minor, DOCKER_API_MIN);

        if (version_is_lower(major, minor, DOCKER_API_OURS))
                (void) snprintf(buf, DOCKER_VERSION_TEXT_MAX, "%u.%u", major, minor);
        else
                (void) snprintf(buf, DOCKER_VERSION_TEXT_MAX, "%s", DOCKER_API_OURS);
        return 0;
}
