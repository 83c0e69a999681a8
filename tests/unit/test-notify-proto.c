/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "notify-proto.h"
#include "string-util.h"
#include "test.h"

static int parse(const char *text, NotifyMessage *ret) {
        return notify_message_parse(text, strlen(text), ret);
}

static void check_text(const NotifyMessage *m, const char *text) {
        _cleanup_free_ char *s = NULL;
        size_t n;

        ASSERT_OK(notify_message_format(m, &s, &n));
        ck_assert_str_eq(s, text);
        ck_assert_uint_eq(n, strlen(text));
}

static const NotifyMessage container = {
        .type = NOTIFY_CONTAINER,
        .instance = (char *) "demo",
        .uuid = (char *) "u1",
        .service = (char *) "web",
        .container = (char *) "c1",
        .state = CONTAINER_EXITED,
        .health = CONTAINER_HEALTH_NONE,
        .exit_code = 137,
        .since = 1700000000123456,
};

START_TEST(what_is_written_can_be_read) {
        _cleanup_notify_message_ NotifyMessage a = {}, b = {}, c = {}, e = {};
        NotifyMessage d;

        check_text(&container,
                        "INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=exited\nHEALTH=none\nEXIT="
                        "137\nSINCE=1700000000123456\n");
        ASSERT_OK(parse("INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=running\nHEALTH=healthy",
                        &a));
        ck_assert_int_eq(a.type, NOTIFY_CONTAINER);
        ck_assert_str_eq(a.service, "web");
        ck_assert_int_eq(a.state, CONTAINER_RUNNING);
        ck_assert_int_eq(a.health, CONTAINER_HEALTH_HEALTHY);
        ck_assert_int_eq(a.exit_code, -1);
        ck_assert_uint_eq(a.since, 0);

        d = container;
        d.started = 5;
        d.n_restarts = 7;
        d.oom_killed = true;
        d.image = (char *) "registry.example.org:5000/a/b:1";
        d.image_id = (char *) "sha256:abc";
        check_text(&d,
                        "INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=exited\nHEALTH=none\nEXIT="
                        "137\nSINCE=1700000000123456\nSTARTED=5\nRESTARTS=7\nOOM=1\n"
                        "IMAGE=registry.example.org:5000/a/b:1\nIMAGE_ID=sha256:abc\n");
        ASSERT_OK(parse("INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=exited\nSTARTED=5\n"
                        "RESTARTS=4294967295\nOOM=1\nIMAGE=a b\nIMAGE_ID=x",
                        &e));
        ck_assert_uint_eq(e.started, 5);
        ck_assert_uint_eq(e.n_restarts, UINT32_MAX);
        ck_assert(e.oom_killed);
        ck_assert_str_eq(e.image, "a b");
        ck_assert_str_eq(e.image_id, "x");
        /* A name from an image may be anything: what is none is left out. */
        d.image = (char *) "a\nSTATE=running";
        d.image_id = (char *) "";
        d.started = d.n_restarts = 0;
        d.oom_killed = false;
        check_text(&d,
                        "INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=exited\nHEALTH=none\nEXIT="
                        "137\nSINCE=1700000000123456\n");

        check_text(&(NotifyMessage) { .type = NOTIFY_JOB,
                                   .job = 42,
                                   .progress = 37,
                                   .message = (char *) "Pulling" },
                        "JOB=42\nPROGRESS=37\nMESSAGE=Pulling\n");
        check_text(&(NotifyMessage) { .type = NOTIFY_JOB,
                                   .job = 42,
                                   .progress = -1,
                                   .bytes = { .done = 5, .total = 70, .rate = 1 } },
                        "JOB=42\nDONE=5\nTOTAL=70\nRATE=1\n");
        ASSERT_OK(parse("JOB=42\nPROGRESS=37\nMESSAGE=a=b\nTOTAL=9\nDONE=3\n", &b));
        ck_assert_uint_eq(b.bytes.done, 3);
        ck_assert_uint_eq(b.bytes.total, 9);
        ck_assert_uint_eq(b.bytes.rate, 0);
        ck_assert_int_eq(b.type, NOTIFY_JOB);
        ck_assert_uint_eq(b.job, 42);
        ck_assert_int_eq(b.progress, 37);
        ck_assert_str_eq(b.message, "a=b");

        ASSERT_OK(parse("JOB=1", &c));
        ck_assert_int_eq(c.progress, -1);
        ck_assert_ptr_null(c.message);
}
END_TEST

START_TEST(engine_and_list_are_read) {
        static const struct {
                const char *text;
                NotifyType type;
                bool available;
                usec_t started;
        } table[] = {
                { "ENGINE=available\n", NOTIFY_ENGINE, true, 0 },
                { "ENGINE=available\nSTARTED=1700000000123456\n", NOTIFY_ENGINE, true, 1700000000123456 },
                { "ENGINE=unavailable", NOTIFY_ENGINE, false, 0 },
                { "LIST=begin\n", NOTIFY_LIST_BEGIN, false, 0 },
                { "LIST=end\nFUTURE=key\n", NOTIFY_LIST_END, false, 0 },
        };

        FOREACH_ARRAY(i, table, ELEMENTSOF(table)) {
                _cleanup_notify_message_ NotifyMessage m = {};

                ASSERT_OK(parse(i->text, &m));
                ck_assert_int_eq(m.type, i->type);
                ck_assert_int_eq(m.engine_available, i->available);
                ck_assert_uint_eq(m.engine_started, i->started);
        }
}
END_TEST

START_TEST(what_is_wrong_is_refused) {
        static const char *const texts[] = {
                "",
                "\n",
                "JOB",
                "=1",
                "JOB=0",
                "JOB=-1",
                "JOB=99999999999999999999",
                "JOB=1\nJOB=2",
                "JOB= 1",
                "JOB=1x",
                "JOB=1\nPROGRESS=101",
                "JOB=1\nDONE=-5",
                "ENGINE=available\nTOTAL=5",
                "JOB=1\nENGINE=available",
                "PROGRESS=1",
                "ENGINE=maybe",
                "LIST=middle",
                "JOB=1\nMESSAGE=\xff",
                "JOB=1\nMESSAGE=a\tb",
                "INSTANCE=demo",
                "INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1",
                "INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=dancing",
                "INSTANCE=\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=running",
                "INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=running\nEXIT=-1",
                "INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=running\nJOB=1",
                "INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=running\nOOM=yes",
                "INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=running\nRESTARTS=4294967296",
                "INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=running\nSTARTED=-1",
                "INSTANCE=demo\nID=u1\nSERVICE=web\nCONTAINER=c1\nSTATE=running\nIMAGE=",
                "ENGINE=available\nSTARTED=",
                "LIST=begin\nSTARTED=1",
                "JOB=1\nSTARTED=1",
        };

        for (size_t i = 0; i < ELEMENTSOF(texts); i++) {
                NotifyMessage m = {};
                int r = parse(texts[i], &m);

                ck_assert_msg(r == -EBADMSG, "%s", texts[i]);
        }
        ASSERT_ERROR(notify_message_parse("JOB=1\0", 6, &(NotifyMessage) {}), EBADMSG);
}
END_TEST

START_TEST(a_message_is_one_short_line) {
        _cleanup_free_ char *text = NULL;
        char big[NOTIFY_TEXT_MAX + 10];
        _cleanup_notify_message_ NotifyMessage m = {};
        size_t n;

        check_text(&(NotifyMessage) { .type = NOTIFY_JOB,
                                   .job = 1,
                                   .progress = -1,
                                   .message = (char *) "a\nJOB=2\tb" },
                        "JOB=1\nMESSAGE=a JOB=2 b\n");

        /* The cut falls into the middle of a character. */
        memset(big, 'x', sizeof(big) - 1);
        big[sizeof(big) - 1] = 0;
        memcpy(big + NOTIFY_TEXT_MAX - 1, "\xc3\xbc", 2);
        ASSERT_OK(notify_message_format(
                        &(NotifyMessage) { .type = NOTIFY_JOB, .job = 1, .progress = -1, .message = big },
                        &text, &n));
        ASSERT_OK(notify_message_parse(text, n, &m));
        ck_assert_uint_eq(strlen(m.message), NOTIFY_TEXT_MAX - 1);
}
END_TEST

START_TEST(what_cannot_be_written_is_refused) {
        _cleanup_free_ char *text = NULL;
        NotifyMessage m = container;

        m.service = (char *) "a\nSTATE=running";
        ASSERT_ERROR(notify_message_format(&m, &text, NULL), EINVAL);
        m = container;
        m.uuid = NULL;
        ASSERT_ERROR(notify_message_format(&m, &text, NULL), EINVAL);
        ASSERT_ERROR(notify_message_format(&(NotifyMessage) { .type = NOTIFY_JOB, .job = 0 }, &text, NULL),
                        EINVAL);
        ASSERT_ERROR(notify_message_format(
                                     &(NotifyMessage) { .type = NOTIFY_JOB, .job = 1, .progress = 101 },
                                     &text, NULL),
                        EINVAL);
}
END_TEST

START_TEST(sending_never_waits) {
        char directory[] = "/tmp/ccpd-notify-XXXXXX";
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -EBADF, receiver = -EBADF, connected = -EBADF;
        int r = 0;

        ck_assert_ptr_nonnull(mkdtemp(directory));
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", directory);
        fd = notify_socket_new();
        ASSERT_OK(fd);
        ASSERT_ERROR(notify_socket_send(fd, address.sun_path, &container), ENOENT);
        ASSERT_ERROR(notify_socket_new_connected(address.sun_path), ENOENT);

        receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ck_assert_int_ge(bind(receiver, (struct sockaddr *) &address, sizeof(address)), 0);
        connected = notify_socket_new_connected(address.sun_path);
        ASSERT_OK(connected);
        for (unsigned i = 0; i < 100000 && r >= 0; i++)
                r = notify_socket_send_connected(connected, &container);
        ck_assert_int_eq(r, -EAGAIN);
        ASSERT_ERROR(notify_socket_send(fd, address.sun_path, &container), EAGAIN);

        receiver = safe_close(receiver);
        ASSERT_ERROR(notify_socket_send(fd, address.sun_path, &container), ECONNREFUSED);
        ASSERT_ERROR(notify_socket_send_connected(connected, &container), ECONNREFUSED);

        (void) unlink(address.sun_path);
        (void) rmdir(directory);
}
END_TEST

TESTS("notify-proto", what_is_written_can_be_read, engine_and_list_are_read, what_is_wrong_is_refused,
                a_message_is_one_short_line, what_cannot_be_written_is_refused, sending_never_waits)
