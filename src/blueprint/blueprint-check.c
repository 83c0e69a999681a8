/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "blueprint-parse.h"
#include "parameters.h"
#include "path.h"
#include "pattern.h"
#include "string-util.h"
#include "validate.h"

#define MODE_DEFAULT 0644
/* Environment files are where the secrets go. */
#define MODE_DOTENV_DEFAULT 0600
#define COMPOSE_FILE_DEFAULT "docker-compose.yml"
#define ENGINE_DEFAULT "compose"
#define SOURCE_TARGET_DEFAULT "source"

static const char *const source_exclude_default[] = { ".git", "node_modules", ".env" };

/* Keys that only parameters of one type may have. */
static const struct {
        const char *key;
        ParameterType type;
} typed_keys[] = {
        { "pattern", PARAMETER_STRING },
        { "max_length", PARAMETER_STRING },
        { "raw", PARAMETER_STRING },
        { "multiline", PARAMETER_STRING },
        { "values", PARAMETER_ENUM },
        { "minimum", PARAMETER_INTEGER },
        { "maximum", PARAMETER_INTEGER },
};

static int check_parameter_keys(Loader *l, const YamlNode *node, const BlueprintParameter *p) {
        int r;

        FOREACH_ARRAY(k, typed_keys, ELEMENTSOF(typed_keys)) {
                const YamlNode *child = yaml_node_get(node, k->key);

                if (!child || p->type == k->type)
                        continue;

                r = loader_add_problem(l, child->key_line, child->key_column,
                                "Only a parameter of type %s can have the key '%s'.",
                                parameter_type_to_string(k->type), k->key);
                if (r < 0)
                        return r;
        }

        if (p->type == PARAMETER_ENUM && strv_length(p->values) == 0)
                return loader_add(l, node, "A parameter of type enum needs 'values', a list of texts.");
        if (p->minimum > p->maximum)
                return loader_add(l, node, "The minimum is above the maximum.");

        return 0;
}

/* The default must be written with the parameter's own type, and be a value that a person could give. */
static int check_default(Loader *l, const YamlNode *node, const BlueprintParameter *p) {
        static const char *const plain_types[_PARAMETER_TYPE_MAX] = {
                [PARAMETER_INTEGER] = "number",
                [PARAMETER_BOOLEAN] = "boolean",
        };
        _cleanup_error_ Error error = {};
        _cleanup_json_ json_t *value = NULL;
        int r;

        if (node->type != YAML_TYPE_SCALAR)
                return 0; /* reported already */
        if (!streq_ptr(yaml_node_plain_type(node), plain_types[p->type]))
                return loader_add(l, node, "The default of a parameter of type %s should be %s, but is %s.",
                                parameter_type_to_string(p->type),
                                p->type == PARAMETER_INTEGER                   ? "a number"
                                                : p->type == PARAMETER_BOOLEAN ? "true or false"
                                                                               : "text in quotes",
                                yaml_node_describe(node));

        r = parameter_parse_value(p, node->text, &value, &error);
        if (r < 0 && !error_is_set(&error))
                return r == -ENOMEM ? r : 0;
        if (r < 0)
                return loader_add(l, node, "The default does not obey the parameter's own rules: %s",
                                strempty(error.message));

        return 0;
}

int check_parameter(Loader *l, const YamlNode *node, void *object) {
        const YamlNode *fallback = yaml_node_get(node, "default");
        BlueprintParameter *p = object;
        int r;

        r = check_parameter_keys(l, node, p);
        if (r < 0)
                return r;

        if (p->pattern) {
                const char *fault = pattern_find_fault(p->pattern);

                if (fault) {
                        p->pattern = mfree(p->pattern);
                        return loader_add(l, yaml_node_get(node, "pattern"),
                                        "The pattern can't be used: %s.", fault);
                }
        }

        if (p->required && fallback)
                return loader_add(l, fallback, "A required parameter can't have a default.");
        if (fallback)
                return check_default(l, fallback, p);
        if (p->required)
                return 0;

        switch (p->type) {
        case PARAMETER_INTEGER:
                return loader_add(l, node,
                                "A parameter of type integer needs a 'default', or 'required: true'.");
        case PARAMETER_BOOLEAN:
                return free_and_strdup(&p->fallback, "false");
        case PARAMETER_ENUM:
                return free_and_strdup(&p->fallback, p->values ? strempty(p->values[0]) : "");
        default:
                return free_and_strdup(&p->fallback, "");
        }
}

int check_file(_unused_ Loader *l, const YamlNode *node, void *object) {
        BlueprintFile *file = object;

        if (!yaml_node_get(node, "mode"))
                file->mode = file->format == FILE_FORMAT_DOTENV ? MODE_DOTENV_DEFAULT : MODE_DEFAULT;

        return 0;
}

#define TYPE(t) (1U << HEALTH_TYPE_##t)
#define WEB (TYPE(HTTP) | TYPE(HTTPS))
int check_health(Loader *l, const YamlNode *node, void *object) {
        /* Which keys each type takes, by bits; those that it needs too. */
        static const struct {
                const char *key;
                unsigned takes, needs;
        } keys[] = {
                { "port", WEB | TYPE(TCP), WEB | TYPE(TCP) },
                { "path", WEB, 0 },
                { "status", WEB, 0 },
                { "host", WEB, 0 },
                { "command", TYPE(COMMAND), TYPE(COMMAND) },
                { "failures", WEB | TYPE(TCP) | TYPE(COMMAND), 0 },
                { "successes", WEB | TYPE(TCP) | TYPE(COMMAND), 0 },
        };
        BlueprintHealth *h = object;
        int r;

        FOREACH_ARRAY(k, keys, ELEMENTSOF(keys)) {
                bool present = yaml_node_get(node, k->key);

                if (((present ? k->takes : ~k->needs) >> h->type) & 1)
                        continue;

                r = loader_add(l, node, "A health check of type %s %s the key '%s'.",
                                health_type_to_string(h->type), present ? "does not have" : "needs", k->key);
                if (r < 0)
                        return r;
        }

        if (h->command && !h->command[0])
                return loader_add(l, node, "The command of a health check should be a list of its words.");
        if (((WEB >> h->type) & 1) && !h->path)
                return free_and_strdup(&h->path, "/");

        return 0;
}
#undef TYPE
#undef WEB

/* The list entry that a struct came from; problems are reported there. */
static const YamlNode *nth_node(const YamlNode *root, const char *section, size_t i) {
        const YamlNode *list = yaml_node_get(root, section);

        return list && i < list->n_children ? list->children[i] : root;
}

static int check_target(Loader *l, const YamlNode *node, const Blueprint *b, const BlueprintFile *file) {
        if (!file->target)
                return 0;

        if (streq(file->target, BLUEPRINT_OVERRIDE_FILE) || streq(file->target, BLUEPRINT_COPY_FILE))
                return loader_add(l, node, "The file %s is written by ccpd itself.", file->target);
        if (streq(file->target, ".env") && file->format != FILE_FORMAT_DOTENV)
                return loader_add(l, node, "The file .env must be rendered with the format dotenv.");

        for (size_t i = 0; i < b->n_files + b->n_statics; i++) {
                const BlueprintFile *other = i < b->n_files ? b->files + i : b->statics + (i - b->n_files);
                const char *rest;

                if (other == file)
                        return 0;
                if (!other->target)
                        continue;
                if (streq(other->target, file->target))
                        return loader_add(l, node, "Another file has the target %s already.", file->target);

                rest = startswith(other->target, file->target) ?: startswith(file->target, other->target);
                if (rest && *rest == '/')
                        return loader_add(l, node,
                                        "The target %s can't be a file and a folder of another one.",
                                        file->target);
        }

        return 0;
}

static int check_files(Loader *l, const YamlNode *root, Blueprint *b) {
        bool found = false;
        int r;

        for (size_t i = 0; i < b->n_files; i++) {
                r = check_target(l, nth_node(root, "files", i), b, b->files + i);
                if (r < 0)
                        return r;
                if (streq_ptr(b->files[i].target, b->compose))
                        found = b->files[i].format == FILE_FORMAT_YAML;
        }
        for (size_t i = 0; i < b->n_statics; i++) {
                r = check_target(l, nth_node(root, "static", i), b, b->statics + i);
                if (r < 0)
                        return r;
        }

        /* A static file would be copied only after the policy was checked. */
        if (!found)
                return loader_add(l, yaml_node_get(root, "compose") ?: root,
                                "None of the files has the target %s, the compose file, with the format "
                                "yaml.",
                                b->compose);

        return 0;
}

static int check_services(Loader *l, const YamlNode *root, const Blueprint *b) {
        int r = 0;

        for (size_t i = 0; i < b->n_services && r >= 0; i++) {
                const YamlNode *node = nth_node(root, "services", i);
                const BlueprintService *s = b->services + i;

                if (s->feature && !blueprint_find_feature(b, s->feature))
                        r = loader_add(l, node, "There is no feature '%s'.", s->feature);
                if (r >= 0 && s->health.port && !blueprint_find_port(b, s->health.port))
                        r = loader_add(l, node, "There is no port '%s'.", s->health.port);
        }

        return r;
}

/* Another one before it whose dump would have the same name. */
static bool find_same_database(const Blueprint *b, size_t n) {
        const BlueprintDatabase *d = b->state.databases + n;

        FOREACH_ARRAY(other, b->state.databases, n)
                if (other->kind == d->kind && streq_ptr(other->service, d->service) &&
                                streq_ptr(other->database, d->database))
                        return true;
        return false;
}

static int check_state(Loader *l, const YamlNode *root, const Blueprint *b) {
        const YamlNode *state = yaml_node_get(root, "state");
        int r = 0;

        for (size_t i = 0; i < b->state.n_databases && r >= 0; i++) {
                const BlueprintDatabase *d = b->state.databases + i;
                const YamlNode *node = nth_node(state, "databases", i);

                if (d->service && find_same_database(b, i))
                        r = loader_add(l, node,
                                        "The service '%s' has this database twice. Give each a name with "
                                        "'database'.",
                                        d->service);
                if (r >= 0 && d->service && b->n_services > 0 && !blueprint_find_service(b, d->service))
                        r = loader_add(l, node, "There is no service '%s'.", d->service);
                if (r >= 0 && d->password && !blueprint_find_secret(b, d->password))
                        r = loader_add(l, node, "There is no secret '%s'.", d->password);
        }

        return r;
}

/* Which keys a kind of database must, may (the others) and must not have. */
static const struct {
        const char *key;
        unsigned required, refused; /* bits of kinds */
        const char *why;
} database_keys[] = {
#define KIND(k) (1U << DATABASE_##k)
        { "database", KIND(MYSQL) | KIND(MARIADB) | KIND(MONGODB), 0, "the name of what is dumped" },
        { "user", KIND(MYSQL) | KIND(MARIADB), KIND(SQLITE), "who may read and write all of it" },
        { "password", 0, KIND(SQLITE), NULL },
        { "path", KIND(SQLITE), ~KIND(SQLITE), "where its file is in the container" },
#undef KIND
};

int check_database(Loader *l, const YamlNode *node, void *object) {
        const BlueprintDatabase *d = object;
        int r;

        if (d->kind < 0)
                return 0; /* reported already */
        FOREACH_ARRAY(k, database_keys, ELEMENTSOF(database_keys)) {
                const YamlNode *child = yaml_node_get(node, k->key);

                if (!child && (k->required & (1U << d->kind)))
                        r = loader_add(l, node, "A database of the kind %s needs the key '%s': %s.",
                                        database_kind_to_string(d->kind), k->key, k->why);
                else if (child && (k->refused & (1U << d->kind)))
                        r = loader_add_problem(l, child->key_line, child->key_column,
                                        "A database of the kind %s does not have the key '%s'.",
                                        database_kind_to_string(d->kind), k->key);
                else
                        r = 0;
                if (r < 0)
                        return r;
        }
        return 0;
}

static int set_defaults(Blueprint *b) {
        int r;

        if (!b->compose) {
                r = free_and_strdup(&b->compose, COMPOSE_FILE_DEFAULT);
                if (r < 0)
                        return r;
        }
        if (!b->engine) {
                r = free_and_strdup(&b->engine, ENGINE_DEFAULT);
                if (r < 0)
                        return r;
        }
        /* Whoever creates an instance may give it a tree, whether or not the blueprint names one. */
        if (!b->source.target) {
                r = free_and_strdup(&b->source.target, SOURCE_TARGET_DEFAULT);
                if (r < 0)
                        return r;
        }
        if (!b->source.exclude)
                FOREACH_ARRAY(s, source_exclude_default, ELEMENTSOF(source_exclude_default)) {
                        r = strv_extend(&b->source.exclude, *s);
                        if (r < 0)
                                return r;
                }

        return 0;
}

int check_blueprint(Loader *l, const YamlNode *root, void *object) {
        Blueprint *b = object;
        int r;

        r = set_defaults(b);
        if (r < 0)
                return r;

        r = check_files(l, root, b);
        if (r < 0)
                return r;

        r = check_services(l, root, b);
        if (r < 0)
                return r;

        r = check_state(l, root, b);
        if (r < 0)
                return r;

        if (b->upgrade.image_tag && !blueprint_find_parameter(b, b->upgrade.image_tag))
                return loader_add(l, yaml_node_get(root, "upgrade"), "There is no parameter '%s'.",
                                b->upgrade.image_tag);

        return 0;
}
