/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "notify-proto.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "alloc-util.h"
#include "ccp/names.h"
#include "fd-util.h"
#include "string-util.h"

#define FIELD_MAX 255U

void notify_message_done(NotifyMessage *m) {
        free(m->message);
        free(m->instance);
        free(m->uuid);
        free(m->service);
        free(m->container);
        free(m->image);
        free(m->image_id);
        *m = (NotifyMessage) {};
}

/* A value that is a name: not empty, one line, short. */
static bool field_is_valid(const char *s) {
        return !isempty(s) && strlen(s) <= FIELD_MAX && string_is_safe(s);
}

/* The message cut between characters, in one line. */
static void append_message(StringBuilder *b, const char *message) {
        size_t n = strnlen(message, NOTIFY_TEXT_MAX);

        if (message[n] != 0)
                while (n > 0 && ((unsigned char) message[n] & 0xC0) == 0x80)
                        n--;
        if (!utf8_is_valid(message, n))
                n = 0;

        string_builder_append(b, "MESSAGE=");
        for (size_t i = 0; i < n; i++) {
                bool control = (unsigned char) message[i] < ' ' || message[i] == 0x7F;

                string_builder_append_n(b, control ? " " : message + i, 1);
        }
        string_builder_append_n(b, "\n", 1);
}

/* What is not known is left out. */
static void append_number(StringBuilder *b, const char *key, uint64_t value) {
        if (value > 0)
                string_builder_appendf(b, "%s=%llu\n", key, (unsigned long long) value);
}

/* The same of a name that comes from an image, so that it may be anything. */
static void append_name(StringBuilder *b, const char *key, const char *value) {
        if (value && field_is_valid(value))
                string_builder_appendf(b, "%s=%s\n", key, value);
}

static int append_container(StringBuilder *b, const NotifyMessage *m) {
        const char *state = container_state_to_string(m->state),
                   *health = container_health_to_string(m->health);

        if (!field_is_valid(m->instance) || !field_is_valid(m->uuid) || !field_is_valid(m->service) ||
                        !field_is_valid(m->container) || !state || !health)
                return -EINVAL;

        string_builder_appendf(b, "INSTANCE=%s\nID=%s\nSERVICE=%s\nCONTAINER=%s\nSTATE=%s\nHEALTH=%s\n",
                        m->instance, m->uuid, m->service, m->container, state, health);
        if (m->exit_code >= 0)
                string_builder_appendf(b, "EXIT=%d\n", m->exit_code);
        append_number(b, "SINCE", m->since);
        append_number(b, "STARTED", m->started);
        append_number(b, "RESTARTS", m->n_restarts);
        append_number(b, "OOM", m->oom_killed);
        append_number(b, "STOPPED", m->stopped);
        append_name(b, "IMAGE", m->image);
        append_name(b, "IMAGE_ID", m->image_id);
        return 0;
}

int notify_message_format(const NotifyMessage *m, char **ret, size_t *ret_size) {
        _cleanup_string_builder_ StringBuilder b = {};
        int r = 0;

        switch (m->type) {
        case NOTIFY_JOB:
                if (m->job == 0 || m->progress < -1 || m->progress > 100)
                        return -EINVAL;
                string_builder_appendf(&b, "JOB=%llu\n", (unsigned long long) m->job);
                if (m->progress >= 0)
                        string_builder_appendf(&b, "PROGRESS=%d\n", m->progress);
                if (m->message)
                        append_message(&b, m->message);
                append_number(&b, "DONE", m->bytes.done);
                append_number(&b, "TOTAL", m->bytes.total);
                append_number(&b, "RATE", m->bytes.rate);
                break;
        case NOTIFY_ENGINE:
                string_builder_appendf(&b, "ENGINE=%s\n", m->engine_available ? "available" : "unavailable");
                append_number(&b, "STARTED", m->engine_started);
                break;
        case NOTIFY_CONTAINER:
                r = append_container(&b, m);
                break;
        case NOTIFY_LIST_BEGIN:
                string_builder_append(&b, "LIST=begin\n");
                break;
        case NOTIFY_LIST_END:
                string_builder_append(&b, "LIST=end\n");
                break;
        default:
                r = -EINVAL;
        }
        if (r < 0)
                return r;

        return string_builder_finish(&b, ret, ret_size);
}

static int parse_number(const char *s, uint64_t max, uint64_t *ret) {
        uint64_t n = 0;

        if (isempty(s))
                return -EBADMSG;

        for (; *s; s++) {
                unsigned digit = (unsigned) (*s - '0');

                if (digit > 9 || n > (max - digit) / 10)
                        return -EBADMSG;
                n = n * 10 + digit;
        }

        *ret = n;
        return 0;
}

static int parse_text(const char *s, char **ret) {
        if (!field_is_valid(s))
                return -EBADMSG;

        return free_and_strdup(ret, s);
}

static int parse_flag(const char *s, bool *ret) {
        *ret = streq(s, "1");
        return *ret || streq(s, "0") ? 0 : -EBADMSG;
}

static int parse_unsigned(const char *s, unsigned *ret) {
        uint64_t n;
        int r;

        r = parse_number(s, UINT32_MAX, &n);
        if (r < 0)
                return r;

        *ret = (unsigned) n;
        return 0;
}

static int parse_small_number(const char *s, int max, int *ret) {
        uint64_t n;
        int r;

        r = parse_number(s, (uint64_t) max, &n);
        if (r < 0)
                return r;

        *ret = (int) n;
        return 0;
}

typedef enum Key {
        KEY_JOB,
        KEY_PROGRESS,
        KEY_MESSAGE,
        KEY_DONE,
        KEY_TOTAL,
        KEY_RATE,
        KEY_ENGINE,
        KEY_LIST,
        KEY_INSTANCE,
        KEY_ID,
        KEY_SERVICE,
        KEY_CONTAINER,
        KEY_STATE,
        KEY_HEALTH,
        KEY_EXIT,
        KEY_SINCE,
        KEY_STARTED,
        KEY_RESTARTS,
        KEY_OOM,
        KEY_STOPPED,
        KEY_IMAGE,
        KEY_IMAGE_ID,
        _KEY_MAX,
} Key;

static const char *const key_table[_KEY_MAX] = {
        [KEY_JOB] = "JOB",
        [KEY_PROGRESS] = "PROGRESS",
        [KEY_MESSAGE] = "MESSAGE",
        [KEY_DONE] = "DONE",
        [KEY_TOTAL] = "TOTAL",
        [KEY_RATE] = "RATE",
        [KEY_ENGINE] = "ENGINE",
        [KEY_LIST] = "LIST",
        [KEY_INSTANCE] = "INSTANCE",
        [KEY_ID] = "ID",
        [KEY_SERVICE] = "SERVICE",
        [KEY_CONTAINER] = "CONTAINER",
        [KEY_STATE] = "STATE",
        [KEY_HEALTH] = "HEALTH",
        [KEY_EXIT] = "EXIT",
        [KEY_SINCE] = "SINCE",
        [KEY_STARTED] = "STARTED",
        [KEY_RESTARTS] = "RESTARTS",
        [KEY_OOM] = "OOM",
        [KEY_STOPPED] = "STOPPED",
        [KEY_IMAGE] = "IMAGE",
        [KEY_IMAGE_ID] = "IMAGE_ID",
};

#define BIT(key) (1U << (key))

/* Which keys make a message of which type; one with the keys of two is refused. */
static const struct {
        unsigned needed, allowed;
        NotifyType type;
} forms[] = {
        { BIT(KEY_JOB),
                        BIT(KEY_JOB) | BIT(KEY_PROGRESS) | BIT(KEY_MESSAGE) | BIT(KEY_DONE) |
                                        BIT(KEY_TOTAL) | BIT(KEY_RATE),
                        NOTIFY_JOB },
        { BIT(KEY_ENGINE), BIT(KEY_ENGINE) | BIT(KEY_STARTED), NOTIFY_ENGINE },
        { BIT(KEY_LIST), BIT(KEY_LIST), NOTIFY_LIST_BEGIN },
        { BIT(KEY_INSTANCE) | BIT(KEY_ID) | BIT(KEY_SERVICE) | BIT(KEY_CONTAINER) | BIT(KEY_STATE),
                        BIT(KEY_INSTANCE) | BIT(KEY_ID) | BIT(KEY_SERVICE) | BIT(KEY_CONTAINER) |
                                        BIT(KEY_STATE) | BIT(KEY_HEALTH) | BIT(KEY_EXIT) | BIT(KEY_SINCE) |
                                        BIT(KEY_STARTED) | BIT(KEY_RESTARTS) | BIT(KEY_OOM) |
                                        BIT(KEY_STOPPED) | BIT(KEY_IMAGE) | BIT(KEY_IMAGE_ID),
                        NOTIFY_CONTAINER },
};

static int message_set(NotifyMessage *m, Key key, const char *value, bool *ret_list_end) {
        int r = 0;

        switch (key) {
        case KEY_JOB:
                r = parse_number(value, INT64_MAX, &m->job);
                return r < 0 ? r : m->job == 0 ? -EBADMSG : 0;
        case KEY_PROGRESS:
                return parse_small_number(value, 100, &m->progress);
        case KEY_MESSAGE:
                if (strlen(value) > NOTIFY_TEXT_MAX || !string_is_safe(value))
                        return -EBADMSG;
                return free_and_strdup(&m->message, value);
        case KEY_DONE:
                return parse_number(value, INT64_MAX, &m->bytes.done);
        case KEY_TOTAL:
                return parse_number(value, INT64_MAX, &m->bytes.total);
        case KEY_RATE:
                return parse_number(value, INT64_MAX, &m->bytes.rate);
        case KEY_ENGINE:
                m->engine_available = streq(value, "available");
                return m->engine_available || streq(value, "unavailable") ? 0 : -EBADMSG;
        case KEY_LIST:
                *ret_list_end = streq(value, "end");
                return *ret_list_end || streq(value, "begin") ? 0 : -EBADMSG;
        case KEY_INSTANCE:
                return parse_text(value, &m->instance);
        case KEY_ID:
                return parse_text(value, &m->uuid);
        case KEY_SERVICE:
                return parse_text(value, &m->service);
        case KEY_CONTAINER:
                return parse_text(value, &m->container);
        case KEY_STATE:
                m->state = container_state_from_string(value);
                return m->state < 0 ? -EBADMSG : 0;
        case KEY_HEALTH:
                m->health = container_health_from_string(value);
                return m->health < 0 ? -EBADMSG : 0;
        case KEY_EXIT:
                return parse_small_number(value, INT32_MAX, &m->exit_code);
        case KEY_SINCE:
                return parse_number(value, UINT64_MAX, &m->since);
        case KEY_STARTED:
                return parse_number(value, UINT64_MAX, &m->started);
        case KEY_RESTARTS:
                return parse_unsigned(value, &m->n_restarts);
        case KEY_OOM:
                return parse_flag(value, &m->oom_killed);
        case KEY_STOPPED:
                return parse_flag(value, &m->stopped);
        case KEY_IMAGE:
                return parse_text(value, &m->image);
        case KEY_IMAGE_ID:
                return parse_text(value, &m->image_id);
        default:
                return 0;
        }
}

/* One line without its newline. A key that is not ours is passed over, one that comes twice is refused. */
static int message_read_line(NotifyMessage *m, char *line, unsigned *seen, bool *ret_list_end) {
        char *value = strchr(line, '=');
        int key;

        if (!value || value == line)
                return -EBADMSG;
        *value++ = 0;

        key = string_table_lookup(key_table, ELEMENTSOF(key_table), line);
        if (key < 0)
                return 0;
        if (*seen & BIT(key))
                return -EBADMSG;

        *seen |= BIT(key);
        return message_set(m, (Key) key, value, ret_list_end);
}

int notify_message_parse(const char *data, size_t size, NotifyMessage *ret) {
        _cleanup_notify_message_ NotifyMessage m = { .progress = -1, .exit_code = -1 };
        _cleanup_free_ char *text = NULL;
        bool list_end = false;
        unsigned seen = 0;
        int r;

        if (size > NOTIFY_DATAGRAM_MAX || memchr(data, 0, size))
                return -EBADMSG;

        text = strndup(data, size);
        if (!text)
                return -ENOMEM;

        for (char *line = text, *next; line; line = next) {
                next = strchr(line, '\n');
                if (next)
                        *next++ = 0;
                if (!*line)
                        continue;

                r = message_read_line(&m, line, &seen, &list_end);
                if (r < 0)
                        return r;
        }

        FOREACH_ARRAY(f, forms, ELEMENTSOF(forms))
                if ((seen & f->needed) == f->needed && (seen & ~f->allowed) == 0) {
                        m.type = f->type == NOTIFY_LIST_BEGIN && list_end ? NOTIFY_LIST_END : f->type;
                        if (m.type == NOTIFY_ENGINE)
                                m.engine_started = TAKE_GENERIC(m.started, 0);
                        *ret = TAKE_GENERIC(m, (NotifyMessage) {});
                        return 0;
                }

        return -EBADMSG;
}

int notify_socket_new(void) {
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd < 0 ? -errno : fd;
}

static int notify_address(const char *path, struct sockaddr_un *ret) {
        size_t n;

        path = path ?: CCP_NOTIFY_SOCKET;
        n = strlen(path);
        if (n >= sizeof(ret->sun_path))
                return -ENAMETOOLONG;

        *ret = (struct sockaddr_un) { .sun_family = AF_UNIX };
        memcpy(ret->sun_path, path, n + 1);
        return 0;
}

/* address NULL: the socket is connected. */
static int notify_send(int fd, const struct sockaddr_un *address, const NotifyMessage *m) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        int r;

        r = notify_message_format(m, &text, &size);
        if (r < 0)
                return r;

        if (sendto(fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *) address,
                            address ? sizeof(*address) : 0) < 0)
                return -errno;

        return 0;
}

int notify_socket_send(int fd, const char *path, const NotifyMessage *m) {
        struct sockaddr_un address;
        int r;

        r = notify_address(path, &address);
        if (r < 0)
                return r;

        return notify_send(fd, &address, m);
}

int notify_socket_new_connected(const char *path) {
        _cleanup_close_ int fd = -EBADF;
        struct sockaddr_un address;
        int r;

        r = notify_address(path, &address);
        if (r < 0)
                return r;

        fd = notify_socket_new();
        if (fd < 0)
                return fd;
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;

        return TAKE_FD(fd);
}

int notify_socket_send_connected(int fd, const NotifyMessage *m) {
        return notify_send(fd, NULL, m);
}
