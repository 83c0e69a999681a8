/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "alloc-util.h"
#include "doctor.h"
#include "string-util.h"
#include "strv.h"

#define SYSTEMD_NAME "org.freedesktop.systemd1"
#define CALL_TIMEOUT_USEC (3ULL * 1000000ULL)

/* What must be there for ccpd to know and to act. */
static const struct {
        const char *pattern, *without;
} units[] = {
        { "ccpd-notify.socket", "progress of jobs and states of containers are not known" },
        { "ccp-watch.service", "nobody hears of containers that die" },
        { "ccp-gate.service", "after a start of Docker no instance is brought back" },
        { "ccp-logs.socket", "the logs of instances cannot be read" },
        { "ccp-storage.socket", "the storage of backups cannot be asked" },
        { "ccp-measure.timer", "what instances take of the disk is not measured" },
        { "ccp-scrub.timer", "backups are not read again, and damage shows when they are needed" },
        { "ccp-metrics.socket", "the metrics cannot be read" },
};

static int call_strings(sd_bus *bus, const char *name, const char *path, const char *interface,
                const char *member, char ***ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        int r;

        r = sd_bus_message_new_method_call(bus, &m, name, path, interface, member);
        if (r < 0)
                return r;
        r = sd_bus_call(bus, m, CALL_TIMEOUT_USEC, NULL, &reply);
        if (r < 0)
                return r;
        return sd_bus_message_read_strv(reply, ret);
}

/* How many units that a pattern names are active. */
static int count_active(sd_bus *bus, const char *pattern) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        int r, n = 0;

        r = sd_bus_message_new_method_call(bus, &m, SYSTEMD_NAME, "/org/freedesktop/systemd1",
                        SYSTEMD_NAME ".Manager", "ListUnitsByPatterns");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "asas", 1, "active", 1, pattern);
        if (r < 0)
                return r;
        r = sd_bus_call(bus, m, CALL_TIMEOUT_USEC, NULL, &reply);
        if (r < 0)
                return r;

        r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_skip(reply, "(ssssssouso)")) > 0)
                n++;
        return r < 0 ? r : n;
}

static int check_units(json_t *findings, sd_bus *bus) {
        bool all = true;
        int r;

        FOREACH_ARRAY(u, units, ELEMENTSOF(units)) {
                _cleanup_free_ char *advice = NULL;
                int n;

                n = count_active(bus, u->pattern);
                if (n > 0)
                        continue;

                all = false;
                if (n < 0) {
                        r = findings_addf(findings, "units", FINDING_UNKNOWN, NULL,
                                        "systemd does not tell how %s is: %s.", u->pattern, strerror(-n));
                        return r;
                }
                advice = strjoin("See: systemctl status '", u->pattern, "'");
                r = findings_addf(findings, "units", FINDING_FAILED, advice, "%s is not active: %s.",
                                u->pattern, u->without);
                if (r < 0)
                        return r;
        }

        return all ? findings_addf(findings, "units", FINDING_OK, NULL,
                                     "All units that ccpd needs are active.")
                   : 0;
}

static int check_bus(json_t *findings, sd_bus *bus) {
        _cleanup_strv_free_ char **names = NULL;
        int r;

        r = call_strings(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                        "ListActivatableNames", &names);
        if (r < 0)
                return findings_addf(findings, "bus", FINDING_UNKNOWN, NULL,
                                "The system bus does not tell what it knows of ccpd: %s.", strerror(-r));
        if (!strv_contains(names, CCP_BUS_NAME))
                return findings_addf(findings, "bus", FINDING_FAILED,
                                "Install the package ccpd anew; then: systemctl reload dbus",
                                "The system bus does not know how to start ccpd.");

        return findings_addf(findings, "bus", FINDING_OK, NULL, "The system bus knows ccpd.");
}

/* How many of polkit's actions are ours. */
static int count_actions(sd_bus *bus) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *reply = NULL;
        const char *id;
        int r, n = 0;

        r = sd_bus_message_new_method_call(bus, &m, "org.freedesktop.PolicyKit1",
                        "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority",
                        "EnumerateActions");
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "s", "");
        if (r < 0)
                return r;
        r = sd_bus_call(bus, m, CALL_TIMEOUT_USEC, NULL, &reply);
        if (r < 0)
                return r;

        r = sd_bus_message_enter_container(reply, 'a', "(ssssssuuua{ss})");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(reply, 'r', "ssssssuuua{ss}")) > 0) {
                r = sd_bus_message_read(reply, "s", &id);
                if (r < 0)
                        return r;
                n += startswith(id, CCP_BUS_NAME ".") != NULL;
                r = sd_bus_message_skip(reply, "sssssuuua{ss}");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(reply);
                if (r < 0)
                        return r;
        }
        return r < 0 ? r : n;
}

static int check_polkit(json_t *findings, sd_bus *bus) {
        int n;

        n = count_actions(bus);
        if (n < 0)
                return findings_addf(findings, "polkit", FINDING_FAILED, "See: systemctl status polkit",
                                "polkit does not answer, so nobody but root is let in: %s.", strerror(-n));
        if (n == 0)
                return findings_addf(findings, "polkit", FINDING_FAILED, "Install the package ccpd anew.",
                                "polkit knows no action of ccpd, so nobody but root is let in.");

        return findings_addf(findings, "polkit", FINDING_OK, NULL, "polkit knows %d actions of ccpd.", n);
}

int doctor_check_system(json_t *findings, sd_bus *bus) {
        int r;

        r = check_units(findings, bus);
        if (r < 0)
                return r;
        r = check_bus(findings, bus);
        if (r < 0)
                return r;
        return check_polkit(findings, bus);
}
