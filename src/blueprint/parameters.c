/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "parameters.h"

#include <errno.h>
#include <inttypes.h>

#include "pattern.h"
#include "string-util.h"
#include "validate.h"

#define FEATURES_GIVEN_MAX 1024U

/* What precedes a fault in a sentence: the value too, unless it is a secret. */
static int fail_value(const BlueprintParameter *p, const char *value, Error *reterr, const char *rule) {
        if (p->secret)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "The value of the parameter %s %s.",
                                p->name, rule);

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "'%s' cannot be the parameter %s: it %s.",
                        TEXT_FOR_ERROR(value), p->name, rule);
}

static int fail_valuef(const BlueprintParameter *p, const char *value, Error *reterr, const char *format,
                ...) _printf_(4, 5);
static int fail_valuef(
                const BlueprintParameter *p, const char *value, Error *reterr, const char *format, ...) {
        _cleanup_free_ char *rule = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&rule, format, ap);
        va_end(ap);
        if (n < 0) {
                rule = NULL;
                return -ENOMEM;
        }

        return fail_value(p, value, reterr, rule);
}

static int json_take(json_t *value, json_t **ret) {
        if (!value)
                return -ENOMEM;

        *ret = value;
        return 0;
}

static int parse_string_value(const BlueprintParameter *p, const char *value, json_t **ret, Error *reterr) {
        size_t n = strlen(value);
        int r;

        if (n > p->max_length)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "The parameter %s may not be longer than %" PRIu64
                                " bytes; this value has %zu.",
                                p->name, p->max_length, n);
        if (!utf8_is_valid(value, n))
                return fail_value(p, value, reterr, "must be UTF-8 text");

        for (const char *c = value; *c; c++) {
                if (*c == '\n' && !p->multiline)
                        return fail_value(p, value, reterr, "must be one line");
                if (((unsigned char) *c < ' ' && !(p->multiline && IN_SET(*c, '\n', '\t'))) || *c == 0x7F)
                        return fail_value(p, value, reterr, "may not have control characters");
        }

        /* Empty stands for "not set", whatever a value would have to look like. */
        if (n == 0 && p->required)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "The parameter %s may not be empty.",
                                p->name);
        if (n > 0 && p->pattern) {
                r = pattern_matches(p->pattern, value);
                if (r < 0)
                        return r;
                if (r == 0)
                        return fail_valuef(p, value, reterr, "must match %s", p->pattern);
        }

        return json_take(json_stringn(value, n), ret);
}

static int parse_integer_value(const BlueprintParameter *p, const char *value, json_t **ret, Error *reterr) {
        const char *digits = value + (value[0] == '-');
        int64_t number;
        char *end;

        errno = 0;
        number = strtoll(value, &end, 10);
        if (digits[0] < '0' || digits[0] > '9' || (digits[0] == '0' && digits[1]) || *end || errno > 0)
                return fail_value(p, value, reterr, "must be a whole number");
        if (number < p->minimum && p->maximum == INT64_MAX)
                return fail_valuef(p, value, reterr, "must be %" PRIi64 " or more", p->minimum);
        if (number > p->maximum && p->minimum == INT64_MIN)
                return fail_valuef(p, value, reterr, "must be %" PRIi64 " or less", p->maximum);
        if (number < p->minimum || number > p->maximum)
                return fail_valuef(p, value, reterr, "must be from %" PRIi64 " to %" PRIi64, p->minimum,
                                p->maximum);

        return json_take(json_integer(number), ret);
}

static int parse_truth(const char *value) {
        static const char *const table[] = { "no", "yes", "false", "true", "off", "on", "0", "1" };
        int i;

        i = string_table_lookup(table, ELEMENTSOF(table), value);
        return i < 0 ? i : i % 2;
}

static int parse_boolean_value(const BlueprintParameter *p, const char *value, json_t **ret, Error *reterr) {
        int r;

        r = parse_truth(value);
        if (r < 0)
                return fail_value(p, value, reterr, "must be yes or no");

        return json_take(json_boolean(r), ret);
}

static int parse_enum_value(const BlueprintParameter *p, const char *value, json_t **ret, Error *reterr) {
        _cleanup_free_ char *list = NULL;

        if (strv_contains(p->values, value))
                return json_take(json_string(value), ret);

        list = strv_join(p->values, ", ");
        return fail_valuef(p, value, reterr, "must be one of: %s", strempty(list));
}

int parameter_parse_value(const BlueprintParameter *p, const char *value, json_t **ret, Error *reterr) {
        static int (*const parsers[_PARAMETER_TYPE_MAX])(
                        const BlueprintParameter *, const char *, json_t **, Error *) = {
                [PARAMETER_STRING] = parse_string_value,
                [PARAMETER_INTEGER] = parse_integer_value,
                [PARAMETER_BOOLEAN] = parse_boolean_value,
                [PARAMETER_ENUM] = parse_enum_value,
        };

        assert(p->type >= 0 && p->type < _PARAMETER_TYPE_MAX);

        return parsers[p->type](p, value, ret, reterr);
}

static int fail_unknown_parameter(const Blueprint *b, const char *name, Error *reterr) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *list = NULL;

        FOREACH_ARRAY(p, b->parameters, b->n_parameters)
                if (strv_extend(&names, p->name) < 0)
                        return -ENOMEM;

        list = strv_join(names, ", ");
        if (!list)
                return -ENOMEM;

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "%s has no parameter '%s'; it has: %s.",
                        b->name, TEXT_FOR_ERROR(name), names ? list : "none");
}

int parameters_resolve(const Blueprint *b, const json_t *given, bool secrets_elsewhere, json_t **ret,
                Error *reterr) {
        _cleanup_json_ json_t *result = NULL;
        const char *name;
        json_t *value;
        int r;

        json_object_foreach((json_t *) given, name, value) {
                if (!blueprint_find_parameter(b, name))
                        return fail_unknown_parameter(b, name, reterr);
                if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "The value of the parameter %s must be text.", name);
        }

        result = json_object();
        if (!result)
                return -ENOMEM;

        FOREACH_ARRAY(p, b->parameters, b->n_parameters) {
                const char *text = json_object_get_string(given, p->name);

                if (!text && p->secret && secrets_elsewhere)
                        continue;
                text = text ?: p->fallback;
                if (!text)
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                        "The parameter %s is required; give it with --set %s=VALUE.",
                                        p->name, p->name);

                r = parameter_parse_value(p, text, &value, reterr);
                if (r < 0)
                        return r;
                if (json_object_set_new(result, p->name, value) < 0)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(result);
        return 0;
}

static int fail_unknown_feature(const Blueprint *b, const char *name, Error *reterr) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_free_ char *list = NULL;

        FOREACH_ARRAY(f, b->features, b->n_features)
                if (strv_extend(&names, f->name) < 0)
                        return -ENOMEM;

        list = strv_join(names, ", ");
        if (!list)
                return -ENOMEM;

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "%s has no feature '%s'; it has: %s.", b->name,
                        TEXT_FOR_ERROR(name), names ? list : "none");
}

/* Applies "NAME" or "NAME=yes" to the object. */
static int apply_feature(const Blueprint *b, const char *entry, json_t *features, Error *reterr) {
        const char *equals = strchr(entry, '=');
        _cleanup_free_ char *name = NULL;
        int r = 1;

        name = strndup(entry, equals ? (size_t) (equals - entry) : strlen(entry));
        if (!name)
                return -ENOMEM;
        if (!blueprint_find_feature(b, name))
                return fail_unknown_feature(b, name, reterr);

        if (equals)
                r = parse_truth(equals + 1);
        if (r < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A feature is given as %s, %s=yes or %s=no.", name, name, name);

        return json_object_set_new(features, name, json_boolean(r)) < 0 ? -ENOMEM : 0;
}

int features_resolve(const Blueprint *b, char *const *given, json_t **ret, Error *reterr) {
        _cleanup_json_ json_t *features = NULL;
        int r;

        if (strv_length(given) > FEATURES_GIVEN_MAX)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "More than %u features are given.",
                                FEATURES_GIVEN_MAX);

        features = json_object();
        if (!features)
                return -ENOMEM;

        FOREACH_ARRAY(f, b->features, b->n_features)
                if (json_object_set_new(features, f->name, json_boolean(f->fallback)) < 0)
                        return -ENOMEM;

        STRV_FOREACH(entry, given) {
                r = apply_feature(b, *entry, features, reterr);
                if (r < 0)
                        return r;
        }

        *ret = TAKE_PTR(features);
        return 0;
}

int features_to_profiles(const Blueprint *b, const json_t *features, char ***ret) {
        _cleanup_strv_free_ char **profiles = NULL;
        int r;

        profiles = new0(char *, 1);
        if (!profiles)
                return -ENOMEM;

        FOREACH_ARRAY(f, b->features, b->n_features) {
                if (!json_is_true(json_object_get(features, f->name)))
                        continue;

                STRV_FOREACH(profile, f->profiles) {
                        if (strv_contains(profiles, *profile))
                                continue;

                        r = strv_extend(&profiles, *profile);
                        if (r < 0)
                                return r;
                }
        }

        *ret = TAKE_PTR(profiles);
        return 0;
}

bool service_is_enabled(const BlueprintService *s, const json_t *features) {
        return !s->feature || json_is_true(json_object_get(features, s->feature));
}
