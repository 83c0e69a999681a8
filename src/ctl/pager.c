/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "pager.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-login.h>
#include <unistd.h>

#include "fd-util.h"
#include "process.h"
#include "string-util.h"
#include "strv.h"
#include "terminal.h"

/* F: quit if it fits one screen; R: colours; S: cut long lines; X: leave the screen as it is; M, K */
#define LESS_OPTIONS "FRSXMK"

static pid_t pager_pid;

static int split_words(const char *s, char ***ret) {
        _cleanup_strv_free_ char **l = NULL;

        while (*(s += strspn(s, " \t"))) {
                size_t n = strcspn(s, " \t");
                int r;

                r = strv_extendf(&l, "%.*s", (int) n, s);
                if (r < 0)
                        return r;
                s += n;
        }

        *ret = TAKE_PTR(l);
        return 0;
}

int pager_choose(bool secure, char ***ret) {
        static const char *const variables[] = { "CCP_PAGER", "SYSTEMD_PAGER", "PAGER" };
        const char *pager = NULL;

        for (size_t i = 0; !secure && !pager && i < ELEMENTSOF(variables); i++)
                pager = getenv(variables[i]);

        /* Set, but empty, or cat: none is wanted. */
        if (pager && (isempty(pager) || streq(pager, "cat"))) {
                *ret = NULL;
                return 0;
        }

        return split_words(pager ?: "less", ret);
}

/* As systemctl does it: $SYSTEMD_PAGERSECURE decides; without it, being somebody else than the one who
 * logged in does. */
static bool secure_mode(bool *ret_explicit) {
        const char *s = getenv("SYSTEMD_PAGERSECURE");
        uid_t owner;

        *ret_explicit = !isempty(s);
        if (*ret_explicit)
                return boolean_parse(s) != 0;

        return sd_pid_get_owner_uid(0, &owner) < 0 || owner != geteuid();
}

/* Nothing that we run but the pager reads these. */
static void set_environment(bool secure) {
        (void) setenv("LESS", getenv("SYSTEMD_LESS") ?: LESS_OPTIONS, true);
        (void) setenv("LESSCHARSET", getenv("SYSTEMD_LESSCHARSET") ?: "utf-8", true);
        if (secure)
                (void) setenv("LESSSECURE", "1", true);
        else
                (void) unsetenv("LESSSECURE");
}

void pager_open(void) {
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        _cleanup_strv_free_ char **words = NULL;
        bool secure, explicit;
        int fds[2];

        if (pager_pid > 0 || !terminal_is_output() || !terminal_is_input() || !terminal_is_error())
                return;

        secure = secure_mode(&explicit);
        if (pager_choose(secure && !explicit, &words) < 0 || !words)
                return;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return;
        in = fds[0];
        out = fds[1];

        set_environment(secure);
        (void) fflush(stdout);
        /* Where there is none the text is shown all the same. */
        if (process_spawn(words,
                            &(SpawnOptions) {
                                            .stdin_fd = in,
                                            .stdout_fd = -EBADF,
                                            .stderr_fd = -EBADF,
                                            .keep_fd = -EBADF,
                            },
                            &pager_pid) < 0)
                return;

        /* Ctrl-C is the pager's: less ends a search with it. */
        (void) signal(SIGINT, SIG_IGN);
        (void) dup2(out, STDOUT_FILENO);
}

void pager_close(void) {
        if (pager_pid <= 0)
                return;

        (void) fclose(stdout);
        (void) close(STDOUT_FILENO);
        process_wait(TAKE_GENERIC(pager_pid, 0), 0);
}
