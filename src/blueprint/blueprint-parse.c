/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "blueprint-parse.h"

#include <errno.h>
#include <sys/stat.h>

#include "path.h"
#include "string-util.h"
#include "validate.h"

#define TITLE_MAX 100U
#define VERSION_MAX 64U
#define PATTERN_MAX 256U
#define SECRET_LENGTH_MIN 8U
#define SECRET_LENGTH_MAX 256U
#define SECRET_LENGTH_DEFAULT 32U
#define MAX_LENGTH_DEFAULT 1024U
#define TIMEOUT_DEFAULT (120 * USEC_PER_SEC)
#define TIMEOUT_MAX (6 * USEC_PER_HOUR)
#define HEALTH_FAILURES_DEFAULT 3U
#define HEALTH_THRESHOLD_MAX 100U

static const char *const parameter_type_table[_PARAMETER_TYPE_MAX] = {
        [PARAMETER_STRING] = "string",
        [PARAMETER_INTEGER] = "integer",
        [PARAMETER_BOOLEAN] = "boolean",
        [PARAMETER_ENUM] = "enum",
};
DEFINE_STRING_TABLE(parameter_type, ParameterType);

static const char *const parameter_group_table[_PARAMETER_GROUP_MAX] = {
        [PARAMETER_GROUP_GENERAL] = "general",
        [PARAMETER_GROUP_EMAIL] = "email",
        [PARAMETER_GROUP_TUNNEL] = "tunnel",
};
DEFINE_STRING_TABLE(parameter_group, ParameterGroup);

static const char *const file_format_table[_FILE_FORMAT_MAX] = {
        [FILE_FORMAT_YAML] = "yaml",
        [FILE_FORMAT_DOTENV] = "dotenv",
        [FILE_FORMAT_JSON] = "json",
        [FILE_FORMAT_NGINX] = "nginx",
        [FILE_FORMAT_INI] = "ini",
        [FILE_FORMAT_TEXT] = "text",
};
DEFINE_STRING_TABLE(file_format, FileFormat);

static const char *const service_kind_table[_SERVICE_KIND_MAX] = {
        [SERVICE_KIND_SERVICE] = "service",
        [SERVICE_KIND_ONESHOT] = "oneshot",
        [SERVICE_KIND_OPTIONAL] = "optional",
};
DEFINE_STRING_TABLE(service_kind, ServiceKind);

static const char *const service_stage_table[_SERVICE_STAGE_MAX] = {
        [SERVICE_STAGE_INFRASTRUCTURE] = "infrastructure",
        [SERVICE_STAGE_APPLICATION] = "application",
        [SERVICE_STAGE_REST] = "rest",
};
DEFINE_STRING_TABLE(service_stage, ServiceStage);

static const char *const health_type_table[_HEALTH_TYPE_MAX] = {
        [HEALTH_TYPE_CONTAINER] = "container",
        [HEALTH_TYPE_HTTP] = "http",
        [HEALTH_TYPE_HTTPS] = "https",
        [HEALTH_TYPE_TCP] = "tcp",
        [HEALTH_TYPE_COMMAND] = "command",
};
DEFINE_STRING_TABLE(health_type, HealthType);

static const char *const database_kind_table[_DATABASE_KIND_MAX] = {
        [DATABASE_POSTGRESQL] = "postgresql",
        [DATABASE_MYSQL] = "mysql",
        [DATABASE_MARIADB] = "mariadb",
        [DATABASE_MONGODB] = "mongodb",
        [DATABASE_REDIS] = "redis",
        [DATABASE_SQLITE] = "sqlite",
};
DEFINE_STRING_TABLE(database_kind, DatabaseKind);

static bool port_range_name_is_valid(const char *s) {
        const char *rest = s + strspn(s, "0123456789");

        /* FIRST-LAST, or a name; which names there are is a question of the settings. */
        if (rest != s && *rest == '-')
                return rest[1] && rest[1 + strspn(rest + 1, "0123456789")] == 0;

        return feature_name_is_valid(s);
}

static bool engine_is_valid(const char *s) {
        return streq(s, "compose");
}

static bool http_path_is_valid(const char *s) {
        /* It becomes part of a request line. */
        for (const char *p = s; *p; p++)
                if (*p <= ' ' || (unsigned char) *p >= 0x7F)
                        return false;

        return s[0] == '/';
}

/* It goes into orders of sqlite3. */
static bool database_path_is_valid(const char *s) {
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/@+-";

        return path_is_safe_absolute(s) && s[1] && s[strspn(s, allowed)] == 0;
}

/* One row each. M: member of the struct; A: array with its count. */
#define M(type, member) .offset = offsetof(type, member)
#define A(type, member) .offset = offsetof(type, member), .n_offset = offsetof(type, n_##member)
#define NAMES(table) .names = (table), .n_names = ELEMENTSOF(table)
#define SLUG_RULE \
        .is_valid = slug_is_valid, .rule = "lower-case letters, digits and inner hyphens, at most 32"
#define NAME_RULE                            \
        .is_valid = parameter_name_is_valid, \
        .rule = "a lower-case letter, then lower-case letters, digits and _"
#define DASHED_RULE                        \
        .is_valid = feature_name_is_valid, \
        .rule = "a lower-case letter, then lower-case letters, digits, _ and -"
#define SECRET_RULE .is_valid = secret_name_is_valid, .rule = "a capital letter, then capitals, digits and _"
#define SERVICE_RULE                       \
        .is_valid = service_name_is_valid, \
        .rule = "letters, digits, '.', '_' and '-', beginning with one of the former"
#define PATH_RULE                                                                                       \
        .is_valid = path_is_safe_relative, .rule = "a relative path without empty parts, '.' and '..'", \
        .maximum = RELATIVE_PATH_MAX
#define ABSOLUTE_RULE                                                                                    \
        .is_valid = path_is_safe_absolute, .rule = "an absolute path without empty parts, '.' and '..'", \
        .maximum = RELATIVE_PATH_MAX
#define SECTION(array, type, ...) \
        { .fields = (array), .n_fields = ELEMENTSOF(array), .size = sizeof(type), __VA_ARGS__ }

static void fill_parameter(void *object) {
        BlueprintParameter *p = object;

        p->minimum = INT64_MIN;
        p->maximum = INT64_MAX;
        p->max_length = MAX_LENGTH_DEFAULT;
}

static const Field parameter_fields[] = {
        { "type", parse_name, M(BlueprintParameter, type), NAMES(parameter_type_table), .required = true },
        { "title", parse_text, M(BlueprintParameter, title), .maximum = TITLE_MAX },
        { "help", parse_long_text, M(BlueprintParameter, help) },
        { "group", parse_name, M(BlueprintParameter, group), NAMES(parameter_group_table) },
        { "default", parse_any_scalar, M(BlueprintParameter, fallback) },
        { "required", parse_boolean, M(BlueprintParameter, required) },
        { "pattern", parse_text, M(BlueprintParameter, pattern), .maximum = PATTERN_MAX },
        { "values", parse_strings, M(BlueprintParameter, values) },
        { "minimum", parse_signed, M(BlueprintParameter, minimum) },
        { "maximum", parse_signed, M(BlueprintParameter, maximum) },
        { "max_length", parse_unsigned, M(BlueprintParameter, max_length), .minimum = 1,
                        .maximum = PARAMETER_VALUE_MAX },
        { "raw", parse_boolean, M(BlueprintParameter, raw) },
        { "multiline", parse_boolean, M(BlueprintParameter, multiline) },
        { "secret", parse_boolean, M(BlueprintParameter, secret) },
};
static const Section parameter_section = SECTION(
                parameter_fields, BlueprintParameter, .fill = fill_parameter, .check = check_parameter);

static const Field feature_fields[] = {
        { "title", parse_text, M(BlueprintFeature, title), .maximum = TITLE_MAX },
        { "help", parse_long_text, M(BlueprintFeature, help) },
        { "profiles", parse_strings, M(BlueprintFeature, profiles), SERVICE_RULE },
        { "default", parse_boolean, M(BlueprintFeature, fallback) },
};
static const Section feature_section = SECTION(feature_fields, BlueprintFeature);

static void fill_secret(void *object) {
        ((BlueprintSecret *) object)->length = SECRET_LENGTH_DEFAULT;
}

static const Field secret_fields[] = {
        { "length", parse_unsigned, M(BlueprintSecret, length), .minimum = SECRET_LENGTH_MIN,
                        .maximum = SECRET_LENGTH_MAX },
        { "alphabet", parse_name, M(BlueprintSecret, alphabet), NAMES(secret_alphabet_table) },
        { "rotates", parse_text, M(BlueprintSecret, rotates), DASHED_RULE },
        { "help", parse_long_text, M(BlueprintSecret, help) },
};
static const Section secret_section = SECTION(secret_fields, BlueprintSecret, .fill = fill_secret);

static const Field file_fields[] = {
        { "template", parse_text, M(BlueprintFile, source), PATH_RULE, .required = true },
        { "target", parse_text, M(BlueprintFile, target), PATH_RULE, .required = true },
        { "format", parse_name, M(BlueprintFile, format), NAMES(file_format_table), .required = true },
        { "mode", parse_mode, M(BlueprintFile, mode) },
};
static const Section file_section = SECTION(file_fields, BlueprintFile, .check = check_file);

static void fill_static(void *object) {
        ((BlueprintFile *) object)->format = FILE_FORMAT_TEXT;
}

static const Field static_fields[] = {
        { "file", parse_text, M(BlueprintFile, source), PATH_RULE, .required = true },
        { "target", parse_text, M(BlueprintFile, target), PATH_RULE, .required = true },
        { "mode", parse_mode, M(BlueprintFile, mode) },
};
static const Section static_section =
                SECTION(static_fields, BlueprintFile, .fill = fill_static, .check = check_file);

static const Field source_fields[] = {
        { "path", parse_text, M(BlueprintSource, path), ABSOLUTE_RULE, .required = true },
        { "target", parse_text, M(BlueprintSource, target), PATH_RULE },
        { "required", parse_boolean, M(BlueprintSource, required) },
        { "exclude", parse_strings, M(BlueprintSource, exclude) },
};
static const Section source_section = SECTION(source_fields, BlueprintSource);

static void fill_health(void *object) {
        BlueprintHealth *h = object;

        h->status = 200;
        h->failures = HEALTH_FAILURES_DEFAULT;
        h->successes = 1;
}

static const Field health_fields[] = {
        { "type", parse_name, M(BlueprintHealth, type), NAMES(health_type_table), .required = true },
        { "port", parse_text, M(BlueprintHealth, port), DASHED_RULE },
        { "path", parse_text, M(BlueprintHealth, path), .is_valid = http_path_is_valid,
                        .rule = "a path beginning with / and without blanks" },
        { "status", parse_unsigned, M(BlueprintHealth, status), .minimum = 100, .maximum = 599 },
        { "host", parse_text, M(BlueprintHealth, host) },
        { "command", parse_strings, M(BlueprintHealth, command) },
        { "failures", parse_unsigned, M(BlueprintHealth, failures), .minimum = 1,
                        .maximum = HEALTH_THRESHOLD_MAX },
        { "successes", parse_unsigned, M(BlueprintHealth, successes), .minimum = 1,
                        .maximum = HEALTH_THRESHOLD_MAX },
};
static const Section health_section =
                SECTION(health_fields, BlueprintHealth, .fill = fill_health, .check = check_health);

static void fill_service(void *object) {
        BlueprintService *s = object;

        s->stage = SERVICE_STAGE_REST;
        s->timeout = TIMEOUT_DEFAULT;
        fill_health(&s->health);
}

static const Field service_fields[] = {
        { "kind", parse_name, M(BlueprintService, kind), NAMES(service_kind_table) },
        { "stage", parse_name, M(BlueprintService, stage), NAMES(service_stage_table) },
        { "feature", parse_text, M(BlueprintService, feature), DASHED_RULE },
        { "timeout", parse_duration, M(BlueprintService, timeout), .minimum = USEC_PER_SEC,
                        .maximum = TIMEOUT_MAX },
        { "health", parse_mapping_section, M(BlueprintService, health), .section = &health_section },
};
static const Section service_section = SECTION(service_fields, BlueprintService, .fill = fill_service);

static void fill_database(void *object) {
        ((BlueprintDatabase *) object)->kind = _DATABASE_KIND_INVALID;
}

static const Field database_fields[] = {
        { "service", parse_text, M(BlueprintDatabase, service), SERVICE_RULE, .required = true },
        { "kind", parse_name, M(BlueprintDatabase, kind), NAMES(database_kind_table), .required = true },
        /* Part of the name of a stream of a backup. */
        { "database", parse_text, M(BlueprintDatabase, database), SERVICE_RULE },
        { "user", parse_text, M(BlueprintDatabase, user) },
        { "password", parse_text, M(BlueprintDatabase, password), SECRET_RULE },
        { "path", parse_text, M(BlueprintDatabase, path), .is_valid = database_path_is_valid,
                        .rule = "an absolute path of letters, digits and ._/@+- without empty parts, '.' "
                                "and '..'",
                        .maximum = RELATIVE_PATH_MAX },
};
static const Section database_section =
                SECTION(database_fields, BlueprintDatabase, .fill = fill_database, .check = check_database);

static const Field volume_fields[] = {
        { "name", parse_text, M(BlueprintVolume, name), SERVICE_RULE, .required = true },
        { "every", parse_text, M(BlueprintVolume, every) },
};
static const Section volume_section = SECTION(volume_fields, BlueprintVolume);

static const Field state_fields[] = {
        { "databases", parse_listed_sections, A(BlueprintState, databases), .section = &database_section },
        { "volumes", parse_listed_sections, A(BlueprintState, volumes), .section = &volume_section },
};
static const Section state_section = SECTION(state_fields, BlueprintState);

static const Field upgrade_fields[] = {
        { "image_tag", parse_text, M(BlueprintUpgrade, image_tag), NAME_RULE },
        { "before", parse_commands, A(BlueprintUpgrade, before) },
        { "after", parse_commands, A(BlueprintUpgrade, after) },
        { "backup", parse_boolean, M(BlueprintUpgrade, backup) },
};
static const Section upgrade_section = SECTION(upgrade_fields, BlueprintUpgrade);

static const Field limit_fields[] = {
        { "memory", parse_limit },
        { "cpus", parse_limit },
        { "pids", parse_limit },
};
static const Section limit_section = SECTION(limit_fields, ResourceLimits);

/* ports: NAME: RANGE */
static int parse_ports(Loader *l, const Field *field, const YamlNode *node, void *object) {
        Blueprint *b = object;
        int r;

        if (node->type != YAML_TYPE_MAPPING)
                return loader_add(l, node, "This should be a mapping from names to port ranges, but is %s.",
                                yaml_node_describe(node));

        b->ports = new0(BlueprintPort, node->n_children);
        if (!b->ports)
                return -ENOMEM;

        FOREACH_ARRAY(child, node->children, node->n_children) {
                static const Field range = {
                        .offset = offsetof(BlueprintPort, range),
                        .is_valid = port_range_name_is_valid,
                        .rule = "FIRST-LAST or the name of a range",
                };
                BlueprintPort *port = b->ports + b->n_ports++;

                port->name = strdup((*child)->key);
                if (!port->name)
                        return -ENOMEM;

                if (!field->is_valid(port->name)) {
                        r = loader_add_problem(l, (*child)->key_line, (*child)->key_column,
                                        "'%s' cannot be a name here: it should be %s.",
                                        TEXT_FOR_ERROR(port->name), field->rule);
                        if (r < 0)
                                return r;
                }

                r = parse_text(l, &range, *child, port);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int parse_allow(Loader *l, _unused_ const Field *field, const YamlNode *node, void *object) {
        Blueprint *b = object;
        int r;

        if (node->type != YAML_TYPE_SEQUENCE)
                return loader_add(l, node, "This should be a list of policy rules, but is %s.",
                                yaml_node_describe(node));

        FOREACH_ARRAY(child, node->children, node->n_children) {
                PolicyRule rule = (*child)->type == YAML_TYPE_SCALAR
                                ? policy_rule_from_string((*child)->text)
                                : _POLICY_RULE_INVALID;

                if (rule >= 0) {
                        b->allow |= POLICY_RULE_BIT(rule);
                        continue;
                }

                r = loader_add(l, *child,
                                "This is not the name of a policy rule; ccp-blueprint(5) lists them.");
                if (r < 0)
                        return r;
        }

        return 0;
}

static void fill_blueprint(void *object) {
        ((Blueprint *) object)->upgrade.backup = true;
}

static const Field blueprint_fields[] = {
        { "name", parse_text, M(Blueprint, name), SLUG_RULE, .required = true },
        { "title", parse_text, M(Blueprint, title), .maximum = TITLE_MAX, .required = true },
        { "version", parse_text, M(Blueprint, version), .maximum = VERSION_MAX, .required = true },
        { "description", parse_long_text, M(Blueprint, description) },
        { "engine", parse_text, M(Blueprint, engine), .is_valid = engine_is_valid, .rule = "compose" },
        { "compose", parse_text, M(Blueprint, compose), PATH_RULE },
        { "parameters", parse_named_sections, A(Blueprint, parameters), NAME_RULE,
                        .section = &parameter_section },
        { "features", parse_named_sections, A(Blueprint, features), DASHED_RULE,
                        .section = &feature_section },
        { "ports", parse_ports, A(Blueprint, ports), DASHED_RULE },
        { "secrets", parse_named_sections, A(Blueprint, secrets), SECRET_RULE, .section = &secret_section },
        { "files", parse_listed_sections, A(Blueprint, files), .section = &file_section },
        { "static", parse_listed_sections, A(Blueprint, statics), .section = &static_section },
        { "source", parse_mapping_section, M(Blueprint, source), .section = &source_section },
        { "services", parse_named_sections, A(Blueprint, services), SERVICE_RULE,
                        .section = &service_section },
        { "state", parse_mapping_section, M(Blueprint, state), .section = &state_section },
        { "upgrade", parse_mapping_section, M(Blueprint, upgrade), .section = &upgrade_section },
        { "limits", parse_mapping_section, M(Blueprint, limits), .section = &limit_section },
        { "allow", parse_allow, M(Blueprint, allow) },
};
static const Section blueprint_section =
                SECTION(blueprint_fields, Blueprint, .fill = fill_blueprint, .check = check_blueprint);

/* Makes the error of a list of problems: the first, and how many more. */
static int fail_with_problems(const Loader *l, Error *reterr) {
        if (l->n_problems == 1)
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID, "%s", l->problems[0]);

        return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID,
                        "%s (%zu more; 'ccpctl blueprint lint' lists all.)", l->problems[0],
                        l->n_problems - 1);
}

static void loader_done(Loader *l) {
        strv_free(l->problems);
}

int blueprint_parse(const char *path, const char *text, size_t size, Blueprint **ret, char ***ret_problems,
                Error *reterr) {
        _cleanup_(loader_done) Loader l = { .path = path };
        _cleanup_blueprint_ Blueprint *b = NULL;
        _cleanup_yaml_node_ YamlNode *root = NULL;
        _cleanup_error_ Error error = {};
        int r;

        b = new0(Blueprint, 1);
        if (!b)
                return -ENOMEM;

        r = yaml_node_parse(path, text, size, &root, &error);
        if (r < 0 && error_is_set(&error) && error.message && ret_problems) {
                if (strv_extend(&l.problems, error.message) < 0)
                        return -ENOMEM;
                *ret_problems = TAKE_PTR(l.problems);
        }
        if (r < 0) {
                error_move(reterr, &error);
                return r;
        }

        r = parse_section_fields(&l, &blueprint_section, root, b);
        if (r < 0)
                return r;

        if (l.n_problems > 0) {
                r = fail_with_problems(&l, reterr);
                if (ret_problems)
                        *ret_problems = TAKE_PTR(l.problems);
                return r;
        }

        if (ret_problems)
                *ret_problems = NULL;
        *ret = TAKE_PTR(b);
        return 0;
}

static int collect_keys(const Section *section, const char *prefix, char ***keys) {
        int r;

        FOREACH_ARRAY(f, section->fields, section->n_fields) {
                _cleanup_free_ char *path = NULL;

                path = strjoin(prefix, f->key);
                if (!path)
                        return -ENOMEM;

                r = strv_extend(keys, path);
                if (r >= 0 && f->parse == parse_ports)
                        r = strv_extendf(keys, "%s.NAME", path);
                if (r < 0)
                        return r;

                if (f->section) {
                        _cleanup_free_ char *inner = NULL;

                        inner = strjoin(path,
                                        f->parse == parse_named_sections                    ? ".NAME."
                                                        : f->parse == parse_listed_sections ? "[]."
                                                                                            : ".");
                        if (!inner)
                                return -ENOMEM;

                        r = collect_keys(f->section, inner, keys);
                        if (r < 0)
                                return r;
                }
        }

        return 0;
}

char **blueprint_known_keys(void) {
        _cleanup_strv_free_ char **keys = NULL;

        if (collect_keys(&blueprint_section, "", &keys) < 0)
                return NULL;

        return TAKE_PTR(keys);
}
