/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "health-probe.h"

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "redact.h"
#include "string-util.h"

#define OUTPUT_IN_REASON_MAX 200

/* In a job, somebody waits for the command, and may read what it says: without the secrets. */
static int add_output(const EngineContext *c, const Probe *p, char **reason) {
        _cleanup_erase_ char *redacted = NULL;
        char *text;
        int r;

        if (isempty(p->output))
                return 0;
        r = redact(p->output, c->redact, &redacted);
        if (r < 0)
                return r;
        if (asprintf(&text, "%s: %.*s", *reason, OUTPUT_IN_REASON_MAX, redacted) < 0)
                return -ENOMEM;

        utf8_make_valid(text);
        free(*reason);
        *reason = text;
        return 0;
}

static int probe_reason(const EngineContext *c, Probe *p, char **ret) {
        int r;

        if (p->outcome == PROBE_UNKNOWN) {
                *ret = strdup("can't be asked now");
                return *ret ? 0 : -ENOMEM;
        }

        r = add_output(c, p, &p->reason);
        if (r >= 0)
                *ret = TAKE_PTR(p->reason);
        return r;
}

int health_probe(const EngineContext *c, const HealthTarget *target, const char *container,
                ProbeResult *ret_seen, char **ret_reason, Error *reterr) {
        const ProbeOptions options = { .docker = c->docker, .poll = c->poll, .userdata = c->userdata };
        Probe p = {
                .health = &target->service->health,
                .address = target->address,
                .port = target->port,
                .host = target->host,
                .container = container,
                .wants_output = true,
        };
        int r;

        if (!health_is_probed(target->service))
                return 1;

        r = probes_run(&options, &p, 1);
        if (r >= 0 && p.outcome != PROBE_GOOD)
                r = probe_reason(c, &p, ret_reason);
        else if (r >= 0) {
                if (ret_seen)
                        *ret_seen = (ProbeResult) { .good = true, .at = p.begun_at, .latency = p.latency };
                r = 1;
        }
        probe_done(&p);

        if (r == -ECANCELED)
                return error_setf(reterr, CCP_ERROR_CANCELLED, "The work was cancelled.");
        if (r < 0)
                return error_set_errnof(
                                reterr, r, "Cannot look at the service '%s': %m", target->service->name);
        return r;
}
