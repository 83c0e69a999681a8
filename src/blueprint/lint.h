/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Everything about a blueprint that can be found wrong without making an instance of it. */

#include "blueprint.h"

/* Reads the blueprint, parses each template, renders each for a made-up instance (with the features as they
 * are by default, with all and with none of them), and looks for the files and services that are named. Gives
 * all problems, a sentence each, NULL if there are none; and the blueprint, NULL if blueprint.yaml itself is
 * broken. Fails only when it cannot do its work. */
int blueprint_lint(const char *folder, Blueprint **ret, char ***ret_problems, Error *reterr);
