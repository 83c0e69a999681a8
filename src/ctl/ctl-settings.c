/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc-util.h"
#include "ctl.h"
#include "polkit-agent.h"
#include "string-util.h"
#include "strv.h"

static int get_settings(Ctl *c, json_t **ret, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "GetSettings", &reply, reterr, NULL);
        if (r < 0)
                return r;

        r = json_from_message(reply, ret);
        return r < 0 ? ctl_bad_reply(reterr, r) : 0;
}

int verb_settings_show(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_json_ json_t *settings = NULL;
        const char *key;
        json_t *value;
        int r;

        r = get_settings(c, &settings, reterr);
        if (r < 0)
                return r;
        if (ctl_prints_json(c))
                return ctl_print_json(c, settings);

        ctl_open_pager(c);
        json_object_foreach(settings, key, value) {
                _cleanup_free_ char *text = json_to_text(value), *escaped = text ? text_escape(text) : NULL;

                if (!escaped)
                        return -ENOMEM;
                (void) printf("%s=%s\n", key, escaped);
        }
        return EXIT_DONE;
}

static int number_parse(const char *s, uint64_t *ret) {
        if (isempty(s) || s[strspn(s, "0123456789")] != 0)
                return -EINVAL;

        errno = 0;
        *ret = strtoull(s, NULL, 10);
        return -errno;
}

/* A setting goes out with the type that it has now; one that ccpd does not have goes as text, and ccpd says
 * which there are. Empty text stands for the default of any. */
static int append_setting(sd_bus_message *m, const json_t *current, const char *key, const char *value,
                Error *reterr) {
        uint64_t number;

        if (!isempty(value) && json_is_integer(json_object_get(current, key))) {
                if (number_parse(value, &number) < 0)
                        return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT, "%s is a number, not '%s'.",
                                        key, value);
                return sd_bus_message_append(m, "{sv}", key, "t", number);
        }

        return sd_bus_message_append(m, "{sv}", key, "s", value);
}

/* Those assignments that are for this method: how many backups are kept has one of its own, that needs more. */
static int set_with(Ctl *c, const char *path, const char *method, bool retention, char *const *assignments,
                Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        unsigned n = 0;
        int r;

        r = ctl_message(c, path, CCP_INTERFACE_INSTANCE, method, &m, reterr);
        if (r < 0)
                return r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        STRV_FOREACH(arg, assignments) {
                _cleanup_free_ char *key = NULL;
                const char *value;

                r = split_assignment(*arg, &key, &value, reterr);
                if (r < 0)
                        return r;
                if ((startswith(key, "backup_keep_") != NULL) != retention)
                        continue;
                r = sd_bus_message_append(m, "{sv}", key, "s", value);
                if (r < 0)
                        return r;
                n++;
        }
        r = sd_bus_message_close_container(m);
        if (r < 0 || n == 0)
                return r;

        polkit_agent_open(c);
        return ctl_send(c, m, NULL, reterr);
}

/* ccpd knows which there are, and what they may be. */
int verb_set(Ctl *c, char **args, Error *reterr) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = ctl_look_up(c, "GetInstance", args[0], &path, reterr);
        if (r >= 0)
                r = set_with(c, path, "SetSettings", false, args + 1, reterr);
        if (r >= 0)
                r = set_with(c, path, "SetRetention", true, args + 1, reterr);
        return r;
}

int verb_settings_set(Ctl *c, char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_json_ json_t *current = NULL;
        int r;

        r = get_settings(c, &current, reterr);
        if (r < 0)
                return r;
        r = ctl_message(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "SetSettings", &m, reterr);
        if (r < 0)
                return r;

        r = sd_bus_message_open_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        STRV_FOREACH(arg, args) {
                _cleanup_free_ char *key = NULL;
                const char *value;

                r = split_assignment(*arg, &key, &value, reterr);
                if (r < 0)
                        return r;
                r = append_setting(m, current, key, value, reterr);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_close_container(m);
        if (r < 0)
                return r;

        polkit_agent_open(c);
        return ctl_send(c, m, NULL, reterr);
}
