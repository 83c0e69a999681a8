/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "use-network.h"

#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "string-util.h"
#include "test.h"

#define DEV_HEAD                                                                                        \
        "Inter-|   Receive                                                |  Transmit\n"                \
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop " \
        "fifo colls carrier "                                                                           \
        "compressed\n"
#define ROUTE_HEAD "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"

static const char dev_text[] = DEV_HEAD "    lo:  100       1    0    0    0     0          0         0     "
                                        " 100       1    0    0    0     0       0          0\n"
                                        "  eth0: 1       1    0    0    0     0          0         0      2 "
                                        "      1    0    0    0     0       0          0\n"
                                        "br-aaaaaaaaaaaa: 1000 9 0 0 0 0 0 0 2000 9 0 0 0 0 0 0\n"
                                        "br-bbbbbbbbbbbb: 30 9 0 0 0 0 0 0 40 9 0 0 0 0 0 0\n";
/* 10.200.0.0/27 and 10.200.0.32/27 of one instance, 10.200.0.64/26 of another, and a default route */
static const char route_text[] =
                ROUTE_HEAD "eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
                           "br-aaaaaaaaaaaa\t0000C80A\t00000000\t0001\t0\t0\t0\tE0FFFFFF\t0\t0\t0\n"
                           "br-bbbbbbbbbbbb\t2000C80A\t00000000\t0001\t0\t0\t0\tE0FFFFFF\t0\t0\t0\n"
                           "br-gone\t4000C80A\t00000000\t0001\t0\t0\t0\tC0FFFFFF\t0\t0\t0\n";

START_TEST(interfaces_are_read) {
        _cleanup_free_ NetworkInterface *l = NULL;
        size_t n;

        ASSERT_OK(network_interfaces_from_text(dev_text, &l, &n));
        ck_assert_uint_eq(n, 4);
        ck_assert_str_eq(l[0].name, "lo");
        ck_assert_str_eq(l[2].name, "br-aaaaaaaaaaaa");
        ck_assert_uint_eq(l[2].received, 1000);
        ck_assert_uint_eq(l[2].sent, 2000);
}
END_TEST

START_TEST(what_is_no_list_of_interfaces_is_refused) {
        static const char *const texts[] = { "", "Inter-|", "Inter-|\n", "nonsense\n\n", DEV_HEAD "eth0\n",
                DEV_HEAD "eth0: \n", DEV_HEAD "eth0: 1 2 3\n", DEV_HEAD ": 1 0 0 0 0 0 0 0 1\n",
                DEV_HEAD "a-name-that-is-too-long: 1 0 0 0 0 0 0 0 1\n",
                DEV_HEAD "eth0: x 0 0 0 0 0 0 0 1\n",
                DEV_HEAD "eth0: 99999999999999999999 0 0 0 0 0 0 0 1\n" };
        NetworkInterface *l;
        size_t n;

        FOREACH_ARRAY(text, texts, ELEMENTSOF(texts))
                ck_assert_msg(network_interfaces_from_text(*text, &l, &n) == -EBADMSG, "%s", *text);
}
END_TEST

static void get(const char *subnet, Use *u) {
        _cleanup_network_snapshot_ NetworkSnapshot s = {};
        NetworkInterface *interfaces;
        size_t n_interfaces, n_routes;
        Route *routes;
        Subnet parsed;

        ASSERT_OK(network_interfaces_from_text(dev_text, &interfaces, &n_interfaces));
        ASSERT_OK(routes_from_text(route_text, &routes, &n_routes));
        ck_assert_uint_eq(n_routes, 3);
        network_snapshot_init(&s, routes, n_routes, interfaces, n_interfaces);
        ASSERT_OK(subnet_parse(subnet, &parsed));
        use_reset(u);
        u->time = 1;
        network_snapshot_get(&s, &parsed, u);
}

START_TEST(an_instance_has_the_bridges_in_its_subnet) {
        Use u;

        /* The bridge sends what the instance receives. */
        get("10.200.0.0/26", &u);
        ck_assert_uint_eq(use_get(&u, USE_NETWORK_RECEIVED), 2040);
        ck_assert_uint_eq(use_get(&u, USE_NETWORK_SENT), 1030);
        get("10.200.0.32/27", &u);
        ck_assert_uint_eq(use_get(&u, USE_NETWORK_RECEIVED), 40);
}
END_TEST

START_TEST(without_a_bridge_nothing_is_known) {
        static const char *const subnets[] = { "10.200.0.64/26", "10.200.0.128/26", "10.0.0.0/26",
                "192.168.0.0/24", "10.200.0.0/28" };
        Use u;

        FOREACH_ARRAY(s, subnets, ELEMENTSOF(subnets)) {
                get(*s, &u);
                ck_assert_msg(use_get(&u, USE_NETWORK_RECEIVED) == USE_UNKNOWN, "%s", *s);
        }
}
END_TEST

START_TEST(a_process_counts_for_its_own_group_only) {
        _cleanup_free_ char *group = NULL;
        Use u = { .time = 1 };
        char *name;
        FILE *f;
        size_t size = 0;

        network_read_process(getpid(), "not-our-group", &u);
        ck_assert_uint_eq(use_get(&u, USE_NETWORK_SENT), USE_UNKNOWN);
        network_read_process(INT32_MAX, "", &u);
        ck_assert_uint_eq(use_get(&u, USE_NETWORK_SENT), USE_UNKNOWN);

        f = fopen("/proc/self/cgroup", "re");
        ck_assert_ptr_nonnull(f);
        ck_assert_int_gt(getline(&group, &size, f), 0);
        (void) fclose(f);
        name = strrchr(group, ':');
        name[strcspn(name, "\n")] = 0;
        network_read_process(getpid(), name, &u);
        ck_assert_uint_ne(use_get(&u, USE_NETWORK_SENT), USE_UNKNOWN);
}
END_TEST

START_TEST(this_hosts_own_files_are_understood) {
        _cleanup_network_snapshot_ NetworkSnapshot s = {};

        ASSERT_OK(network_snapshot_read(&s));
        ck_assert_uint_gt(s.n_interfaces, 0);
}
END_TEST

TESTS("use-network", interfaces_are_read, what_is_no_list_of_interfaces_is_refused,
                an_instance_has_the_bridges_in_its_subnet, without_a_bridge_nothing_is_known,
                a_process_counts_for_its_own_group_only, this_hosts_own_files_are_understood)
