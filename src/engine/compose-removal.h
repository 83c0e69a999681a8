/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Removing what is an instance's, by its labels and without any file, and finding what is not. */

#include "engine.h"

/* Removes all containers and networks that are the owner's, and the volumes if asked; looks again until
 * nothing is left, or fails naming what is. Containers are killed. */
int compose_removal(const EngineContext *c, bool volumes, Error *reterr);
/* As in EngineVTable. */
int compose_check_foreign(const EngineContext *c, Error *reterr);
