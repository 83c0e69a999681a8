/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "create-request.h"
#include "ctl.h"
#include "job-watch.h"
#include "string-util.h"
#include "strv.h"
#include "wizard.h"

#define CREATE_OPTIONS                                                                       \
        (OPTION(BLUEPRINT) | OPTION(DOMAIN) | OPTION(NAME) | OPTION(FEATURE) | OPTION(SET) | \
                        OPTION(SET_FILE) | OPTION(SOURCE) | OPTION(LIMIT) | OPTION(DRY_RUN))

static int get_parameters(Ctl *c, const char *name, json_t **ret, Error *reterr) {
        _cleanup_json_ json_t *blueprint = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = ctl_look_up(c, "GetBlueprint", name, &path, reterr);
        if (r < 0)
                return r;
        r = ctl_get_all(c, path, CCP_INTERFACE_BLUEPRINT, &blueprint, reterr);
        if (r < 0)
                return r;

        *ret = json_incref(json_object_get(blueprint, "parameters"));
        return 0;
}

static bool is_secret(const json_t *parameters, const char *name) {
        json_t *p;
        size_t i;

        json_array_foreach(parameters, i, p)
                if (streq(json_get_text(p, "name"), name))
                        return json_is_true(json_object_get(p, "secret"));

        return false;
}

/* Arguments can be read by everybody on the host as long as we run, and stay in the shell's history. */
static int take_values(Ctl *c, CreateRequest *q, Error *reterr) {
        _cleanup_json_ json_t *parameters = NULL;
        int r;

        if (strv_length(c->arguments.set) == 0)
                return 0;

        r = get_parameters(c, q->blueprint, &parameters, reterr);
        if (r < 0)
                return r;

        STRV_FOREACH(s, c->arguments.set) {
                _cleanup_free_ char *key = NULL;
                const char *value;

                r = split_assignment(*s, &key, &value, reterr);
                if (r < 0)
                        return r;
                if (is_secret(parameters, key))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "%s is secret, and arguments are visible to everybody on this host. "
                                        "Give "
                                        "it with --set-file %s=FILE, or %s=- for standard input.",
                                        key, key, key);

                r = create_request_set(q, key, value);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int take_value_files(Ctl *c, CreateRequest *q, Error *reterr) {
        int r;

        STRV_FOREACH(s, c->arguments.set_file) {
                _cleanup_erase_ char *value = NULL;
                _cleanup_free_ char *key = NULL;
                const char *file;

                r = split_assignment(*s, &key, &file, reterr);
                if (r < 0)
                        return r;
                r = read_value_file(file, &value, reterr);
                if (r < 0)
                        return r;
                r = create_request_set(q, key, value);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* ccpd has a working directory of its own; on another host it is for that to judge the path. */
static int take_source(Ctl *c, CreateRequest *q, Error *reterr) {
        const char *source = c->arguments.values[OPTION_SOURCE];

        if (!source)
                return 0;
        if (c->arguments.values[OPTION_HOST])
                return free_and_strdup(&q->source, source);

        q->source = realpath(source, NULL);
        if (!q->source)
                return error_set_errnof(reterr, errno, "Cannot find the source tree '%s': %m.", source);

        return 0;
}

static int take_limits(Ctl *c, CreateRequest *q, Error *reterr) {
        STRV_FOREACH(s, c->arguments.limits) {
                _cleanup_free_ char *key = NULL;
                const char *value;
                int r;

                r = split_assignment(*s, &key, &value, reterr);
                if (r >= 0)
                        r = strv_extend(&q->limits, key);
                if (r >= 0)
                        r = strv_extend(&q->limits, value);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int request_from_arguments(Ctl *c, const char *slug, CreateRequest *q, Error *reterr) {
        const char *const *values = c->arguments.values;
        int r;

        if (!values[OPTION_BLUEPRINT] || !values[OPTION_DOMAIN])
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "'create %s' also needs --%s. Without any argument ccpctl asks for all of "
                                "it.",
                                slug, values[OPTION_BLUEPRINT] ? "domain" : "blueprint");

        r = free_and_strdup(&q->slug, slug);
        if (r >= 0)
                r = free_and_strdup(&q->blueprint, values[OPTION_BLUEPRINT]);
        if (r >= 0)
                r = free_and_strdup(&q->domain, values[OPTION_DOMAIN]);
        if (r >= 0)
                r = free_and_strdup(&q->name, values[OPTION_NAME]);
        if (r < 0)
                return r;
        if (c->arguments.features) {
                q->features = strv_copy(c->arguments.features);
                if (!q->features)
                        return -ENOMEM;
        }

        r = take_source(c, q, reterr);
        if (r >= 0)
                r = take_limits(c, q, reterr);
        if (r < 0)
                return r;
        r = take_values(c, q, reterr);
        if (r < 0)
                return r;

        return take_value_files(c, q, reterr);
}

static int dry_run(Ctl *c, const CreateRequest *q, Error *reterr) {
        _cleanup_json_ json_t *plan = NULL;
        int r;

        r = create_request_plan(c, q, &plan, reterr);
        if (r < 0)
                return r;
        if (ctl_prints_json(c))
                return ctl_print_json(c, plan);

        ctl_say(c, "%s would be created like this:\n", q->slug);
        plan_print(plan);
        return EXIT_DONE;
}

static int create(Ctl *c, const CreateRequest *q, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_job_watch_ JobWatch *w = NULL;
        const char *instance, *job;
        int r;

        if (ctl_waits(c)) {
                r = job_watch_new(c, &w, reterr);
                if (r < 0)
                        return r;
        }

        ctl_begin_job(c);
        r = create_request_send(c, q, "CreateInstance", &reply, reterr);
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "oo", &instance, &job);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        return ctl_finish_job(c, w, job, "succeeded", reterr);
}

int verb_create(Ctl *c, char **args, Error *reterr) {
        _cleanup_create_request_ CreateRequest q = {};
        int r;

        if (strv_length(args) == 0) {
                if ((c->arguments.given & CREATE_OPTIONS) != 0 || !terminal_is_input() ||
                                !terminal_is_error())
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "Which instance? Say: ccpctl create SLUG --blueprint=NAME "
                                        "--domain=DOMAIN. On a terminal, 'ccpctl create' alone asks.");
                r = wizard_run(c, &q, reterr);
        } else
                r = request_from_arguments(c, args[0], &q, reterr);
        if (r < 0)
                return r;

        return arguments_have(&c->arguments, OPTION(DRY_RUN)) ? dry_run(c, &q, reterr)
                                                              : create(c, &q, reterr);
}
