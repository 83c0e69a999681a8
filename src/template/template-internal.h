/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files of the template layer share. */

#include "ast.h"
#include "template.h"

struct Template {
        char *name, *source;
        size_t source_size;
        TemplateOptions options;
        Arena arena;
        Program *program;
};
