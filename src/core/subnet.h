/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* IPv4 subnets: reading and writing them, cutting a pool into equal ones, and what this host routes. */

#include "ccp/macro.h"

/* Each instance gets a /26 of the pool. */
#define INSTANCE_SUBNET_PREFIX 26U
#define SUBNET_POOL_DEFAULT "10.200.0.0/15"
#define ROUTE_INTERFACE_MAX 16U /* IFNAMSIZ */
#define SUBNET_TEXT_MAX (STRLEN("255.255.255.255/32") + 1)

typedef struct Subnet {
        uint32_t address; /* host byte order; the bits beyond the prefix are 0 */
        uint8_t prefix;   /* 0 to 32 */
} Subnet;

/* "10.200.0.0/15". -EINVAL for any other form, also for bits set beyond the prefix. */
int subnet_parse(const char *s, Subnet *ret);
const char *subnet_format(char *buf, size_t size, const Subnet *subnet);
#define SUBNET_FORMAT(s) subnet_format((char[SUBNET_TEXT_MAX]) {}, SUBNET_TEXT_MAX, (s))
/* The first address of the subnet, as dotted text: the gateway of a docker network. */
const char *subnet_format_gateway(char *buf, size_t size, const Subnet *subnet);
#define SUBNET_FORMAT_GATEWAY(s) subnet_format_gateway((char[SUBNET_TEXT_MAX]) {}, SUBNET_TEXT_MAX, (s))

bool subnet_overlaps(const Subnet *a, const Subnet *b);
/* True if all of b lies in a. */
bool subnet_contains(const Subnet *a, const Subnet *b);
/* True if it lies in one of the ranges for private use (RFC 1918) or carrier-grade NAT (RFC 6598). */
bool subnet_is_private(const Subnet *subnet);

/* How many subnets with this prefix fit in the pool, and the n-th of them (-ERANGE beyond the last). */
uint32_t subnet_count(const Subnet *pool, uint8_t prefix);
int subnet_nth(const Subnet *pool, uint8_t prefix, uint32_t n, Subnet *ret);
/* The lowest subnet with this prefix in the pool that overlaps none of 'taken'; -EADDRNOTAVAIL if none. */
int subnet_find_free(const Subnet *pool, uint8_t prefix, const Subnet *taken, size_t n_taken, Subnet *ret);

/* Where packets for a subnet go. */
typedef struct Route {
        char interface[ROUTE_INTERFACE_MAX];
        Subnet subnet;
} Route;

/* The routes in the text of /proc/net/route, without the default route. ret is freed by the caller. -EBADMSG if it
 * is no such text. */
int routes_from_text(const char *text, Route **ret, size_t *ret_n);
/* The same from that file: those of the network namespace of this process. */
int routes_read(Route **ret, size_t *ret_n);
/* The destinations in the text of /proc/net/route, without the default route. ret is freed by the caller.
 * -EBADMSG if it is no such text. */
int subnets_from_route_text(const char *text, Subnet **ret, size_t *ret_n);
/* The same from that file: what the network namespace of this process routes. */
int subnets_read_routes(Subnet **ret, size_t *ret_n);
