/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The policy on the text of the compose file: the files that compose reads while it resolves it. */

#include <errno.h>
#include <yaml.h>

#include "path.h"
#include "policy-check.h"
#include "validate.h"

/* A rendered compose file is a few KiB. */
#define TEXT_SIZE_MAX (4U * 1024U * 1024U)
#define MERGE_KEY "<<"

typedef struct TextCheck {
        PolicyCheck check;
        yaml_document_t document;
        char **files;
} TextCheck;

static const char *scalar_value(const yaml_node_t *node) {
        const char *s = node && node->type == YAML_SCALAR_NODE ? (const char *) node->data.scalar.value
                                                               : NULL;

        return s && strlen(s) == node->data.scalar.length ? s : NULL;
}

static int report_at(TextCheck *t, const yaml_node_t *node, const char *sentence) {
        return report(&t->check, POLICY_EXTRA_FILE, "Line %zu: %s", node->start_mark.line + 1, sentence);
}

/* A path that is relative to the compose file's folder, or absolute in the instance's. Variables are refused:
 * what they stand for is not known here. */
static int check_path(TextCheck *t, const yaml_node_t *node) {
        const PolicyInput *input = t->check.input;
        const char *path = scalar_value(node);

        if (!path || strchr(path, '$'))
                return report_at(t, node, "The path of this file must be written out.");

        path = startswith(path, "./") ?: path;
        if (path_is_safe_relative(path))
                return strv_extendf(&t->files, "%s/%s", input->revision, path);
        if (path_is_beneath(input->directory, path))
                return strv_extend(&t->files, path);

        return report_at(t, node, "This file does not lie in the instance's folder.");
}

static const yaml_node_t *get_value(TextCheck *t, const yaml_node_t *mapping, const char *key) {
        if (mapping->type != YAML_MAPPING_NODE)
                return NULL;

        for (const yaml_node_pair_t *p = mapping->data.mapping.pairs.start;
                        p < mapping->data.mapping.pairs.top; p++)
                if (streq_ptr(scalar_value(yaml_document_get_node(&t->document, p->key)), key))
                        return yaml_document_get_node(&t->document, p->value);

        return NULL;
}

/* env_file and label_file: a path, or a list of paths and of mappings with a path. */
static int check_files(TextCheck *t, const yaml_node_t *node) {
        int r;

        if (node->type != YAML_SEQUENCE_NODE)
                return check_path(t, node);

        for (const yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top;
                        i++) {
                const yaml_node_t *item = yaml_document_get_node(&t->document, *i);

                if (item->type == YAML_MAPPING_NODE)
                        item = get_value(t, item, "path") ?: item;
                r = check_path(t, item);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* What is merged into this mapping is not looked for: it may not have anything. */
static int check_extends(TextCheck *t, const yaml_node_t *node) {
        if (!get_value(t, node, "file") && !get_value(t, node, MERGE_KEY))
                return 0;

        return report_at(t, node, "Services may only extend others of the same file.");
}

static int check_pair(TextCheck *t, const char *key, const yaml_node_t *value, bool root) {
        if (streq(key, "env_file") || streq(key, "label_file"))
                return check_files(t, value);
        if (streq(key, "extends"))
                return check_extends(t, value);
        if (root && streq(key, "include"))
                return report_at(t, value, "Other compose files can't be included.");
        if (root && streq(key, MERGE_KEY))
                return report_at(t, value, "Nothing can be merged into the whole file.");

        return 0;
}

/* Looks at every mapping of the document, wherever it is: merge keys and aliases can put it in any place, and
 * the list of nodes has each of them just once. */
static int check_document(TextCheck *t) {
        const yaml_node_t *root = yaml_document_get_root_node(&t->document);
        int r;

        if (!root || root->type != YAML_MAPPING_NODE)
                return report(&t->check, POLICY_EXTRA_FILE, "The compose file is not a mapping.");

        for (const yaml_node_t *node = t->document.nodes.start; node < t->document.nodes.top; node++) {
                if (node->type != YAML_MAPPING_NODE)
                        continue;

                for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
                                p < node->data.mapping.pairs.top; p++) {
                        const yaml_node_t *key_node = yaml_document_get_node(&t->document, p->key);
                        const char *key = scalar_value(key_node);

                        /* A tag can make another text of it: !!binary. */
                        if (key && !streq_ptr((const char *) key_node->tag, YAML_STR_TAG))
                                key = NULL;
                        r = key ? check_pair(t, key, yaml_document_get_node(&t->document, p->value),
                                                  node == root)
                                : report_at(t, node, "A key is not plain text.");
                        if (r < 0)
                                return r;
                }
        }

        return 0;
}

/* 1 if there is one document, 0 if something else was there and reported. */
static int load_document(TextCheck *t, yaml_parser_t *parser) {
        yaml_document_t next;
        bool more;
        int r;

        if (!yaml_parser_load(parser, &t->document))
                goto invalid;
        if (!yaml_parser_load(parser, &next))
                goto invalid;

        /* Compose reads all documents of a file. */
        more = yaml_document_get_root_node(&next);
        yaml_document_delete(&next);
        if (!more)
                return 1;

        r = report(&t->check, POLICY_EXTRA_FILE, "The compose file has more than one document.");
        return MIN(r, 0);

invalid:
        if (parser->error == YAML_MEMORY_ERROR)
                return -ENOMEM;

        r = report(&t->check, POLICY_EXTRA_FILE, "Line %zu: The compose file is no YAML: %s.",
                        parser->problem_mark.line + 1, strempty(parser->problem));
        return MIN(r, 0);
}

static void yaml_parser_donep(yaml_parser_t *parser) {
        yaml_parser_delete(parser);
}

static void text_check_done(TextCheck *t) {
        string_builder_done(&t->check.path);
        strv_free(t->files);
        yaml_document_delete(&t->document);
}

int policy_check_text(const char *text, size_t size, const PolicyInput *input, PolicyViolations *violations,
                char ***ret_files) {
        _cleanup_(yaml_parser_donep) yaml_parser_t parser = {};
        _cleanup_(text_check_done) TextCheck t = {
                .check = { .input = input, .violations = violations },
        };
        int r;

        if (size > TEXT_SIZE_MAX) {
                *ret_files = NULL;
                return report(&t.check, POLICY_EXTRA_FILE, "The compose file is larger than %u MiB.",
                                TEXT_SIZE_MAX >> 20);
        }
        if (!yaml_parser_initialize(&parser))
                return -ENOMEM;

        yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
        yaml_parser_set_input_string(&parser, (const unsigned char *) text, size);

        r = load_document(&t, &parser);
        if (r > 0)
                r = check_document(&t);
        if (r < 0)
                return r;

        *ret_files = TAKE_PTR(t.files);
        return 0;
}
