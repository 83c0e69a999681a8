/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "wizard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ctl.h"
#include "parameters.h"
#include "prompt.h"
#include "string-util.h"
#include "strv.h"
#include "validate.h"

#define NUMBER_DIGITS_MAX 4U

typedef struct Wizard {
        Ctl *ctl;
        CreateRequest *request;
        json_t *instances;  /* rows of ListInstances: what is taken */
        json_t *blueprints; /* rows of ListBlueprints */
        json_t *blueprint;  /* properties of the one that was chosen */
} Wizard;

/* What a page returns besides errors. */
enum {
        PAGE_DONE,
        PAGE_START_OVER,
};

static void wizard_done(Wizard *w) {
        json_decref(w->instances);
        json_decref(w->blueprints);
        json_decref(w->blueprint);
}
#define _cleanup_wizard_ _cleanup_(wizard_done)

static void print_error(const Error *e) {
        _cleanup_free_ char *sentence = text_escape(strempty(e->message));

        (void) fprintf(stderr, "%s%s%s\n", color_on(stderr, COLOR_RED), strempty(sentence),
                        color_on(stderr, COLOR_NONE));
}

static void print_hint(const char *text) {
        _cleanup_free_ char *escaped = text_escape(text);

        if (!isempty(escaped))
                (void) fprintf(stderr, "%s%s%s\n", color_on(stderr, COLOR_GREY), escaped,
                                color_on(stderr, COLOR_NONE));
}

static int fail_prompt(int r, Error *reterr) {
        if (IN_SET(r, -ECANCELED, -EINTR))
                return error_setf(reterr, CCP_ERROR_CANCELLED, "Nothing was created.");

        return error_set_errnof(reterr, r, "Cannot read from the terminal: %m.");
}

/* Asks for a line until 'check' (which may replace the text) accepts it. *value is what is offered, and the
 * answer. */
static int ask_checked(Wizard *w, const char *label, int (*check)(Wizard *w, char **text, Error *reterr),
                char **value, Error *reterr) {
        _cleanup_free_ char *question = NULL;
        int r;

        question = isempty(*value) ? strjoin(label, ": ") : strjoin(label, " [", *value, "]: ");
        if (!question)
                return -ENOMEM;

        for (;;) {
                _cleanup_error_ Error error = {};
                _cleanup_free_ char *text = NULL;

                r = prompt_line(question, strempty(*value), &text);
                if (r < 0)
                        return fail_prompt(r, reterr);

                r = check(w, &text, &error);
                if (r == -ENOMEM)
                        return r;
                if (r >= 0) {
                        free(*value);
                        *value = TAKE_PTR(text);
                        return 0;
                }
                print_error(&error);
        }
}

static const json_t *find_row(const json_t *rows, const char *key, const char *value) {
        json_t *row;
        size_t i;

        json_array_foreach(rows, i, row)
                if (streq(json_get_text(row, key), value))
                        return row;

        return NULL;
}

/* The name, or its number in the list. */
static int check_blueprint(Wizard *w, char **text, Error *reterr) {
        const json_t *row = find_row(w->blueprints, "name", *text);
        const char *s = *text;

        if (!row && s[0] && strlen(s) <= NUMBER_DIGITS_MAX && s[strspn(s, "0123456789")] == 0)
                row = json_array_get(w->blueprints, strtoul(s, NULL, 10) - 1);
        if (!row)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "There is no blueprint '%s'.",
                                TEXT_FOR_ERROR(s));

        return free_and_strdup(text, json_get_text(row, "name"));
}

static int check_name(_unused_ Wizard *w, char **text, Error *reterr) {
        return display_name_validate(*text, reterr);
}

static int check_slug(Wizard *w, char **text, Error *reterr) {
        int r;

        r = slug_validate(*text, reterr);
        if (r < 0)
                return r;
        if (find_row(w->instances, "slug", *text))
                return error_setf(reterr, CCP_ERROR_SLUG_TAKEN, "There is an instance '%s' already.", *text);

        return 0;
}

static int check_domain(Wizard *w, char **text, Error *reterr) {
        const json_t *other;
        char *domain;
        int r;

        r = domain_normalize(*text, &domain, reterr);
        if (r < 0)
                return r;

        free(*text);
        *text = domain;
        other = find_row(w->instances, "domain", domain);
        if (other)
                return error_setf(reterr, CCP_ERROR_DOMAIN_TAKEN,
                                "The instance '%s' has the domain %s already.", json_get_text(other, "slug"),
                                domain);

        return 0;
}

static int load_blueprint(Wizard *w, Error *reterr) {
        _cleanup_free_ char *path = NULL;
        int r;

        w->blueprint = (json_decref(w->blueprint), NULL);
        r = ctl_look_up(w->ctl, "GetBlueprint", w->request->blueprint, &path, reterr);
        if (r < 0)
                return r;

        return ctl_get_all(w->ctl, path, CCP_INTERFACE_BLUEPRINT, &w->blueprint, reterr);
}

static int choose_blueprint(Wizard *w, Error *reterr) {
        CreateRequest *q = w->request;
        json_t *row;
        size_t i;
        int r;

        if (!q->blueprint) {
                r = free_and_strdup(&q->blueprint, json_get_text(json_array_get(w->blueprints, 0), "name"));
                if (r < 0)
                        return r;
        }

        if (json_array_size(w->blueprints) > 1) {
                json_array_foreach(w->blueprints, i, row) {
                        _cleanup_free_ char *title = text_escape(json_get_text(row, "title"));

                        (void) fprintf(stderr, "  %zu. %s - %s\n", i + 1, json_get_text(row, "name"),
                                        strempty(title));
                }
                r = ask_checked(w, "Blueprint", check_blueprint, &q->blueprint, reterr);
                if (r < 0)
                        return r;
        } else
                (void) fprintf(stderr, "Blueprint: %s\n", q->blueprint);

        return load_blueprint(w, reterr);
}

/* A parameter as the blueprint layer has it, so that it is judged here by the very rules of ccpd. Strings are
 * borrowed, but for the list. */
static int parameter_from_json(const json_t *o, BlueprintParameter *ret) {
        const json_t *values = json_object_get(o, "values"), *minimum = json_object_get(o, "minimum"),
                     *maximum = json_object_get(o, "maximum");
        BlueprintParameter p = {
                .name = (char *) json_get_text(o, "name"),
                .type = parameter_type_from_string(json_get_text(o, "type")),
                .pattern = (char *) json_object_get_string(o, "pattern"),
                .minimum = minimum ? json_integer_value(minimum) : INT64_MIN,
                .maximum = maximum ? json_integer_value(maximum) : INT64_MAX,
                .max_length = json_get_number(o, "max_length") ?: PARAMETER_VALUE_MAX,
                .required = json_is_true(json_object_get(o, "required")),
                .multiline = json_is_true(json_object_get(o, "multiline")),
                .secret = json_is_true(json_object_get(o, "secret")),
        };
        json_t *v;
        size_t i;

        if (p.type < 0)
                p.type = PARAMETER_STRING;
        json_array_foreach(values, i, v)
                if (strv_extend(&p.values, strempty(json_string_value(v))) < 0) {
                        strv_free(p.values);
                        return -ENOMEM;
                }
        if (isempty(p.pattern))
                p.pattern = NULL;

        *ret = p;
        return 0;
}

static int check_value(const json_t *o, const char *value, Error *reterr) {
        BlueprintParameter p;
        json_t *parsed;
        int r;

        r = parameter_from_json(o, &p);
        if (r < 0)
                return r;

        r = parameter_parse_value(&p, value, &parsed, reterr);
        strv_free(p.values);
        if (r >= 0)
                json_decref(parsed);
        return r;
}

static const char *parameter_title(const json_t *o) {
        const char *title = json_get_text(o, "title");

        return isempty(title) ? json_get_text(o, "name") : title;
}

/* What is offered: the earlier answer, else the blueprint's default. NULL: nothing. Freed by the caller. */
static char *parameter_offer(const Wizard *w, const json_t *o) {
        const char *given = create_request_get(w->request, json_get_text(o, "name"));
        const json_t *fallback = json_object_get(o, "default");

        return given ? strdup(given) : fallback ? json_to_text(fallback) : NULL;
}

static int prompt_parameter(const json_t *o, const char *offer, char **ret) {
        bool secret = json_is_true(json_object_get(o, "secret"));
        _cleanup_free_ char *question = NULL, *values = NULL;
        char *answer;
        int r;

        if (streq(json_get_text(o, "type"), "boolean")) {
                r = prompt_yes_no(parameter_title(o), offer && boolean_parse(offer) > 0);
                if (r < 0)
                        return r;
                answer = strdup(r > 0 ? "yes" : "no");
                if (!answer)
                        return -ENOMEM;
                *ret = answer;
                return 0;
        }

        values = json_object_get(o, "values") ? json_to_text(json_object_get(o, "values")) : strdup("");
        if (!values)
                return -ENOMEM;
        question = strjoin(parameter_title(o), values[0] ? " (" : "", values, values[0] ? ")" : "",
                        isempty(offer) ? "" : " [",
                        secret && !isempty(offer) ? "unchanged" : strempty(offer), isempty(offer) ? "" : "]",
                        ": ");
        if (!question)
                return -ENOMEM;
        if (!secret)
                return prompt_line(question, strempty(offer), ret);

        r = prompt_secret(question, ret);
        if (r >= 0 && isempty(*ret) && !isempty(offer)) {
                free(*ret);
                *ret = strdup(offer);
        }
        return r < 0 ? r : *ret ? 0 : -ENOMEM;
}

/* Takes the answer into the request, unless it is what the blueprint has anyway. */
static int take_answer(Wizard *w, const json_t *o, const char *answer) {
        const json_t *fallback = json_object_get(o, "default");
        _cleanup_free_ char *text = NULL;

        text = fallback ? json_to_text(fallback) : strdup("");
        if (!text)
                return -ENOMEM;
        if (streq(json_get_text(o, "type"), "boolean") && boolean_parse(text) == boolean_parse(answer))
                answer = NULL;

        return create_request_set(
                        w->request, json_get_text(o, "name"), answer && streq(answer, text) ? NULL : answer);
}

static int ask_parameter(Wizard *w, const json_t *o, Error *reterr) {
        _cleanup_erase_ char *offer = NULL;
        int r;

        offer = parameter_offer(w, o);
        print_hint(json_get_text(o, "help"));

        for (;;) {
                _cleanup_erase_ char *answer = NULL;
                _cleanup_error_ Error error = {};

                r = prompt_parameter(o, offer, &answer);
                if (r == -ENOMEM)
                        return r;
                if (r < 0)
                        return fail_prompt(r, reterr);

                r = check_value(o, answer, &error);
                if (r == -ENOMEM)
                        return r;
                if (r >= 0)
                        return take_answer(w, o, answer);
                print_error(&error);
        }
}

static bool parameter_is_in(const json_t *o, const char *group) {
        const char *g = json_get_text(o, "group");

        return streq(isempty(g) ? "general" : g, group);
}

/* Asks for the parameters of a group; 'needed': only for those that nothing stands in for. Several lines
 * cannot be typed at a prompt: those are for --set-file. */
static int ask_group(Wizard *w, const char *group, bool needed, Error *reterr) {
        json_t *o;
        size_t i;
        int r;

        json_array_foreach(json_object_get(w->blueprint, "parameters"), i, o) {
                bool required = json_is_true(json_object_get(o, "required"));

                if (!parameter_is_in(o, group) || (needed && !required))
                        continue;
                if (json_is_true(json_object_get(o, "multiline")) && !required)
                        continue;

                r = ask_parameter(w, o, reterr);
                if (r < 0)
                        return r;
        }

        return 0;
}

/* How many parameters a group has; 'needed': only those that must be given. */
static size_t count_group(const Wizard *w, const char *group, bool needed) {
        size_t i, n = 0;
        json_t *o;

        json_array_foreach(json_object_get(w->blueprint, "parameters"), i, o)
                if (parameter_is_in(o, group) && (!needed || json_is_true(json_object_get(o, "required"))))
                        n++;

        return n;
}

static int page_basic(Wizard *w, Error *reterr) {
        CreateRequest *q = w->request;
        int r;

        r = choose_blueprint(w, reterr);
        if (r < 0)
                return r;
        r = ask_checked(w, "Name", check_name, &q->name, reterr);
        if (r < 0)
                return r;
        if (!q->slug) {
                r = slug_from_name(q->name, &q->slug);
                if (r == -ENOMEM)
                        return r;
        }
        r = ask_checked(w, "Slug", check_slug, &q->slug, reterr);
        if (r < 0)
                return r;
        r = ask_checked(w, "Domain", check_domain, &q->domain, reterr);
        if (r < 0)
                return r;

        return ask_group(w, "general", /* needed= */ true, reterr);
}

static bool feature_is_offered(const CreateRequest *q, const json_t *feature) {
        const char *name = json_get_text(feature, "name");

        STRV_FOREACH(f, q->features) {
                const char *rest = startswith(*f, name);

                if (rest && (rest[0] == 0 || streq(rest, "=no")))
                        return rest[0] == 0;
        }

        return json_is_true(json_object_get(feature, "default"));
}

static int page_features(Wizard *w, Error *reterr) {
        const json_t *list = json_object_get(w->blueprint, "features");
        _cleanup_strv_free_ char **features = NULL;
        json_t *feature;
        size_t i;
        int r;

        if (json_array_size(list) == 0)
                print_hint("This blueprint has none.");

        json_array_foreach(list, i, feature) {
                const char *name = json_get_text(feature, "name"), *title = json_get_text(feature, "title");
                bool on;

                print_hint(json_get_text(feature, "help"));
                r = prompt_yes_no(isempty(title) ? name : title, feature_is_offered(w->request, feature));
                if (r < 0)
                        return r == -ENOMEM ? r : fail_prompt(r, reterr);

                on = r > 0;
                if (on || json_is_true(json_object_get(feature, "default"))) {
                        r = strv_extendf(&features, "%s%s", name, on ? "" : "=no");
                        if (r < 0)
                                return r;
                }
        }

        strv_free(w->request->features);
        w->request->features = TAKE_PTR(features);
        return PAGE_DONE;
}

static int page_email(Wizard *w, Error *reterr) {
        if (count_group(w, "email", /* needed= */ false) == 0)
                print_hint("This blueprint has no settings for e-mail.");

        return ask_group(w, "email", /* needed= */ false, reterr);
}

static int page_tunnel(Wizard *w, Error *reterr) {
        int r;

        if (count_group(w, "tunnel", /* needed= */ false) == 0) {
                print_hint("This blueprint has no settings for a tunnel.");
                return PAGE_DONE;
        }
        if (count_group(w, "tunnel", /* needed= */ true) == 0) {
                r = prompt_yes_no("Set up a tunnel?", false);
                if (r < 0)
                        return r == -ENOMEM ? r : fail_prompt(r, reterr);
                if (r == 0)
                        return PAGE_DONE;
        }

        return ask_group(w, "tunnel", /* needed= */ false, reterr);
}

static void print_request(const CreateRequest *q) {
        _cleanup_free_ char *features = NULL;

        print_field("Name", q->name);
        print_field("Slug", q->slug);
        print_field("Domain", q->domain);
        print_field("Blueprint", q->blueprint);
        features = strv_join(q->features, " ");
        print_field("Features", features);
}

static void print_parameters(const Wizard *w) {
        json_t *o;
        size_t i;

        json_array_foreach(json_object_get(w->blueprint, "parameters"), i, o) {
                const char *value = create_request_get(w->request, json_get_text(o, "name"));

                if (value)
                        print_field(parameter_title(o),
                                        json_is_true(json_object_get(o, "secret")) ? "(secret)" : value);
        }
}

/* Shows what would be made. Something that another answer can mend leads back to the first page. */
static int page_review(Wizard *w, Error *reterr) {
        _cleanup_json_ json_t *plan = NULL;
        _cleanup_error_ Error error = {};
        int r;

        r = create_request_plan(w->ctl, w->request, &plan, &error);
        if (r < 0) {
                if (!IN_SET(error_name_to_errno(error.name), -EINVAL, -EEXIST)) {
                        error_move(reterr, &error);
                        return r;
                }
                print_error(&error);
                return PAGE_START_OVER;
        }

        print_request(w->request);
        print_parameters(w);
        plan_print(plan);

        (void) fputc('\n', stdout);
        r = prompt_yes_no("Create it?", true);
        if (r < 0)
                return r == -ENOMEM ? r : fail_prompt(r, reterr);

        return r > 0 ? PAGE_DONE : fail_prompt(-ECANCELED, reterr);
}

static const struct {
        const char *title;
        int (*ask)(Wizard *w, Error *reterr);
} pages[] = {
        { "Basic information", page_basic },
        { "Features", page_features },
        { "E-mail", page_email },
        { "Tunnel", page_tunnel },
        { "Review", page_review },
};

/* A blueprint that could not be loaded has no object. */
static void remove_broken(json_t *blueprints) {
        for (size_t i = json_array_size(blueprints); i-- > 0;)
                if (streq(json_get_text(json_array_get(blueprints, i), "path"), "/"))
                        (void) json_array_remove(blueprints, i);
}

static int load_lists(Wizard *w, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = ctl_call(w->ctl, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "ListBlueprints", &reply, reterr, NULL);
        if (r < 0)
                return r;
        r = json_from_rows(reply, CCP_INTERFACE_MANAGER, "ListBlueprints", &w->blueprints);
        if (r < 0)
                return ctl_bad_reply(reterr, r);
        remove_broken(w->blueprints);
        if (json_array_size(w->blueprints) == 0)
                return error_setf(reterr, CCP_ERROR_NO_SUCH_BLUEPRINT,
                                "There are no blueprints to create an instance of. See ccp-blueprint(5).");

        return ctl_list_rows(w->ctl, "ListInstances", NULL, UINT64_MAX, &w->instances, reterr);
}

int wizard_run(Ctl *c, CreateRequest *q, Error *reterr) {
        _cleanup_wizard_ Wizard w = { .ctl = c, .request = q };
        size_t page = 0;
        int r;

        r = load_lists(&w, reterr);
        if (r < 0)
                return r;

        print_hint("Enter takes what is in brackets. Ctrl-D leaves; nothing is created before the end.");
        while (page < ELEMENTSOF(pages)) {
                (void) fflush(stdout);
                (void) fprintf(stderr, "\n%sStep %zu of %zu: %s%s\n", color_on(stderr, COLOR_BOLD), page + 1,
                                ELEMENTSOF(pages), pages[page].title, color_on(stderr, COLOR_NONE));
                r = pages[page].ask(&w, reterr);
                if (r < 0)
                        return r;
                page = r == PAGE_START_OVER ? 0 : page + 1;
        }

        return 0;
}
