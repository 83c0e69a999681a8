/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccpctl storage: where backups are copied to. The credentials are read here, go to ccpd, and never come back. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ctl.h"
#include "fd-util.h"
#include "polkit-agent.h"
#include "prompt.h"
#include "string-util.h"
#include "terminal.h"

#define CREDENTIALS_SIZE_MAX 4096U

/* --- credentials --- */

typedef struct Credentials {
        char *access_key, *secret_key;
} Credentials;

static void credentials_done(Credentials *c) {
        erase_and_free(c->access_key);
        erase_and_free(c->secret_key);
}

/* Takes the next line off, without blanks around it. *ret is NULL at the end. */
static int take_line(const char **text, char **ret) {
        size_t n;

        *text += strspn(*text, " \t\r\n");
        n = strcspn(*text, "\r\n");
        while (n > 0 && strchr(" \t", (*text)[n - 1]))
                n--;
        *ret = n > 0 ? strndup(*text, n) : NULL;
        if (n > 0 && !*ret)
                return -ENOMEM;
        *text += n;
        return 0;
}

static int read_credentials(const char *path, Credentials *ret, Error *reterr) {
        _cleanup_close_ int fd = streq(path, "-") ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_erase_ char *text = NULL, *more = NULL;
        const char *rest;
        int r;

        if (fd < 0)
                return error_set_errnof(reterr, errno, "Cannot open the file '%s': %m.", path);
        r = read_full_fd(fd, CREDENTIALS_SIZE_MAX, &text, NULL);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read the file '%s': %m.", path);
        rest = text;
        r = take_line(&rest, &ret->access_key);
        if (r >= 0)
                r = take_line(&rest, &ret->secret_key);
        if (r >= 0)
                r = take_line(&rest, &more);
        if (r < 0)
                return r;
        return ret->secret_key && !more
                        ? 0
                        : error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                          "The file with the credentials has two lines: the access key, and "
                                          "the secret key.");
}

static int ask_credentials(Credentials *ret, Error *reterr) {
        int r;

        r = prompt_line("Access key: ", NULL, &ret->access_key);
        if (r >= 0)
                r = prompt_secret("Secret key: ", &ret->secret_key);
        if (IN_SET(r, -ECANCELED, -EINTR))
                return error_setf(reterr, CCP_ERROR_CANCELLED, "Nothing was changed.");
        return r < 0 ? error_set_errnof(reterr, r, "Cannot read from the terminal: %m.") : 0;
}

/* --- what ccpd knows --- */

static int get_storage(Ctl *c, json_t **ret, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "GetStorage", &reply, reterr, "a{sv}", 0);
        if (r < 0)
                return r;
        r = json_from_properties(reply, CCP_INTERFACE_MANAGER, ret);
        return r < 0 ? ctl_bad_reply(reterr, r) : 0;
}

/* Those that ccpd has stay unless others are given; where it has none, they are asked for. */
static int find_credentials(Ctl *c, Credentials *ret, Error *reterr) {
        const char *path = c->arguments.values[OPTION_CREDENTIALS_FILE];
        _cleanup_json_ json_t *storage = NULL;
        int r;

        if (path)
                return read_credentials(path, ret, reterr);
        r = get_storage(c, &storage, reterr);
        if (r < 0 || json_object_size(storage) > 0)
                return r;
        if (!terminal_is_input())
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is no terminal to ask on for access key and secret key. Give them in "
                                "a file, or by standard input: --credentials-file=FILE");
        return ask_credentials(ret, reterr);
}

/* --- the verbs --- */

static int append_bool(sd_bus_message *m, const char *key, bool value) {
        return value ? sd_bus_message_append(m, "{sv}", key, "b", 1) : 0;
}

static int append_set(const Ctl *c, sd_bus_message *m, const Credentials *credentials) {
        const struct {
                const char *key, *value;
        } options[] = {
                { "endpoint", c->arguments.values[OPTION_ENDPOINT] },
                { "region", c->arguments.values[OPTION_REGION] },
                { "bucket", c->arguments.values[OPTION_BUCKET] },
                { "prefix", c->arguments.values[OPTION_PREFIX] },
                { "ca-file", c->arguments.values[OPTION_CA_FILE] },
                { "access-key", credentials->access_key },
                { "secret-key", credentials->secret_key },
        };
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        FOREACH_ARRAY(o, options, ELEMENTSOF(options))
                if (r >= 0 && o->value)
                        r = sd_bus_message_append(m, "{sv}", o->key, "s", o->value);
        if (r >= 0)
                r = append_bool(m, "path-style", arguments_have(&c->arguments, OPTION(PATH_STYLE)));
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int verb_storage_set(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_(credentials_done) Credentials credentials = {};
        int r;

        if (!c->arguments.values[OPTION_ENDPOINT] || !c->arguments.values[OPTION_BUCKET])
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A storage has an endpoint and a bucket: --endpoint=URL --bucket=BUCKET");
        polkit_agent_open(c);
        r = find_credentials(c, &credentials, reterr);
        if (r >= 0)
                r = ctl_message(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "SetStorage", &m, reterr);
        if (r < 0)
                return r;
        (void) sd_bus_message_sensitive(m);
        r = append_set(c, m, &credentials);
        if (r >= 0)
                r = ctl_send(c, m, NULL, reterr);
        if (r < 0)
                return r;
        ctl_say(c, "Backups are copied there from now on. To try it: ccpctl storage test\n");
        return EXIT_DONE;
}

static void print_number(const char *label, uint64_t n) {
        char text[STRLEN("18446744073709551615") + 1];

        (void) snprintf(text, sizeof(text), "%" PRIu64, n);
        print_field(label, text);
}

int verb_storage_show(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_json_ json_t *s = NULL;
        int r;

        r = get_storage(c, &s, reterr);
        if (r < 0)
                return r;
        if (ctl_prints_json(c))
                return ctl_print_json(c, s);
        if (json_object_size(s) == 0) {
                ctl_say(c, "Backups are copied nowhere. To name a storage: ccpctl storage set\n");
                return EXIT_DONE;
        }

        print_field("Endpoint", json_get_text(s, "endpoint"));
        print_field("Region", json_get_text(s, "region"));
        print_field("Bucket", json_get_text(s, "bucket"));
        print_field("Prefix", json_get_text(s, "prefix"));
        print_field("Addresses",
                        json_is_true(json_object_get(s, "path_style")) ? "HOST/BUCKET" : "BUCKET.HOST");
        print_field("CA file", json_get_text(s, "ca_file"));
        print_field("Set", FORMAT_TIMESTAMP(json_get_number(s, "set_at")));
        if (json_get_number(s, "compared_at") > 0)
                print_field("Compared", FORMAT_TIMESTAMP(json_get_number(s, "compared_at")));
        print_number("Copied", json_get_number(s, "copied"));
        print_number("Missing", json_get_number(s, "missing"));
        print_field("Error", json_get_text(s, "error"));
        return EXIT_DONE;
}

int verb_storage_test(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *findings = NULL;
        int r;

        polkit_agent_open(c);
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "TestStorage", &reply, reterr, "a{sv}", 0);
        if (r < 0)
                return r;
        r = json_from_rows(reply, CCP_INTERFACE_MANAGER, "TestStorage", &findings);
        return r < 0 ? ctl_bad_reply(reterr, r)
                     : ctl_print_findings(c, findings, "Backups can be copied there.");
}

int verb_storage_forget(Ctl *c, _unused_ char **args, Error *reterr) {
        int r;

        if (!arguments_have(&c->arguments, OPTION(YES))) {
                if (!terminal_is_input())
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "There is no terminal to ask on. To forget the storage, say --yes.");
                r = prompt_yes_no("Copy no backups any more, and forget the credentials", false);
                if (r < 0 && !IN_SET(r, -ECANCELED, -EINTR))
                        return error_set_errnof(reterr, r, "Cannot read from the terminal: %m.");
                if (r <= 0)
                        return error_setf(reterr, CCP_ERROR_CANCELLED, "Nothing was changed.");
        }
        polkit_agent_open(c);
        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ForgetStorage", NULL, reterr, "a{sv}", 0);
        if (r < 0)
                return r;
        ctl_say(c, "What was copied there stays there.\n");
        return EXIT_DONE;
}
