/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Tests of paths as text. Nothing here looks at the file system. */

#include "ccp/macro.h"

#define RELATIVE_PATH_MAX 1024U

/* A relative path of ordinary components: no empty one, no "." and no "..", at most 255 bytes each, safe
 * text. */
bool path_is_safe_relative(const char *s);
/* An absolute path of such components; "/" itself too. */
bool path_is_safe_absolute(const char *s);
/* True if the safe absolute path is 'directory' itself or lies beneath it. A path with "." or ".." in it
 * lies nowhere. */
bool path_is_beneath(const char *directory, const char *path);
