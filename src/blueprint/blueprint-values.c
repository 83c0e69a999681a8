/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "blueprint-parse.h"
#include "string-util.h"
#include "validate.h"

#define TEXT_MAX 1024U
#define LONG_TEXT_MAX (16U * 1024U)
#define LIST_MAX 256U

#define MEMBER(object, offset, type) ((type *) (void *) ((char *) (object) + (offset)))

int loader_add_problem(Loader *l, unsigned line, unsigned column, const char *format, ...) {
        _cleanup_free_ char *sentence = NULL;
        va_list ap;
        int n;

        if (l->n_problems >= PROBLEMS_MAX)
                return 0;

        va_start(ap, format);
        n = vasprintf(&sentence, format, ap);
        va_end(ap);
        if (n < 0) {
                sentence = NULL;
                return -ENOMEM;
        }

        l->n_problems++;
        return strv_extendf(&l->problems, "%s:%u:%u: %s", l->path, line, column, sentence);
}

static int expect_type(Loader *l, const YamlNode *node, YamlType type, const char *what, bool *ret_ok) {
        *ret_ok = node->type == type;
        if (*ret_ok)
                return 0;

        return loader_add(l, node, "This should be %s, but is %s.", what, yaml_node_describe(node));
}

/* Names the valid keys in a sentence. */
static int unknown_key(Loader *l, const Section *section, const YamlNode *child) {
        _cleanup_strv_free_ char **keys = NULL;
        _cleanup_free_ char *list = NULL;

        FOREACH_ARRAY(f, section->fields, section->n_fields)
                if (strv_extend(&keys, f->key) < 0)
                        return -ENOMEM;

        list = strv_join(keys, ", ");
        if (!list)
                return -ENOMEM;

        return loader_add_problem(l, child->key_line, child->key_column,
                        "The key '%s' is unknown here; there are: %s.", TEXT_FOR_ERROR(child->key), list);
}

static const Field *find_field(const Section *section, const char *key) {
        FOREACH_ARRAY(f, section->fields, section->n_fields)
                if (streq(f->key, key))
                        return f;

        return NULL;
}

int parse_section_fields(Loader *l, const Section *section, const YamlNode *node, void *object) {
        bool ok;
        int r;

        if (section->fill)
                section->fill(object);

        r = expect_type(l, node, YAML_TYPE_MAPPING, "a mapping", &ok);
        if (r < 0 || !ok)
                return r;

        FOREACH_ARRAY(child, node->children, node->n_children) {
                const Field *f = find_field(section, (*child)->key);

                r = f ? f->parse(l, f, *child, object) : unknown_key(l, section, *child);
                if (r < 0)
                        return r;
        }

        FOREACH_ARRAY(f, section->fields, section->n_fields) {
                if (!f->required || yaml_node_get(node, f->key))
                        continue;

                r = loader_add(l, node, "The key '%s' is missing.", f->key);
                if (r < 0)
                        return r;
        }

        return section->check ? section->check(l, node, object) : 0;
}

static int parse_string(Loader *l, const Field *field, const YamlNode *node, bool multiline, char **p) {
        size_t max = field->maximum ?: multiline ? LONG_TEXT_MAX : TEXT_MAX;
        bool ok;
        int r;

        r = expect_type(l, node, YAML_TYPE_SCALAR, "text", &ok);
        if (r < 0 || !ok)
                return r;

        if (yaml_node_plain_type(node))
                return loader_add(l, node, "This should be text, but is %s; put it in quotes.",
                                yaml_node_describe(node));
        if (strlen(node->text) > max)
                return loader_add(l, node, "The text is longer than %zu bytes.", max);

        for (const char *c = node->text; *c; c++)
                if (((unsigned char) *c < ' ' && !(multiline && IN_SET(*c, '\n', '\t'))) || *c == 0x7F)
                        return loader_add(l, node,
                                        multiline ? "The text has a control character."
                                                  : "The text should be one line without control "
                                                    "characters.");

        if (field->is_valid && !field->is_valid(node->text))
                return loader_add(l, node, "'%s' is not valid here: it should be %s.",
                                TEXT_FOR_ERROR(node->text), field->rule);

        return free_and_strdup(p, node->text);
}

int parse_text(Loader *l, const Field *field, const YamlNode *node, void *object) {
        return parse_string(l, field, node, false, MEMBER(object, field->offset, char *));
}

int parse_long_text(Loader *l, const Field *field, const YamlNode *node, void *object) {
        return parse_string(l, field, node, true, MEMBER(object, field->offset, char *));
}

int parse_any_scalar(Loader *l, const Field *field, const YamlNode *node, void *object) {
        bool ok;
        int r;

        r = expect_type(l, node, YAML_TYPE_SCALAR, "one value", &ok);
        if (r < 0 || !ok)
                return r;

        return free_and_strdup(MEMBER(object, field->offset, char *), node->text);
}

int parse_boolean(Loader *l, const Field *field, const YamlNode *node, void *object) {
        bool *p = MEMBER(object, field->offset, bool);

        if (node->type != YAML_TYPE_SCALAR || node->quoted ||
                        (!streq(node->text, "true") && !streq(node->text, "false")))
                return loader_add(l, node, "This should be true or false.");

        *p = streq(node->text, "true");
        return 0;
}

/* A decimal integer without leading zeros. */
static bool parse_integer(const YamlNode *node, bool negative, int64_t *ret) {
        const char *s = node->text;
        char *end;

        if (node->type != YAML_TYPE_SCALAR || node->quoted)
                return false;

        s += negative && *s == '-';
        if (!isdigit((unsigned char) *s) || (*s == '0' && s[1]))
                return false;

        errno = 0;
        *ret = strtoll(node->text, &end, 10);
        return errno == 0 && *end == 0;
}

int parse_unsigned(Loader *l, const Field *field, const YamlNode *node, void *object) {
        int64_t value;

        if (!parse_integer(node, false, &value) || (uint64_t) value < field->minimum ||
                        (uint64_t) value > field->maximum)
                return loader_add(l, node, "This should be a whole number from %" PRIu64 " to %" PRIu64 ".",
                                field->minimum, field->maximum);

        *MEMBER(object, field->offset, uint64_t) = (uint64_t) value;
        return 0;
}

int parse_signed(Loader *l, const Field *field, const YamlNode *node, void *object) {
        int64_t value;

        if (!parse_integer(node, true, &value))
                return loader_add(l, node, "This should be a whole number.");

        *MEMBER(object, field->offset, int64_t) = value;
        return 0;
}

int parse_name(Loader *l, const Field *field, const YamlNode *node, void *object) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *list = NULL;

        for (size_t i = 0; i < field->n_names; i++) {
                if (node->type == YAML_TYPE_SCALAR && streq(node->text, field->names[i])) {
                        *MEMBER(object, field->offset, int) = (int) i;
                        return 0;
                }
                if (strv_extend(&names, field->names[i]) < 0)
                        return -ENOMEM;
        }

        list = strv_join(names, ", ");
        if (!list)
                return -ENOMEM;

        return loader_add(l, node, "This should be one of: %s.", list);
}

/* Reads a list of texts into a new array; entries that are not valid are left out. */
static int parse_string_list(Loader *l, const Field *field, const YamlNode *node, char ***ret) {
        _cleanup_strv_free_ char **list = NULL;
        bool ok;
        int r;

        list = new0(char *, 1);
        if (!list)
                return -ENOMEM;

        r = expect_type(l, node, YAML_TYPE_SEQUENCE, "a list", &ok);
        if (r < 0)
                return r;
        if (ok && node->n_children > LIST_MAX)
                return loader_add(l, node, "The list has more than %u entries.", LIST_MAX);

        for (size_t i = 0; ok && i < node->n_children; i++) {
                _cleanup_free_ char *s = NULL;

                r = parse_string(l, field, node->children[i], false, &s);
                if (r < 0)
                        return r;
                if (!s)
                        continue;

                r = strv_extend(&list, s);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(list);
        return 0;
}

int parse_strings(Loader *l, const Field *field, const YamlNode *node, void *object) {
        char ***p = MEMBER(object, field->offset, char **);
        char **list = NULL;
        int r;

        r = parse_string_list(l, field, node, &list);
        if (r < 0 || !list)
                return r;

        strv_free(*p);
        *p = list;
        return 0;
}

int parse_mode(Loader *l, const Field *field, const YamlNode *node, void *object) {
        const char *s = node->text;
        mode_t mode = 0;

        /* In quotes, since 0644 is 420 to some readers of YAML and 644 to others. */
        if (node->type != YAML_TYPE_SCALAR || !node->quoted || strlen(s) != 4 || s[0] != '0' ||
                        strspn(s, "01234567") != 4)
                return loader_add(l, node, "This should be a file mode in quotes, such as \"0644\".");

        for (; *s; s++)
                mode = mode << 3 | (mode_t) (*s - '0');
        if ((mode & 0400) == 0 || (mode & 0022) != 0)
                return loader_add(l, node, "The mode should let the owner read and nobody else write.");

        *MEMBER(object, field->offset, mode_t) = mode;
        return 0;
}

/* Reads digits and a unit of the table. */
static bool parse_with_unit(const YamlNode *node, const char *const *units, const uint64_t *factors,
                size_t n, uint64_t *ret) {
        uint64_t value;
        char *end;

        if (node->type != YAML_TYPE_SCALAR || !isdigit((unsigned char) node->text[0]))
                return false;

        errno = 0;
        value = strtoull(node->text, &end, 10);
        if (errno > 0)
                return false;

        for (size_t i = 0; i < n; i++)
                if (streq(end, units[i]))
                        return !__builtin_mul_overflow(value, factors[i], ret) && *ret <= INT64_MAX;

        return false;
}

int parse_duration(Loader *l, const Field *field, const YamlNode *node, void *object) {
        static const char *const units[] = { "", "s", "min", "h" };
        static const uint64_t factors[] = { USEC_PER_SEC, USEC_PER_SEC, USEC_PER_MINUTE, USEC_PER_HOUR };
        uint64_t value;

        if (!parse_with_unit(node, units, factors, ELEMENTSOF(units), &value) || value < field->minimum ||
                        value > field->maximum)
                return loader_add(l, node,
                                "This should be a time from %" PRIu64 "s to %" PRIu64
                                "s, such as 30s, 5min or 1h.",
                                field->minimum / USEC_PER_SEC, field->maximum / USEC_PER_SEC);

        *MEMBER(object, field->offset, usec_t) = value;
        return 0;
}

int parse_limit(Loader *l, const Field *field, const YamlNode *node, void *object) {
        LimitKind kind = limit_kind_from_string(field->key);

        if (node->type != YAML_TYPE_SCALAR || limits_set(object, kind, node->text) < 0)
                return loader_add(l, node, "This should be %s.", limit_rule(kind));

        return 0;
}

int parse_commands(Loader *l, const Field *field, const YamlNode *node, void *object) {
        BlueprintCommand **p = MEMBER(object, field->offset, BlueprintCommand *);
        bool ok;
        int r;

        r = expect_type(l, node, YAML_TYPE_SEQUENCE, "a list of commands", &ok);
        if (r < 0 || !ok)
                return r;

        *p = new0(BlueprintCommand, node->n_children);
        if (!*p)
                return -ENOMEM;

        FOREACH_ARRAY(child, node->children, node->n_children) {
                char **argv = NULL;

                if ((*child)->type != YAML_TYPE_SEQUENCE || (*child)->n_children == 0) {
                        r = loader_add(l, *child, "A command should be a list of its words.");
                        if (r < 0)
                                return r;
                        continue;
                }

                r = parse_string_list(l, field, *child, &argv);
                if (r < 0)
                        return r;
                if (argv)
                        (*p)[(*MEMBER(object, field->n_offset, size_t))++].argv = argv;
        }

        return 0;
}

int parse_mapping_section(Loader *l, const Field *field, const YamlNode *node, void *object) {
        return parse_section_fields(l, field->section, node, (char *) object + field->offset);
}

/* Makes the array for the children of a node; elements are zero. */
static int allocate_elements(const Field *field, const YamlNode *node, void *object, char **ret) {
        char *elements;

        elements = calloc(node->n_children ?: 1, field->section->size);
        if (!elements)
                return -ENOMEM;

        *MEMBER(object, field->offset, void *) = elements;
        *ret = elements;
        return 0;
}

int parse_named_sections(Loader *l, const Field *field, const YamlNode *node, void *object) {
        size_t *n = MEMBER(object, field->n_offset, size_t);
        char *elements;
        bool ok;
        int r;

        r = expect_type(l, node, YAML_TYPE_MAPPING, "a mapping from names", &ok);
        if (r < 0 || !ok)
                return r;

        r = allocate_elements(field, node, object, &elements);
        if (r < 0)
                return r;

        FOREACH_ARRAY(child, node->children, node->n_children) {
                char *element = elements + *n * field->section->size;

                if (!field->is_valid((*child)->key)) {
                        r = loader_add_problem(l, (*child)->key_line, (*child)->key_column,
                                        "'%s' cannot be a name here: it should be %s.",
                                        TEXT_FOR_ERROR((*child)->key), field->rule);
                        if (r < 0)
                                return r;
                }

                /* Also what is not valid takes its place, so that the n-th element is the n-th child. */
                (*n)++;
                *(char **) (void *) element = strdup((*child)->key);
                if (!*(char **) (void *) element)
                        return -ENOMEM;

                r = parse_section_fields(l, field->section, *child, element);
                if (r < 0)
                        return r;
        }

        return 0;
}

int parse_listed_sections(Loader *l, const Field *field, const YamlNode *node, void *object) {
        size_t *n = MEMBER(object, field->n_offset, size_t);
        char *elements;
        bool ok;
        int r;

        r = expect_type(l, node, YAML_TYPE_SEQUENCE, "a list", &ok);
        if (r < 0 || !ok)
                return r;

        r = allocate_elements(field, node, object, &elements);
        if (r < 0)
                return r;

        FOREACH_ARRAY(child, node->children, node->n_children) {
                r = parse_section_fields(
                                l, field->section, *child, elements + (*n)++ * field->section->size);
                if (r < 0)
                        return r;
        }

        return 0;
}
