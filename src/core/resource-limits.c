/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "resource-limits.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "string-util.h"

#define MEMORY_MIN (16ULL << 20)
#define THOUSANDTHS 1000U
#define DECIMALS_MAX 3U

static int parse_memory(const char *s, uint64_t *ret);
static int parse_thousandths(const char *s, uint64_t *ret);
static int parse_number(const char *s, uint64_t *ret);

static const struct {
        const char *name;
        size_t offset;
        uint64_t minimum, maximum;
        int (*parse)(const char *s, uint64_t *ret);
        const char *rule;
} kinds[_LIMIT_KIND_MAX] = {
        [LIMIT_MEMORY] = { "memory", offsetof(ResourceLimits, memory), MEMORY_MIN, INT64_MAX, parse_memory,
                        "a size of 16M or more, such as 512M or 2G" },
        [LIMIT_CPUS] = { "cpus", offsetof(ResourceLimits, cpus), 10, 1024 * THOUSANDTHS, parse_thousandths,
                        "a number from 0.01 to 1024, such as 1.5" },
        [LIMIT_PIDS] = { "pids", offsetof(ResourceLimits, pids), 1, 4194304, parse_number,
                        "a whole number from 1 to 4194304" },
};

static const struct {
        char unit;
        unsigned shift;
} units[] = { { 'T', 40 }, { 'G', 30 }, { 'M', 20 }, { 'K', 10 } };

static uint64_t *limit_of(const ResourceLimits *l, LimitKind kind) {
        return (uint64_t *) (void *) ((char *) l + kinds[kind].offset);
}

const char *limit_kind_to_string(LimitKind kind) {
        return kind >= 0 && kind < _LIMIT_KIND_MAX ? kinds[kind].name : NULL;
}

LimitKind limit_kind_from_string(const char *s) {
        for (LimitKind k = 0; k < _LIMIT_KIND_MAX; k++)
                if (streq(kinds[k].name, s))
                        return k;
        return _LIMIT_KIND_INVALID;
}

const char *limit_rule(LimitKind kind) {
        return kinds[kind].rule;
}

/* Digits up to *ret_end. */
static int parse_digits(const char *s, uint64_t *ret, char **ret_end) {
        if (!isdigit((unsigned char) *s))
                return -EINVAL;
        errno = 0;
        *ret = strtoull(s, ret_end, 10);
        return errno > 0 ? -EINVAL : 0;
}

static int parse_number(const char *s, uint64_t *ret) {
        char *end;
        int r;

        r = parse_digits(s, ret, &end);
        return r < 0 || *end ? -EINVAL : 0;
}

static int parse_memory(const char *s, uint64_t *ret) {
        uint64_t value;
        char *end;

        if (parse_digits(s, &value, &end) < 0)
                return -EINVAL;
        FOREACH_ARRAY(u, units, ELEMENTSOF(units))
                if (end[0] == u->unit && !end[1])
                        return __builtin_mul_overflow(value, UINT64_C(1) << u->shift, ret) ? -EINVAL : 0;
        return -EINVAL;
}

static int parse_thousandths(const char *s, uint64_t *ret) {
        unsigned n_decimals = 0;
        uint64_t value;
        char *end;

        if (parse_digits(s, &value, &end) < 0 || value > UINT32_MAX)
                return -EINVAL;
        if (*end == '.')
                for (end++; isdigit((unsigned char) *end) && n_decimals < DECIMALS_MAX; end++, n_decimals++)
                        value = value * 10 + (uint64_t) (*end - '0');
        if (*end)
                return -EINVAL;
        for (; n_decimals < DECIMALS_MAX; n_decimals++)
                value *= 10;

        *ret = value;
        return 0;
}

int limits_set(ResourceLimits *limits, LimitKind kind, const char *text) {
        uint64_t value;

        if (kinds[kind].parse(text, &value) < 0 || value < kinds[kind].minimum ||
                        value > kinds[kind].maximum)
                return -EINVAL;

        *limit_of(limits, kind) = value;
        return 0;
}

int limits_set_named(ResourceLimits *limits, const char *name, const char *text, Error *reterr) {
        LimitKind kind = limit_kind_from_string(name);

        if (kind < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "There is no limit '%s'. There are memory, cpus and pids.",
                                string_is_safe(name) ? name : "?");
        if (limits_set(limits, kind, text) < 0)
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "The limit '%s' has to be %s.", name,
                                kinds[kind].rule);
        return 0;
}

const char *limit_format(char *buf, size_t size, const ResourceLimits *limits, LimitKind kind) {
        uint64_t value = *limit_of(limits, kind);

        buf[0] = 0;
        if (value == 0)
                return buf;

        if (kind == LIMIT_CPUS && value % THOUSANDTHS > 0) {
                char *end;
                int n;

                n = snprintf(buf, size, "%" PRIu64 ".%03" PRIu64, value / THOUSANDTHS, value % THOUSANDTHS);
                for (end = buf + n; end[-1] == '0'; end--)
                        end[-1] = 0;
                return buf;
        }
        if (kind == LIMIT_CPUS)
                value /= THOUSANDTHS;
        if (kind == LIMIT_MEMORY)
                /* What was set is a multiple of the last one. */
                FOREACH_ARRAY(u, units, ELEMENTSOF(units))
                        if (value % (UINT64_C(1) << u->shift) == 0) {
                                (void) snprintf(buf, size, "%" PRIu64 "%c", value >> u->shift, u->unit);
                                return buf;
                        }

        (void) snprintf(buf, size, "%" PRIu64, value);
        return buf;
}

ResourceLimits limits_merge(const ResourceLimits *chosen, const ResourceLimits *blueprint) {
        return (ResourceLimits) {
                .memory = chosen->memory ?: blueprint->memory,
                .cpus = chosen->cpus ?: blueprint->cpus,
                .pids = chosen->pids ?: blueprint->pids,
        };
}

int limits_to_json(const ResourceLimits *limits, json_t **ret) {
        _cleanup_json_ json_t *json = NULL;

        json = json_object();
        if (!json)
                return -ENOMEM;
        for (LimitKind k = 0; k < _LIMIT_KIND_MAX; k++) {
                uint64_t value = *limit_of(limits, k);

                if (value > 0 &&
                                json_object_set_new(json, kinds[k].name, json_integer((json_int_t) value)) <
                                                0)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(json);
        return 0;
}

int limits_from_json(const json_t *json, ResourceLimits *ret) {
        ResourceLimits limits = {};
        const char *name;
        json_t *value;

        if (!json_is_object(json))
                return -EBADMSG;
        json_object_foreach((json_t *) json, name, value) {
                LimitKind kind = limit_kind_from_string(name);
                json_int_t n = json_integer_value(value);

                if (kind < 0 || !json_is_integer(value) || n <= 0)
                        return -EBADMSG;
                *limit_of(&limits, kind) = (uint64_t) n;
        }

        *ret = limits;
        return 0;
}
