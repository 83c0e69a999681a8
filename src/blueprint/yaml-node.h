/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A YAML document as a tree whose nodes know where they stood, for formats that people write by hand: no
 * aliases, no anchors, no tags, no keys twice, and no more than the limits below. */

#include "error.h"

#define YAML_SIZE_MAX (1024U * 1024U)
#define YAML_DEPTH_MAX 32U
#define YAML_NODES_MAX 20000U
#define YAML_CHILDREN_MAX 1024U /* of one mapping or sequence */

typedef enum YamlType {
        YAML_TYPE_SCALAR,
        YAML_TYPE_SEQUENCE,
        YAML_TYPE_MAPPING,
} YamlType;

typedef struct YamlNode YamlNode;
struct YamlNode {
        YamlType type;
        unsigned line, column; /* from 1 */
        char *key;             /* of a mapping's child, else NULL */
        unsigned key_line, key_column;
        char *text;  /* of a scalar: UTF-8 without NUL */
        bool quoted; /* the scalar was written in quotes or as a block, so it is a string */
        YamlNode **children;
        size_t n_children;
};

YamlNode *yaml_node_free(YamlNode *node);
DEFINE_CLEANUP_FUNC(YamlNode *, yaml_node_free);
#define _cleanup_yaml_node_ _cleanup_(yaml_node_freep)

/* Parses one document. 'name' is what the file is called in sentences: "NAME:LINE:COLUMN: …". Fails with
 * BlueprintInvalid. The document must not be empty. */
int yaml_node_parse(const char *name, const char *text, size_t size, YamlNode **ret, Error *reterr);

/* A mapping's child by its key, or NULL. */
const YamlNode *yaml_node_get(const YamlNode *mapping, const char *key);

/* What a plain scalar means in YAML 1.1 and 1.2, as far as it is no string: "null", "boolean", "number"; NULL
 * for a string. */
const char *yaml_node_plain_type(const YamlNode *node);
/* "text", "a list", "a mapping", "a number", …: for sentences. */
const char *yaml_node_describe(const YamlNode *node);
