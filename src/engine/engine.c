/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "engine.h"

#include "alloc-util.h"
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

void engine_exec_result_done(EngineExecResult *r) {
        r->output = erase_and_free(r->output);
}
