/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "port-range.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "strv.h"
#include "validate.h"

/* About 150 bytes a line: enough for some hundred thousand sockets. */
#define PROC_NET_MAX (64U * 1024U * 1024U)
/* A line, as far as it matters */
#define LINE_MAX_BYTES 256
/* TCP_LISTEN in the st column */
#define STATE_LISTEN 0x0AU

const NamedPortRange port_range_defaults[] = {
        { "api", { 14000, 14999 } },
        { "admin", { 13000, 13999 } },
        { "postgres", { 15400, 16399 } },
        { "nginx", { 10000, 10999 } },
};
const size_t n_port_range_defaults = ELEMENTSOF(port_range_defaults);

/* Reads a decimal number without sign or leading zero; *s then points behind it. */
static int parse_port(const char **s, uint16_t *ret) {
        uint32_t value = 0;
        const char *p = *s;

        if (*p < '1' || *p > '9')
                return -EINVAL;

        for (; *p >= '0' && *p <= '9'; p++) {
                value = value * 10 + (uint32_t) (*p - '0');
                if (value > PORT_MAX)
                        return -ERANGE;
        }
        if (value < PORT_MIN)
                return -ERANGE;

        *s = p;
        *ret = (uint16_t) value;
        return 0;
}

int port_range_parse(const char *s, PortRange *ret) {
        PortRange range;
        int r;

        r = parse_port(&s, &range.first);
        if (r < 0)
                return r;

        range.last = range.first;
        if (*s == '-') {
                s++;
                r = parse_port(&s, &range.last);
                if (r < 0)
                        return r;
        }
        if (*s)
                return -EINVAL;
        if (range.last < range.first)
                return -ERANGE;

        *ret = range;
        return 0;
}

const char *port_range_format(char *buf, size_t size, const PortRange *range) {
        (void) snprintf(buf, size, "%u-%u", (unsigned) range->first, (unsigned) range->last);
        return buf;
}

int port_range_resolve(
                const char *s, const NamedPortRange *named, size_t n_named, PortRange *ret, Error *reterr) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *list = NULL;
        int r;

        FOREACH_ARRAY(i, named, n_named) {
                if (streq(i->name, s)) {
                        *ret = i->range;
                        return 0;
                }

                r = strv_extend(&names, i->name);
                if (r < 0)
                        return r;
        }

        r = port_range_parse(s, ret);
        if (r >= 0)
                return 0;

        list = strv_join(names, ", ");
        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                        "'%s' is no port range: it is FIRST-LAST with ports from %u to %u, or one of the "
                        "named ranges (%s).",
                        TEXT_FOR_ERROR(s), PORT_MIN, PORT_MAX, strempty(list));
}

void port_set_add(PortSet *set, uint16_t port) {
        set->words[port / 64] |= UINT64_C(1) << (port % 64);
}

bool port_set_contains(const PortSet *set, uint16_t port) {
        return set->words[port / 64] & UINT64_C(1) << (port % 64);
}

int port_set_add_listening_text(PortSet *set, const char *text) {
        const char *line = strchr(text, '\n'), *end;

        /* The first line names the columns. */
        if (!startswith(text, "  sl  local_address"))
                return -EBADMSG;

        for (; line && line[1]; line = end) {
                char copy[LINE_MAX_BYTES];
                unsigned port, state;

                /* In a copy, since sscanf() would measure all of the rest for each line. */
                line++;
                end = strchr(line, '\n');
                (void) snprintf(copy, sizeof(copy), "%.*s", end ? (int) MIN(end - line, LINE_MAX_BYTES) : -1,
                                line);

                /* "   0: 0100007F:1538 00000000:0000 0A …", the address as 8 or 32 hexadecimal digits */
                if (sscanf(copy, " %*u: %*32[0-9A-F]:%4x %*32[0-9A-F]:%*4x %2x ", &port, &state) != 2)
                        return -EBADMSG;
                if (state == STATE_LISTEN)
                        port_set_add(set, (uint16_t) port);
        }

        return 0;
}

int port_set_add_listening(PortSet *set) {
        static const char *const paths[] = { "/proc/net/tcp", "/proc/net/tcp6" };

        FOREACH_ARRAY(path, paths, ELEMENTSOF(paths)) {
                _cleanup_close_ int fd = -EBADF;
                _cleanup_free_ char *text = NULL;
                int r;

                fd = open(*path, O_RDONLY | O_CLOEXEC);
                if (fd < 0) {
                        /* A kernel without IPv6 has no tcp6. */
                        if (errno == ENOENT && path != paths)
                                continue;
                        return -errno;
                }

                r = read_full_fd(fd, PROC_NET_MAX, &text, NULL);
                if (r < 0)
                        return r;

                r = port_set_add_listening_text(set, text);
                if (r < 0)
                        return r;
        }

        return 0;
}
