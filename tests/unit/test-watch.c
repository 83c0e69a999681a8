/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-watch's parts on an event loop, between a scripted Engine and a socket that stands for ccpd's. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fake-engine.h"
#include "fd-util.h"
#include "log.h"
#include "notify-proto.h"
#include "string-util.h"
#include "test.h"
#include "watch-engine.h"

#define LABELS "\"ccp.instance\":\"demo\",\"ccp.id\":\"u1\",\"com.docker.compose.service\":\"web\""
#define ITEM(id, state, status)                                                              \
        "{\"Id\":\"" id "\",\"Names\":[\"/x\"],\"State\":\"" state "\",\"Status\":\"" status \
        "\",\"Labels\":{" LABELS "}}"
#define EVENT(id, action, more)                                                     \
        "{\"Type\":\"container\",\"Action\":\"" action "\",\"Actor\":{\"ID\":\"" id \
        "\",\"Attributes\":{" LABELS more "}},\"timeNano\":1700000000000000000}\n"
#define LIST(items) { .request = "GET /containers/json", .answer = FAKE_OK("[" items "]") }
#define STEP_USEC (20 * USEC_PER_MSEC)
#define STORM_CONTAINERS 300U
#define STORM_EVENTS (STORM_CONTAINERS * 40U)
#define PATIENCE_USEC USEC_PER_MINUTE

typedef struct Fixture {
        FakeEngine engine;
        sd_event *event;
        WatchTable table;
        WatchNotify *notify;
        WatchEngine *watch;
        struct sockaddr_un address;
        int receiver;
} Fixture;

static void listen_as_ccpd(Fixture *f) {
        (void) unlink(f->address.sun_path);
        f->receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ck_assert_int_ge(bind(f->receiver, (struct sockaddr *) &f->address, sizeof(f->address)), 0);
}

static void fixture_start_silent(Fixture *f, const FakeRoute *routes, size_t n, usec_t silence) {
        log_set_target(LOG_TARGET_NULL);
        fake_engine_start(&f->engine, routes, n);
        f->address.sun_family = AF_UNIX;
        (void) snprintf(f->address.sun_path, sizeof(f->address.sun_path), "%s/notify", f->engine.directory);
        f->receiver = -EBADF;

        ASSERT_OK(sd_event_new(&f->event));
        ASSERT_OK(watch_notify_new(f->event, f->address.sun_path, &f->table, &f->notify));
        ASSERT_OK(watch_engine_new(f->event, f->engine.socket, silence, &f->table, f->notify, &f->watch));
}

static void fixture_start(Fixture *f, const FakeRoute *routes, size_t n) {
        fixture_start_silent(f, routes, n, 0);
}

static void fixture_done(Fixture *f) {
        watch_engine_free(f->watch);
        watch_notify_free(f->notify);
        watch_table_done(&f->table);
        sd_event_unref(f->event);
        safe_close(f->receiver);
        fake_engine_stop(&f->engine);
}
#define _cleanup_fixture_ _cleanup_(fixture_done)

/* Runs the loop until the next datagram; its text without what differs from run to run. Free it. */
static char *receive(Fixture *f) {
        usec_t deadline = now(CLOCK_MONOTONIC) + PATIENCE_USEC;
        char buffer[NOTIFY_DATAGRAM_MAX + 1];
        ssize_t n;
        char *p;

        for (;;) {
                n = recv(f->receiver, buffer, sizeof(buffer) - 1, 0);
                if (n >= 0)
                        break;
                ck_assert_int_eq(errno, EAGAIN);
                ck_assert_uint_lt(now(CLOCK_MONOTONIC), deadline);
                ASSERT_OK(sd_event_run(f->event, STEP_USEC));
        }

        buffer[n] = 0;
        p = strstr(buffer, "SINCE=");
        if (p)
                *p = 0;
        for (p = buffer; (p = strchr(p, '\n'));)
                *p = p[1] ? ' ' : 0;
        return strdup(buffer);
}

static void expect(Fixture *f, const char *text) {
        _cleanup_free_ char *got = receive(f);

        ck_assert_str_eq(got, text);
}

#define CONTAINER_TEXT(id, state) "INSTANCE=demo ID=u1 SERVICE=web CONTAINER=" id " STATE=" state

START_TEST(a_list_and_then_events) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                LIST(ITEM("c1", "running", "Up 3 seconds (healthy)")),
                /* It comes before the list is asked for, and goes on top of it. */
                { .request = "GET /events",
                                .answer = FAKE_OK(EVENT("c1", "die", ",\"exitCode\":\"7\"")),
                                .hang = true },
        };
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes));
        listen_as_ccpd(&f);
        watch_engine_start(f.watch);
        expect(&f, "ENGINE=available");
        expect(&f, "LIST=begin");
        expect(&f, CONTAINER_TEXT("c1", "exited") " HEALTH=none EXIT=7");
        expect(&f, "LIST=end");
}
END_TEST

/* The status of the unit, as PID 1 hears it. */
START_TEST(the_status_follows_what_is_watched) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                LIST(""),
                { .request = "GET /events", .answer = FAKE_OK(EVENT("c1", "start", "")), .hang = true },
        };
        usec_t deadline = now(CLOCK_MONOTONIC) + PATIENCE_USEC;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int pid1 = -EBADF;
        _cleanup_fixture_ Fixture f = {};
        char status[256] = "";

        fixture_start(&f, routes, ELEMENTSOF(routes));
        listen_as_ccpd(&f);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/pid1", f.engine.directory);
        pid1 = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ck_assert_int_ge(bind(pid1, (struct sockaddr *) &address, sizeof(address)), 0);
        ck_assert_int_ge(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);

        watch_engine_start(f.watch);
        while (!streq(status, "STATUS=Watching 1 container.")) {
                ssize_t n;

                ck_assert_uint_lt(now(CLOCK_MONOTONIC), deadline);
                ASSERT_OK(sd_event_run(f.event, STEP_USEC));
                n = recv(pid1, status, sizeof(status) - 1, 0);
                if (n > 0)
                        status[n] = 0;
        }
        (void) unsetenv("NOTIFY_SOCKET");
        (void) unlink(address.sun_path);
}
END_TEST

START_TEST(a_new_container_is_looked_at_for_its_healthcheck) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                LIST(""),
                { .request = "GET /containers/json?all=1&filters=%7B%22id%22",
                                .answer = FAKE_OK("[" ITEM(
                                                "c1", "running", "Up 1 second (health: starting)") "]") },
                { .request = "GET /events", .answer = FAKE_OK(EVENT("c1", "start", "")), .hang = true },
        };
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes));
        listen_as_ccpd(&f);
        watch_engine_start(f.watch);
        expect(&f, "ENGINE=available");
        expect(&f, "LIST=begin");
        expect(&f, CONTAINER_TEXT("c1", "running") " HEALTH=none");
        expect(&f, "LIST=end");
        expect(&f, CONTAINER_TEXT("c1", "running") " HEALTH=starting");
}
END_TEST

START_TEST(it_comes_back_with_a_new_list) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                LIST(ITEM("c1", "running", "Up 3 seconds")),
                /* The stream breaks off at once, the second one stays. */
                { .request = "GET /events", .answer = FAKE_OK("") },
                { .request = "GET /events", .answer = FAKE_OK(""), .hang = true, .from = 1 },
        };
        _cleanup_fixture_ Fixture f = {};
        _cleanup_free_ char *first = NULL;

        fixture_start(&f, routes, ELEMENTSOF(routes));
        listen_as_ccpd(&f);
        watch_engine_start(f.watch);
        /* Whether the first list came through is a race. */
        first = receive(&f);
        if (streq(first, "ENGINE=available"))
                for (unsigned i = 0; i < 3; i++)
                        free(receive(&f));
        else
                ck_assert_str_eq(first, "ENGINE=unavailable");
        if (streq(first, "ENGINE=available"))
                expect(&f, "ENGINE=unavailable");
        expect(&f, "ENGINE=available");
        expect(&f, "LIST=begin");
        expect(&f, CONTAINER_TEXT("c1", "running") " HEALTH=none");
        expect(&f, "LIST=end");
}
END_TEST

START_TEST(an_engine_that_talks_nonsense_is_unavailable) {
        static const FakeRoute tables[][3] = {
                { FAKE_PING, LIST("7"), { .request = "GET /events", .answer = FAKE_OK(""), .hang = true } },
                { FAKE_PING, LIST(""),
                                { .request = "GET /events", .answer = FAKE_OK("nonsense"), .hang = true } },
                { { .request = "GET /_ping", .answer = FAKE_STATUS("200 OK", "OK") }, LIST(""), LIST("") },
                { FAKE_PING, LIST(""),
                                { .request = "GET /events",
                                                .answer = FAKE_STATUS("500 Internal Server Error", "{}") } },
        };

        FOREACH_ARRAY(routes, tables, ELEMENTSOF(tables)) {
                _cleanup_fixture_ Fixture f = {};
                _cleanup_free_ char *text = NULL;

                fixture_start(&f, *routes, ELEMENTSOF(*routes));
                listen_as_ccpd(&f);
                watch_engine_start(f.watch);
                text = receive(&f);
                ck_assert_str_eq(text, "ENGINE=unavailable");
        }
}
END_TEST

START_TEST(ccpd_gets_the_list_whenever_it_comes) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                LIST(ITEM("c1", "running", "Up 3 seconds")),
                { .request = "GET /events", .answer = FAKE_OK(""), .hang = true },
        };
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes));
        watch_engine_start(f.watch);
        for (unsigned i = 0; i < 20; i++)
                ASSERT_OK(sd_event_run(f.event, STEP_USEC));

        for (unsigned i = 0; i < 2; i++) {
                f.receiver = safe_close(f.receiver);
                listen_as_ccpd(&f);
                if (i > 0) {
                        /* It was replaced meanwhile: noticed at the next thing to say. */
                        watch_table_queue_all(&f.table);
                        watch_notify_flush(f.notify);
                }
                expect(&f, "ENGINE=available");
                expect(&f, "LIST=begin");
                expect(&f, CONTAINER_TEXT("c1", "running") " HEALTH=none");
                expect(&f, "LIST=end");
        }
}
END_TEST

/* Anybody can write labels into an image. */
/* Its stream stays, but it says nothing, and does not answer either. */
START_TEST(an_engine_that_hangs_is_found_out) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                { .request = "GET /_ping", .hang = true, .from = 1 },
                LIST(""),
                { .request = "GET /events", .answer = FAKE_OK(""), .hang = true },
        };
        _cleanup_fixture_ Fixture f = {};

        fixture_start_silent(&f, routes, ELEMENTSOF(routes), USEC_PER_SEC);
        listen_as_ccpd(&f);
        watch_engine_start(f.watch);
        expect(&f, "ENGINE=available");
        expect(&f, "LIST=begin");
        expect(&f, "LIST=end");
        expect(&f, "ENGINE=unavailable");
}
END_TEST

START_TEST(an_engine_that_is_only_silent_stays) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                LIST(""),
                { .request = "GET /events", .answer = FAKE_OK(""), .hang = true },
        };
        usec_t deadline = now(CLOCK_MONOTONIC) + PATIENCE_USEC;
        _cleanup_fixture_ Fixture f = {};
        unsigned n_pings = 0;

        /* So long it also has to answer. */
        fixture_start_silent(&f, routes, ELEMENTSOF(routes), USEC_PER_SEC);
        listen_as_ccpd(&f);
        watch_engine_start(f.watch);
        expect(&f, "ENGINE=available");
        expect(&f, "LIST=begin");
        expect(&f, "LIST=end");
        while (n_pings < 3) {
                _cleanup_free_ char *requests = fake_engine_requests(&f.engine);

                ck_assert_uint_lt(now(CLOCK_MONOTONIC), deadline);
                n_pings = 0;
                for (const char *p = requests; (p = strstr(p, "/_ping")); p++)
                        n_pings++;
                ASSERT_OK(sd_event_run(f.event, STEP_USEC));
        }
        ck_assert_int_lt(recv(f.receiver, &n_pings, sizeof(n_pings), 0), 0);
}
END_TEST

/* Its pid file is as old as it is. */
START_TEST(when_the_engine_started_is_told) {
        static const FakeRoute routes[] = {
                FAKE_PING,
                LIST(""),
                { .request = "GET /events", .answer = FAKE_OK(""), .hang = true },
        };
        const struct timespec times[2] = { { 1700000000, 123456789 }, { 1700000000, 123456789 } };
        _cleanup_free_ char *pid_file = NULL;
        _cleanup_close_ int fd = -EBADF;
        _cleanup_fixture_ Fixture f = {};

        fixture_start(&f, routes, ELEMENTSOF(routes));
        listen_as_ccpd(&f);
        pid_file = strjoin(f.engine.directory, "/docker.pid");
        fd = open(pid_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ck_assert_int_ge(futimens(fd, times), 0);
        watch_engine_start(f.watch);
        expect(&f, "ENGINE=available STARTED=1700000000123456");
}
END_TEST

/* The end of each container is what counts, however much comes between. */
START_TEST(a_storm_of_events_ends_in_the_right_state) {
        _cleanup_string_builder_ StringBuilder b = {};
        FakeRoute routes[] = {
                FAKE_PING,
                LIST(""),
                { .request = "GET /events", .hang = true },
        };
        bool ended[STORM_CONTAINERS] = {};
        _cleanup_fixture_ Fixture f = {};
        unsigned n_left = STORM_CONTAINERS, n_told = 0;

        string_builder_append(&b, FAKE_OK(""));
        for (unsigned i = 0; i < STORM_EVENTS; i++)
                string_builder_appendf(&b,
                                "{\"Type\":\"container\",\"Action\":\"%s\",\"Actor\":{\"ID\":\"c%u\","
                                "\"Attributes\":{" LABELS ",\"exitCode\":\"%u\"}},\"timeNano\":%u000}\n",
                                i / STORM_CONTAINERS % 2 == 0 ? "start" : "die", i % STORM_CONTAINERS,
                                i >= STORM_EVENTS - STORM_CONTAINERS ? 42U : 1U, i + 1);
        routes[2].answer = b.data;

        fixture_start(&f, routes, ELEMENTSOF(routes));
        listen_as_ccpd(&f);
        watch_engine_start(f.watch);
        while (n_left > 0) {
                _cleanup_free_ char *text = receive(&f);
                const char *p = strstr(text, "CONTAINER=c");
                unsigned i;

                if (!p || sscanf(p, "CONTAINER=c%u", &i) != 1)
                        continue;
                n_told++;
                if (!ended[i] && strstr(text, "STATE=exited") && strstr(text, "EXIT=42")) {
                        ended[i] = true;
                        n_left--;
                }
        }
        ck_assert_uint_eq(watch_table_size(&f.table), STORM_CONTAINERS);
        ck_assert_uint_lt(n_told, STORM_EVENTS / 2);
}
END_TEST

START_TEST(labels_of_one_container_take_nothing_away) {
        _cleanup_string_builder_ StringBuilder list = {}, events = {};
        FakeRoute routes[] = {
                FAKE_PING,
                { .request = "GET /containers/json" },
                { .request = "GET /events", .hang = true },
        };
        _cleanup_fixture_ Fixture f = {};
        char label[1024];

        memset(label, 'x', sizeof(label));
        string_builder_append(&list, FAKE_OK("[" ITEM("c1", "running", "Up 3 seconds")));
        /* One long label, and more of them than fit. */
        for (unsigned n = 1024; n <= 17 * 1024; n += 16 * 1024) {
                string_builder_append(&list,
                                ",{\"Id\":\"c2\",\"Names\":[\"/x\"],\"State\":\"running\","
                                "\"Status\":\"\",\"Labels\":{" LABELS);
                string_builder_append(&events, events.size > 0 ? "" : FAKE_OK(""));
                string_builder_append(&events,
                                "{\"Type\":\"container\",\"Action\":\"die\",\"Actor\":{\"ID\":\"c2\","
                                "\"Attributes\":{" LABELS);
                for (unsigned i = 0; i < n; i++) {
                        const char *before = i == 0 || n > 1024 ? ",\"big\":\"" : "";
                        const char *after = i + 1 == n || n > 1024 ? "\"" : "";

                        string_builder_append(&list, before);
                        string_builder_append_n(&list, label, sizeof(label));
                        string_builder_append(&list, after);
                        string_builder_append(&events, before);
                        string_builder_append_n(&events, label, sizeof(label));
                        string_builder_append(&events, after);
                }
                string_builder_append(&list, "}}");
                string_builder_append(&events, "}},\"timeNano\":1}\n");
        }
        string_builder_append(&list, "," ITEM("c3", "running", "Up 3 seconds") "]");
        string_builder_append(&events, EVENT("c1", "die", ",\"exitCode\":\"7\""));
        ck_assert(!list.failed && !events.failed);
        routes[1].answer = list.data;
        routes[2].answer = events.data;

        fixture_start(&f, routes, ELEMENTSOF(routes));
        listen_as_ccpd(&f);
        watch_engine_start(f.watch);
        expect(&f, "ENGINE=available");
        expect(&f, "LIST=begin");
        {
                bool c1 = false, c2 = false, c3 = false;

                while (!c1 || !c2 || !c3) {
                        _cleanup_free_ char *text = receive(&f);

                        c1 = c1 || strstr(text, "CONTAINER=c1 STATE=exited");
                        c2 = c2 || strstr(text, "CONTAINER=c2 STATE=exited");
                        c3 = c3 || strstr(text, "CONTAINER=c3 STATE=running");
                        ck_assert(!strstr(text, "unavailable"));
                }
        }
}
END_TEST

START_TEST(a_full_queue_loses_nothing) {
        _cleanup_string_builder_ StringBuilder b = {};
        FakeRoute routes[] = {
                FAKE_PING,
                { .request = "GET /containers/json" },
                { .request = "GET /events", .answer = FAKE_OK(""), .hang = true },
        };
        _cleanup_fixture_ Fixture f = {};
        unsigned n = 5000;

        string_builder_append(&b, FAKE_OK("["));
        for (unsigned i = 0; i < n; i++)
                string_builder_appendf(&b,
                                "%s{\"Id\":\"c%u\",\"State\":\"running\",\"Labels\":{" LABELS "}}",
                                i > 0 ? "," : "", i);
        string_builder_append(&b, "]");
        routes[1].answer = b.data;

        fixture_start(&f, routes, ELEMENTSOF(routes));
        listen_as_ccpd(&f);
        watch_engine_start(f.watch);
        expect(&f, "ENGINE=available");
        expect(&f, "LIST=begin");
        for (unsigned i = 0; i < n; i++) {
                _cleanup_free_ char *text = receive(&f);

                ck_assert_ptr_nonnull(startswith(text, "INSTANCE=demo"));
        }
        expect(&f, "LIST=end");
}
END_TEST

TESTS("watch", a_list_and_then_events, the_status_follows_what_is_watched,
                a_new_container_is_looked_at_for_its_healthcheck, it_comes_back_with_a_new_list,
                an_engine_that_talks_nonsense_is_unavailable, ccpd_gets_the_list_whenever_it_comes,
                an_engine_that_hangs_is_found_out, an_engine_that_is_only_silent_stays,
                when_the_engine_started_is_told, a_storm_of_events_ends_in_the_right_state,
                labels_of_one_container_take_nothing_away, a_full_queue_loses_nothing)
