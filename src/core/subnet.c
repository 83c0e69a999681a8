/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "subnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"

/* 128 bytes a line: some ten thousand routes */
#define LINE_MAX_BYTES 256
#define PROC_ROUTE_MAX (4U * 1024U * 1024U)

static const Subnet private_subnets[] = {
        { 0x0A000000, 8 },
        { 0xAC100000, 12 },
        { 0xC0A80000, 16 },
        { 0x64400000, 10 },
};

static uint32_t prefix_to_mask(uint8_t prefix) {
        return prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
}

/* Reads a decimal number up to max without sign or leading zero; *s then points behind it. */
static int parse_decimal(const char **s, uint32_t max, uint32_t *ret) {
        const char *p = *s;
        uint32_t value = 0;

        if (*p < '0' || *p > '9' || (p[0] == '0' && p[1] >= '0' && p[1] <= '9'))
                return -EINVAL;

        for (; *p >= '0' && *p <= '9'; p++) {
                value = value * 10 + (uint32_t) (*p - '0');
                if (value > max)
                        return -EINVAL;
        }

        *s = p;
        *ret = value;
        return 0;
}

int subnet_parse(const char *s, Subnet *ret) {
        uint32_t address = 0, part;
        int r;

        for (unsigned i = 0; i < 4; i++) {
                r = parse_decimal(&s, 255, &part);
                if (r < 0)
                        return r;
                if (*s++ != (i < 3 ? '.' : '/'))
                        return -EINVAL;
                address = address << 8 | part;
        }

        r = parse_decimal(&s, 32, &part);
        if (r < 0)
                return r;
        if (*s || (address & ~prefix_to_mask((uint8_t) part)))
                return -EINVAL;

        *ret = (Subnet) { .address = address, .prefix = (uint8_t) part };
        return 0;
}

static int format_address(char *buf, size_t size, uint32_t a) {
        return snprintf(buf, size, "%u.%u.%u.%u", a >> 24, a >> 16 & 0xFF, a >> 8 & 0xFF, a & 0xFF);
}

const char *subnet_format(char *buf, size_t size, const Subnet *subnet) {
        int n;

        n = format_address(buf, size, subnet->address);
        (void) snprintf(buf + n, size - (size_t) n, "/%u", (unsigned) subnet->prefix);
        return buf;
}

const char *subnet_format_gateway(char *buf, size_t size, const Subnet *subnet) {
        (void) format_address(buf, size, subnet->address + 1);
        return buf;
}

bool subnet_overlaps(const Subnet *a, const Subnet *b) {
        uint32_t mask = prefix_to_mask(MIN(a->prefix, b->prefix));

        return (a->address & mask) == (b->address & mask);
}

bool subnet_contains(const Subnet *a, const Subnet *b) {
        return a->prefix <= b->prefix && subnet_overlaps(a, b);
}

bool subnet_is_private(const Subnet *subnet) {
        FOREACH_ARRAY(i, private_subnets, ELEMENTSOF(private_subnets))
                if (subnet_contains(i, subnet))
                        return true;

        return false;
}

uint32_t subnet_count(const Subnet *pool, uint8_t prefix) {
        if (prefix < pool->prefix || prefix > 32)
                return 0;
        if (prefix - pool->prefix >= 32)
                return UINT32_MAX;

        return UINT32_C(1) << (prefix - pool->prefix);
}

int subnet_nth(const Subnet *pool, uint8_t prefix, uint32_t n, Subnet *ret) {
        if (n >= subnet_count(pool, prefix))
                return -ERANGE;

        *ret = (Subnet) { .address = pool->address + (prefix == 0 ? 0 : n << (32 - prefix)),
                .prefix = prefix };
        return 0;
}

int subnet_find_free(const Subnet *pool, uint8_t prefix, const Subnet *taken, size_t n_taken, Subnet *ret) {
        Subnet candidate;

        for (uint32_t n = 0; subnet_nth(pool, prefix, n, &candidate) >= 0; n++) {
                bool found = false;

                for (size_t i = 0; i < n_taken && !found; i++)
                        found = subnet_overlaps(&candidate, taken + i);
                if (!found) {
                        *ret = candidate;
                        return 0;
                }
        }

        return -EADDRNOTAVAIL;
}

/* One line, without its end. Returns 1, or 0 for the default route. */
static int route_parse(const char *line, Route *ret) {
        unsigned destination, mask;

        /* Iface Destination Gateway Flags RefCnt Use Metric Mask …, addresses in network order read as a number of
         * this machine */
        if (sscanf(line, "%15s %8x %*8x %*4x %*d %*u %*d %8x", ret->interface, &destination, &mask) != 3)
                return -EBADMSG;

        ret->subnet.address = ntohl(destination & mask);
        mask = ntohl(mask);
        ret->subnet.prefix = (uint8_t) __builtin_popcount(mask);
        if (mask != prefix_to_mask(ret->subnet.prefix))
                return -EBADMSG;

        return ret->subnet.prefix > 0;
}

int routes_from_text(const char *text, Route **ret, size_t *ret_n) {
        _cleanup_free_ Route *routes = NULL;
        size_t n = 0, n_allocated = 0;
        const char *end;
        int r;

        if (!startswith(text, "Iface"))
                return -EBADMSG;

        for (const char *line = strchr(text, '\n'); line && line[1]; line = end) {
                char copy[LINE_MAX_BYTES];

                /* In a copy, since sscanf() would measure all of the rest for each line. */
                line++;
                end = strchr(line, '\n');
                (void) snprintf(copy, sizeof(copy), "%.*s", end ? (int) MIN(end - line, LINE_MAX_BYTES) : -1,
                                line);

                if (!GREEDY_REALLOC(routes, n_allocated, n + 1))
                        return -ENOMEM;
                r = route_parse(copy, routes + n);
                if (r < 0)
                        return r;
                n += r > 0;
        }

        *ret = TAKE_PTR(routes);
        *ret_n = n;
        return 0;
}

int subnets_from_route_text(const char *text, Subnet **ret, size_t *ret_n) {
        _cleanup_free_ Route *routes = NULL;
        Subnet *subnets = NULL;
        size_t n;
        int r;

        r = routes_from_text(text, &routes, &n);
        if (r < 0)
                return r;

        if (n > 0) {
                subnets = new0(Subnet, n);
                if (!subnets)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < n; i++)
                subnets[i] = routes[i].subnet;

        *ret = subnets;
        *ret_n = n;
        return 0;
}

static int read_route_text(char **ret) {
        _cleanup_close_ int fd = -EBADF;

        fd = open("/proc/net/route", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;

        return read_full_fd(fd, PROC_ROUTE_MAX, ret, NULL);
}

int routes_read(Route **ret, size_t *ret_n) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_route_text(&text);
        return r < 0 ? r : routes_from_text(text, ret, ret_n);
}

int subnets_read_routes(Subnet **ret, size_t *ret_n) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_route_text(&text);
        return r < 0 ? r : subnets_from_route_text(text, ret, ret_n);
}
