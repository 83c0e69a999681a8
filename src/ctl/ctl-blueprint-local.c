/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The verbs for authors of blueprints: they work on files, without ccpd. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ctl.h"
#include "fd-util.h"
#include "lint.h"
#include "string-util.h"
#include "strv.h"
#include "template.h"

#define CONTEXT_SIZE_MAX (1024U * 1024U)

static int read_text_file(const char *path, size_t max, char **ret, size_t *ret_size, Error *reterr) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return error_set_errnof(reterr, errno, "Cannot open '%s': %m.", path);

        r = read_full_fd(fd, max, ret, ret_size);
        if (r == -EFBIG)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED, "'%s' is larger than %zu bytes.", path,
                                max);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read '%s': %m.", path);

        return 0;
}

/* A folder, or the name of an installed blueprint. */
static int find_folder(const char *argument, char **ret, Error *reterr) {
        static const char *const directories[] = { CCP_TEMPLATES_LOCAL_DIR, CCP_TEMPLATES_DIR };
        struct stat st;

        if (strchr(argument, '/') || streq(argument, ".") ||
                        (stat(argument, &st) >= 0 && S_ISDIR(st.st_mode))) {
                *ret = realpath(argument, NULL);
                if (!*ret && errno == ENOENT)
                        return error_setf(reterr, CCP_ERROR_NO_SUCH_BLUEPRINT, "There is no folder '%s'.",
                                        argument);
                return *ret ? 0
                            : error_set_errnof(reterr, errno, "Cannot find the folder '%s': %m.", argument);
        }

        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                _cleanup_free_ char *folder = strjoin(directories[i], "/", argument);

                if (!folder)
                        return -ENOMEM;
                if (stat(folder, &st) >= 0) {
                        *ret = TAKE_PTR(folder);
                        return 0;
                }
        }

        return error_setf(reterr, CCP_ERROR_NO_SUCH_BLUEPRINT,
                        "There is neither a folder nor an installed blueprint '%s'.", argument);
}

static int print_problems_json(Ctl *c, const char *folder, char *const *problems) {
        _cleanup_json_ json_t *o = NULL, *list = NULL;

        list = json_array();
        if (!list)
                return -ENOMEM;
        STRV_FOREACH(p, problems)
                if (json_array_append_new(list, json_string(*p)) < 0)
                        return -ENOMEM;

        o = json_pack("{s:s, s:O}", "folder", folder, "problems", list);
        return o ? ctl_print_json(c, o) : -ENOMEM;
}

static int print_problems(Ctl *c, const Blueprint *b, char *const *problems) {
        size_t n = strv_length(problems);

        STRV_FOREACH(p, problems) {
                _cleanup_free_ char *escaped = text_escape(*p);

                (void) printf("%s\n", strempty(escaped));
        }

        if (n > 0)
                ctl_say(c, "%zu problem%s.\n", n, n == 1 ? "" : "s");
        else
                ctl_say(c, "%s %s: no problems in %zu template%s and %zu static file%s.\n", b->name,
                                b->version, b->n_files, b->n_files == 1 ? "" : "s", b->n_statics,
                                b->n_statics == 1 ? "" : "s");
        return EXIT_DONE;
}

int verb_blueprint_lint(Ctl *c, char **args, Error *reterr) {
        _cleanup_strv_free_ char **problems = NULL;
        _cleanup_blueprint_ Blueprint *b = NULL;
        _cleanup_free_ char *folder = NULL;
        int r;

        r = find_folder(args[0], &folder, reterr);
        if (r < 0)
                return r;
        r = blueprint_lint(folder, &b, &problems, reterr);
        if (r < 0)
                return r;

        r = ctl_prints_json(c) ? print_problems_json(c, folder, problems) : print_problems(c, b, problems);
        if (r < 0)
                return r;

        return problems ? EXIT_FAILED : EXIT_DONE;
}

/* "x/docker-compose.yml.hbs" gives "docker-compose.yml". */
static char *target_name(const char *path) {
        const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
        const char *end = endswith(name, ".hbs") ?: name + strlen(name);

        return strndup(name, (size_t) (end - name));
}

static TemplateFormat format_from_name(const char *name) {
        static const struct {
                const char *suffix;
                TemplateFormat format;
        } formats[] = {
                { ".yml", TEMPLATE_YAML },
                { ".yaml", TEMPLATE_YAML },
                { ".env", TEMPLATE_DOTENV },
                { ".json", TEMPLATE_JSON },
                { ".conf", TEMPLATE_NGINX },
                { ".ini", TEMPLATE_INI },
        };

        for (size_t i = 0; i < ELEMENTSOF(formats); i++)
                if (endswith(name, formats[i].suffix))
                        return formats[i].format;

        return streq(name, "env") ? TEMPLATE_DOTENV : TEMPLATE_TEXT;
}

static int make_options(Ctl *c, const char *path, TemplateOptions *ret, Error *reterr) {
        const char *format = c->arguments.values[OPTION_FORMAT];
        _cleanup_free_ char *name = NULL;
        TemplateOptions o = {};

        name = target_name(path);
        if (!name)
                return -ENOMEM;

        o.format = format ? template_format_from_string(format) : format_from_name(name);
        if (o.format < 0 || o.format == TEMPLATE_HTML)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "--format= takes yaml, dotenv, nginx, json, ini or text, not '%s'.", format);
        o.compose_interpolation = o.format == TEMPLATE_YAML &&
                        (startswith(name, "docker-compose") || startswith(name, "compose"));

        *ret = o;
        return 0;
}

static int read_context(Ctl *c, json_t **ret, Error *reterr) {
        const char *path = c->arguments.values[OPTION_CONTEXT];
        _cleanup_erase_ char *text = NULL;
        json_error_t e;
        json_t *context;
        size_t size;
        int r;

        if (!path)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "'blueprint render' needs --context=FILE, a JSON object of the values.");
        r = read_text_file(path, CONTEXT_SIZE_MAX, &text, &size, reterr);
        if (r < 0)
                return r;

        context = json_loadb(text, size, JSON_REJECT_DUPLICATES, &e);
        if (!context)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "%s:%d:%d: %s.", path, e.line,
                                e.column, e.text);
        if (!json_is_object(context)) {
                json_decref(context);
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "%s is not a JSON object.", path);
        }

        *ret = context;
        return 0;
}

int verb_blueprint_render(Ctl *c, char **args, Error *reterr) {
        _cleanup_free_ char *source = NULL;
        _cleanup_template_ Template *t = NULL;
        _cleanup_json_ json_t *context = NULL;
        _cleanup_erase_ char *text = NULL;
        TemplateEnvironment env = { .strict = true };
        TemplateOptions options;
        size_t source_size, size;
        int r;

        r = make_options(c, args[0], &options, reterr);
        if (r < 0)
                return r;
        r = read_context(c, &context, reterr);
        if (r < 0)
                return r;
        r = read_text_file(args[0], TEMPLATE_SOURCE_MAX, &source, &source_size, reterr);
        if (r < 0)
                return r;

        r = template_parse(args[0], source, source_size, &options, &t, reterr);
        if (r < 0)
                return r;
        r = template_render_verified(t, context, &env, &text, &size, reterr);
        if (r < 0)
                return r;

        (void) fwrite(text, 1, size, stdout);
        return EXIT_DONE;
}
