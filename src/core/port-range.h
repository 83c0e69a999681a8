/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* TCP ports: ranges that ports are allocated from, sets of ports, and which ports this host listens on. */

#include "error.h"

/* Ports below are the host's own services, even while those happen not to run. */
#define PORT_MIN 1024U
#define PORT_MAX 65535U
#define PORT_RANGE_TEXT_MAX STRLEN("65535-65535") + 1

typedef struct PortRange {
        uint16_t first, last;
} PortRange;

typedef struct NamedPortRange {
        const char *name;
        PortRange range;
} NamedPortRange;

/* The ranges that every host has, unless its settings say otherwise. */
extern const NamedPortRange port_range_defaults[];
extern const size_t n_port_range_defaults;

/* "FIRST-LAST", or one port. -EINVAL for other text, -ERANGE if out of bounds or the wrong way round. */
int port_range_parse(const char *s, PortRange *ret);
const char *port_range_format(char *buf, size_t size, const PortRange *range);
/* A name from 'named', or else FIRST-LAST. Fails with InvalidArgument naming the ranges that there are. */
int port_range_resolve(
                const char *s, const NamedPortRange *named, size_t n_named, PortRange *ret, Error *reterr);

/* One bit for each port. Initialize with {}. 8 KiB: keep it off small stacks. */
typedef struct PortSet {
        uint64_t words[(PORT_MAX + 1) / 64];
} PortSet;

void port_set_add(PortSet *set, uint16_t port);
bool port_set_contains(const PortSet *set, uint16_t port);

/* Adds the ports that are listened on, on whatever address, to the set. 'text' is what /proc/net/tcp or
 * /proc/net/tcp6 holds. -EBADMSG if it is anything else; the set may then hold a part. */
int port_set_add_listening_text(PortSet *set, const char *text);
/* The same from these two files: those of the network namespace that this process is in. */
int port_set_add_listening(PortSet *set);
