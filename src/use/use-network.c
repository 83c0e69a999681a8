/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "use-network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/types.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "use-number.h"

/* A line has some 120 bytes, and each container one. */
#define PROC_DEV_MAX (16U * 1024U * 1024U)
#define PROC_CGROUP_MAX (64U * 1024U)
/* Of a line of /proc/net/dev: those that count bytes, among 16 */
#define COLUMN_RECEIVED 0U
#define COLUMN_SENT 8U

/* "  eth0: BYTES PACKETS ERRORS DROPPED FIFO FRAME COMPRESSED MULTICAST BYTES …" */
static int parse_interface(const char *line, NetworkInterface *ret) {
        const char *name = line + strspn(line, " "), *end = name + strcspn(name, ":\n");
        uint64_t n;

        if (*end != ':' || end == name || (size_t) (end - name) >= sizeof(ret->name))
                return -EBADMSG;
        *ret = (NetworkInterface) {};
        memcpy(ret->name, name, (size_t) (end - name));

        end++;
        for (unsigned column = 0; column <= COLUMN_SENT; column++) {
                end += strspn(end, " ");
                if (number_parse(&end, &n) < 0 || !IN_SET(*end, ' ', '\n', 0))
                        return -EBADMSG;
                if (column == COLUMN_RECEIVED)
                        ret->received = n;
                else if (column == COLUMN_SENT)
                        ret->sent = n;
        }
        return 0;
}

int network_interfaces_from_text(const char *text, NetworkInterface **ret, size_t *ret_n) {
        _cleanup_free_ NetworkInterface *interfaces = NULL;
        size_t n = 0, n_allocated = 0;
        int r;

        if (!startswith(text, "Inter-|"))
                return -EBADMSG;

        /* Two lines of heading. */
        for (unsigned i = 0; i < 2; i++) {
                text += strcspn(text, "\n");
                if (!*text)
                        return -EBADMSG;
                text++;
        }

        for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
                if (!GREEDY_REALLOC(interfaces, n_allocated, n + 1))
                        return -ENOMEM;
                r = parse_interface(text, interfaces + n);
                if (r < 0)
                        return r;
                n++;
        }

        *ret = TAKE_PTR(interfaces);
        *ret_n = n;
        return 0;
}

static int route_compare(const void *a, const void *b) {
        const Subnet *x = &((const Route *) a)->subnet, *y = &((const Route *) b)->subnet;

        if (x->address != y->address)
                return x->address < y->address ? -1 : 1;
        return (int) x->prefix - (int) y->prefix;
}

static int interface_compare(const void *a, const void *b) {
        return strcmp(((const NetworkInterface *) a)->name, ((const NetworkInterface *) b)->name);
}

void network_snapshot_init(NetworkSnapshot *s, Route *routes, size_t n_routes, NetworkInterface *interfaces,
                size_t n_interfaces) {
        *s = (NetworkSnapshot) { routes, n_routes, interfaces, n_interfaces };
        if (n_routes > 0)
                qsort(routes, n_routes, sizeof(*routes), route_compare);
        if (n_interfaces > 0)
                qsort(interfaces, n_interfaces, sizeof(*interfaces), interface_compare);
}

void network_snapshot_done(NetworkSnapshot *s) {
        free(s->routes);
        free(s->interfaces);
        *s = (NetworkSnapshot) {};
}

static int read_text_at(int dirfd, const char *path, size_t max, char **ret) {
        _cleanup_close_ int fd = -EBADF;

        fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : read_full_fd(fd, max, ret, NULL);
}

int network_snapshot_read(NetworkSnapshot *ret) {
        _cleanup_free_ NetworkInterface *interfaces = NULL;
        _cleanup_free_ Route *routes = NULL;
        _cleanup_free_ char *text = NULL;
        size_t n_interfaces, n_routes;
        int r;

        r = read_text_at(AT_FDCWD, "/proc/net/dev", PROC_DEV_MAX, &text);
        if (r >= 0)
                r = network_interfaces_from_text(text, &interfaces, &n_interfaces);
        if (r >= 0)
                r = routes_read(&routes, &n_routes);
        if (r < 0)
                return r;

        network_snapshot_init(ret, TAKE_PTR(routes), n_routes, TAKE_PTR(interfaces), n_interfaces);
        return 0;
}

/* The first route that does not lie before the subnet. */
static size_t first_route(const NetworkSnapshot *s, const Subnet *subnet) {
        size_t low = 0, high = s->n_routes;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (s->routes[middle].subnet.address < subnet->address)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

void network_snapshot_get(const NetworkSnapshot *s, const Subnet *subnet, Use *u) {
        uint64_t *received = u->values + USE_NETWORK_RECEIVED, *sent = u->values + USE_NETWORK_SENT;

        *received = *sent = USE_UNKNOWN;
        for (size_t i = first_route(s, subnet); i < s->n_routes; i++) {
                const NetworkInterface *found;
                NetworkInterface key = {};

                if (!subnet_overlaps(subnet, &s->routes[i].subnet))
                        break;
                if (!subnet_contains(subnet, &s->routes[i].subnet) || s->n_interfaces == 0)
                        continue;

                memcpy(key.name, s->routes[i].interface, sizeof(key.name));
                found = bsearch(&key, s->interfaces, s->n_interfaces, sizeof(key), interface_compare);
                if (!found)
                        continue;
                /* What the host sends into a bridge is what the instance receives. */
                *received = (*received == USE_UNKNOWN ? 0 : *received) + found->sent;
                *sent = (*sent == USE_UNKNOWN ? 0 : *sent) + found->received;
        }
}

void network_read_process(pid_t pid, const char *container, Use *u) {
        uint64_t *received = u->values + USE_NETWORK_RECEIVED, *sent = u->values + USE_NETWORK_SENT;
        _cleanup_free_ NetworkInterface *interfaces = NULL;
        _cleanup_free_ char *group = NULL, *text = NULL;
        char path[STRLEN("/proc/2147483647") + 1];
        _cleanup_close_ int fd = -EBADF;
        size_t n;

        *received = *sent = USE_UNKNOWN;
        (void) snprintf(path, sizeof(path), "/proc/%i", (int) pid);
        /* What is read beneath it is of this very process, or fails. */
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || read_text_at(fd, "cgroup", PROC_CGROUP_MAX, &group) < 0 || !strstr(group, container) ||
                        read_text_at(fd, "net/dev", PROC_DEV_MAX, &text) < 0 ||
                        network_interfaces_from_text(text, &interfaces, &n) < 0)
                return;

        *received = *sent = 0;
        FOREACH_ARRAY(i, interfaces, n) {
                if (streq(i->name, "lo"))
                        continue;
                *received += i->received;
                *sent += i->sent;
        }
}
