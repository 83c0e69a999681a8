/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "template-internal.h"

/* Parses t->source into t->program, by recursive descent. */
int template_parse_source(Template *t, Error *reterr);

/* Removes the white space that ~ and tags alone on their line ask for, over a whole tree. */
void program_strip_whitespace(Program *program, bool ignore_standalone);
