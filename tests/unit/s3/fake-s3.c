/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "fake-s3.h"

#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"

#define HEADERS_MAX 16384U
#define LOG_MAX (1024U * 1024U)
#define STEPS_MAX 32U

typedef struct Incoming {
        char headers[HEADERS_MAX + 1];
        size_t n_body;
        unsigned char hash[crypto_hash_sha256_BYTES];
} Incoming;

static bool receive(int fd, Incoming *in) {
        crypto_hash_sha256_state state;
        size_t size = 0, length = 0;
        char buffer[4096], *end, *header;
        ssize_t n;

        while (!(end = strstr(in->headers, "\r\n\r\n"))) {
                n = read(fd, in->headers + size, HEADERS_MAX - size);
                if (n <= 0)
                        return false;
                size += (size_t) n;
                in->headers[size] = 0;
        }

        header = strcasestr(in->headers, "\r\nContent-Length: ");
        if (header)
                length = strtoul(header + STRLEN("\r\nContent-Length: "), NULL, 10);
        (void) crypto_hash_sha256_init(&state);
        in->n_body = size - (size_t) (end + 4 - in->headers);
        (void) crypto_hash_sha256_update(&state, (unsigned char *) end + 4, in->n_body);
        while (in->n_body < length) {
                n = read(fd, buffer, sizeof(buffer));
                if (n <= 0)
                        return false;
                (void) crypto_hash_sha256_update(&state, (unsigned char *) buffer, (unsigned long long) n);
                in->n_body += (size_t) n;
        }
        (void) crypto_hash_sha256_final(&state, in->hash);
        end[2] = 0;
        return true;
}

static void write_log(const FakeS3 *f, const Incoming *in) {
        _cleanup_close_ int fd = open(f->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        char hex[2 * sizeof(in->hash) + 1];

        (void) sodium_bin2hex(hex, sizeof(hex), in->hash, sizeof(in->hash));
        (void) dprintf(fd, "%sbody: %zu %s\n", in->headers, in->n_body, hex);
}

static const FakeStep *find_step(const FakeStep *steps, size_t n, unsigned *counts, const char *line) {
        const FakeStep *found = NULL;

        for (size_t i = 0; i < n; i++)
                if (startswith(line, steps[i].request) && counts[i]++ >= steps[i].from)
                        found = steps + i;
        return found;
}

static void answer(int fd, const FakeStep *step) {
        char filler[4096];

        memset(filler, 'x', sizeof(filler));
        if (step->answer)
                (void) loop_write(fd, step->answer, strlen(step->answer));
        for (size_t left = step->filler; left > 0; left -= MIN(left, sizeof(filler)))
                if (loop_write(fd, filler, MIN(left, sizeof(filler))) < 0)
                        break;

        if (step->end == FAKE_HANG)
                return;
        if (step->end == FAKE_RESET)
                (void) setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger) { .l_onoff = 1 },
                                sizeof(struct linger));
        (void) close(fd);
}

static _noreturn_ void serve(const FakeS3 *f, int listener, const FakeStep *steps, size_t n) {
        static const FakeStep missing = { .answer = FAKE_ERROR("404 Not Found", "NoSuchKey") };
        unsigned counts[STEPS_MAX] = {};

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void) signal(SIGPIPE, SIG_IGN);
        for (;;) {
                int fd = accept(listener, NULL, NULL);
                Incoming in = {};

                if (fd < 0)
                        _exit(EXIT_FAILURE);
                if (!receive(fd, &in)) {
                        (void) close(fd);
                        continue;
                }
                write_log(f, &in);
                answer(fd, find_step(steps, n, counts, in.headers) ?: &missing);
        }
}

void fake_s3_start(FakeS3 *f, const FakeStep *steps, size_t n) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        _cleanup_close_ int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        socklen_t size = sizeof(address);

        ck_assert_uint_le(n, STEPS_MAX);
        (void) strcpy(f->directory, "/tmp/fake-s3-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(f->directory));
        (void) snprintf(f->log, sizeof(f->log), "%s/log", f->directory);

        ck_assert_int_ge(listener, 0);
        ck_assert_int_eq(bind(listener, (struct sockaddr *) &address, sizeof(address)), 0);
        ck_assert_int_eq(listen(listener, 16), 0);
        ck_assert_int_eq(getsockname(listener, (struct sockaddr *) &address, &size), 0);
        (void) snprintf(f->endpoint, sizeof(f->endpoint), "http://127.0.0.1:%u", ntohs(address.sin_port));

        f->pid = fork();
        ck_assert_int_ge(f->pid, 0);
        if (f->pid == 0)
                serve(f, listener, steps, n);
}

void fake_s3_stop(FakeS3 *f) {
        if (f->pid <= 0)
                return;
        (void) kill(f->pid, SIGKILL);
        (void) waitpid(f->pid, NULL, 0);
        (void) unlink(f->log);
        (void) rmdir(f->directory);
        f->pid = 0;
}

char *fake_s3_log(const FakeS3 *f) {
        _cleanup_close_ int fd = open(f->log, O_RDONLY | O_CLOEXEC);
        char *text = NULL;

        if (fd < 0)
                return strdup("");
        ck_assert_int_ge(read_full_fd(fd, LOG_MAX, &text, NULL), 0);
        return text;
}

unsigned fake_s3_count(const FakeS3 *f, const char *line) {
        _cleanup_free_ char *log = fake_s3_log(f);
        unsigned n = 0;

        for (char *s = log; s && *s; s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL)
                n += !!startswith(s, line);
        return n;
}

S3Client *fake_s3_client(const FakeS3 *f, const char *prefix) {
        static const S3Limits limits = {
                .part_size = 1000,
                .attempts = 2,
                .backoff = 2 * USEC_PER_MSEC,
                .backoff_max = 2 * USEC_PER_MSEC,
                .connect_timeout = USEC_PER_SEC,
                .stall_timeout = USEC_PER_SEC,
                .answer_timeout = USEC_PER_SEC,
        };
        const S3Config config = {
                .endpoint = f->endpoint,
                .bucket = "backups",
                .prefix = prefix,
                .access_key = "AKIDEXAMPLE",
                .secret_key = "secret",
                .path_style = true,
        };
        S3Client *client;

        ck_assert_int_ge(s3_client_new(&config, &client, NULL), 0);
        s3_client_set_limits(client, &limits);
        return client;
}
