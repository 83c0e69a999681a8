/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an instance's containers may not do: a check of the resolved compose file before anything runs. It
 * fails closed: what is not in its tables of harmless keys is refused too. */

#include "blueprint.h"
#include "json-util.h"
#include "subnet.h"

#define POLICY_VIOLATIONS_MAX 100U

/* What the instance is, and so may use */
typedef struct PolicyInput {
        const char *project;      /* "SLUG_ccp" */
        const char *directory;    /* absolute; of the instance: bind mounts and build contexts lie in it */
        const char *revision;     /* absolute, in a folder beneath it that has all revisions */
        const char *compose;      /* the compose file in the revision's folder */
        char *const *files;       /* further ones that compose reads, from policy_check_text(); NULL: none */
        const char *bind_address; /* that ports are published on */
        const uint16_t *ports;    /* allocated to the instance */
        size_t n_ports;
        const Subnet *subnet; /* NULL: no network may name one */
        PolicyRules allowed;  /* exceptions, blueprint_exceptions() */
} PolicyInput;

typedef struct PolicyViolation {
        PolicyRule rule;
        char *service; /* NULL: not in a service */
        char *path;    /* "services.web.volumes[1].source" */
        char *message; /* a sentence: what, and what to do instead */
} PolicyViolation;

typedef struct PolicyViolations {
        PolicyViolation *items;
        size_t n, n_allocated;
} PolicyViolations;

void policy_violations_done(PolicyViolations *violations);
#define _cleanup_policy_violations_ _cleanup_(policy_violations_done)

/* Checks what 'docker compose --profile "*" config --format json' printed (all profiles: a service can be
 * started by its name whatever its profile). Appends to the list. Returns 0 also when there are violations;
 * negative only for -ENOMEM. */
int policy_check(const json_t *config, const PolicyInput *input, PolicyViolations *violations);

/* Checks the text of the compose file itself for the files that compose reads while it resolves it, which
 * are not to be seen any more in its output: include, extends, env_file, label_file. Text that is no YAML is
 * a violation. To be done before compose reads the file. ret_files gets the absolute paths of those that are
 * allowed, for policy_check(). */
int policy_check_text(const char *text, size_t size, const PolicyInput *input, PolicyViolations *violations,
                char ***ret_files);

/* Checks that no path of the host in the resolved file leads through a symbolic link; 'folder' is the open
 * folder of the instance. What is not there may stay away. To be done once all files are in their places. */
int policy_check_links(
                const json_t *config, const PolicyInput *input, int folder, PolicyViolations *violations);

/* True if a container may write what lies at this absolute path of the host. */
bool policy_path_is_writable(const json_t *config, const char *path);

/* 0 if the list is empty, else PolicyViolation with the first few sentences. */
int policy_violations_to_error(const PolicyViolations *violations, Error *reterr);
