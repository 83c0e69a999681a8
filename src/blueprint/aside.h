/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The compose file of an instance, made into that of a project beside it: the same containers on other volumes, which
 * nobody outside reaches and which reach nobody outside. A backup is restored into it, and proven. */

#include "error.h"
#include "json-util.h"

typedef struct AsideInput {
        const char *project;   /* of the instance: "SLUG_ccp" */
        const char *slug, *id; /* for the labels: who owns what is made */
        char *const *services; /* these alone; NULL: all */
        const json_t *volumes; /* volume's key → what it is called in the engine; they are there */
} AsideInput;

/* 'config' is the resolved compose file, override included. What is made of it is a compose file of its own: without
 * ports, with networks of its own that lead nowhere, mounts of the host's folders that cannot be written to, and volumes
 * that must exist. PolicyViolation where a service has the network of the host or of another. */
int aside_make(const json_t *config, const AsideInput *input, json_t **ret, Error *reterr);
