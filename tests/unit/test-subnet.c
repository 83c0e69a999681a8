/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "string-util.h"
#include "subnet.h"
#include "test.h"

#define ROUTE_HEAD "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"

static Subnet parse(const char *s) {
        Subnet subnet;

        ck_assert_msg(subnet_parse(s, &subnet) >= 0, "%s", s);
        return subnet;
}

START_TEST(subnets_survive_the_round_trip) {
        static const char *const texts[] = { "0.0.0.0/0", "10.200.0.0/15", "10.200.0.64/26",
                "255.255.255.255/32", "192.168.1.0/24" };

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts)) {
                Subnet s = parse(*t);

                ck_assert_str_eq(SUBNET_FORMAT(&s), *t);
        }
}
END_TEST

START_TEST(malformed_subnets_are_refused) {
        static const char *const texts[] = { "", "10.0.0.0", "10.0.0.0/", "10.0.0/8", "10.0.0.0/33",
                "10.0.0.0/08", "256.0.0.0/8", "10.0.0.0/8 ", " 10.0.0.0/8", "10.0.0.1/8", "010.0.0.0/8",
                "10.0.0.0.0/8", "10.0.0.0/-1", "0x0a.0.0.0/8", "10.0.0.0/99999999999999999999", "::/0" };
        Subnet s;

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts))
                ck_assert_msg(subnet_parse(*t, &s) == -EINVAL, "%s", *t);
}
END_TEST

START_TEST(a_pool_is_cut_into_parts) {
        Subnet pool = parse(SUBNET_POOL_DEFAULT), s;

        ck_assert_uint_eq(subnet_count(&pool, 26), 2048);
        ASSERT_OK(subnet_nth(&pool, 26, 1, &s));
        ck_assert_str_eq(SUBNET_FORMAT(&s), "10.200.0.64/26");
        ck_assert_str_eq(SUBNET_FORMAT_GATEWAY(&s), "10.200.0.65");
        ASSERT_OK(subnet_nth(&pool, 26, 2047, &s));
        ck_assert_str_eq(SUBNET_FORMAT(&s), "10.201.255.192/26");
        ASSERT_ERROR(subnet_nth(&pool, 26, 2048, &s), ERANGE);
        ck_assert_uint_eq(subnet_count(&pool, 14), 0);
        ASSERT_ERROR(subnet_nth(&pool, 14, 0, &s), ERANGE);
}
END_TEST

START_TEST(overlap_is_seen_whichever_is_the_larger) {
        Subnet a = parse("10.0.0.0/8"), b = parse("10.200.0.64/26"), c = parse("11.0.0.0/8"),
               all = parse("0.0.0.0/0");

        ck_assert(subnet_overlaps(&a, &b) && subnet_overlaps(&b, &a));
        ck_assert(!subnet_overlaps(&a, &c));
        ck_assert(subnet_overlaps(&all, &c));
        ck_assert(subnet_contains(&a, &b) && !subnet_contains(&b, &a));
        ck_assert(subnet_contains(&a, &a));
}
END_TEST

START_TEST(private_subnets_are_known) {
        static const char *const yes[] = { "10.200.0.0/15", "172.16.0.0/12", "192.168.7.0/24",
                "100.64.0.0/10" };
        static const char *const no[] = { "8.8.8.0/24", "172.32.0.0/16", "10.0.0.0/7", "0.0.0.0/0" };

        FOREACH_ARRAY(t, yes, ELEMENTSOF(yes)) {
                Subnet s = parse(*t);

                ck_assert_msg(subnet_is_private(&s), "%s", *t);
        }
        FOREACH_ARRAY(t, no, ELEMENTSOF(no)) {
                Subnet s;

                if (subnet_parse(*t, &s) >= 0)
                        ck_assert_msg(!subnet_is_private(&s), "%s", *t);
        }
}
END_TEST

START_TEST(free_subnets_avoid_what_is_taken) {
        Subnet pool = parse("10.200.0.0/24"), taken[3], s;

        taken[0] = parse("10.200.0.0/26");
        taken[1] = parse("10.200.0.64/30");
        taken[2] = parse("10.200.0.128/25");
        ASSERT_OK(subnet_find_free(&pool, 26, taken, 1, &s));
        ck_assert_str_eq(SUBNET_FORMAT(&s), "10.200.0.64/26");
        ASSERT_ERROR(subnet_find_free(&pool, 26, taken, 3, &s), EADDRNOTAVAIL);
        ASSERT_OK(subnet_find_free(&pool, 30, taken, 3, &s));
        ck_assert_str_eq(SUBNET_FORMAT(&s), "10.200.0.68/30");
}
END_TEST

START_TEST(routes_are_read_without_the_default) {
        _cleanup_free_ Subnet *routes = NULL;
        size_t n;

        /* As a little-endian machine prints it */
        if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
                return;

        ASSERT_OK(subnets_from_route_text(ROUTE_HEAD
                        "eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0                    \n"
                        "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0                 \n"
                        "br-1\t4000C80A\t00000000\t0001\t0\t0\t0\tC0FFFFFF\t0\t0\t0                    \n",
                        &routes, &n));
        ck_assert_uint_eq(n, 2);
        ck_assert_str_eq(SUBNET_FORMAT(routes), "172.17.0.0/16");
        ck_assert_str_eq(SUBNET_FORMAT(routes + 1), "10.200.0.64/26");
}
END_TEST

START_TEST(other_route_text_is_refused) {
        static const char *const texts[] = { "", "x", ROUTE_HEAD "eth0\n", ROUTE_HEAD "\n",
                ROUTE_HEAD "a b c d e f g h\n",
                ROUTE_HEAD "eth0\t00000001\t00000000\t0001\t0\t0\t0\t00FF00FF\t0\t0\t0\n" };
        Subnet *routes = NULL;
        size_t n;

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts))
                ASSERT_ERROR(subnets_from_route_text(*t, &routes, &n), EBADMSG);
        ASSERT_OK(subnets_from_route_text(ROUTE_HEAD, &routes, &n));
        ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(this_hosts_routes_can_be_read) {
        _cleanup_free_ Subnet *routes = NULL;
        size_t n;

        ASSERT_OK(subnets_read_routes(&routes, &n));
}
END_TEST

TESTS("subnet", subnets_survive_the_round_trip, malformed_subnets_are_refused, a_pool_is_cut_into_parts,
                overlap_is_seen_whichever_is_the_larger, private_subnets_are_known,
                free_subnets_avoid_what_is_taken, routes_are_read_without_the_default,
                other_route_text_is_refused, this_hosts_routes_can_be_read)
