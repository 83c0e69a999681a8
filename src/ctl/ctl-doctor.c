/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccpctl doctor: what ccpd finds, and where it is not there itself, why. */

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ctl.h"
#include "finding.h"
#include "string-util.h"

#define NAME_WIDTH 15
#define SYSTEMD_NAME "org.freedesktop.systemd1"
/* Of a service that PID 1 could not give its credentials; see systemd.exec(5). */
#define STATUS_CREDENTIALS 243
#define STATUS_TRIES 30U
#define STATUS_DELAY_USEC (100 * USEC_PER_MSEC)
#define ADVICE_UNIT "See: systemctl status ccpd; journalctl -u ccpd -b."
#define ADVICE_KEY                                                                                        \
        "Are /etc/credstore.encrypted/ccpd.master-key, and ccpd.master-key-next if it is there, of this " \
        "server? Put them back, see ccpd(8)."

static const struct {
        Glyph glyph;
        Color color;
} marks[_FINDING_VERDICT_MAX] = {
        [FINDING_OK] = { GLYPH_DONE, COLOR_GREEN },
        [FINDING_WARNING] = { GLYPH_RUNNING, COLOR_YELLOW },
        [FINDING_FAILED] = { GLYPH_FAILED, COLOR_RED },
        [FINDING_UNKNOWN] = { GLYPH_SKIPPED, COLOR_GREY },
};

static FindingVerdict verdict_of(const json_t *finding) {
        FindingVerdict v = finding_verdict_from_string(json_get_text(finding, "verdict"));

        return v < 0 ? FINDING_UNKNOWN : v;
}

static void print_finding(const json_t *finding) {
        FindingVerdict v = verdict_of(finding);
        _cleanup_free_ char *check = text_escape(json_get_text(finding, "check")),
                            *message = text_escape(json_get_text(finding, "message")),
                            *advice = text_escape(json_get_text(finding, "advice"));

        (void) printf("%s%s%s %-*s %s\n", color_on(stdout, marks[v].color), glyph(marks[v].glyph),
                        color_on(stdout, COLOR_NONE), NAME_WIDTH, strempty(check), strempty(message));
        if (!isempty(advice))
                (void) printf("  %-*s %s\n", NAME_WIDTH, "", advice);
}

static size_t count(const json_t *findings, FindingVerdict verdict) {
        const json_t *finding;
        size_t n = 0, k;

        json_array_foreach((json_t *) findings, k, finding)
                n += verdict_of(finding) == verdict;
        return n;
}

int ctl_print_findings(Ctl *c, const json_t *findings, const char *well) {
        size_t n_failed = count(findings, FINDING_FAILED), n_warnings = count(findings, FINDING_WARNING),
               n_unknown = count(findings, FINDING_UNKNOWN), k;
        const json_t *finding;
        int r;

        if (ctl_prints_json(c)) {
                r = ctl_print_json(c, findings);
                if (r != EXIT_DONE)
                        return r;
        } else {
                ctl_open_pager(c);
                json_array_foreach((json_t *) findings, k, finding)
                        print_finding(finding);
                if (n_failed + n_warnings + n_unknown == 0)
                        ctl_say(c, "\n%s\n", well);
                else
                        ctl_say(c, "\n%zu problem%s, %zu warning%s, %zu not known.\n", n_failed,
                                        n_failed == 1 ? "" : "s", n_warnings, n_warnings == 1 ? "" : "s",
                                        n_unknown);
        }

        return n_failed > 0 ? EXIT_FAILED : EXIT_DONE;
}

/* The status that ccpd ended with, 0 if that is not known. While PID 1 makes another attempt at its start it knows none. */
static int32_t read_status(Ctl *c, const char *path) {
        int32_t status = 0;

        for (unsigned n = 0; n < STATUS_TRIES; n++) {
                if (sd_bus_get_property_trivial(c->bus, SYSTEMD_NAME, path, SYSTEMD_NAME ".Service",
                                    "ExecMainStatus", NULL, 'i', &status) < 0)
                        return 0;
                if (status != 0)
                        break;
                (void) usleep(STATUS_DELAY_USEC);
        }
        return status;
}

/* How PID 1 says that ccpd's unit is: "failed (exit-code)"; and whether that is since it could not be given its key. */
static int describe_unit(Ctl *c, char **ret, bool *ret_keyless) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_free_ char *active = NULL, *result = NULL;
        const char *path;
        int r;

        r = sd_bus_call_method(c->bus, SYSTEMD_NAME, "/org/freedesktop/systemd1", SYSTEMD_NAME ".Manager",
                        "LoadUnit", &e, &reply, "s", "ccpd.service");
        if (r < 0)
                return r;
        r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return r;
        r = sd_bus_get_property_string(
                        c->bus, SYSTEMD_NAME, path, SYSTEMD_NAME ".Unit", "ActiveState", NULL, &active);
        if (r < 0)
                return r;
        r = sd_bus_get_property_string(
                        c->bus, SYSTEMD_NAME, path, SYSTEMD_NAME ".Service", "Result", NULL, &result);
        if (r < 0)
                return r;

        *ret_keyless = (streq(result, "exit-code") || streq(active, "activating")) &&
                        read_status(c, path) == STATUS_CREDENTIALS;
        *ret = streq(result, "success") ? TAKE_PTR(active) : strjoin(active, " (", result, ")");
        return *ret ? 0 : -ENOMEM;
}

/* The one finding that ccpd can't make. */
static int report_away(Ctl *c, const Error *error) {
        _cleanup_json_ json_t *findings = json_array();
        _cleanup_free_ char *unit = NULL;
        bool keyless = false;
        int r;

        if (!findings)
                return -ENOMEM;
        r = c->bus ? describe_unit(c, &unit, &keyless) : -ENOTCONN;
        r = findings_addf(findings, "ccpd", FINDING_FAILED,
                        keyless ? ADVICE_KEY " The instances run on without it."
                                : ADVICE_UNIT " The instances run on without it.",
                        "%s%s%s%s%s", error->message, r >= 0 ? " Its unit is " : "", r >= 0 ? unit : "",
                        r >= 0 ? "." : "", keyless ? " systemd could not give it the master key." : "");
        if (r < 0)
                return r;

        r = ctl_print_findings(c, findings, "");
        return r < 0 ? r : EXIT_AWAY;
}

int verb_doctor(Ctl *c, _unused_ char **args, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_json_ json_t *findings = NULL;
        _cleanup_error_ Error error = {};
        int r;

        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "Doctor", &reply, &error, NULL);
        if (r < 0 && error_is_away(error.name))
                return report_away(c, &error);
        if (r < 0) {
                error_move(reterr, &error);
                return r;
        }

        r = json_from_rows(reply, CCP_INTERFACE_MANAGER, "Doctor", &findings);
        if (r < 0)
                return ctl_bad_reply(reterr, r);
        return ctl_print_findings(c, findings, "All is well.");
}
