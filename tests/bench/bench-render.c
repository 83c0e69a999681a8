/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* bench-render [--verified] [--compose] FORMAT COUNT CONTEXT.json TEMPLATE…
 * Parses each template once, renders it COUNT times over the context, and prints a line for each: its name,
 * nanoseconds per rendering, bytes of output. --print writes the output instead. */

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "template.h"
#include "time-util.h"

typedef int (*RenderFunction)(const Template *t, const json_t *context, const TemplateEnvironment *env,
                char **ret, size_t *ret_size, Error *reterr);

static bool arg_print, arg_verified, arg_compose;

static bool allow_raw(_unused_ const char *path, _unused_ void *userdata) {
        return true;
}

static int bench(const char *path, const TemplateOptions *options, unsigned long count,
                const json_t *context, Error *reterr) {
        const TemplateEnvironment env = {
                .strict = true,
                .raw_allowed = allow_raw,
                .context_id = template_make_context_id(),
        };
        RenderFunction render = arg_verified ? template_render_verified : template_render;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_template_ Template *t = NULL;
        _cleanup_free_ char *source = NULL;
        size_t size, written = 0;
        usec_t begin;
        int r;

        r = fd < 0 ? -errno : read_full_fd(fd, TEMPLATE_SOURCE_MAX, &source, &size);
        if (r < 0)
                return error_set_errnof(reterr, r, "Can't read '%s': %m", path);
        r = template_parse(path, source, size, options, &t, reterr);
        if (r < 0)
                return r;

        begin = now(CLOCK_MONOTONIC);
        for (unsigned long i = 0; i < count; i++) {
                _cleanup_free_ char *text = NULL;

                r = render(t, context, &env, &text, &written, reterr);
                if (r < 0)
                        return r;
                if (arg_print)
                        (void) fwrite(text, 1, written, stdout);
        }
        if (!arg_print)
                printf("%s %.0f %zu\n", path,
                                (double) (now(CLOCK_MONOTONIC) - begin) * 1000.0 / (double) MAX(count, 1UL),
                                written);
        return 0;
}

static int run(char **argv, int n) {
        TemplateOptions options = { .compose_interpolation = arg_compose };
        _cleanup_error_ Error e = {};
        _cleanup_json_ json_t *context = NULL;
        unsigned long count;
        int r = 0;

        if (n < 4 || (options.format = template_format_from_string(argv[0])) < 0) {
                fprintf(stderr,
                                "bench-render [--verified] [--compose] [--print] FORMAT COUNT CONTEXT.json "
                                "TEMPLATE…\n");
                return 2;
        }
        count = strtoul(argv[1], NULL, 10);
        context = json_load_file(argv[2], 0, NULL);
        if (!context) {
                fprintf(stderr, "'%s' is not JSON.\n", argv[2]);
                return EXIT_FAILURE;
        }

        for (int i = 3; i < n && r >= 0; i++)
                r = bench(argv[i], &options, count, context, &e);
        if (r < 0)
                fprintf(stderr, "%s\n", e.message ?: strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "verified", no_argument, NULL, 'v' },
                { "compose", no_argument, NULL, 'c' },
                { "print", no_argument, NULL, 'p' },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "+", options, NULL)) >= 0)
                switch (c) {
                case 'v':
                        arg_verified = true;
                        break;
                case 'c':
                        arg_compose = true;
                        break;
                case 'p':
                        arg_print = true;
                        break;
                default:
                        return 2;
                }

        return run(argv + optind, argc - optind);
}
