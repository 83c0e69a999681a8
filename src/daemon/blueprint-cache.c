/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "blueprint-cache.h"

#include "alloc-util.h"
#include "string-util.h"

BlueprintCache *blueprint_cache_new(void) {
        _cleanup_(blueprint_cache_freep) BlueprintCache *c = NULL;
        const char *e = secure_getenv("CCP_TEMPLATES");

        c = new0(BlueprintCache, 1);
        if (!c)
                return NULL;

        while (!isempty(e)) {
                size_t n = strcspn(e, ":");

                if (n > 0 && strv_extendf(&c->directories, "%.*s", (int) n, e) < 0)
                        return NULL;
                e += n + (e[n] == ':');
        }

        return TAKE_PTR(c);
}

BlueprintCache *blueprint_cache_free(BlueprintCache *c) {
        if (!c)
                return NULL;

        blueprint_entries_free(c->entries, c->n_entries);
        strv_free(c->directories);
        return mfree(c);
}

int blueprint_cache_refresh(BlueprintCache *c) {
        BlueprintEntry *entries;
        size_t n;
        int r;

        r = blueprint_list(c->directories, &entries, &n);
        if (r < 0)
                return r;

        blueprint_entries_free(c->entries, c->n_entries);
        c->entries = entries;
        c->n_entries = n;
        return 0;
}

int blueprint_cache_load(const BlueprintCache *c, const char *name, Blueprint **ret, Error *reterr) {
        return blueprint_load_by_name(c->directories, name, ret, reterr);
}

const Blueprint *blueprint_cache_find(const BlueprintCache *c, const char *name) {
        FOREACH_ARRAY(e, c->entries, c->n_entries)
                if (streq(e->name, name))
                        return e->blueprint;

        return NULL;
}

ServiceKind blueprint_cache_service_kind(
                const BlueprintCache *c, const char *blueprint, const char *service) {
        const Blueprint *b = blueprint_cache_find(c, blueprint);
        const BlueprintService *s = b ? blueprint_find_service(b, service) : NULL;

        return s ? s->kind : SERVICE_KIND_SERVICE;
}
