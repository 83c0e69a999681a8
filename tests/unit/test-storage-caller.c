/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <poll.h>
#include <sys/socket.h>

#include "ccp-storage.h"
#include "fake-s3.h"
#include "fd-util.h"
#include "string-util.h"
#include "test.h"

static const S3Limits limits = {
        .part_size = 1000,
        .attempts = 5,
        .backoff = USEC_PER_SEC,
        .backoff_max = USEC_PER_SEC,
        .connect_timeout = USEC_PER_MINUTE,
        .stall_timeout = USEC_PER_MINUTE,
        .answer_timeout = USEC_PER_MINUTE,
};

typedef struct Scene {
        StorageCaller caller;
        int peer;           /* who calls */
        usec_t hangs_up_at; /* CLOCK_MONOTONIC; 0: never */
        FakeS3 server;
        S3Client *client;
} Scene;

static void scene_close(Scene *s) {
        safe_close(s->caller.fd);
        safe_close(s->peer);
        (void) s3_client_free(s->client);
        fake_s3_stop(&s->server);
}

/* As worker_call_new() leaves it: the request is out, and no more comes. */
static void scene_open(Scene *s, const FakeStep *steps, size_t n) {
        S3Config config = {
                .bucket = "backups",
                .access_key = "AKIDEXAMPLE",
                .secret_key = "secret",
                .path_style = true,
        };
        int pair[2];

        *s = (Scene) {};
        fake_s3_start(&s->server, steps, n);
        /* Which has none of these. */
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        ck_assert_int_eq(shutdown(pair[1], SHUT_WR), 0);
        s->caller = (StorageCaller) { pair[0], USEC_INFINITY };
        s->peer = pair[1];
        config.endpoint = s->server.endpoint;
        ASSERT_OK(s3_client_new(&config, &s->client, NULL));
        s3_client_set_limits(s->client, &limits);
}
#define START(s, ...)                                    \
        static const FakeStep steps[] = { __VA_ARGS__ }; \
        _cleanup_(scene_close) Scene s;                  \
        scene_open(&s, steps, ELEMENTSOF(steps))

static int on_poll(void *userdata) {
        Scene *s = userdata;

        if (s->hangs_up_at > 0 && now(CLOCK_MONOTONIC) >= s->hangs_up_at)
                s->peer = safe_close(s->peer);
        return storage_caller_poll(&s->caller);
}

static void expect_end(int r, const Error *error, usec_t began) {
        ASSERT_ERROR(r, ECANCELED);
        ck_assert_str_eq(error->name, CCP_ERROR_CANCELLED);
        ck_assert_uint_lt(now(CLOCK_MONOTONIC) - began, 5 * USEC_PER_SEC);
}

START_TEST(it_waits_until_it_hangs_up) {
        START(s, {});

        ck_assert(!storage_caller_poll(&s.caller));
        s.peer = safe_close(s.peer);
        ck_assert(storage_caller_is_gone(&s.caller));
        ck_assert(!storage_caller_is_late(&s.caller));
        ck_assert(storage_caller_poll(&s.caller));
}
END_TEST

START_TEST(it_waits_so_long) {
        START(s, {});

        s.caller.until = now(CLOCK_MONOTONIC) + USEC_PER_MINUTE;
        ck_assert(!storage_caller_poll(&s.caller));
        s.caller.until = now(CLOCK_MONOTONIC);
        ck_assert(storage_caller_is_late(&s.caller));
        ck_assert(!storage_caller_is_gone(&s.caller));
        ck_assert(storage_caller_poll(&s.caller));
}
END_TEST

/* Each verb ends with it, and tells no findings about the storage that it did not find. */
START_TEST(a_storage_that_never_answers) {
        START(s, { .request = "", .end = FAKE_HANG });
        const S3Progress progress = { .poll = on_poll, .userdata = &s };
        const CopyFilter filter = { .limit = 10 };
        json_t *items = json_array();
        usec_t began = now(CLOCK_MONOTONIC);
        _cleanup_error_ Error error = {};

        s.caller.until = began + USEC_PER_SEC;
        expect_end(storage_try(s.client, items, &progress, &error), &error, began);
        error_done(&error);
        s.caller.until = USEC_INFINITY;
        began = now(CLOCK_MONOTONIC);
        s.hangs_up_at = began + USEC_PER_SEC;
        expect_end(storage_check(s.client, &(StorageRecord) {}, items, &progress, &error), &error, began);
        error_done(&error);
        expect_end(storage_list(NULL, s.client, &filter, items, &progress, &error), &error,
                        now(CLOCK_MONOTONIC));
        ck_assert_uint_eq(json_array_size(items), 0);
        json_decref(items);
}
END_TEST

/* The last who holds it is seen to go. */
START_TEST(what_is_held_for_the_caller) {
        int lease[2], pair[2], held = -EBADF;
        char text[16];

        ck_assert_int_eq(pipe(lease), 0);
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        ASSERT_OK(send_with_fd(pair[0], "hello", 5, lease[1]));
        lease[1] = safe_close(lease[1]);
        ck_assert_int_eq(recv_with_fd(pair[1], text, sizeof(text), 0, &held), 5);
        ck_assert_mem_eq(text, "hello", 5);
        ck_assert_int_ge(held, 0);
        ck_assert_int_eq(poll(&(struct pollfd) { .fd = lease[0], .events = POLLIN }, 1, 0), 0);
        ck_assert_int_eq(recv_with_fd(pair[1], text, sizeof(text), MSG_DONTWAIT, &held), -EAGAIN);
        held = safe_close(held);
        ck_assert_int_eq(poll(&(struct pollfd) { .fd = lease[0], .events = POLLIN }, 1, 0), 1);
        pair[0] = safe_close(pair[0]);
        ck_assert_int_eq(recv_with_fd(pair[1], text, sizeof(text), 0, &held), 0);
        safe_close(pair[1]);
        safe_close(lease[0]);
}
END_TEST

TESTS("storage-caller", it_waits_until_it_hangs_up, it_waits_so_long, a_storage_that_never_answers,
                what_is_held_for_the_caller)
