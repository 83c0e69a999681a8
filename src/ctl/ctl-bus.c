/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl-bus.h"

#include <errno.h>
#include <stdarg.h>

#include "alloc-util.h"
#include "string-util.h"
#include "time-util.h"

/* polkit may have asked somebody for a password, who has to find it first. */
#define CALL_TIMEOUT (5 * USEC_PER_MINUTE)

#define MATCH_OWNER                                                                     \
        "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus'," \
        "member='NameOwnerChanged',arg0='" CCP_BUS_NAME "'"

#define BUS_ERROR(name) "org.freedesktop.DBus.Error." name
#define HINT_STATUS " See 'systemctl status ccpd' and 'journalctl -u ccpd'."
#define HINT_NOT_RUNNING "ccpd does not run and could not be started." HINT_STATUS
#define HINT_NO_ANSWER "ccpd did not answer." HINT_STATUS

#define HINT_SSH " Does ssh alone get there, and is systemd-stdio-bridge installed there?"

#define WAY_TO_A_ROLE "ccpctl role grant"
#define HINT_ROLE                                                                              \
        "An administrator of ccpd can give you a role that allows it: " WAY_TO_A_ROLE " ROLE " \
        "--user=NAME."

static const struct {
        const char *name;
        ExitCode code;
        const char *sentence; /* instead of the error's own; NULL: that one */
} error_table[] = {
        { CCP_ERROR_INVALID_ARGUMENT, EXIT_USAGE },
        { CCP_ERROR_NO_SUCH_INSTANCE, EXIT_NO_SUCH },
        { CCP_ERROR_NO_SUCH_JOB, EXIT_NO_SUCH },
        { CCP_ERROR_NO_SUCH_BLUEPRINT, EXIT_NO_SUCH },
        { CCP_ERROR_NO_SUCH_ROLE, EXIT_NO_SUCH },
        { CCP_ERROR_NO_SUCH_SERVICE, EXIT_NO_SUCH },
        { CCP_ERROR_NO_SUCH_ALERT, EXIT_NO_SUCH },
        { CCP_ERROR_NO_SUCH_SECRET, EXIT_NO_SUCH },
        { CCP_ERROR_NO_SUCH_BACKUP, EXIT_NO_SUCH },
        { CCP_ERROR_NO_SUCH_KEY, EXIT_NO_SUCH },
        { CCP_ERROR_NO_SUCH_CHALLENGE, EXIT_NO_SUCH },
        { CCP_ERROR_SLUG_TAKEN, EXIT_FAILED },
        { CCP_ERROR_DOMAIN_TAKEN, EXIT_FAILED },
        { CCP_ERROR_PORTS_EXHAUSTED, EXIT_FAILED },
        { CCP_ERROR_SUBNETS_EXHAUSTED, EXIT_FAILED },
        { CCP_ERROR_BUSY, EXIT_FAILED },
        { CCP_ERROR_WRONG_STATE, EXIT_FAILED },
        { CCP_ERROR_NOT_AUTHORIZED, EXIT_NOT_ALLOWED },
        { CCP_ERROR_STORE_UNAVAILABLE, EXIT_AWAY },
        { CCP_ERROR_ENGINE_UNAVAILABLE, EXIT_AWAY },
        { CCP_ERROR_ENGINE_FAILED, EXIT_FAILED },
        { CCP_ERROR_POLICY_VIOLATION, EXIT_FAILED },
        { CCP_ERROR_BLUEPRINT_INVALID, EXIT_FAILED },
        { CCP_ERROR_RENDER_FAILED, EXIT_FAILED },
        { CCP_ERROR_UNHEALTHY, EXIT_FAILED },
        { CCP_ERROR_KEY_MISSING, EXIT_FAILED },
        { CCP_ERROR_BACKUP_DAMAGED, EXIT_FAILED },
        { CCP_ERROR_BACKUP_TOO_NEW, EXIT_FAILED },
        { CCP_ERROR_LIMIT_EXCEEDED, EXIT_FAILED },
        { CCP_ERROR_STORAGE_FAILED, EXIT_FAILED },
        { CCP_ERROR_NO_SPACE, EXIT_FAILED },
        { CCP_ERROR_CANCELLED, EXIT_FAILED },
        { CCP_ERROR_INTERNAL, EXIT_FAILED },

        { BUS_ERROR("ServiceUnknown"), EXIT_AWAY, HINT_NOT_RUNNING },
        { BUS_ERROR("NameHasNoOwner"), EXIT_AWAY, HINT_NOT_RUNNING },
        { BUS_ERROR("NoReply"), EXIT_AWAY, HINT_NO_ANSWER },
        { BUS_ERROR("Timeout"), EXIT_AWAY, HINT_NO_ANSWER },
        { BUS_ERROR("TimedOut"), EXIT_AWAY, HINT_NO_ANSWER },
        { BUS_ERROR("Disconnected"), EXIT_AWAY, "The bus closed the connection. Please try again." },
        { BUS_ERROR("NoServer"), EXIT_AWAY, NULL },
        { BUS_ERROR("AccessDenied"), EXIT_NOT_ALLOWED,
                        "You may not do this: the bus or ccpd refuses it. Use sudo, or a role. " HINT_ROLE },
        { BUS_ERROR("InteractiveAuthorizationRequired"), EXIT_NOT_ALLOWED,
                        "This needs authentication, and there was nobody to ask. Run it on a terminal, "
                        "without --no-ask-password and -H. Or do it with a role. " HINT_ROLE },
        { BUS_ERROR("AuthFailed"), EXIT_NOT_ALLOWED, "The authentication failed." },
        { BUS_ERROR("InvalidArgs"), EXIT_USAGE, NULL },
        { BUS_ERROR("UnknownObject"), EXIT_NO_SUCH, "There is no such thing any more." },
        { BUS_ERROR("UnknownMethod"), EXIT_FAILED,
                        "The ccpd that runs does not know this. Is it of another version than ccpctl?" },
        { BUS_ERROR("UnknownInterface"), EXIT_FAILED,
                        "The ccpd that runs does not know this. Is it of another version than ccpctl?" },
        { BUS_ERROR("LimitsExceeded"), EXIT_FAILED, NULL },
};

/* Whatever the reason, a service that activation could not start is away. */
static const char *const activation_errors[] = {
        BUS_ERROR("Spawn."),
        "org.freedesktop.systemd1.",
};

void ctl_done(Ctl *c) {
        c->bus = sd_bus_flush_close_unref(c->bus);
        arguments_done(&c->arguments);
}

ExitCode exit_code_from_error(const char *name) {
        for (size_t i = 0; i < ELEMENTSOF(error_table); i++)
                if (streq_ptr(error_table[i].name, name))
                        return error_table[i].code;

        return EXIT_FAILED;
}

bool error_is_away(const char *name) {
        return exit_code_from_error(name) == EXIT_AWAY && name && startswith(name, BUS_ERROR(""));
}

bool error_is_refusal(const char *name) {
        return exit_code_from_error(name) == EXIT_NOT_ALLOWED;
}

/* What went wrong between us and the bus, where no error came over it. */
static int error_from_connection(Error *reterr, int r) {
        if (IN_SET(r, -ETIMEDOUT, -ENOTCONN, -ECONNRESET, -EPIPE))
                return error_from_bus(reterr,
                                &SD_BUS_ERROR_MAKE_CONST(r == -ETIMEDOUT ? BUS_ERROR("NoReply")
                                                                         : BUS_ERROR("Disconnected"),
                                                ""),
                                r);
        if (IN_SET(r, -EACCES, -EPERM))
                return error_from_bus(reterr, &SD_BUS_ERROR_MAKE_CONST(BUS_ERROR("AccessDenied"), ""), r);

        return error_set_errnof(reterr, r, "Cannot talk to ccpd: %m");
}

/* The sentence of an error of ccpd's own. */
static void take_sentence(Error *reterr, const char *name, const sd_bus_error *e) {
        const char *sentence = isempty(e->message) ? e->name : e->message;

        /* A refusal is of little use to somebody who does not know whom to turn to. */
        if (streq(name, CCP_ERROR_NOT_AUTHORIZED) && !strstr(sentence, WAY_TO_A_ROLE))
                (void) error_setf(reterr, name, "%s " HINT_ROLE, sentence);
        else
                (void) error_setf(reterr, name, "%s", sentence);
}

int error_from_bus(Error *reterr, const sd_bus_error *e, int r) {
        if (!sd_bus_error_is_set(e))
                return error_from_connection(reterr, r);

        for (size_t i = 0; i < ELEMENTSOF(error_table); i++) {
                if (!streq(error_table[i].name, e->name))
                        continue;

                if (error_table[i].sentence)
                        (void) error_setf(reterr, error_table[i].name, "%s", error_table[i].sentence);
                else
                        take_sentence(reterr, error_table[i].name, e);
                return r < 0 ? r : -EIO;
        }

        for (size_t i = 0; i < ELEMENTSOF(activation_errors); i++)
                if (startswith(e->name, activation_errors[i])) {
                        (void) error_setf(reterr, BUS_ERROR("ServiceUnknown"),
                                        "ccpd could not be started: %s" HINT_STATUS, strempty(e->message));
                        return -EHOSTDOWN;
                }

        return error_setf(reterr, CCP_ERROR_INTERNAL, "%s (%s)", strempty(e->message), e->name);
}

bool ctl_may_ask(const Ctl *c) {
        return !arguments_have(&c->arguments, OPTION(NO_ASK_PASSWORD) | OPTION(HOST));
}

static int open_remote(const char *host, sd_bus **ret) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        const char *name;
        int r;

        r = sd_bus_open_system_remote(&bus, host);
        /* Only who has a name there has come through ssh. */
        if (r >= 0)
                r = sd_bus_get_unique_name(bus, &name);
        if (IN_SET(r, -ENOTCONN, -ECONNRESET, -EPIPE))
                r = -EHOSTUNREACH;
        if (r < 0)
                return r;

        *ret = TAKE_PTR(bus);
        return 0;
}

int ctl_connect(Ctl *c, Error *reterr) {
        _cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
        const char *host = c->arguments.values[OPTION_HOST];
        int r;

        if (c->bus)
                return 0;

        r = host ? open_remote(host, &bus) : sd_bus_open_system(&bus);
        if (r < 0) {
                errno = -r;
                (void) error_setf(reterr, BUS_ERROR("NoServer"),
                                "Cannot connect to the system bus%s%s: %m.%s", host ? " of " : "",
                                strempty(host), host ? HINT_SSH : "");
                return r;
        }

        (void) sd_bus_set_method_call_timeout(bus, CALL_TIMEOUT);
        (void) sd_bus_set_allow_interactive_authorization(bus, ctl_may_ask(c));
        c->bus = TAKE_PTR(bus);
        return 0;
}

int ctl_message(Ctl *c, const char *path, const char *interface, const char *method, sd_bus_message **ret,
                Error *reterr) {
        int r;

        r = ctl_connect(c, reterr);
        if (r < 0)
                return r;

        return sd_bus_message_new_method_call(c->bus, ret, CCP_BUS_NAME, path, interface, method);
}

int ctl_send(Ctl *c, sd_bus_message *m, sd_bus_message **ret_reply, Error *reterr) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        int r;

        r = sd_bus_call(c->bus, m, /* usec= */ 0, &e, ret_reply);
        return r < 0 ? error_from_bus(reterr, &e, r) : 0;
}

int ctl_call(Ctl *c, const char *path, const char *interface, const char *method, sd_bus_message **ret_reply,
                Error *reterr, const char *types, ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        va_list ap;
        int r;

        r = ctl_message(c, path, interface, method, &m, reterr);
        if (r < 0)
                return r;

        va_start(ap, types);
        r = types ? sd_bus_message_appendv(m, types, ap) : 0;
        va_end(ap);
        if (r < 0)
                return r;

        return ctl_send(c, m, ret_reply, reterr);
}

int ctl_bad_reply(Error *reterr, int r) {
        if (r == -ENOMEM)
                return r;

        (void) error_setf(reterr, CCP_ERROR_INTERNAL,
                        "ccpd answered something that ccpctl does not understand. Are both of one version?");
        return r < 0 ? r : -EBADMSG;
}

int ctl_look_up(Ctl *c, const char *method, const char *key, char **ret_path, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        const char *path;
        char *copy;
        int r;

        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, method, &reply, reterr, "s", key);
        if (r < 0)
                return r;

        r = sd_bus_message_read(reply, "o", &path);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        copy = strdup(path);
        if (!copy)
                return -ENOMEM;

        *ret_path = copy;
        return 0;
}

int ctl_get_all(Ctl *c, const char *path, const char *interface, json_t **ret, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        int r;

        r = ctl_call(c, path, "org.freedesktop.DBus.Properties", "GetAll", &reply, reterr, "s", interface);
        if (r < 0)
                return r;

        r = json_from_properties(reply, interface, ret);
        return r < 0 ? ctl_bad_reply(reterr, r) : 0;
}

int ctl_subscribe(Ctl *c, char **ret_peer, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_error_ Error error = {};
        const char *sender;
        char *peer = NULL;
        int r;

        r = ctl_call(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "Subscribe", &reply, &error, NULL);
        if (r < 0 && !streq_ptr(error.name, SD_BUS_ERROR_UNKNOWN_METHOD)) {
                error_move(reterr, &error);
                return r;
        }

        sender = reply ? sd_bus_message_get_sender(reply) : NULL;
        if (sender) {
                peer = strdup(sender);
                if (!peer)
                        return -ENOMEM;
        }

        *ret_peer = peer;
        return 0;
}

bool signal_is_from(sd_bus_message *m, const char *peer) {
        return !peer || streq_ptr(sd_bus_message_get_sender(m), peer);
}

int ctl_match_owner(Ctl *c, sd_bus_slot **ret, sd_bus_message_handler_t callback, void *userdata) {
        return sd_bus_add_match(c->bus, ret, MATCH_OWNER, callback, userdata);
}

int job_id_from_path(const char *path, char **ret) {
        int r;

        r = sd_bus_path_decode(path, CCP_PATH_JOB, ret);
        return r < 0 ? r : r == 0 ? -EINVAL : 0;
}
