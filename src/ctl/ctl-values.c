/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ctl.h"
#include "fd-util.h"
#include "string-util.h"
#include "time-parse.h"

/* Values of parameters are configuration, not data. */
#define VALUE_FILE_MAX (64U * 1024U)
/* Rows asked for with one call. */
#define PAGE 200U

int split_assignment(const char *s, char **ret_key, const char **ret_value, Error *reterr) {
        const char *e = strchr(s, '=');
        char *key;

        if (!e || e == s)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "'%s' has to be KEY=VALUE.", s);

        key = strndup(s, (size_t) (e - s));
        if (!key)
                return -ENOMEM;

        *ret_key = key;
        *ret_value = e + 1;
        return 0;
}

static int open_value_file(const char *path) {
        int fd = streq(path, "-") ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                  : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

        return fd < 0 ? -errno : fd;
}

int read_value_file(const char *path, char **ret, Error *reterr) {
        _cleanup_erase_ char *text = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t size;
        int r;

        fd = open_value_file(path);
        if (fd < 0)
                return error_set_errnof(reterr, fd, "Cannot open '%s': %m.", path);

        r = read_full_fd(fd, VALUE_FILE_MAX, &text, &size);
        if (r == -EFBIG)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "'%s' is larger than 64 KiB, the most that a parameter can have.", path);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read '%s': %m.", path);
        if (memchr(text, 0, size))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "'%s' has NUL bytes, so it is no text. A parameter has to be text.", path);
        if (!utf8_is_valid(text, size))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "'%s' is not valid UTF-8. A parameter has to be text in UTF-8.", path);

        if (size > 0 && text[size - 1] == '\n')
                text[size - 1] = 0;
        *ret = TAKE_PTR(text);
        return 0;
}

static int append_filters(sd_bus_message *m, const char *const (*filters)[2]) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        for (; r >= 0 && filters && (*filters)[0]; filters++)
                if ((*filters)[1])
                        r = sd_bus_message_append(m, "{sv}", (*filters)[0], "s", (*filters)[1]);

        return r < 0 ? r : sd_bus_message_close_container(m);
}

/* Where the rows are properties of objects, whose. */
static const char *interface_of_rows(const char *method) {
        return streq(method, "ListJobs")                 ? CCP_INTERFACE_JOB
                        : streq(method, "ListInstances") ? CCP_INTERFACE_INSTANCE
                                                         : CCP_INTERFACE_MANAGER;
}

static int list_page(Ctl *c, const char *method, const char *const (*filters)[2], uint64_t offset,
                uint64_t limit, json_t **ret, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        int r;

        r = ctl_message(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, method, &m, reterr);
        if (r < 0)
                return r;
        r = append_filters(m, filters);
        if (r >= 0)
                r = sd_bus_message_append(m, "tt", offset, limit);
        if (r < 0)
                return r;

        r = ctl_send(c, m, &reply, reterr);
        if (r < 0)
                return r;

        r = json_from_rows(reply, interface_of_rows(method), method, ret);
        return r < 0 ? ctl_bad_reply(reterr, r) : 0;
}

int ctl_list_rows(Ctl *c, const char *method, const char *const (*filters)[2], uint64_t max, json_t **ret,
                Error *reterr) {
        _cleanup_json_ json_t *all = NULL;
        int r;

        all = json_array();
        if (!all)
                return -ENOMEM;

        /* ccpd may give fewer than asked for; only an empty page is the end. */
        while (json_array_size(all) < max) {
                _cleanup_json_ json_t *page = NULL;
                uint64_t n = json_array_size(all);

                r = list_page(c, method, filters, n, MIN((uint64_t) PAGE, max - n), &page, reterr);
                if (r < 0)
                        return r;
                if (json_array_size(page) == 0)
                        break;
                if (json_array_extend(all, page) < 0)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(all);
        return 0;
}

int ctl_read_time(const Ctl *c, OptionId id, usec_t *ret, Error *reterr) {
        const char *s = c->arguments.values[id];
        int r;

        r = s ? time_parse(s, now(CLOCK_REALTIME), ret) : 0;
        if (r == -ERANGE)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "--%s=%s is before 1970, or too far away.", option_table[id].name, s);
        if (r < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "--%s takes a time such as '2026-11-20 12:00:00', '2026-11-20', today, "
                                "yesterday, now or -2h, not '%s'.",
                                option_table[id].name, s);

        return 0;
}

int ctl_read_lines(const Ctl *c, uint64_t otherwise, uint64_t *ret, Error *reterr) {
        *ret = arguments_have(&c->arguments, OPTION(LINES)) ? c->arguments.lines : otherwise;
        if (*ret == 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "--lines= takes a number above 0 here, or all.");

        return 0;
}
