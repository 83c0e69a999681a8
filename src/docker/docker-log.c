/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "docker-frame.h"
#include "docker-transfer.h"
#include "strv.h"

/* The last lines that a container wrote. */

typedef struct LogTail {
        FrameParser frames;
        bool tty;
        unsigned n_max;
        char **lines;
        size_t n_lines;
        /* One unfinished line for each of stdout and stderr: their frames alternate as they like. */
        char partial[2][DOCKER_LOG_LINE_MAX];
        size_t n_partial[2];
} LogTail;

static size_t utf8_length(const char *s, size_t n) {
        for (size_t k = 1; k <= 4 && k <= n; k++)
                if (utf8_is_valid(s, k))
                        return k;

        return 0;
}

/* Length of an ANSI control sequence (ESC [ … letter) at s, 0 if there is none. */
static size_t ansi_length(const char *s, size_t n) {
        if (n < 2 || s[0] != '\033' || s[1] != '[')
                return 0;

        for (size_t i = 2; i < n; i++)
                if (s[i] >= '@' && s[i] <= '~')
                        return i + 1;

        return n;
}

int text_make_printable(const char *data, size_t size, char **ret) {
        _cleanup_string_builder_ StringBuilder b = {};

        while (size > 0 && IN_SET(data[size - 1], ' ', '\n', '\r'))
                size--;

        for (size_t i = 0, k; i < size; i += k) {
                unsigned char c = (unsigned char) data[i];

                k = ansi_length(data + i, size - i);
                if (k > 0)
                        continue;

                k = 1;
                if (IN_SET(c, '\t', '\n'))
                        string_builder_append(&b, " ");
                else if (c < ' ' || c == 0x7F)
                        string_builder_append(&b, "?");
                else {
                        k = utf8_length(data + i, size - i);
                        /* C1 controls are two bytes in UTF-8 and steer terminals too. */
                        if (k == 0 || (c == 0xC2 && (unsigned char) data[i + 1] < 0xA0))
                                string_builder_append(&b, "?");
                        else
                                string_builder_append_n(&b, data + i, k);
                        k = MAX(k, (size_t) 1);
                }
        }

        return string_builder_finish(&b, ret, NULL);
}

static int log_tail_push(LogTail *t, unsigned stream) {
        char *line = NULL;
        int r;

        r = text_make_printable(t->partial[stream], t->n_partial[stream], &line);
        if (r < 0)
                return r;

        t->n_partial[stream] = 0;
        if (t->n_lines == t->n_max) {
                free(t->lines[0]);
                memmove(t->lines, t->lines + 1, (t->n_lines - 1) * sizeof(char *));
                t->n_lines--;
        }
        t->lines[t->n_lines++] = line;
        t->lines[t->n_lines] = NULL;
        return 0;
}

static int log_tail_add(DockerStream stream, const char *data, size_t size, void *userdata) {
        LogTail *t = userdata;
        unsigned s = IN_SET(stream, DOCKER_STDERR, DOCKER_SYSTEM_ERROR);
        int r;

        for (size_t i = 0; i < size; i++)
                if (data[i] == '\n') {
                        r = log_tail_push(t, s);
                        if (r < 0)
                                return r;
                } else if (t->n_partial[s] < DOCKER_LOG_LINE_MAX)
                        t->partial[s][t->n_partial[s]++] = data[i];

        return 0;
}

static int log_tail_feed(const char *data, size_t size, void *userdata) {
        LogTail *t = userdata;

        if (t->tty)
                return log_tail_add(DOCKER_STDOUT, data, size, t);

        return frame_parser_feed(&t->frames, data, size, log_tail_add, t);
}

static int log_tail_finish(LogTail *t) {
        int r;

        for (unsigned s = 0; s < ELEMENTSOF(t->partial); s++)
                if (t->n_partial[s] > 0) {
                        r = log_tail_push(t, s);
                        if (r < 0)
                                return r;
                }

        return 0;
}

int docker_tail_logs(Docker *d, const char *id, unsigned n_lines, char ***ret, Error *reterr) {
        _cleanup_docker_object_ DockerObject container = {};
        _cleanup_strv_free_ char **lines = NULL;
        _cleanup_free_ LogTail *t = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        n_lines = MIN(MAX(n_lines, 1U), DOCKER_LOG_LINES_MAX);

        /* Whether there are frames is not in the answer. */
        r = docker_inspect(d, DOCKER_CONTAINER, id, &container, reterr);
        if (r < 0)
                return r;

        t = new0(LogTail, 1);
        lines = new0(char *, n_lines + 1);
        if (!t || !lines ||
                        asprintf(&path, "/containers/%s/logs?stdout=1&stderr=1&tail=%u", id, n_lines) < 0) {
                path = NULL;
                return error_set_errnof(reterr, ENOMEM, "Cannot read a container's log: %m");
        }
        t->tty = container.tty;
        t->n_max = n_lines;
        t->lines = lines;

        r = docker_call_stream(d, path, log_tail_feed, t, reterr);
        if (r < 0)
                return r;

        r = log_tail_finish(t);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read a container's log: %m");

        *ret = TAKE_PTR(lines);
        return 0;
}
