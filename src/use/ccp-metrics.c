/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-metrics: hands the metrics on that ccpd makes, to one reader on a socket or into a file. It is a program of its
 * own so that nobody speaks HTTP to ccpd, and so that a reader does not start a ccpd that was stopped: it asks over
 * the bus, without activation. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>

#include "alloc-util.h"
#include "ccp/names.h"
#include "fd-util.h"
#include "fs-util.h"
#include "http-request.h"
#include "log.h"
#include "string-util.h"
#include "time-util.h"

#define METRICS_MAX (256U * 1024U * 1024U)
#define REQUEST_USEC (5 * USEC_PER_SEC)
#define ANSWER_USEC (10 * USEC_PER_SEC)
#define HANG_UP_USEC (2 * USEC_PER_SEC)
#define CALL_USEC (10 * USEC_PER_SEC)
#define FILE_MODE 0640

#define CONTENT_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"
/* All that can be said without ccpd: what was said before must not be taken for today's. */
#define AWAY_TEXT "# TYPE ccpd_up gauge\n# HELP ccpd_up 1 if ccpd answers.\nccpd_up 0\n"

/* --- from ccpd --- */

static int call_ccpd(const char *format, sd_bus_message **ret, sd_bus_error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        int r;

        r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_message_new_method_call(
                                bus, &m, CCP_BUS_NAME, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "GetMetrics");
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0)
                r = sd_bus_message_append(m, "a{sv}", 1, "format", "s", format);
        return r < 0 ? r : sd_bus_call(bus, m, CALL_USEC, reterr, ret);
}

/* Says why it failed, unless ccpd was just stopped. */
static int get_metrics(const char *format, char **ret, size_t *ret_size) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        int fd, r;

        r = call_ccpd(format, &reply, &e);
        if (r < 0 &&
                        (sd_bus_error_has_name(&e, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
                                        sd_bus_error_has_name(&e, SD_BUS_ERROR_SERVICE_UNKNOWN)))
                return log_debug_errno(r, "ccpd does not run.");
        if (r < 0)
                return e.message ? log_error_errno(r, "Cannot get the metrics of ccpd: %s", e.message)
                                 : log_error_errno(r, "Cannot ask ccpd for its metrics: %m");

        r = sd_bus_message_read(reply, "h", &fd);
        if (r >= 0)
                r = read_full_fd(fd, METRICS_MAX, ret, ret_size);
        return r < 0 ? log_error_errno(r, "Cannot read the metrics of ccpd: %m") : 0;
}

/* --- to a reader --- */

/* Waits until a descriptor is ready; -ETIMEDOUT. */
static int wait_until(int fd, short events, usec_t deadline) {
        struct pollfd p = { .fd = fd, .events = events };
        usec_t t = now(CLOCK_MONOTONIC);
        int n;

        if (t >= deadline)
                return -ETIMEDOUT;
        n = poll(&p, 1, (int) ((deadline - t) / USEC_PER_MSEC) + 1);
        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        return n > 0 ? 0 : -ETIMEDOUT;
}

/* -ECONNRESET if he leaves before he asked. */
static int receive_request(int fd, HttpStatus *ret, bool *ret_head_only) {
        usec_t deadline = now(CLOCK_MONOTONIC) + REQUEST_USEC;
        char data[HTTP_HEAD_MAX];
        HttpStatus status;
        size_t size = 0;
        int r;

        do {
                ssize_t n;

                r = wait_until(fd, POLLIN, deadline);
                if (r < 0)
                        return r;
                n = recv(fd, data + size, sizeof(data) - size, MSG_DONTWAIT);
                if (n < 0 && !IN_SET(errno, EAGAIN, EINTR))
                        return -errno;
                if (n == 0)
                        return -ECONNRESET;
                size += n > 0 ? (size_t) n : 0;
                status = http_request_check(data, size, "/metrics", ret_head_only);
        } while (status == HTTP_INCOMPLETE);

        *ret = status;
        return 0;
}

static int send_all(int fd, const char *data, size_t size) {
        usec_t deadline = now(CLOCK_MONOTONIC) + ANSWER_USEC;

        while (size > 0) {
                ssize_t n;
                int r;

                r = wait_until(fd, POLLOUT, deadline);
                if (r < 0)
                        return r;
                n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0 && !IN_SET(errno, EAGAIN, EINTR))
                        return -errno;
                data += n > 0 ? n : 0;
                size -= n > 0 ? (size_t) n : 0;
        }
        return 0;
}

static int send_answer(
                int fd, HttpStatus status, const char *type, const char *body, size_t size, bool head_only) {
        _cleanup_free_ char *head = NULL;
        int r;

        if (asprintf(&head,
                            "HTTP/1.1 %s\r\n"
                            "Content-Type: %s\r\n"
                            "Content-Length: %zu\r\n"
                            "%s"
                            "Connection: close\r\n\r\n",
                            http_status_text(status), type, size,
                            status == HTTP_METHOD_NOT_ALLOWED ? "Allow: GET, HEAD\r\n" : "") < 0) {
                head = NULL;
                return -ENOMEM;
        }

        r = send_all(fd, head, strlen(head));
        return r < 0 || head_only ? r : send_all(fd, body, size);
}

static int send_status(int fd, HttpStatus status, const char *body, bool head_only) {
        return send_answer(fd, status, "text/plain; charset=utf-8", body, strlen(body), head_only);
}

/* Takes what he still sends, so that the answer is not cut off by it. */
static void hang_up(int fd) {
        usec_t deadline = now(CLOCK_MONOTONIC) + HANG_UP_USEC;
        char data[HTTP_HEAD_MAX];

        (void) shutdown(fd, SHUT_WR);
        while (wait_until(fd, POLLIN, deadline) >= 0 && recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
                ;
}

/* A reader who asks for something else, leaves or is slow is no failure of ours. */
static int serve(int fd) {
        _cleanup_free_ char *text = NULL;
        bool head_only = false;
        HttpStatus status;
        size_t size;
        int r;

        r = receive_request(fd, &status, &head_only);
        if (r < 0) {
                (void) log_debug_errno(r, "Failed to read the request: %m");
                return 0;
        }

        if (status != HTTP_OK)
                r = send_status(fd, status, "The metrics of ccpd are at /metrics.\n", head_only);
        else if (get_metrics("openmetrics", &text, &size) < 0)
                r = send_status(fd, HTTP_UNAVAILABLE, "ccpd does not answer. See: systemctl status ccpd\n",
                                head_only);
        else
                r = send_answer(fd, status, CONTENT_TYPE, text, size, head_only);
        if (r < 0)
                (void) log_debug_errno(r, "Failed to answer: %m");
        else
                hang_up(fd);
        return 0;
}

/* --- to a file --- */

static int write_file(const char *path) {
        const char *name = strrchr(path, '/');
        _cleanup_free_ char *folder = NULL, *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        bool away;
        size_t size;
        int r;

        if (path[0] != '/' || !name[1])
                return log_error_errno(EINVAL, "The file has to be an absolute path.");
        folder = strndup(path, MAX((size_t) (name - path), (size_t) 1));
        if (!folder)
                return log_oom();
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return log_error_errno(errno, "Cannot open '%s': %m", folder);

        away = get_metrics("prometheus", &text, &size) < 0;
        r = write_file_beneath(
                        fd, name + 1, away ? AWAY_TEXT : text, away ? strlen(AWAY_TEXT) : size, FILE_MODE);
        return r < 0 ? log_error_errno(r, "Cannot write '%s': %m", path) : 0;
}

static void help(void) {
        (void) printf("%s [OPTION…] serve\n"
                      "%s [OPTION…] write FILE\n\n"
                      "Hands the metrics of ccpd on: over HTTP on the socket that is standard input, or "
                      "into a\n"
                      "file for the textfile collector of node_exporter.\n\n"
                      "  -h --help     Show this help\n"
                      "     --version  Show the version\n",
                        program_invocation_short_name, program_invocation_short_name);
}

/* Returns 1 to go on, 0 to end well. */
static int parse_argv(int argc, char *argv[]) {
        enum { ARG_VERSION = 0x100 };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        help();
                        return 0;
                case ARG_VERSION:
                        (void) printf("ccp-metrics %s\n", CCP_VERSION);
                        return 0;
                default:
                        return -EINVAL;
                }
        return 1;
}

int main(int argc, char *argv[]) {
        char **words;
        int r;

        log_open();
        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? 2 : EXIT_SUCCESS;

        words = argv + optind;
        if (argc - optind == 1 && streq(words[0], "serve"))
                r = serve(STDIN_FILENO);
        else if (argc - optind == 2 && streq(words[0], "write"))
                r = write_file(words[1]);
        else {
                log_error("ccp-metrics wants 'serve', or 'write' and a file. See ccp-metrics --help.");
                return 2;
        }
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
