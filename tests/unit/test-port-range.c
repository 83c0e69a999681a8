/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fd-util.h"
#include "port-range.h"
#include "string-util.h"
#include "test.h"

#define TCP_HEAD                                                                                      \
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout " \
        "inode\n"

START_TEST(ranges_are_parsed) {
        PortRange range;
        char buf[PORT_RANGE_TEXT_MAX];

        ASSERT_OK(port_range_parse("14000-14999", &range));
        ck_assert_uint_eq(range.first, 14000);
        ck_assert_uint_eq(range.last, 14999);
        ck_assert_str_eq(port_range_format(buf, sizeof(buf), &range), "14000-14999");
        ASSERT_OK(port_range_parse("65535", &range));
        ck_assert_uint_eq(range.first, 65535);
        ck_assert_uint_eq(range.last, 65535);
}
END_TEST

START_TEST(malformed_ranges_are_refused) {
        static const struct {
                const char *text;
                int error;
        } cases[] = {
                { "", EINVAL },
                { "-", EINVAL },
                { "api", EINVAL },
                { "14000-", EINVAL },
                { "-14000", EINVAL },
                { "14000 - 14999", EINVAL },
                { "14000-14999x", EINVAL },
                { "014000-14999", EINVAL },
                { "+14000-14999", EINVAL },
                { "14000-14999-15000", EINVAL },
                { "80-90", ERANGE },
                { "1023", ERANGE },
                { "2000-65536", ERANGE },
                { "2000-99999999999999999999", ERANGE },
                { "3000-2000", ERANGE },
        };
        PortRange range = { 1, 2 };

        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases))
                ck_assert_msg(port_range_parse(c->text, &range) == -c->error, "%s", c->text);
        ck_assert_uint_eq(range.first, 1);
}
END_TEST

START_TEST(named_ranges_are_found) {
        _cleanup_error_ Error e = {};
        PortRange range;

        ASSERT_OK(port_range_resolve("postgres", port_range_defaults, n_port_range_defaults, &range, NULL));
        ck_assert_uint_eq(range.first, 15400);
        ck_assert_uint_eq(range.last, 16399);
        ASSERT_OK(port_range_resolve("2000-2001", port_range_defaults, n_port_range_defaults, &range, NULL));
        ck_assert_uint_eq(range.last, 2001);
        ASSERT_ERROR(port_range_resolve("nosuch", port_range_defaults, n_port_range_defaults, &range, &e),
                        EINVAL);
        ck_assert_ptr_nonnull(strstr(e.message, "api, admin, postgres, nginx"));
}
END_TEST

START_TEST(default_ranges_do_not_overlap) {
        for (size_t i = 0; i < n_port_range_defaults; i++)
                for (size_t j = 0; j < i; j++) {
                        const PortRange *a = &port_range_defaults[i].range,
                                        *b = &port_range_defaults[j].range;

                        ck_assert(a->last < b->first || b->last < a->first);
                }
}
END_TEST

START_TEST(listening_sockets_are_read) {
        static const char text[] = TCP_HEAD "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 "
                                            "00:00000000 00000000   111        0 22\n"
                                            "   1: 0100007F:A1B2 0100007F:1538 01 00000000:00000000 "
                                            "00:00000000 00000000     0        0 23\n"
                                            "  10: 00000000000000000000000001000000:FFFF "
                                            "00000000000000000000000000000000:0000 0A 00000000:0 1\n";
        PortSet set = {};

        ASSERT_OK(port_set_add_listening_text(&set, text));
        ck_assert(port_set_contains(&set, 0x1538));
        ck_assert(port_set_contains(&set, 0xFFFF));
        ck_assert(!port_set_contains(&set, 0xA1B2));
}
END_TEST

START_TEST(other_text_is_refused) {
        static const char *const texts[] = { "", "nonsense", TCP_HEAD "x\n", TCP_HEAD "   0: zz:1 00:0 0A\n",
                TCP_HEAD "   0: 0100007F:1538\n", TCP_HEAD "\n\n" };
        PortSet set = {};

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts))
                ASSERT_ERROR(port_set_add_listening_text(&set, *t), EBADMSG);
        ASSERT_OK(port_set_add_listening_text(&set, TCP_HEAD));
}
END_TEST

START_TEST(a_port_that_we_listen_on_is_seen) {
        _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        socklen_t n = sizeof(a);
        PortSet set = {};

        ASSERT_OK(bind(fd, (struct sockaddr *) &a, sizeof(a)));
        ASSERT_OK(listen(fd, 1));
        ASSERT_OK(getsockname(fd, (struct sockaddr *) &a, &n));
        ASSERT_OK(port_set_add_listening(&set));
        ck_assert(port_set_contains(&set, ntohs(a.sin_port)));
}
END_TEST

TESTS("port-range", ranges_are_parsed, malformed_ranges_are_refused, named_ranges_are_found,
                default_ranges_do_not_overlap, listening_sockets_are_read, other_text_is_refused,
                a_port_that_we_listen_on_is_seen)
