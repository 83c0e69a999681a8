/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Inside of the policy: walking over the resolved compose file by tables of keys. A check returns 0 also
 * when it reports a violation, negative only for -ENOMEM. */

#include "alloc-util.h"
#include "policy.h"
#include "string-util.h"

typedef struct PolicyCheck {
        const PolicyInput *input;
        const json_t *config;
        const char *service; /* the one that is being looked at */
        StringBuilder path;  /* of the value that is being looked at */
        PolicyViolations *violations;
} PolicyCheck;

typedef struct KeyRule KeyRule;
typedef int (*ValueCheck)(PolicyCheck *c, const KeyRule *rule, const json_t *value);

struct KeyRule {
        const char *key;
        ValueCheck check;          /* NULL: any value is harmless */
        PolicyRule rule;           /* by which check reports */
        const KeyRule *keys;       /* of a mapping, or of the mappings in a list or mapping; ends with {} */
        const char *const *values; /* that are harmless; NULL-terminated */
};

int report(PolicyCheck *c, PolicyRule rule, const char *format, ...) _printf_(3, 4);

/* Goes down to a key, or to the index of a list, and back up to what path_push() returned. */
size_t path_push_key(PolicyCheck *c, const char *key);
size_t path_push_index(PolicyCheck *c, size_t i);
void path_pop(PolicyCheck *c, size_t size);

/* Checks a mapping: each key by its row, others as unknown. A null value is an empty mapping. */
int check_keys(PolicyCheck *c, const KeyRule *keys, const json_t *mapping);

/* Checks for rows: */
int check_mapping(PolicyCheck *c, const KeyRule *rule, const json_t *value);
int check_list_of_mappings(PolicyCheck *c, const KeyRule *rule, const json_t *value);
int check_map_of_mappings(PolicyCheck *c, const KeyRule *rule, const json_t *value);
int check_refused(PolicyCheck *c, const KeyRule *rule, const json_t *value); /* any value but an empty one */
int check_values(PolicyCheck *c, const KeyRule *rule, const json_t *value);  /* one of rule->values */
int check_labels(PolicyCheck *c, const KeyRule *rule, const json_t *value);
int check_file_path(PolicyCheck *c, const KeyRule *rule, const json_t *value);

/* Reports if the path does not lie in the instance's folder; what it is called in the sentence. Returns 1 if
 * it does, 0 if not. */
int check_inside(PolicyCheck *c, PolicyRule rule, const char *path, const char *what);

/* The tables of the services and of everything in them, policy-service.c. */
extern const KeyRule policy_service_keys[];
/* Over all services: nothing that the host opens by its path may lie where a container can write. */
int check_writable_folders(PolicyCheck *c);
