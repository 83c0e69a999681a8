/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "prompt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "alloc-util.h"
#include "string-util.h"
#include "terminal.h"

/* What the kernel keeps of a line that is typed. */
#define LINE_MAX_SIZE 4096U

static volatile sig_atomic_t interrupted;

static void on_signal(int sig) {
        interrupted = sig;
}

/* Reads up to the newline, which is left out. */
static int read_line(char **ret) {
        char line[LINE_MAX_SIZE + 1];
        size_t n = 0;
        char *copy;

        while (n == 0 || line[n - 1] != '\n') {
                ssize_t k = read(STDIN_FILENO, line + n, LINE_MAX_SIZE - n);

                if (k < 0 && errno == EINTR && !interrupted)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        return n == LINE_MAX_SIZE ? -EMSGSIZE : -ECANCELED;
                n += (size_t) k;
        }
        line[n - 1] = 0;

        copy = strdup(line);
        explicit_bzero(line, sizeof(line));
        if (!copy)
                return -ENOMEM;

        *ret = copy;
        return 0;
}

/* Reads a line; a signal that would end the program ends the reading. */
static int read_line_interruptible(char **ret) {
        static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
        struct sigaction sa = { .sa_handler = on_signal }, old[ELEMENTSOF(signals)];
        int r;

        interrupted = 0;
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaction(signals[i], &sa, old + i);
        r = read_line(ret);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaction(signals[i], old + i, NULL);

        /* What comes next begins on a line of its own. */
        if (r < 0)
                (void) fputc('\n', stderr);
        return r;
}

static int ask(const char *question, char **ret) {
        (void) fflush(stdout);
        (void) fprintf(stderr, "%s%s%s", color_on(stderr, COLOR_BOLD), question,
                        color_on(stderr, COLOR_NONE));
        (void) fflush(stderr);
        return read_line_interruptible(ret);
}

int prompt_line(const char *question, const char *fallback, char **ret) {
        _cleanup_free_ char *line = NULL;
        int r;

        for (;;) {
                r = ask(question, &line);
                if (r < 0)
                        return r;
                if (utf8_is_valid(line, strlen(line)))
                        break;

                (void) fprintf(stderr, "That is not valid UTF-8.\n");
                line = mfree(line);
        }

        if (isempty(line) && fallback) {
                r = free_and_strdup(&line, fallback);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(line);
        return 0;
}

int prompt_secret(const char *question, char **ret) {
        struct termios old, quiet;
        int r;

        if (tcgetattr(STDIN_FILENO, &old) < 0)
                return -errno;

        quiet = old;
        quiet.c_lflag &= ~(tcflag_t) ECHO;
        if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) < 0)
                return -errno;

        r = ask(question, ret);
        (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        if (r >= 0)
                (void) fputc('\n', stderr);
        return r;
}

int prompt_yes_no(const char *question, bool fallback) {
        _cleanup_free_ char *whole = NULL;
        int r;

        whole = strjoin(question, fallback ? " [Y/n] " : " [y/N] ");
        if (!whole)
                return -ENOMEM;

        for (;;) {
                _cleanup_free_ char *line = NULL;

                r = prompt_line(whole, fallback ? "yes" : "no", &line);
                if (r < 0)
                        return r;

                r = boolean_parse(line);
                if (r >= 0)
                        return r;
                (void) fprintf(stderr, "Please answer yes or no.\n");
        }
}
