/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The verbs for authors of blueprints: they work on files, without ccpd. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "blueprint.h"
#include "ctl.h"
#include "fd-util.h"
#include "string-util.h"
#include "strv.h"
#include "template.h"

#define CONTEXT_SIZE_MAX (1024U * 1024U)

typedef struct Lint {
        char *folder;
        char **problems;
        Blueprint *blueprint;
} Lint;

static void lint_done(Lint *l) {
        free(l->folder);
        strv_free(l->problems);
        blueprint_free(l->blueprint);
}
#define _cleanup_lint_ _cleanup_(lint_done)

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

/* An error that is the blueprint's is one more problem; others end it. */
static int take_problem(Lint *l, int r, Error *from, Error *reterr) {
        if (IN_SET(r, -EBADMSG, -E2BIG, -EINVAL) && from->message)
                return strv_extend(&l->problems, from->message);

        error_move(reterr, from);
        return r;
}

static int lint_description(Lint *l, Error *reterr) {
        _cleanup_blueprint_ Blueprint *b = NULL;
        _cleanup_free_ char *path = NULL, *text = NULL;
        _cleanup_error_ Error error = {};
        size_t size;
        int r;

        path = strjoin(l->folder, "/" BLUEPRINT_FILE);
        if (!path)
                return -ENOMEM;
        r = read_text_file(path, BLUEPRINT_FILE_SIZE_MAX, &text, &size, reterr);
        if (r < 0)
                return r;

        /* First all that is wrong with the description, then what its folder lacks. */
        r = blueprint_parse(path, text, size, &b, &l->problems, &error);
        if (r < 0)
                return l->problems ? 0 : take_problem(l, r, &error, reterr);
        if (l->problems)
                return 0;

        r = blueprint_load(l->folder, startswith(l->folder, CCP_TEMPLATES_LOCAL_DIR "/") != NULL,
                        &l->blueprint, &error);
        return r < 0 ? take_problem(l, r, &error, reterr) : 0;
}

static int lint_template(Lint *l, const BlueprintFile *file, Error *reterr) {
        _cleanup_template_ Template *t = NULL;
        _cleanup_error_ Error error = {};
        _cleanup_free_ char *text = NULL;
        TemplateOptions options = {
                .format = template_format_from_string(file_format_to_string(file->format)),
                .compose_interpolation = streq(file->target, l->blueprint->compose),
        };
        size_t size;
        int r;

        r = blueprint_read_text(l->blueprint, file->source, &text, &size, &error);
        if (r >= 0)
                r = template_parse(file->source, text, size, &options, &t, &error);

        return r < 0 ? take_problem(l, r, &error, reterr) : 0;
}

static int print_lint(Ctl *c, const Lint *l) {
        _cleanup_json_ json_t *o = NULL, *problems = NULL;
        size_t n = strv_length(l->problems);
        int r;

        if (ctl_prints_json(c)) {
                problems = json_array();
                STRV_FOREACH(p, l->problems)
                        if (json_array_append_new(problems, json_string(*p)) < 0)
                                return -ENOMEM;
                o = json_pack("{s:s, s:O}", "folder", l->folder, "problems", problems);
                if (!o)
                        return -ENOMEM;
                r = ctl_print_json(c, o);
                return r != EXIT_DONE ? r : n > 0 ? EXIT_FAILED : EXIT_DONE;
        }

        STRV_FOREACH(p, l->problems) {
                _cleanup_free_ char *escaped = text_escape(*p);

                (void) printf("%s\n", strempty(escaped));
        }
        if (n > 0) {
                ctl_say(c, "%zu problem%s.\n", n, n == 1 ? "" : "s");
                return EXIT_FAILED;
        }

        ctl_say(c, "%s %s: no problems in %zu template%s and %zu static file%s.\n", l->blueprint->name,
                        l->blueprint->version, l->blueprint->n_files, l->blueprint->n_files == 1 ? "" : "s",
                        l->blueprint->n_statics, l->blueprint->n_statics == 1 ? "" : "s");
        return EXIT_DONE;
}

int verb_blueprint_lint(Ctl *c, char **args, Error *reterr) {
        _cleanup_lint_ Lint l = {};
        int r;

        r = find_folder(args[0], &l.folder, reterr);
        if (r < 0)
                return r;
        r = lint_description(&l, reterr);
        if (r < 0)
                return r;

        for (size_t i = 0; l.blueprint && i < l.blueprint->n_files; i++) {
                r = lint_template(&l, l.blueprint->files + i, reterr);
                if (r < 0)
                        return r;
        }

        return print_lint(c, &l);
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
