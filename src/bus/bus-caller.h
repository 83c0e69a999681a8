/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Who is at the other end of a connection: asked of the bus once for each, kept until it is gone. User and
 * groups come from the bus, which has them from the kernel, as of the moment of the connection. What is read
 * from /proc and logind besides is for the record, never for a decision. */

#include <systemd/sd-bus.h>

#include "audit.h"
#include "bus-signal.h"
#include "hash.h"
#include "role.h"

typedef struct Callers Callers;
typedef struct Caller Caller;

/* Verdicts of polkit that a caller may use again for a moment; see bus-auth.c. */
#define CALLER_VERDICTS_MAX 16U
typedef struct CallerVerdict {
        const char *action, *verb;
        char instance[64]; /* slug */
        Role role;
        uint64_t until; /* monotonic µs */
} CallerVerdict;

typedef enum CallerState {
        CALLER_QUEUED, /* the bus is still to be asked */
        CALLER_ASKED,
        CALLER_NAMED, /* names are being looked up */
        CALLER_KNOWN,
} CallerState;

struct Caller {
        Callers *callers;
        char *name; /* its unique name on the bus */
        CallerState state;
        UT_hash_handle hh;

        Subject subject;
        AuditActor actor; /* points into the rest */
        char *user, *process, *unit, *session, *remote_host;

        /* Those of all grants that are his, as of a generation of the grants; see ccpd-access.c. */
        const RoleGrant **grants;
        size_t n_grants;
        uint64_t grants_generation;

        bool subscribed;    /* to signals */
        BusTold told;       /* of the properties of the whole, which differ by who looks */
        unsigned n_pending; /* calls that wait for a decision */
        CallerVerdict verdicts[CALLER_VERDICTS_MAX];
        unsigned next_verdict;

        sd_bus_slot *slot;
        struct UserLookupRequest *lookup;
};

/* It became known (r = 0), or could not be found out (r < 0; it is freed after the call). */
typedef void (*caller_known_handler_t)(Caller *c, int r, void *userdata);
/* It left the bus; it is freed after the call. */
typedef void (*caller_gone_handler_t)(Caller *c, void *userdata);

typedef struct UserLookup UserLookup;
int callers_new(sd_bus *bus, UserLookup *lookup, caller_known_handler_t known, caller_gone_handler_t gone,
                void *userdata, Callers **ret);
Callers *callers_free(Callers *l);
DEFINE_CLEANUP_FUNC(Callers *, callers_free);

/* Returns 1 if it is known, 0 if that is being found out: the handler tells. -ENOBUFS if there are too many
 * already. */
int callers_get(Callers *l, const char *name, Caller **ret);
/* NULL for one that is not known (yet). */
Caller *callers_find(const Callers *l, const char *name);
/* In the order in which they came. */
Caller *callers_first(const Callers *l);

/* Forgets the verdicts of all. */
void callers_forget_verdicts(Callers *l);
