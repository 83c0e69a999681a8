/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "create-request.h"

#include <errno.h>

#include "alloc-util.h"
#include "ctl.h"
#include "polkit-agent.h"
#include "string-util.h"
#include "strv.h"

void create_request_done(CreateRequest *q) {
        for (size_t i = 0; i < q->n_parameters; i++) {
                free(q->parameters[i].name);
                erase_and_free(q->parameters[i].value);
        }
        free(q->parameters);
        free(q->slug);
        free(q->blueprint);
        free(q->domain);
        free(q->name);
        free(q->source);
        strv_free(q->features);
        strv_free(q->limits);
        *q = (CreateRequest) {};
}

static RequestParameter *find_parameter(const CreateRequest *q, const char *name) {
        for (size_t i = 0; i < q->n_parameters; i++)
                if (streq(q->parameters[i].name, name))
                        return q->parameters + i;

        return NULL;
}

const char *create_request_get(const CreateRequest *q, const char *name) {
        const RequestParameter *p = find_parameter(q, name);

        return p ? p->value : NULL;
}

int create_request_set(CreateRequest *q, const char *name, const char *value) {
        _cleanup_free_ char *name_copy = NULL;
        _cleanup_erase_ char *value_copy = NULL;
        RequestParameter *p = find_parameter(q, name);

        if (!value && !p)
                return 0;

        name_copy = strdup(name);
        value_copy = value ? strdup(value) : NULL;
        if (!name_copy || (value && !value_copy))
                return -ENOMEM;

        if (!p) {
                if (!GREEDY_REALLOC(q->parameters, q->n_allocated, q->n_parameters + 1))
                        return -ENOMEM;
                p = q->parameters + q->n_parameters++;
                *p = (RequestParameter) { .name = TAKE_PTR(name_copy) };
        }
        erase_and_free(p->value);
        p->value = TAKE_PTR(value_copy);
        return 0;
}

static int append_string(sd_bus_message *m, const char *key, const char *value) {
        return isempty(value) ? 0 : sd_bus_message_append(m, "{sv}", key, "s", value);
}

static int append_features(sd_bus_message *m, char **features) {
        int r;

        if (strv_length(features) == 0)
                return 0;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "features");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "as");
        if (r >= 0)
                r = sd_bus_message_append_strv(m, features);
        if (r >= 0)
                r = sd_bus_message_close_container(m);

        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_parameters(sd_bus_message *m, const CreateRequest *q) {
        int r;

        if (q->n_parameters == 0)
                return 0;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "parameters");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "a{ss}");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{ss}");
        for (size_t i = 0; r >= 0 && i < q->n_parameters; i++)
                if (q->parameters[i].value)
                        r = sd_bus_message_append(m, "{ss}", q->parameters[i].name, q->parameters[i].value);
        for (size_t i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(m);

        return r;
}

static int append_limits(sd_bus_message *m, char **limits) {
        int r;

        if (strv_length(limits) == 0)
                return 0;

        r = sd_bus_message_open_container(m, 'e', "sv");
        if (r >= 0)
                r = sd_bus_message_append(m, "s", "limits");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'v', "a{ss}");
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{ss}");
        for (char **l = limits; r >= 0 && *l; l += 2)
                r = sd_bus_message_append(m, "{ss}", l[0], l[1]);
        for (size_t i = 0; r >= 0 && i < 3; i++)
                r = sd_bus_message_close_container(m);

        return r;
}

static int append_request(sd_bus_message *m, const CreateRequest *q) {
        int r;

        r = sd_bus_message_append(m, "ss", q->slug, q->blueprint);
        if (r >= 0)
                r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r >= 0)
                r = append_string(m, "name", q->name);
        if (r >= 0)
                r = append_string(m, "domain", q->domain);
        if (r >= 0)
                r = append_string(m, "source", q->source);
        if (r >= 0)
                r = append_features(m, q->features);
        if (r >= 0)
                r = append_parameters(m, q);
        if (r >= 0)
                r = append_limits(m, q->limits);

        return r < 0 ? r : sd_bus_message_close_container(m);
}

int create_request_send(Ctl *c, const CreateRequest *q, const char *method, sd_bus_message **ret_reply,
                Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = ctl_message(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, method, &m, reterr);
        if (r < 0)
                return r;

        /* There may be passwords among the parameters: the buffers are wiped. */
        r = sd_bus_message_sensitive(m);
        if (r >= 0)
                r = append_request(m, q);
        if (r < 0)
                return r;

        return ctl_send(c, m, ret_reply, reterr);
}

int create_request_plan(Ctl *c, const CreateRequest *q, json_t **ret_plan, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        /* It needs what creating needs. */
        polkit_agent_open(c);
        r = create_request_send(c, q, "PlanInstance", &reply, reterr);
        if (r < 0)
                return r;

        r = json_from_message(reply, ret_plan);
        return r < 0 ? ctl_bad_reply(reterr, r) : 0;
}

/* Titles of steps have blanks, so lists are told apart by commas here. */
static char *plan_text(const json_t *v) {
        _cleanup_strv_free_ char **l = NULL;
        json_t *item;
        size_t i;

        if (!json_is_array(v))
                return v ? json_to_text(v) : NULL;

        json_array_foreach(v, i, item)
                if (strv_extend(&l, strempty(json_string_value(item))) < 0)
                        return NULL;

        return strv_join(l, ", ");
}

void plan_print(const json_t *plan) {
        static const struct {
                const char *label, *key;
        } fields[] = {
                { "Ports", "ports" },
                { "Subnet", "subnet" },
                { "Files", "files" },
                { "Services", "services" },
                { "Steps", "steps" },
        };

        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                _cleanup_free_ char *text = plan_text(json_object_get(plan, fields[i].key));

                print_field(fields[i].label, text);
        }
}
