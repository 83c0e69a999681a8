/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ctl.h"
#include "job-watch.h"
#include "prompt.h"
#include "string-util.h"
#include "strv.h"

static const ListColumn list_columns[] = {
        { { "SLUG" }, "slug" },
        { { "STATE" }, "state", format_state },
        { { "HEALTH" }, "health", format_health },
        { { "DOMAIN", 2 }, "domain" },
        { { "BLUEPRINT", 1 }, "blueprint" },
        { { "SUBNET", 1 }, "subnet" },
        { { "NAME", 3 }, "name" },
};

static bool matches_any(char *const *patterns, const char *slug) {
        STRV_FOREACH(p, patterns)
                if (fnmatch(*p, slug, 0) == 0)
                        return true;

        return strv_length(patterns) == 0;
}

static void remove_others(json_t *rows, char *const *patterns) {
        for (size_t i = json_array_size(rows); i-- > 0;)
                if (!matches_any(patterns, json_get_text(json_array_get(rows, i), "slug")))
                        (void) json_array_remove(rows, i);
}

/* Gives each row an object of its ports, if they may be seen. One call for all of them. */
static int add_ports(Ctl *c, json_t *rows, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *ports = NULL, *by_slug = NULL;
        json_t *row;
        size_t i;
        int r;

        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ListPorts", &reply, reterr, NULL);
        if (r < 0 && error_is_refusal(reterr->name)) {
                error_done(reterr);
                return 0;
        }
        if (r < 0)
                return r;
        r = json_from_rows(reply, CCP_INTERFACE_MANAGER, "ListPorts", &ports);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        by_slug = json_object();
        if (!by_slug)
                return -ENOMEM;
        json_array_foreach(rows, i, row) {
                json_t *o = json_object();

                if (json_object_set_new(by_slug, json_get_text(row, "slug"), o) < 0 ||
                                json_object_set(row, "ports", o) < 0)
                        return -ENOMEM;
        }
        json_array_foreach(ports, i, row) {
                json_t *o = json_object_get(by_slug, json_get_text(row, "instance"));

                if (o && json_object_set(o, json_get_text(row, "name"), json_object_get(row, "number")) < 0)
                        return -ENOMEM;
        }

        return 0;
}

int verb_list(Ctl *c, char **args, Error *reterr) {
        const char *const *values = c->arguments.values;
        /* One pattern is ccpd's to match; more are matched here. */
        const char *const filters[][2] = {
                { "state", values[OPTION_STATE] },
                { "health", values[OPTION_HEALTH] },
                { "blueprint", values[OPTION_BLUEPRINT] },
                { "pattern", strv_length(args) == 1 ? args[0] : NULL },
                {},
        };
        _cleanup_json_ json_t *rows = NULL;
        int r;

        r = ctl_list_rows(c, "ListInstances", filters, UINT64_MAX, &rows, reterr);
        if (r < 0)
                return r;
        remove_others(rows, args);

        if (ctl_prints_json(c)) {
                r = add_ports(c, rows, reterr);
                if (r < 0)
                        return r;
        }

        return ctl_print_list(c, rows, list_columns, ELEMENTSOF(list_columns), "instance");
}

int ctl_get_instance(Ctl *c, const char *slug, char **ret_path, json_t **ret, Error *reterr) {
        _cleanup_free_ char *path = NULL;
        json_t *instance;
        int r;

        r = ctl_look_up(c, "GetInstance", slug, &path, reterr);
        if (r < 0)
                return r;
        r = ctl_get_all(c, path, CCP_INTERFACE_INSTANCE, &instance, reterr);
        if (r < 0)
                return r;

        if (ret_path)
                *ret_path = TAKE_PTR(path);
        *ret = instance;
        return 0;
}

/* "started_at" for "StartedAt" and itself. */
static bool property_wanted(const Ctl *c, const char *key) {
        if (strv_length(c->arguments.properties) == 0)
                return true;

        STRV_FOREACH(p, c->arguments.properties) {
                _cleanup_free_ char *wanted = snake_case(*p);

                if (streq_ptr(wanted, key))
                        return true;
        }

        return false;
}

/* Keeps the properties that were asked for. Fails if one of those is none. */
static int select_properties(const Ctl *c, json_t *object, Error *reterr) {
        const char *key;
        json_t *value;
        void *next;

        STRV_FOREACH(p, c->arguments.properties) {
                _cleanup_free_ char *wanted = snake_case(*p);

                if (!wanted)
                        return -ENOMEM;
                if (!json_object_get(object, wanted))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "There is no property '%s'. 'ccpctl show' without -p shows all.",
                                        *p);
        }

        json_object_foreach_safe(object, next, key, value) {
                (void) value;
                if (!property_wanted(c, key))
                        (void) json_object_del(object, key);
        }

        return 0;
}

/* "StartedAt" for "started_at". */
static char *camel_case(const char *key) {
        _cleanup_string_builder_ StringBuilder b = {};
        bool up = true;
        char *result;

        for (const char *p = key; *p; p++) {
                if (*p != '_')
                        string_builder_append_n(&b,
                                        &(char) { (char) (up && *p >= 'a' && *p <= 'z' ? *p - 0x20 : *p) },
                                        1);
                up = *p == '_';
        }

        return string_builder_finish(&b, &result, NULL) < 0 ? NULL : result;
}

static char *property_to_text(const char *key, const json_t *value) {
        const char *message = json_get_text(value, "message");

        if (endswith(key, "_at") && json_is_integer(value))
                return strdup(FORMAT_TIMESTAMP((usec_t) json_integer_value(value)));
        if (streq(key, "error"))
                return strjoin(json_get_text(value, "name"), isempty(message) ? "" : ": ", message);

        return json_to_text(value);
}

static int print_property(const Ctl *c, const char *key, const json_t *value) {
        _cleanup_free_ char *name = NULL, *text = NULL, *escaped = NULL;

        name = camel_case(key);
        text = property_to_text(key, value);
        escaped = text ? text_escape(text) : NULL;
        if (!name || !escaped)
                return -ENOMEM;

        if (arguments_have(&c->arguments, OPTION(VALUE)))
                (void) printf("%s\n", escaped);
        else
                (void) printf("%s=%s\n", name, escaped);
        return 0;
}

static int print_properties(const Ctl *c, const json_t *object) {
        const char *key;
        json_t *value;
        int r;

        json_object_foreach((json_t *) object, key, value) {
                r = print_property(c, key, value);
                if (r < 0)
                        return r;
        }

        return 0;
}

int verb_show(Ctl *c, char **args, Error *reterr) {
        _cleanup_json_ json_t *all = NULL;
        json_t *instance;
        size_t i;
        int r;

        all = json_array();
        if (!all)
                return -ENOMEM;
        STRV_FOREACH(slug, args) {
                r = ctl_get_instance(c, *slug, NULL, &instance, reterr);
                if (r < 0)
                        return r;
                if (json_array_append_new(all, instance) < 0)
                        return -ENOMEM;
                r = select_properties(c, instance, reterr);
                if (r < 0)
                        return r;
        }

        if (ctl_prints_json(c))
                return ctl_print_json(c, json_array_size(all) == 1 ? json_array_get(all, 0) : all);

        ctl_open_pager(c);
        json_array_foreach(all, i, instance) {
                if (i > 0)
                        (void) putchar('\n');
                r = print_properties(c, instance);
                if (r < 0)
                        return r;
        }
        return EXIT_DONE;
}

/* The options of a call, as pairs. */
int ctl_append_options(sd_bus_message *m, const char *const (*options)[2]) {
        int r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        for (; r >= 0 && options && (*options)[0]; options++)
                if ((*options)[1])
                        r = sd_bus_message_append(m, "{sv}", (*options)[0], "s", (*options)[1]);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

int ctl_run_instance_job(Ctl *c, const char *slug, const CtlJobCall *call, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = ctl_look_up(c, "GetInstance", slug, &path, reterr);
        if (r < 0)
                return r;
        r = ctl_message(c, path, CCP_INTERFACE_INSTANCE, call->method, &m, reterr);
        if (r >= 0 && call->services)
                r = sd_bus_message_append_strv(m, (char **) call->services);
        if (r >= 0 && call->backup)
                r = sd_bus_message_append(m, "s", call->backup);
        if (r >= 0)
                r = ctl_append_options(m, call->options);
        return r < 0 ? r : ctl_submit_job(c, m, call->backup, reterr);
}

int verb_start(Ctl *c, char **args, Error *reterr) {
        return ctl_run_instance_job(
                        c, args[0], &(CtlJobCall) { .method = "Start", .services = args + 1 }, reterr);
}

int verb_stop(Ctl *c, char **args, Error *reterr) {
        return ctl_run_instance_job(
                        c, args[0], &(CtlJobCall) { .method = "Stop", .services = args + 1 }, reterr);
}

int verb_restart(Ctl *c, char **args, Error *reterr) {
        return ctl_run_instance_job(
                        c, args[0], &(CtlJobCall) { .method = "Restart", .services = args + 1 }, reterr);
}

/* Whether a row takes the place of the newest until then, if any: they come newest first whatever the clock said,
 * but those that were imported may be old. */
static bool backup_is_newer(const json_t *row, const json_t *newest) {
        return !newest ||
                        (!isempty(json_get_text(newest, "signer")) &&
                                        json_get_number(row, "created_at") >
                                                        json_get_number(newest, "created_at"));
}

/* Says what of it remains. Another instance may have had the slug before: its backups bring back something else. */
static void print_what_remains(Ctl *c, const json_t *instance) {
        const char *slug = json_get_text(instance, "slug"), *id;
        const char *const filters[][2] = { { "instance", slug }, {} };
        const json_t *row, *newest = NULL;
        _cleanup_json_ json_t *rows = NULL;
        _cleanup_error_ Error error = {};
        size_t i, n = 0;
        usec_t created;

        if (ctl_list_rows(c, "ListBackups", filters, UINT64_MAX, &rows, &error) < 0) {
                (void) fprintf(stderr, "The list of its backups could not be read.\n\n");
                return;
        }

        json_array_foreach(rows, i, row) {
                if (!streq(json_get_text(row, "instance_id"), json_get_text(instance, "id")))
                        continue;
                n++;
                if (streq(json_get_text(row, "state"), "verified") && backup_is_newer(row, newest))
                        newest = row;
        }

        if (newest) {
                id = json_get_text(newest, "id");
                created = json_get_number(newest, "created_at");
                (void) fprintf(stderr,
                                "Its backups stay: %zu. The newest verified one is backup %s, of\n%s; %s.\n"
                                "To come back to that: ccpctl backup restore %s --as=%s --domain=%s\n\n",
                                n, id, FORMAT_TIMESTAMP(created), FORMAT_AGO(created), id, slug,
                                json_get_text(instance, "domain"));
                return;
        }
        (void) fprintf(stderr,
                        "There is no %sbackup of it on this server. To make one first: ccpctl backup create "
                        "%s\n\n",
                        n > 0 ? "verified " : "", slug);
}

/* Says what goes, and has the slug typed: a 'y' is typed too easily. */
static int confirm_delete(Ctl *c, const json_t *instance, Error *reterr) {
        const char *slug = json_get_text(instance, "slug");
        _cleanup_free_ char *typed = NULL;
        int r;

        (void) fprintf(stderr,
                        "This removes %s (%s) for good: %zu containers, their volumes with all data,\n"
                        "the files in %s, its secrets, ports and subnet.\n"
                        "What is in no backup is lost.\n",
                        slug, json_get_text(instance, "domain"),
                        json_array_size(json_object_get(instance, "services")),
                        json_get_text(instance, "directory"));
        print_what_remains(c, instance);

        r = prompt_line("Type the slug to delete it: ", NULL, &typed);
        if (r < 0 && !IN_SET(r, -ECANCELED, -EINTR))
                return error_set_errnof(reterr, r, "Cannot read from the terminal: %m.");
        if (r < 0 || !streq(typed, slug))
                return error_setf(reterr, CCP_ERROR_CANCELLED, "Nothing was deleted.");

        return 0;
}

int verb_delete(Ctl *c, char **args, Error *reterr) {
        _cleanup_json_ json_t *instance = NULL;
        int r;

        if (!arguments_have(&c->arguments, OPTION(YES))) {
                if (!terminal_is_input())
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "There is no terminal to ask on. To delete '%s' and all its data, "
                                        "say --yes.",
                                        args[0]);

                r = ctl_get_instance(c, args[0], NULL, &instance, reterr);
                if (r < 0)
                        return r;
                r = confirm_delete(c, instance, reterr);
                if (r < 0)
                        return r;
        }

        return ctl_run_instance_job(c, args[0], &(CtlJobCall) { .method = "Delete" }, reterr);
}
