/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ctl.h"
#include "fd-util.h"
#include "polkit-agent.h"
#include "string-util.h"

/* Far more than any secret has. */
#define SECRET_MAX (1024U * 1024U)

static char *format_created(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_TIMESTAMP(json_get_number(row, "created_at")));
}

static const ListColumn secret_columns[] = {
        { { "NAME" }, "name" },
        { { "VERSION", .right = true }, "version" },
        { { "CREATED" }, "created_at", format_created },
};

int verb_secret_list(Ctl *c, char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *rows = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = ctl_look_up(c, "GetInstance", args[0], &path, reterr);
        if (r < 0)
                return r;

        polkit_agent_open(c);
        r = ctl_call(c, path, CCP_INTERFACE_INSTANCE, "ListSecrets", &reply, reterr, NULL);
        if (r < 0)
                return r;
        r = json_from_rows(reply, CCP_INTERFACE_INSTANCE, "ListSecrets", &rows);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        return ctl_print_list(c, rows, secret_columns, ELEMENTSOF(secret_columns), "secret");
}

/* The pages of the sealed file themselves: nothing is copied that would have to be wiped. */
typedef struct Secret {
        char *data;
        size_t size;
} Secret;

static void secret_done(Secret *s) {
        if (s->data)
                (void) munmap(s->data, s->size);
}

static int secret_map(int fd, Secret *ret, Error *reterr) {
        struct stat st;
        int seals;
        void *p;

        seals = fcntl(fd, F_GET_SEALS);
        if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) < 0 || st.st_size > (off_t) SECRET_MAX)
                return ctl_bad_reply(reterr, 0);
        if (st.st_size == 0) {
                *ret = (Secret) {};
                return 0;
        }

        p = mmap(NULL, (size_t) st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
                return error_set_errnof(reterr, -errno, "Cannot read the secret: %m.");

        (void) mlock(p, (size_t) st.st_size);
        (void) madvise(p, (size_t) st.st_size, MADV_DONTDUMP);
        *ret = (Secret) { .data = p, .size = (size_t) st.st_size };
        return 0;
}

static void wipe_and_free(void *p) {
        if (p)
                explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

/* The same as an object. jansson copies as it goes, so from here on it wipes what it frees. */
static int secret_to_json(const Ctl *c, const Secret *s, const char *instance, const char *name, char **ret,
                Error *reterr) {
        _cleanup_json_ json_t *object = NULL, *value = NULL;

        json_set_alloc_funcs(malloc, wipe_and_free);

        if (!utf8_is_valid(strempty(s->data), s->size))
                return error_setf(reterr, CCP_ERROR_INTERNAL,
                                "The secret is not valid UTF-8, so it cannot be JSON. Leave --json out.");

        value = json_stringn(strempty(s->data), s->size);
        object = json_pack("{s:s, s:s, s:O?}", "instance", instance, "name", name, "value", value);
        if (!value || !object)
                return -ENOMEM;

        *ret = json_format(object, c->arguments.json == JSON_PRETTY ? JSON_INDENT(4) : JSON_COMPACT);
        return *ret ? 0 : -ENOMEM;
}

/* Past the buffers of stdio, and past the pager. */
static int secret_write(
                const Ctl *c, const Secret *s, const char *instance, const char *name, Error *reterr) {
        _cleanup_erase_ char *text = NULL;
        int r;

        if (ctl_prints_json(c)) {
                r = secret_to_json(c, s, instance, name, &text, reterr);
                if (r < 0)
                        return r;
                r = loop_write(STDOUT_FILENO, text, strlen(text));
        } else
                r = s->size > 0 ? loop_write(STDOUT_FILENO, s->data, s->size) : 0;
        if (r >= 0 && (ctl_prints_json(c) || terminal_is_output()))
                r = loop_write(STDOUT_FILENO, "\n", 1);

        return r < 0 ? error_set_errnof(reterr, r, "Cannot write the secret: %m.") : EXIT_DONE;
}

int ctl_write_secret(Ctl *c, sd_bus_message *reply, const char *instance, const char *name, Error *reterr) {
        _cleanup_(secret_done) Secret secret = {};
        int fd, r;

        r = sd_bus_message_read(reply, "h", &fd);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        r = secret_map(fd, &secret, reterr);
        return r < 0 ? r : secret_write(c, &secret, instance, name, reterr);
}

int verb_secret_reveal(Ctl *c, char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        if (arguments_have(&c->arguments, OPTION(HOST)))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A secret is handed over in a file descriptor, which cannot go to another "
                                "host. Say: ssh -t %s ccpctl secret reveal %s %s",
                                c->arguments.values[OPTION_HOST], args[0], args[1]);

        r = ctl_look_up(c, "GetInstance", args[0], &path, reterr);
        if (r < 0)
                return r;

        polkit_agent_open(c);
        r = ctl_call(c, path, CCP_INTERFACE_INSTANCE, "RevealSecret", &reply, reterr, "sa{sv}", args[1], 0);
        return r < 0 ? r : ctl_write_secret(c, reply, args[0], args[1], reterr);
}
