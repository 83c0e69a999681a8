/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "lint.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <yaml.h>

#include "context.h"
#include "fd-util.h"
#include "fs-util.h"
#include "parameters.h"
#include "path.h"
#include "policy.h"
#include "string-util.h"
#include "template.h"

/* Which features are on */
typedef enum FeatureChoice {
        FEATURES_DEFAULT,
        FEATURES_ALL,
        FEATURES_NONE,
        _FEATURE_CHOICE_MAX,
} FeatureChoice;

typedef struct Lint {
        const Blueprint *blueprint;
        char **problems;
        Template **templates; /* of 'files', NULL where it could not be parsed */
} Lint;

static void lint_done(Lint *l) {
        for (size_t i = 0; l->templates && i < l->blueprint->n_files; i++)
                template_free(l->templates[i]);
        free(l->templates);
        strv_free(l->problems);
}

/* Adds a sentence once: a problem of a template is found again in each rendering. */
static int add_problem(Lint *l, const char *sentence) {
        return strv_contains(l->problems, sentence) ? 0 : strv_extend(&l->problems, sentence);
}

/* Makes a problem of an error of the blueprint's; passes on any other. */
static int take_error(Lint *l, int r, Error *error, Error *reterr) {
        if (r >= 0)
                return 0;
        if (error_is_set(error) && !streq(error->name, CCP_ERROR_INTERNAL))
                return add_problem(l, strempty(error->message));

        error_move(reterr, error);
        return r;
}

static bool raw_allowed(const char *path, void *userdata) {
        const char *name = startswith(path, "parameters.");
        const BlueprintParameter *p = name ? blueprint_find_parameter(userdata, name) : NULL;

        return p && p->raw;
}

static int parse_template(Lint *l, size_t i, Error *reterr) {
        const BlueprintFile *file = l->blueprint->files + i;
        const TemplateOptions options = {
                .format = template_format_from_string(file_format_to_string(file->format)),
                .compose_interpolation = streq(file->target, l->blueprint->compose),
        };
        _cleanup_free_ char *text = NULL, *name = NULL;
        _cleanup_error_ Error error = {};
        size_t size;
        int r;

        name = strjoin(l->blueprint->folder, "/", file->source);
        if (!name)
                return -ENOMEM;

        r = blueprint_read_text(l->blueprint, file->source, &text, &size, &error);
        if (r >= 0)
                r = template_parse(name, text, size, &options, l->templates + i, &error);

        return take_error(l, r, &error, reterr);
}

static int check_static(Lint *l, int dirfd, const BlueprintFile *file) {
        _cleanup_free_ char *sentence = NULL;
        _cleanup_close_ int fd = -EBADF;
        struct stat st;

        fd = open_beneath(dirfd, file->source, O_PATH, 0);
        if (fd >= 0 && fstat(fd, &st) >= 0 && S_ISREG(st.st_mode) && st.st_size <= BLUEPRINT_STATIC_SIZE_MAX)
                return 0;

        sentence = strjoin(l->blueprint->folder, "/", file->source,
                        fd < 0 ? ": The file is missing, or there is a link on the way."
                               : ": This is no ordinary file, or too large.");
        if (!sentence)
                return -ENOMEM;

        return add_problem(l, sentence);
}

static int check_statics(Lint *l, Error *reterr) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        fd = open(l->blueprint->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return error_set_errnof(reterr, errno, "%s can't be read: %m.", l->blueprint->folder);

        FOREACH_ARRAY(file, l->blueprint->statics, l->blueprint->n_statics) {
                r = check_static(l, fd, file);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int make_features(const Blueprint *b, FeatureChoice choice, json_t **ret) {
        _cleanup_json_ json_t *features = NULL;
        int r;

        r = features_resolve(b, NULL, &features, NULL);
        if (r < 0)
                return r;

        FOREACH_ARRAY(f, b->features, b->n_features)
                if (choice != FEATURES_DEFAULT &&
                                json_object_set_new(
                                                features, f->name, json_boolean(choice == FEATURES_ALL)) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(features);
        return 0;
}

static int check_compose_text(Lint *l, const char *text, size_t size) {
        static const PolicyInput input = {
                .project = "sample" CCP_PROJECT_SUFFIX,
                .directory = CCP_INSTANCES_DIR "/sample",
                .revision = CCP_INSTANCES_DIR "/sample/revisions/1",
                .bind_address = "127.0.0.1",
        };
        _cleanup_policy_violations_ PolicyViolations violations = {};
        _cleanup_strv_free_ char **files = NULL;
        int r;

        r = policy_check_text(text, size, &input, &violations, &files);
        if (r < 0)
                return r;

        FOREACH_ARRAY(v, violations.items, violations.n) {
                _cleanup_free_ char *sentence = NULL;

                sentence = strjoin(l->blueprint->folder, "/", l->blueprint->compose,
                                ", rendered: ", v->message);
                if (!sentence)
                        return -ENOMEM;

                r = add_problem(l, sentence);
                if (r < 0)
                        return r;
        }

        return 0;
}

static const yaml_node_t *find_value(
                yaml_document_t *document, const yaml_node_t *mapping, const char *key) {
        if (!mapping || mapping->type != YAML_MAPPING_NODE)
                return NULL;

        for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
                        p < mapping->data.mapping.pairs.top; p++) {
                const yaml_node_t *k = yaml_document_get_node(document, p->key);

                if (k->type == YAML_SCALAR_NODE && streq((const char *) k->data.scalar.value, key))
                        return yaml_document_get_node(document, p->value);
        }

        return NULL;
}

/* Each service that blueprint.yaml speaks of must be in the compose file when all features are on. */
static int check_services(Lint *l, yaml_document_t *document) {
        const yaml_node_t *services =
                        find_value(document, yaml_document_get_root_node(document), "services");
        int r;

        FOREACH_ARRAY(s, l->blueprint->services, l->blueprint->n_services) {
                _cleanup_free_ char *sentence = NULL;

                if (find_value(document, services, s->name))
                        continue;

                sentence = strjoin(l->blueprint->folder, "/", BLUEPRINT_FILE,
                                ": The compose file has no service '", s->name, "'.");
                if (!sentence)
                        return -ENOMEM;

                r = add_problem(l, sentence);
                if (r < 0)
                        return r;
        }

        return 0;
}

static void yaml_parser_donep(yaml_parser_t *parser) {
        yaml_parser_delete(parser);
}

static void yaml_document_donep(yaml_document_t *document) {
        yaml_document_delete(document);
}

static int check_compose_services(Lint *l, const char *text, size_t size) {
        _cleanup_(yaml_parser_donep) yaml_parser_t parser = {};
        _cleanup_(yaml_document_donep) yaml_document_t document = {};

        if (!yaml_parser_initialize(&parser))
                return -ENOMEM;

        yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&parser, (const unsigned char *) text, size);
        if (!yaml_parser_load(&parser, &document))
                return parser.error == YAML_MEMORY_ERROR ? -ENOMEM : 0; /* the policy has told already */

        return check_services(l, &document);
}

static int check_compose(Lint *l, FeatureChoice choice, const char *text, size_t size) {
        int r;

        r = check_compose_text(l, text, size);
        if (r < 0)
                return r;

        return choice == FEATURES_ALL ? check_compose_services(l, text, size) : 0;
}

static int render_file(Lint *l, size_t i, FeatureChoice choice, const json_t *context, Error *reterr) {
        const TemplateEnvironment env = {
                .strict = true,
                .raw_allowed = raw_allowed,
                .userdata = (void *) l->blueprint,
        };
        const BlueprintFile *file = l->blueprint->files + i;
        _cleanup_error_ Error error = {};
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        if (!l->templates[i])
                return 0;

        r = template_render_verified(l->templates[i], context, &env, &text, &size, &error);
        if (r < 0)
                return take_error(l, r, &error, reterr);

        return streq(file->target, l->blueprint->compose) ? check_compose(l, choice, text, size) : 0;
}

static int render_all(Lint *l, FeatureChoice choice, Error *reterr) {
        _cleanup_json_ json_t *features = NULL, *context = NULL;
        int r;

        r = make_features(l->blueprint, choice, &features);
        if (r < 0)
                return r;

        r = context_make_sample(l->blueprint, features, &context);
        if (r < 0)
                return r;

        for (size_t i = 0; i < l->blueprint->n_files; i++) {
                r = render_file(l, i, choice, context, reterr);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* A compose file that is not rendered is checked once. */
static int check_static_compose(Lint *l, Error *reterr) {
        _cleanup_error_ Error error = {};
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        FOREACH_ARRAY(file, l->blueprint->statics, l->blueprint->n_statics) {
                if (!streq(file->target, l->blueprint->compose))
                        continue;

                r = blueprint_read_text(l->blueprint, file->source, &text, &size, &error);
                return r < 0 ? take_error(l, r, &error, reterr) : check_compose(l, FEATURES_ALL, text, size);
        }

        return 0;
}

static int check_health_hosts(Lint *l, Error *reterr) {
        static const TemplateOptions options = { .format = TEMPLATE_TEXT };
        int r;

        FOREACH_ARRAY(s, l->blueprint->services, l->blueprint->n_services) {
                _cleanup_template_ Template *t = NULL;
                _cleanup_error_ Error error = {};
                const char *host = s->health.host;

                if (!host)
                        continue;

                r = template_parse("health.host", host, strlen(host), &options, &t, &error);
                r = take_error(l, r, &error, reterr);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int lint_loaded(Lint *l, Error *reterr) {
        int r;

        l->templates = new0(Template *, l->blueprint->n_files);
        if (!l->templates)
                return -ENOMEM;

        for (size_t i = 0; i < l->blueprint->n_files; i++) {
                r = parse_template(l, i, reterr);
                if (r < 0)
                        return r;
        }

        r = check_statics(l, reterr);
        if (r < 0)
                return r;

        r = check_static_compose(l, reterr);
        if (r < 0)
                return r;

        r = check_health_hosts(l, reterr);
        if (r < 0)
                return r;

        for (FeatureChoice choice = 0; choice < _FEATURE_CHOICE_MAX; choice++) {
                r = render_all(l, choice, reterr);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* All problems of blueprint.yaml, when it could not be loaded because of them. */
static int list_problems(const char *folder, const Error *error, char ***ret, Error *reterr) {
        _cleanup_blueprint_ Blueprint *b = NULL;
        _cleanup_strv_free_ char **problems = NULL;
        _cleanup_free_ char *text = NULL, *path = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t size = 0;
        int r;

        path = strjoin(folder, "/", BLUEPRINT_FILE);
        if (!path)
                return -ENOMEM;

        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        r = fd < 0 ? -errno : read_file_beneath(fd, BLUEPRINT_FILE, BLUEPRINT_FILE_SIZE_MAX, &text, &size);
        if (r < 0)
                return error_set_errnof(reterr, r, "The file %s can't be read: %m.", path);

        r = blueprint_parse(path, text, size, &b, &problems, NULL);
        if (r == -ENOMEM)
                return r;

        /* What the file alone does not show, such as the name of the folder. */
        if (!problems) {
                r = strv_extend(&problems, strempty(error->message));
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(problems);
        return 0;
}

int blueprint_lint(const char *folder, Blueprint **ret, char ***ret_problems, Error *reterr) {
        bool local = path_is_beneath(CCP_TEMPLATES_LOCAL_DIR, folder);
        _cleanup_blueprint_ Blueprint *b = NULL;
        _cleanup_(lint_done) Lint l = {};
        _cleanup_error_ Error error = {};
        int r;

        r = blueprint_load(folder, local, &b, &error);
        if (r < 0 && streq_ptr(error.name, CCP_ERROR_BLUEPRINT_INVALID)) {
                r = list_problems(folder, &error, ret_problems, reterr);
                if (r < 0)
                        return r;

                *ret = NULL;
                return 0;
        }
        if (r < 0) {
                error_move(reterr, &error);
                return r;
        }

        l.blueprint = b;
        r = lint_loaded(&l, reterr);
        if (r < 0)
                return r;

        *ret_problems = TAKE_PTR(l.problems);
        lint_done(&l);
        l = (Lint) {};
        *ret = TAKE_PTR(b);
        return 0;
}
