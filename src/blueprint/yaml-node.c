/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "yaml-node.h"

#include <ctype.h>
#include <errno.h>
#include <yaml.h>

#include "alloc-util.h"
#include "string-util.h"
#include "validate.h"

typedef struct Reader {
        const char *name;
        yaml_parser_t parser;
        size_t n_nodes;
        Error *reterr;
} Reader;

YamlNode *yaml_node_free(YamlNode *node) {
        if (!node)
                return NULL;

        FOREACH_ARRAY(child, node->children, node->n_children)
                yaml_node_free(*child);
        free(node->children);
        free(node->key);
        free(node->text);
        return mfree(node);
}

static void yaml_event_donep(yaml_event_t *event) {
        yaml_event_delete(event);
}

static void reader_done(Reader *reader) {
        yaml_parser_delete(&reader->parser);
}

/* Fails at a place in the text. */
static int fail_at(Reader *reader, const yaml_mark_t *mark, const char *sentence) {
        return error_setf(reader->reterr, CCP_ERROR_BLUEPRINT_INVALID, "%s:%zu:%zu: %s", reader->name,
                        mark->line + 1, mark->column + 1, sentence);
}

static int next_event(Reader *reader, yaml_event_t *event) {
        const yaml_parser_t *parser = &reader->parser;

        if (yaml_parser_parse(&reader->parser, event))
                return 0;
        if (parser->error == YAML_MEMORY_ERROR)
                return -ENOMEM;

        /* An encoding error has no mark, only an offset. */
        if (parser->error == YAML_READER_ERROR)
                return error_setf(reader->reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                "%s: This is no UTF-8 text: %s, at byte %zu.", reader->name,
                                strempty(parser->problem), parser->problem_offset);

        return error_setf(reader->reterr, CCP_ERROR_BLUEPRINT_INVALID, "%s:%zu:%zu: This is no YAML: %s.",
                        reader->name, parser->problem_mark.line + 1, parser->problem_mark.column + 1,
                        strempty(parser->problem));
}

static int refuse_extras(Reader *reader, const yaml_event_t *event, const yaml_char_t *anchor,
                const yaml_char_t *tag) {
        if (anchor)
                return fail_at(reader, &event->start_mark,
                                "Anchors and aliases are not allowed; write the value out.");
        if (tag)
                return fail_at(reader, &event->start_mark, "Tags ('!…') are not allowed.");

        return 0;
}

static int node_new(Reader *reader, const yaml_event_t *event, YamlType type, YamlNode **ret) {
        YamlNode *node;

        if (++reader->n_nodes > YAML_NODES_MAX)
                return fail_at(reader, &event->start_mark, "The file has too many values.");

        node = new0(YamlNode, 1);
        if (!node)
                return -ENOMEM;

        node->type = type;
        node->line = (unsigned) event->start_mark.line + 1;
        node->column = (unsigned) event->start_mark.column + 1;
        *ret = node;
        return 0;
}

static int copy_scalar(Reader *reader, const yaml_event_t *event, char **ret) {
        const char *value = (const char *) event->data.scalar.value;
        char *copy;

        if (memchr(value, 0, event->data.scalar.length))
                return fail_at(reader, &event->start_mark, "The value has a NUL character.");

        copy = strndup(value, event->data.scalar.length);
        if (!copy)
                return -ENOMEM;

        *ret = copy;
        return 0;
}

static int parse_node(Reader *reader, const yaml_event_t *event, unsigned depth, YamlNode **ret);

static int append_child(Reader *reader, YamlNode *parent, size_t *n_allocated, const yaml_event_t *event,
                unsigned depth, YamlNode **ret) {
        YamlNode *child;
        int r;

        assert(parent);

        if (parent->n_children >= YAML_CHILDREN_MAX)
                return fail_at(reader, &event->start_mark, "The list has too many entries.");
        if (!GREEDY_REALLOC(parent->children, *n_allocated, parent->n_children + 1))
                return -ENOMEM;

        r = parse_node(reader, event, depth + 1, &child);
        if (r < 0)
                return r;

        parent->children[parent->n_children++] = child;
        *ret = child;
        return 0;
}

static int parse_sequence(Reader *reader, YamlNode *node, unsigned depth) {
        size_t n_allocated = 0;

        for (;;) {
                _cleanup_(yaml_event_donep) yaml_event_t event = {};
                YamlNode *child;
                int r;

                r = next_event(reader, &event);
                if (r < 0)
                        return r;
                if (event.type == YAML_SEQUENCE_END_EVENT)
                        return 0;

                r = append_child(reader, node, &n_allocated, &event, depth, &child);
                if (r < 0)
                        return r;
        }
}

static int parse_key(Reader *reader, const YamlNode *mapping, const yaml_event_t *event, char **ret) {
        _cleanup_free_ char *key = NULL;
        int r;

        if (event->type != YAML_SCALAR_EVENT)
                return fail_at(reader, &event->start_mark,
                                event->type == YAML_ALIAS_EVENT ? "Aliases are not allowed."
                                                                : "A key must be text.");

        r = refuse_extras(reader, event, event->data.scalar.anchor, event->data.scalar.tag);
        if (r < 0)
                return r;

        r = copy_scalar(reader, event, &key);
        if (r < 0)
                return r;

        if (yaml_node_get(mapping, key))
                return error_setf(reader->reterr, CCP_ERROR_BLUEPRINT_INVALID,
                                "%s:%zu:%zu: The key '%s' is there twice.", reader->name,
                                event->start_mark.line + 1, event->start_mark.column + 1,
                                TEXT_FOR_ERROR(key));

        *ret = TAKE_PTR(key);
        return 0;
}

static int parse_mapping(Reader *reader, YamlNode *node, unsigned depth) {
        size_t n_allocated = 0;

        for (;;) {
                _cleanup_(yaml_event_donep) yaml_event_t key_event = {}, event = {};
                _cleanup_free_ char *key = NULL;
                YamlNode *child;
                int r;

                r = next_event(reader, &key_event);
                if (r < 0)
                        return r;
                if (key_event.type == YAML_MAPPING_END_EVENT)
                        return 0;

                r = parse_key(reader, node, &key_event, &key);
                if (r < 0)
                        return r;

                r = next_event(reader, &event);
                if (r < 0)
                        return r;

                r = append_child(reader, node, &n_allocated, &event, depth, &child);
                if (r < 0)
                        return r;

                child->key = TAKE_PTR(key);
                child->key_line = (unsigned) key_event.start_mark.line + 1;
                child->key_column = (unsigned) key_event.start_mark.column + 1;
        }
}

static int parse_node(Reader *reader, const yaml_event_t *event, unsigned depth, YamlNode **ret) {
        _cleanup_yaml_node_ YamlNode *node = NULL;
        int r;

        if (depth > YAML_DEPTH_MAX)
                return fail_at(reader, &event->start_mark, "The values are nested too deeply.");

        switch (event->type) {
        case YAML_SCALAR_EVENT:
                r = refuse_extras(reader, event, event->data.scalar.anchor, event->data.scalar.tag);
                if (r < 0)
                        return r;

                r = node_new(reader, event, YAML_TYPE_SCALAR, &node);
                if (r < 0)
                        return r;

                assert(node);
                node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
                r = copy_scalar(reader, event, &node->text);
                break;

        case YAML_SEQUENCE_START_EVENT:
                r = refuse_extras(reader, event, event->data.sequence_start.anchor,
                                event->data.sequence_start.tag);
                if (r < 0)
                        return r;

                r = node_new(reader, event, YAML_TYPE_SEQUENCE, &node);
                if (r < 0)
                        return r;

                r = parse_sequence(reader, node, depth);
                break;

        case YAML_MAPPING_START_EVENT:
                r = refuse_extras(reader, event, event->data.mapping_start.anchor,
                                event->data.mapping_start.tag);
                if (r < 0)
                        return r;

                r = node_new(reader, event, YAML_TYPE_MAPPING, &node);
                if (r < 0)
                        return r;

                r = parse_mapping(reader, node, depth);
                break;

        case YAML_ALIAS_EVENT:
                r = fail_at(reader, &event->start_mark, "Aliases are not allowed; write the value out.");
                break;

        default:
                r = fail_at(reader, &event->start_mark, "A value was expected here.");
        }
        if (r < 0)
                return r;

        *ret = TAKE_PTR(node);
        return 0;
}

/* Reads the next event, which must be of this type. */
static int expect_event(Reader *reader, yaml_event_type_t type, const char *sentence) {
        _cleanup_(yaml_event_donep) yaml_event_t event = {};
        int r;

        r = next_event(reader, &event);
        if (r < 0)
                return r;

        return event.type == type ? 0 : fail_at(reader, &event.start_mark, sentence);
}

int yaml_node_parse(const char *name, const char *text, size_t size, YamlNode **ret, Error *reterr) {
        _cleanup_(reader_done) Reader reader = { .name = name, .reterr = reterr };
        _cleanup_(yaml_event_donep) yaml_event_t event = {};
        _cleanup_yaml_node_ YamlNode *root = NULL;
        int r;

        if (size > YAML_SIZE_MAX)
                return error_setf(reterr, CCP_ERROR_BLUEPRINT_INVALID, "%s: The file is larger than %u KiB.",
                                name, YAML_SIZE_MAX / 1024);
        if (!yaml_parser_initialize(&reader.parser))
                return -ENOMEM;

        /* Without this a byte order mark would choose UTF-16, in which what follows is not the same text. */
        yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&reader.parser, (const unsigned char *) text, size);

        r = expect_event(&reader, YAML_STREAM_START_EVENT, "A document was expected here.");
        if (r < 0)
                return r;

        r = expect_event(&reader, YAML_DOCUMENT_START_EVENT, "The file is empty.");
        if (r < 0)
                return r;

        r = next_event(&reader, &event);
        if (r < 0)
                return r;

        r = parse_node(&reader, &event, 1, &root);
        if (r < 0)
                return r;

        r = expect_event(&reader, YAML_DOCUMENT_END_EVENT, "The document should end here.");
        if (r < 0)
                return r;

        r = expect_event(&reader, YAML_STREAM_END_EVENT, "There is a second document in the file.");
        if (r < 0)
                return r;

        *ret = TAKE_PTR(root);
        return 0;
}

const YamlNode *yaml_node_get(const YamlNode *mapping, const char *key) {
        assert(mapping);

        FOREACH_ARRAY(child, mapping->children, mapping->n_children)
                if (streq((*child)->key, key))
                        return *child;

        return NULL;
}

static bool is_number(const char *s) {
        bool digit = false;
        unsigned dots = 0;

        s += IN_SET(*s, '+', '-');
        if (streq(s, ".inf") || streq(s, ".Inf") || streq(s, ".nan") || streq(s, ".NaN"))
                return true;
        if (startswith(s, "0x") || startswith(s, "0o"))
                return s[2] && s[2 + strspn(s + 2, "0123456789abcdefABCDEF_")] == 0;

        /* Digits with one dot, and an exponent perhaps; base 60 ("12:30:00") counts too. */
        for (; *s; s++) {
                if (isdigit((unsigned char) *s))
                        digit = true;
                else if (!strchr("._:", *s))
                        break;
                dots += *s == '.';
        }
        if (dots > 1)
                return false; /* an address, a version */
        if (digit && IN_SET(*s, 'e', 'E')) {
                s++;
                s += IN_SET(*s, '+', '-');
                if (!*s)
                        return false;
                s += strspn(s, "0123456789");
        }

        return digit && *s == 0;
}

const char *yaml_node_plain_type(const YamlNode *node) {
        static const char *const nulls[] = { "", "~", "null", "Null", "NULL" };
        static const char *const booleans[] = { "true", "True", "TRUE", "false", "False", "FALSE", "yes",
                "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "y", "Y", "n", "N" };

        if (node->type != YAML_TYPE_SCALAR || node->quoted)
                return NULL;

        if (string_table_lookup(nulls, ELEMENTSOF(nulls), node->text) >= 0)
                return "null";
        if (string_table_lookup(booleans, ELEMENTSOF(booleans), node->text) >= 0)
                return "boolean";

        return is_number(node->text) ? "number" : NULL;
}

const char *yaml_node_describe(const YamlNode *node) {
        const char *plain;

        switch (node->type) {
        case YAML_TYPE_SEQUENCE:
                return "a list";
        case YAML_TYPE_MAPPING:
                return "a mapping";
        case YAML_TYPE_SCALAR:
                break;
        }

        plain = yaml_node_plain_type(node);
        if (!plain)
                return "text";
        if (streq(plain, "null"))
                return "nothing";

        return streq(plain, "boolean") ? "true or false" : "a number";
}
