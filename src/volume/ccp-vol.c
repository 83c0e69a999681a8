/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-vol: packs a volume into a stream, and unpacks it again. It is all there is in the container that it
 * runs in, so it is linked statically and needs no file of its own. What it has to tell is one line of JSON
 * on standard error. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "volume-pack.h"
#include "volume-unpack.h"

/* Room for what is on its way between us and whoever reads or writes the other end, if that is a pipe. */
#define PIPE_SIZE (1024 * 1024)

enum {
        EXIT_USAGE = 2,
};

static int help(void) {
        return printf("ccp-vol pack DIR [EXCLUDE…]\n"
                      "ccp-vol unpack DIR [UID:GID]\n"
                      "ccp-vol inventory DIR [EXCLUDE…]\n"
                      "\n"
                      "Packs the content of a folder into a stream on standard output, or unpacks it from\n"
                      "standard input into an empty folder. The last line of standard error is a report in\n"
                      "JSON; the inventory in it is the same for the same content.\n"
                      "\n"
                      "  EXCLUDE    a path in DIR that is left out, with all below it\n"
                      "  UID:GID    whom all shall belong to, instead of whom it belonged to\n"
                      "  --help     shows this text\n"
                      "  --version  shows the version\n") < 0
                        ? EXIT_FAILURE
                        : EXIT_SUCCESS;
}

/* Last of all: the line, and the exit status. */
static int finish(int r, const VolumeReport *report, const VolumeError *error) {
        _cleanup_free_ char *json = r < 0 ? volume_error_to_json(error) : volume_report_to_json(report);
        _cleanup_free_ char *line = json ? strjoin(json, "\n") : NULL;
        const char *text = line ?: "{\"error\":\"Failed\",\"message\":\"Out of memory\"}\n";

        if (loop_write(STDERR_FILENO, text, strlen(text)) < 0 || !line)
                return EXIT_FAILURE;
        if (r < 0)
                return error->kind == VOLUME_ERROR_USAGE ? EXIT_USAGE : EXIT_FAILURE;
        return EXIT_SUCCESS;
}

static int usage(VolumeError *e, const char *path, const char *why) {
        return volume_error_setf(e, VOLUME_ERROR_USAGE, path, "%s", why);
}

static int run_pack(int fd, int output, char **exclude, VolumeReport *report, VolumeError *e) {
        const VolumePackOptions options = { .exclude = exclude };

        for (char **s = exclude; *s; s++)
                if (!volume_exclude_is_valid(*s))
                        return usage(e, *s,
                                        "this is no path in the folder, without \"./\" and \"/\" at its "
                                        "ends");

        return volume_pack(fd, output, &options, report, e);
}

static int run(int argc, char **argv, VolumeReport *report, VolumeError *e) {
        const char *verb = argc > 1 ? argv[1] : "";
        VolumeOwner owner = {};
        char end;
        _cleanup_close_ int fd = -EBADF;

        if (!streq(verb, "pack") && !streq(verb, "unpack") && !streq(verb, "inventory"))
                return usage(e, NULL, "The first argument must be pack, unpack or inventory");
        if (argc < 3)
                return usage(e, NULL, "The second argument must be a folder");
        if (streq(verb, "unpack") && argc > 4)
                return usage(e, NULL, "There are too many arguments");
        if (streq(verb, "unpack") && argc == 4 &&
                        sscanf(argv[3], "%" SCNu32 ":%" SCNu32 "%c", &owner.uid, &owner.gid, &end) != 2)
                return usage(e, argv[3], "this is no UID:GID");

        fd = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return volume_error_set_errnof(e, errno, argv[2], "cannot be opened: %m");

        if (streq(verb, "unpack"))
                return volume_unpack(fd, STDIN_FILENO, argc == 4 ? &owner : NULL, report, e);
        return run_pack(fd, streq(verb, "pack") ? STDOUT_FILENO : -EBADF, argv + 3, report, e);
}

int main(int argc, char **argv) {
        _cleanup_volume_report_ VolumeReport report = {};
        _cleanup_volume_error_ VolumeError error = {};

        if (argc == 2 && streq(argv[1], "--help"))
                return help();
        if (argc == 2 && streq(argv[1], "--version"))
                return printf("ccp-vol %s\n", CCP_VERSION) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

        /* A reader who went away is an error to tell. */
        (void) signal(SIGPIPE, SIG_IGN);
        (void) fcntl(STDIN_FILENO, F_SETPIPE_SZ, PIPE_SIZE);
        (void) fcntl(STDOUT_FILENO, F_SETPIPE_SZ, PIPE_SIZE);

        return finish(run(argc, argv, &report, &error), &report, &error);
}
