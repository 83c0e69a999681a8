/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside of the blueprint layer: the tables that say which keys blueprint.yaml has, and the parsers of their
 * values. A parser returns 0 even when it found a problem, which it adds to the loader's list: so all of
 * them are found in one go. A negative errno means that it cannot go on (-ENOMEM). */

#include "blueprint.h"
#include "yaml-node.h"

#define PROBLEMS_MAX 100U

typedef struct Loader {
        const char *path; /* how the file is called in sentences */
        char **problems;
        size_t n_problems;
} Loader;

typedef struct Section Section;
typedef struct Field Field;

typedef int (*FieldParser)(Loader *l, const Field *field, const YamlNode *node, void *object);

struct Field {
        const char *key;
        FieldParser parse;
        size_t offset, n_offset; /* of the value, and of the number of elements, in the struct */
        bool required;
        uint64_t minimum, maximum; /* of numbers; maximum: bytes of a text, 0 being TEXT_MAX */
        const char *const *names;  /* of an enumeration */
        size_t n_names;
        bool (*is_valid)(const char *s); /* of texts and of the keys of a mapping of names */
        const char *rule;                /* what is_valid asks for, as the end of a sentence */
        const Section *section;          /* of a mapping */
};

/* The keys of one kind of mapping, and the struct that it is read into. */
struct Section {
        const Field *fields;
        size_t n_fields;
        size_t size;
        void (*fill)(void *object); /* sets defaults that are not 0 */
        /* Looks at the whole mapping when all its keys were read. */
        int (*check)(Loader *l, const YamlNode *node, void *object);
};

int loader_add_problem(Loader *l, unsigned line, unsigned column, const char *format, ...) _printf_(4, 5);
#define loader_add(l, node, ...) loader_add_problem((l), (node)->line, (node)->column, __VA_ARGS__)

int parse_section_fields(Loader *l, const Section *section, const YamlNode *node, void *object);

int parse_text(Loader *l, const Field *field, const YamlNode *node, void *object);
int parse_long_text(Loader *l, const Field *field, const YamlNode *node, void *object);
int parse_any_scalar(Loader *l, const Field *field, const YamlNode *node, void *object);
int parse_boolean(Loader *l, const Field *field, const YamlNode *node, void *object);
int parse_unsigned(Loader *l, const Field *field, const YamlNode *node, void *object);
int parse_signed(Loader *l, const Field *field, const YamlNode *node, void *object);
int parse_name(Loader *l, const Field *field, const YamlNode *node, void *object); /* of an enumeration */
int parse_strings(Loader *l, const Field *field, const YamlNode *node, void *object);
int parse_mode(Loader *l, const Field *field, const YamlNode *node, void *object);
int parse_duration(Loader *l, const Field *field, const YamlNode *node, void *object);
/* Into ResourceLimits: the limit of the field's key. */
int parse_limit(Loader *l, const Field *field, const YamlNode *node, void *object);
int parse_commands(Loader *l, const Field *field, const YamlNode *node, void *object);

int parse_mapping_section(Loader *l, const Field *field, const YamlNode *node, void *object);
/* An array of structs whose first member is char *name, from a mapping; and any structs from a list. */
int parse_named_sections(Loader *l, const Field *field, const YamlNode *node, void *object);
int parse_listed_sections(Loader *l, const Field *field, const YamlNode *node, void *object);

/* The checks that need more than one key. */
int check_parameter(Loader *l, const YamlNode *node, void *object);
int check_file(Loader *l, const YamlNode *node, void *object);
int check_database(Loader *l, const YamlNode *node, void *object);
int check_health(Loader *l, const YamlNode *node, void *object);
int check_blueprint(Loader *l, const YamlNode *root, void *object);
