/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "compose-output.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "string-util.h"

#define PORT_HIGHEST 65535U

void compose_progress_done(ComposeProgress *p) {
        strv_free(p->done);
        strv_free(p->failed);
        *p = (ComposeProgress) {};
}

/* The kinds of things that a line is about: " Container x_ccp-db-1  Started", while a pull has
 * " SERVICE Pulled". */
static const char *const kinds[] = { "Container ", "Network ", "Volume ", "Image " };

static const char *const last_states[] = { "Started", "Running", "Stopped", "Removed", "Healthy", "Exited" };

static bool begins_with_word(const char *s, const char *word) {
        const char *rest = startswith(s, word);

        return rest && IN_SET(*rest, 0, ' ');
}

static bool is_last_state(const char *state) {
        for (size_t i = 0; i < ELEMENTSOF(last_states); i++)
                if (begins_with_word(state, last_states[i]))
                        return true;

        return false;
}

static int progress_mark_done(ComposeProgress *p, const char *name, size_t n) {
        _cleanup_free_ char *copy = NULL;
        size_t n_done, n_all;
        int r;

        copy = strndup(name, n);
        if (!copy)
                return -ENOMEM;
        if (!strv_contains(p->done, copy)) {
                r = strv_extend(&p->done, copy);
                if (r < 0)
                        return r;
        }

        n_done = strv_length(p->done);
        n_all = MAX(p->n_expected, n_done);
        p->fraction = MAX(p->fraction, (double) n_done / (double) n_all);
        return 1;
}

/* "Container NAME  State": two blanks before the state, the name has none. */
static int progress_object(ComposeProgress *p, const char *kind, const char *rest) {
        const char *state = strstr(rest, "  ");

        if (!state)
                return 0;
        if (!streq(kind, "Container "))
                return 1;

        return is_last_state(state + 2) ? progress_mark_done(p, rest, (size_t) (state - rest)) : 1;
}

/* "SERVICE Pulling", "SERVICE Pulled", "SERVICE Skipped - …", "SERVICE Error REASON" */
static int progress_pull(ComposeProgress *p, const char *line) {
        const char *state = strchr(line, ' '), *reason;
        size_t n;
        int r;

        if (!state)
                return 0;
        n = (size_t) (state - line);
        state++;

        if (begins_with_word(state, "Pulled") || begins_with_word(state, "Skipped"))
                return progress_mark_done(p, line, n);

        reason = startswith(state, "Error ") ?: startswith(state, "Warning ");
        if (!reason)
                return begins_with_word(state, "Pulling") || begins_with_word(state, "Building");

        r = strv_extendf(&p->failed, "%.*s", (int) n, line);
        if (r >= 0)
                r = strv_extend(&p->failed, reason + strspn(reason, " "));
        return r < 0 ? r : 1;
}

int compose_progress_line(ComposeProgress *p, const char *line) {
        const char *rest;

        /* BuildKit: "#5 [web 2/3] RUN …" */
        if (line[0] == '#' && isdigit((unsigned char) line[1]))
                return 1;
        if (line[0] != ' ')
                return 0;

        line += strspn(line, " ");
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++) {
                rest = startswith(line, kinds[i]);
                if (rest)
                        return progress_object(p, kinds[i], rest);
        }

        return progress_pull(p, line);
}

const char *compose_progress_failure(const ComposeProgress *p, const char *service) {
        for (char **f = p->failed; f && f[0] && f[1]; f += 2)
                if (streq(f[0], service))
                        return f[1];

        return NULL;
}

void compose_failure_done(ComposeFailure *f) {
        free(f->service);
        free(f->container);
        (void) erase_and_free(f->text);
        *f = (ComposeFailure) {};
}

/* What a piece of text in stderr means; the first row that is found counts. */
static const struct {
        const char *text;
        const char *name;
        int error;
} meanings[] = {
        { "no space left on device", CCP_ERROR_NO_SPACE, ENOSPC },
        { "disk quota exceeded", CCP_ERROR_NO_SPACE, EDQUOT },
        { "port is already allocated", CCP_ERROR_ENGINE_FAILED, EADDRINUSE },
        { "address already in use", CCP_ERROR_ENGINE_FAILED, EADDRINUSE },
        { "Cannot connect to the Docker daemon", CCP_ERROR_ENGINE_UNAVAILABLE, EHOSTDOWN },
        { "error during connect", CCP_ERROR_ENGINE_UNAVAILABLE, EHOSTDOWN },
        { "permission denied while trying to connect to the Docker daemon", CCP_ERROR_ENGINE_UNAVAILABLE,
                        EHOSTDOWN },
        { "dependency failed to start", CCP_ERROR_UNHEALTHY, ETIME },
        { "didn't complete successfully", CCP_ERROR_UNHEALTHY, ETIME },
};

/* The number before the words: "Bind for 127.0.0.1:10000 failed: port is already allocated", "listen tcp4
 * 127.0.0.1:10000: bind: address already in use". */
static unsigned failure_port(const char *text, const char *words) {
        unsigned port = 0, n;

        for (const char *p = text; p < words; p++) {
                if (*p == '\n')
                        port = 0;
                if (*p == ':' && sscanf(p + 1, "%5u", &n) == 1 && isdigit((unsigned char) p[1]) && n > 0 &&
                                n <= PORT_HIGHEST)
                        port = n;
        }

        return port;
}

/* The word after 'before' and up to 'after', on the line that has both. */
static int failure_word(const char *text, const char *before, const char *after, char **ret) {
        const char *p, *end;

        for (p = strstr(text, before); p; p = strstr(p, before)) {
                p += strlen(before);
                end = p + strcspn(p, " \"\n");
                if (end > p && startswith(end, after)) {
                        *ret = strndup(p, (size_t) (end - p));
                        return *ret ? 0 : -ENOMEM;
                }
        }

        return 0;
}

/* What a line says about the failure: without the frame of a log line. NULL for progress, for details of a
 * build step (the line with the failure repeats them), and for warnings. Cuts the line's end. */
static const char *meaningful_part(char *line) {
        char *message, *end;

        if (strchr(" #->", line[0])) /* an empty one too */
                return NULL;
        if (!startswith(line, "time="))
                return line;
        if (strstr(line, "level=warning"))
                return NULL;

        message = strstr(line, "msg=\"");
        if (!message)
                return line;
        message += STRLEN("msg=\"");
        end = endswith(message, "\"");
        if (end)
                *end = 0;
        return message;
}

static int failure_read_text(const char *text, char **ret) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_strv_free_ char **lines = NULL;
        size_t n, first;

        for (const char *p = text; *p;) {
                _cleanup_free_ char *line = NULL;
                size_t size = strcspn(p, "\r\n");
                const char *part;

                line = strndup(p, size);
                if (!line)
                        return -ENOMEM;
                p += size + (p[size] != 0);

                part = meaningful_part(line);
                if (part && strv_extend(&lines, part) < 0)
                        return -ENOMEM;
        }

        n = strv_length(lines);
        first = n > COMPOSE_FAILURE_LINES_MAX ? n - COMPOSE_FAILURE_LINES_MAX : 0;
        for (size_t i = first; lines && i < n && b.size < COMPOSE_FAILURE_TEXT_MAX; i++) {
                string_builder_append(&b, i > first ? "; " : "");
                string_builder_append_n(&b, lines[i], strnlen(lines[i], COMPOSE_FAILURE_TEXT_MAX));
        }

        return string_builder_finish(&b, ret, NULL);
}

int compose_failure_read(const char *text, ComposeFailure *ret) {
        _cleanup_compose_failure_ ComposeFailure f = { .name = CCP_ERROR_ENGINE_FAILED, .error = -EPROTO };
        int r;

        for (size_t i = 0; i < ELEMENTSOF(meanings); i++) {
                const char *words = strcasestr(text, meanings[i].text);

                if (!words)
                        continue;
                f.name = meanings[i].name;
                f.error = -meanings[i].error;
                if (meanings[i].error == EADDRINUSE)
                        f.port = failure_port(text, words);
                break;
        }

        if (streq(f.name, CCP_ERROR_UNHEALTHY)) {
                r = failure_word(text, "container ", " ", &f.container);
                if (r >= 0)
                        r = failure_word(text, "service \"", "\" didn't complete", &f.service);
                if (r < 0)
                        return r;
        }

        r = failure_read_text(text, &f.text);
        if (r < 0)
                return r;

        *ret = TAKE_GENERIC(f, (ComposeFailure) {});
        return 0;
}
