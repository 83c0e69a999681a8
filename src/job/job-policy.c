/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-policy.h"

#include <errno.h>

#include "alloc-util.h"
#include "job-engine.h"
#include "policy.h"
#include "strv.h"

int job_policy_check(Job *j, int folder, const char *directory, const char *text, size_t size, json_t **ret,
                Error *reterr) {
        static char *const all_profiles[] = { (char *) "*", NULL };
        const InstanceRecord *i = job_instance(j);
        _cleanup_policy_violations_ PolicyViolations violations = {};
        _cleanup_free_ uint16_t *ports = new0(uint16_t, i->n_ports);
        _cleanup_strv_free_ char **files = NULL;
        _cleanup_json_ json_t *config = NULL;
        PolicyInput input = {
                .project = j->project,
                .directory = j->directory,
                .revision = directory,
                .compose = j->blueprint->compose,
                .bind_address = i->bind_address,
                .ports = ports,
                .n_ports = i->n_ports,
                .subnet = i->has_subnet ? &i->subnet : NULL,
                .allowed = blueprint_exceptions(j->blueprint),
        };
        EngineContext c;
        int r;

        if (!ports)
                return error_set_errnof(reterr, ENOMEM, "%m");
        for (size_t k = 0; k < i->n_ports; k++)
                ports[k] = i->ports[k].number;

        r = policy_check_text(text, size, &input, &violations, &files);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot check the policy: %m");
        r = policy_violations_to_error(&violations, reterr);
        if (r < 0)
                return r;
        input.files = files;

        c = job_engine_context(j);
        c.directory = directory;
        c.profiles = all_profiles;
        r = j->engine->config(&c, ENGINE_CONFIG_BARE, &config, reterr);
        if (r < 0)
                return r;

        r = policy_check(config, &input, &violations);
        if (r >= 0)
                r = policy_check_links(config, &input, folder, &violations);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot check the policy: %m");
        r = policy_violations_to_error(&violations, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(config);
        return 0;
}
