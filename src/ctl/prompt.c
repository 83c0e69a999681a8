/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "prompt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "alloc-util.h"
#include "string-util.h"
#include "terminal.h"

/* What the kernel keeps of a line that is typed. */
#define LINE_MAX_SIZE 4096U

static const int signals[] = { SIGINT, SIGTERM, SIGHUP };

static volatile sig_atomic_t interrupted;

static void on_signal(int sig) {
        interrupted = sig;
}

/* What a question changes, and gives back: signals that would end the program end the reading instead, and
 * are only let in while it waits, so that none is missed; a secret is typed without echo. */
typedef struct Prompt {
        struct sigaction actions[ELEMENTSOF(signals)];
        sigset_t mask;
        struct termios termios;
        bool quiet;
} Prompt;

static int prompt_begin(Prompt *p, bool quiet) {
        struct sigaction sa = { .sa_handler = on_signal };
        struct termios without_echo;
        sigset_t set;

        if (quiet && tcgetattr(STDIN_FILENO, &p->termios) < 0)
                return -errno;

        interrupted = 0;
        (void) sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaddset(&set, signals[i]);
        (void) sigprocmask(SIG_BLOCK, &set, &p->mask);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaction(signals[i], &sa, p->actions + i);

        p->quiet = quiet;
        if (quiet) {
                without_echo = p->termios;
                without_echo.c_lflag &= ~(tcflag_t) ECHO;
                (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &without_echo);
        }
        return 0;
}

static void prompt_end(Prompt *p) {
        if (p->quiet)
                (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &p->termios);
        (void) sigprocmask(SIG_SETMASK, &p->mask, NULL);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaction(signals[i], p->actions + i, NULL);
}

/* Reads up to the newline, which is left out. */
static int read_line(const Prompt *p, char **ret) {
        struct pollfd pfd = { .fd = STDIN_FILENO, .events = POLLIN };
        char line[LINE_MAX_SIZE + 1];
        size_t n = 0;
        char *copy;

        while (n == 0 || line[n - 1] != '\n') {
                ssize_t k;

                if (ppoll(&pfd, 1, NULL, &p->mask) < 0) {
                        if (errno == EINTR && !interrupted)
                                continue;
                        return -errno;
                }

                k = read(STDIN_FILENO, line + n, LINE_MAX_SIZE - n);
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

static int ask(const char *question, bool quiet, char **ret) {
        _cleanup_erase_ char *line = NULL;
        Prompt p;
        int r;

        r = prompt_begin(&p, quiet);
        if (r < 0)
                return r;

        (void) fflush(stdout);
        (void) fprintf(stderr, "%s%s%s", color_on(stderr, COLOR_BOLD), question,
                        color_on(stderr, COLOR_NONE));
        r = read_line(&p, &line);
        prompt_end(&p);
        if (r >= 0 && interrupted)
                r = -EINTR;
        /* What comes next begins on a line of its own. */
        if (r < 0 || quiet)
                (void) fputc('\n', stderr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(line);
        return 0;
}

int prompt_line(const char *question, const char *fallback, char **ret) {
        _cleanup_free_ char *line = NULL;
        int r;

        for (;;) {
                r = ask(question, /* quiet= */ false, &line);
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
        return ask(question, /* quiet= */ true, ret);
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
