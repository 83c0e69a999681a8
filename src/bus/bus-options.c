/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus-options.h"

#include <errno.h>

#include "string-util.h"
#include "strv.h"

/* The type of an argument is not what the introspection says. */
static int bad_message(Error *reterr, const char *key, const char *signature) {
        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "Option '%s' must have the type '%s'.", key,
                        signature);
}

static int append_capped(char ***l, const char *s, size_t *size, const char *key, Error *reterr) {
        *size += strlen(s);
        if (*size > BUS_OPTION_SIZE_MAX || strv_length(*l) >= 2 * BUS_OPTION_ITEMS_MAX)
                return error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                "Option '%s' is too large: at most %u items and %u bytes in all.", key,
                                BUS_OPTION_ITEMS_MAX, BUS_OPTION_SIZE_MAX);

        if (strv_extend(l, s) < 0)
                return error_set_errnof(reterr, ENOMEM, "Cannot read option '%s': %m", key);
        return 0;
}

static int read_strings(sd_bus_message *m, const BusOption *o, char ***l, size_t *size, Error *reterr) {
        const char *s;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "s");
        if (r < 0)
                return bad_message(reterr, o->key, o->signature);

        while ((r = sd_bus_message_read(m, "s", &s)) > 0) {
                r = append_capped(l, s, size, o->key, reterr);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return bad_message(reterr, o->key, o->signature);

        return sd_bus_message_exit_container(m);
}

static int read_dictionary(sd_bus_message *m, const BusOption *o, char ***l, size_t *size, Error *reterr) {
        const char *k, *v;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{ss}");
        if (r < 0)
                return bad_message(reterr, o->key, o->signature);

        while ((r = sd_bus_message_read(m, "{ss}", &k, &v)) > 0) {
                for (char **i = *l; i && *i; i += 2)
                        if (streq(*i, k))
                                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                                "Option '%s' has '%s' twice.", o->key, k);
                r = append_capped(l, k, size, o->key, reterr);
                if (r < 0)
                        return r;
                r = append_capped(l, v, size, o->key, reterr);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return bad_message(reterr, o->key, o->signature);

        return sd_bus_message_exit_container(m);
}

static int read_value(sd_bus_message *m, const BusOption *o, void *target, size_t *size, Error *reterr) {
        void *p = (char *) target + o->offset;
        int r;

        r = sd_bus_message_enter_container(m, 'v', o->signature);
        if (r < 0)
                return bad_message(reterr, o->key, o->signature);

        if (streq(o->signature, "as"))
                r = read_strings(m, o, p, size, reterr);
        else if (streq(o->signature, "a{ss}"))
                r = read_dictionary(m, o, p, size, reterr);
        else {
                int b;

                assert(streq(o->signature, "s") || streq(o->signature, "t") || streq(o->signature, "b"));
                r = sd_bus_message_read_basic(m, o->signature[0], o->signature[0] == 'b' ? (void *) &b : p);
                if (r >= 0 && o->signature[0] == 'b')
                        *(bool *) p = b;
                if (r >= 0 && o->signature[0] == 's') {
                        *size += strlen(*(const char **) p);
                        if (*size > BUS_OPTION_SIZE_MAX)
                                r = error_setf(reterr, CCP_ERROR_LIMIT_EXCEEDED,
                                                "Option '%s' is too large: at most %u bytes.", o->key,
                                                BUS_OPTION_SIZE_MAX);
                }
        }
        if (r < 0)
                return r;

        return sd_bus_message_exit_container(m);
}

static int unknown_option(const char *key, const BusOption *options, size_t n, Error *reterr) {
        _cleanup_string_builder_ StringBuilder b = {};
        _cleanup_free_ char *known = NULL;

        FOREACH_ARRAY(o, options, n)
                string_builder_appendf(&b, "%s%s", o == options ? "" : ", ", o->key);
        if (string_builder_finish(&b, &known, NULL) < 0)
                return -ENOMEM;

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "Unknown option '%s'. %s%s%s", key,
                        n > 0 ? "Known are: " : "There are none", strempty(known), ".");
}

int bus_read_options(sd_bus_message *m, const BusOption *options, size_t n, void *target, Error *reterr) {
        uint64_t seen = 0;
        size_t size = 0;
        int r;

        assert(n <= 64);

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read the options: %m");

        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const BusOption *found = NULL;
                const char *key;

                r = sd_bus_message_read(m, "s", &key);
                if (r < 0)
                        return error_set_errnof(reterr, r, "Cannot read the options: %m");

                FOREACH_ARRAY(o, options, n)
                        if (streq(o->key, key))
                                found = o;
                if (!found)
                        return unknown_option(key, options, n, reterr);
                if (seen & UINT64_C(1) << (found - options))
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "Option '%s' is given twice.",
                                        key);
                seen |= UINT64_C(1) << (found - options);

                r = read_value(m, found, target, &size, reterr);
                if (r < 0)
                        return error_is_set(reterr)
                                        ? r
                                        : error_set_errnof(reterr, r, "Cannot read option '%s': %m", key);

                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return error_set_errnof(reterr, r, "Cannot read the options: %m");
        }
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read the options: %m");

        r = sd_bus_message_exit_container(m);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read the options: %m");

        return 0;
}

int bus_check_page(uint64_t limit, Error *reterr) {
        if (limit > 0 && limit <= BUS_PAGE_MAX)
                return 0;

        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "The limit of a page must be 1 to %u.",
                        BUS_PAGE_MAX);
}
