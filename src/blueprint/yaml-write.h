/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* JSON as YAML for people to read. */

#include "json-util.h"

/* 'comment' is put above, a line each (NULL: none). Strings are always quoted, so that each reader of YAML
 * sees the same values. 0, -ENOMEM, or -EINVAL for what is no mapping. */
int yaml_from_json(const json_t *value, const char *comment, char **ret);
