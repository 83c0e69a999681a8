/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "fd-util.h"
#include "notify-proto.h"
#include "progress.h"
#include "string-util.h"
#include "test.h"

static char socket_path[64];

static int listen_here(void) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd;

        (void) snprintf(socket_path, sizeof(socket_path), "/tmp/test-job-progress.%d", (int) getpid());
        (void) unlink(socket_path);
        memcpy(sa.sun_path, socket_path, strlen(socket_path));
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        ASSERT_OK(fd);
        ASSERT_OK(bind(fd, (const struct sockaddr *) &sa, sizeof(sa)));
        return fd;
}

/* The datagrams that came, the last of them in *ret. */
static unsigned receive_all(int fd, NotifyMessage *ret) {
        char buffer[NOTIFY_DATAGRAM_MAX];
        unsigned n = 0;
        ssize_t size;

        while ((size = recv(fd, buffer, sizeof(buffer), 0)) >= 0) {
                notify_message_done(ret);
                *ret = (NotifyMessage) {};
                ASSERT_OK(notify_message_parse(buffer, (size_t) size, ret));
                n++;
        }
        return n;
}

START_TEST(a_step_that_begins_is_told_at_once_with_the_percentage_of_the_whole) {
        _cleanup_notify_message_ NotifyMessage m = {};
        _cleanup_progress_ Progress p = {};
        _cleanup_close_ int fd = listen_here();

        progress_init(&p, socket_path, 42, JOB_START);
        progress_begin_step(&p, 1, "Start the application");
        ck_assert_uint_eq(receive_all(fd, &m), 1);
        ck_assert_int_eq(m.type, NOTIFY_JOB);
        ck_assert_uint_eq(m.job, 42);
        ck_assert_int_eq(m.progress, 40);
        ck_assert_str_eq(m.message, "Start the application");
        (void) unlink(socket_path);
}
END_TEST

START_TEST(many_changes_are_few_datagrams_and_the_last_is_not_lost) {
        _cleanup_notify_message_ NotifyMessage m = {};
        _cleanup_progress_ Progress p = {};
        _cleanup_close_ int fd = listen_here();
        char text[32];

        progress_init(&p, socket_path, 7, JOB_STOP);
        for (int i = 0; i < 1000; i++) {
                (void) snprintf(text, sizeof(text), "line %d", i);
                progress_set(&p, (double) i / 1000, text);
        }
        ck_assert_uint_le(receive_all(fd, &m), 5);

        (void) usleep(110 * 1000);
        progress_tick(&p);
        ck_assert_uint_eq(receive_all(fd, &m), 1);
        ck_assert_str_eq(m.message, "line 999");
        ck_assert_int_eq(m.progress, 99);
        (void) unlink(socket_path);
}
END_TEST

START_TEST(the_percentage_never_falls_within_a_step) {
        _cleanup_progress_ Progress p = {};

        progress_init(&p, "/nonexistent/socket", 7, JOB_STOP);
        progress_set(&p, 0.5, NULL);
        progress_set(&p, 0.2, NULL);
        progress_set(&p, -1, "waiting");
        ck_assert_uint_eq(p.percent, 50);
        ck_assert_str_eq(p.message, "waiting");
}
END_TEST

START_TEST(bytes_are_told_until_something_else_is_done) {
        _cleanup_notify_message_ NotifyMessage m = {};
        _cleanup_progress_ Progress p = {};
        _cleanup_close_ int fd = listen_here();

        progress_init(&p, socket_path, 7, JOB_STOP);
        progress_set_bytes(&p, 0.1, "folder.tar", 10, 100);
        progress_flush(&p);
        (void) receive_all(fd, &m);
        ck_assert_str_eq(m.message, "folder.tar");
        ck_assert_uint_eq(m.bytes.done, 10);
        ck_assert_uint_eq(m.bytes.total, 100);
        progress_set(&p, -1, "waiting");
        progress_flush(&p);
        (void) receive_all(fd, &m);
        ck_assert_uint_eq(m.bytes.total, 0);
        (void) unlink(socket_path);
}
END_TEST

START_TEST(a_message_is_one_line_of_whole_characters) {
        _cleanup_progress_ Progress p = {};
        char text[JOB_MESSAGE_MAX + 16];

        progress_init(&p, "/nonexistent/socket", 7, JOB_STOP);
        progress_set(&p, 0, "one\ntwo\nPROGRESS=99");
        ck_assert_str_eq(p.message, "one");
        progress_set(&p, 0, "a\tb");
        ck_assert_str_eq(p.message, "a b");

        memset(text, 'x', sizeof(text));
        memcpy(text + JOB_MESSAGE_MAX - 2, "ü", 3);
        progress_set(&p, 0, text);
        ck_assert_uint_eq(strlen(p.message), JOB_MESSAGE_MAX - 2);
}
END_TEST

START_TEST(nobody_who_listens_is_no_failure) {
        _cleanup_progress_ Progress p = {};

        progress_init(&p, "/nonexistent/socket", 7, JOB_STOP);
        progress_begin_step(&p, 0, "Stop");
        progress_flush(&p);
        progress_tick(&p);
}
END_TEST

TESTS("job-progress", a_step_that_begins_is_told_at_once_with_the_percentage_of_the_whole,
                many_changes_are_few_datagrams_and_the_last_is_not_lost,
                the_percentage_never_falls_within_a_step, bytes_are_told_until_something_else_is_done,
                a_message_is_one_line_of_whole_characters, nobody_who_listens_is_no_failure)
