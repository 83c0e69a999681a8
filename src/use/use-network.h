/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What goes over the networks of instances and containers, as the kernel's interfaces count it. */

#include "subnet.h"
#include "use.h"

typedef struct NetworkInterface {
        char name[ROUTE_INTERFACE_MAX];
        uint64_t received, sent; /* bytes, from the interface's side */
} NetworkInterface;

/* The interfaces in the text of /proc/net/dev, in its order. ret is freed by the caller. -EBADMSG if it is no such
 * text. */
int network_interfaces_from_text(const char *text, NetworkInterface **ret, size_t *ret_n);

/* This host's routes and interfaces in one moment. */
typedef struct NetworkSnapshot {
        Route *routes; /* by subnet */
        size_t n_routes;
        NetworkInterface *interfaces; /* by name */
        size_t n_interfaces;
} NetworkSnapshot;

int network_snapshot_read(NetworkSnapshot *ret);
/* Takes the arrays, and sorts them. */
void network_snapshot_init(NetworkSnapshot *s, Route *routes, size_t n_routes, NetworkInterface *interfaces,
                size_t n_interfaces);
void network_snapshot_done(NetworkSnapshot *s);
#define _cleanup_network_snapshot_ _cleanup_(network_snapshot_done)

/* What the instance with this subnet has exchanged with what is not of it: the counters of the bridges whose
 * subnets lie in its own. Unknown if there is none. */
void network_snapshot_get(const NetworkSnapshot *s, const Subnet *subnet, Use *u);

/* The same of a container: all that went through the interfaces, but its own loopback, of the network namespace of
 * a process, which must be in the control group of the container with this id: processes end, and their numbers are
 * given to others. */
void network_read_process(pid_t pid, const char *container, Use *u);
