/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The connection to ccpd: calls, their errors as sentences and exit codes, properties. */

#include "ctl-json.h"
#include "error.h"
#include "verb.h"

typedef enum ExitCode {
        EXIT_DONE = 0,
        EXIT_FAILED = 1,
        EXIT_USAGE = 2,
        EXIT_NO_SUCH = 3,
        EXIT_NOT_ALLOWED = 4,
        EXIT_AWAY = 5,
        EXIT_JOB_FAILED = 6,
} ExitCode;

struct Ctl {
        const Verb *verbs;
        Arguments arguments;
        sd_bus *bus; /* NULL until something is asked of ccpd */
};

void ctl_done(Ctl *c);
#define _cleanup_ctl_ _cleanup_(ctl_done)

/* The exit code for the name of an error, whether it is ours or the bus's. */
ExitCode exit_code_from_error(const char *name);

/* Takes over an error of the bus ('e' may be unset, then r says it). Returns a negative errno. */
int error_from_bus(Error *reterr, const sd_bus_error *e, int r);

/* True for errors that say that ccpd itself is not there. */
bool error_is_away(const char *name);
/* True for errors that say that the caller may not do or see something. Where that is a part of what is shown,
 * the rest is shown without it. */
bool error_is_refusal(const char *name);

/* False if nobody is to be asked for authentication: with --no-ask-password, and on another host, where nobody
 * sits. */
bool ctl_may_ask(const Ctl *c);
/* Connects on first use: to the system bus, or that of --host. */
int ctl_connect(Ctl *c, Error *reterr);

/* Begins a call, to be filled and handed to ctl_send(). */
int ctl_message(Ctl *c, const char *path, const char *interface, const char *method, sd_bus_message **ret,
                Error *reterr);
int ctl_send(Ctl *c, sd_bus_message *m, sd_bus_message **ret_reply, Error *reterr);
/* Both, for calls with basic arguments; ret_reply may be NULL. */
int ctl_call(Ctl *c, const char *path, const char *interface, const char *method, sd_bus_message **ret_reply,
                Error *reterr, const char *types, ...);
/* A method of the manager that takes one string and returns a path, which the caller frees. */
int ctl_look_up(Ctl *c, const char *method, const char *key, char **ret_path, Error *reterr);

/* All properties, as an object. */
int ctl_get_all(Ctl *c, const char *path, const char *interface, json_t **ret, Error *reterr);

/* Asks for ccpd's signals: it sends them to those connections only that asked, and knows of none when it was
 * started anew, so this comes before anything is read that a signal is waited for. ret_peer is the connection
 * that they come from; NULL for an older ccpd, which sends them to everybody. */
int ctl_subscribe(Ctl *c, char **ret_peer, Error *reterr);
/* True if a signal comes from there, and not from somebody who would like us to believe that. */
bool signal_is_from(sd_bus_message *m, const char *peer);
/* When another ccpd, or none, has its name. */
int ctl_match_owner(Ctl *c, sd_bus_slot **ret, sd_bus_message_handler_t callback, void *userdata);

/* Fails with a sentence about a reply that is not what the API says. */
int ctl_bad_reply(Error *reterr, int r);

/* The id at the end of a job's path. */
int job_id_from_path(const char *path, char **ret);
