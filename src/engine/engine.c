/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine.h"

#include "compose.h"
#include "string-util.h"

static const EngineVTable *const engines[] = {
        &compose_engine,
};

const EngineVTable *engine_find(const char *name) {
        FOREACH_ARRAY(e, engines, ELEMENTSOF(engines))
                if (streq_ptr((*e)->name, name))
                        return *e;

        return NULL;
}
