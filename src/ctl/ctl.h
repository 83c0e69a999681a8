/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the nouns share: printing, and the verbs themselves for the table in ctl.c. */

#include "ctl-bus.h"
#include "table.h"
#include "time-util.h"

/* How a list of objects becomes a table. */
typedef struct ListColumn {
        TableColumn column;
        const char *key;
        /* The text of the cell (freed by the caller) and its colour; NULL: the value as it is. */
        char *(*format)(const json_t *row, Color *ret_color);
} ListColumn;

bool ctl_prints_json(const Ctl *c);
int ctl_print_json(const Ctl *c, const json_t *v);
/* Prints rows as JSON or as a table; with 'what' ("instance") a line with their number below it. */
int ctl_print_list(Ctl *c, const json_t *rows, const ListColumn *columns, size_t n, const char *what);
/* The table alone. */
int ctl_print_table(Ctl *c, const json_t *rows, const ListColumn *columns, size_t n);
/* A pager for what follows, unless it is not wanted. */
void ctl_open_pager(const Ctl *c);
/* A line for people on standard output, left out with --quiet. */
void ctl_say(const Ctl *c, const char *format, ...) _printf_(2, 3);
/* Prints the sentence of a failure on standard error and returns its exit code. r is the errno that came
 * with it. */
int ctl_report(const Error *e, int r);

/* "LABEL: value" with the labels of a status aligned, an empty label for a further line; value is escaped,
 * and left out if empty. */
void print_field(const char *label, const char *value);
void print_label(const char *label);

/* Findings (finding.h); with 'well' as the last line if they are all fine. Returns the exit code. */
int ctl_print_findings(Ctl *c, const json_t *findings, const char *well);

/* Colours that states and healths have everywhere. */
Color color_of_state(const char *state);
char *format_state(const json_t *row, Color *ret_color);
char *format_health(const json_t *row, Color *ret_color);
/* "3min 20s ago"; "" for 0. */
const char *format_ago(char *buf, size_t size, usec_t t);
#define FORMAT_AGO(t) format_ago((char[FORMAT_TIMESPAN_MAX + 8]){}, FORMAT_TIMESPAN_MAX + 8, (t))

/* "0.4ms", "120ms"; "" for 0. */
const char *ctl_format_latency(char *buf, size_t size, usec_t latency);
#define FORMAT_LATENCY(l) ctl_format_latency((char[FORMAT_TIMESPAN_MAX]) {}, FORMAT_TIMESPAN_MAX, (l))

/* One --set, --set-file or positional KEY=VALUE, cut in two. Fails if there is no "=". */
int split_assignment(const char *s, char **ret_key, const char **ret_value, Error *reterr);
/* What is in a file that holds the value of a parameter ("-": standard input). The last newline is left
 * out; text with NUL bytes, other encodings and more than 64 KiB is refused. */
int read_value_file(const char *path, char **ret, Error *reterr);

/* The point in time that an option names; *ret stays where it was not given. */
int ctl_read_time(const Ctl *c, OptionId id, usec_t *ret, Error *reterr);
/* --lines, which must not be 0 where a list is asked for. */
int ctl_read_lines(const Ctl *c, uint64_t otherwise, uint64_t *ret, Error *reterr);

/* Rows of a method with pages, at most 'max'. 'filters' are pairs of key and value, the value NULL for one
 * that is not wanted, up to an empty pair; NULL for none. */
int ctl_list_rows(Ctl *c, const char *method, const char *const (*filters)[2], uint64_t max, json_t **ret,
                Error *reterr);

/* Writes the secret that a call handed over, "" for an instance of the whole service, past all buffers. */
int ctl_write_secret(Ctl *c, sd_bus_message *reply, const char *instance, const char *name, Error *reterr);

/* The path and the properties of an instance. ret_path may be NULL. */
int ctl_get_instance(Ctl *c, const char *slug, char **ret_path, json_t **ret, Error *reterr);
/* Waits for a job, which may be long over, and prints how it went. Returns the exit code. */
int ctl_follow_job(Ctl *c, const char *id, Error *reterr);
/* Appends an a{sv} of texts, those that are not NULL. */
int ctl_append_options(sd_bus_message *m, const char *const (*options)[2]);
/* A method of an instance that makes a job. */
typedef struct CtlJobCall {
        const char *method;
        char *const *services;           /* NULL: it takes none */
        const char *backup;              /* its number; NULL: it takes none */
        const char *const (*options)[2]; /* as the filters above */
} CtlJobCall;

/* Calls it, and waits for the job. Returns the exit code. */
int ctl_run_instance_job(Ctl *c, const char *slug, const CtlJobCall *call, Error *reterr);
/* A backup as ListBackups has it. NoSuchBackup. */
int ctl_get_backup(Ctl *c, const char *id, json_t **ret, Error *reterr);
/* Asks whether 'what' is to be deleted, unless --yes says so. Cancelled; InvalidArgument without a terminal. */
int ctl_confirm_delete(const Ctl *c, const char *what, Error *reterr);
/* Jobs as a table; returns the exit code or -ENOMEM. */
int print_job_table(Ctl *c, const json_t *rows);

int verb_overview(Ctl *c, char **args, Error *reterr);
int verb_list(Ctl *c, char **args, Error *reterr);
int verb_show(Ctl *c, char **args, Error *reterr);
int verb_status(Ctl *c, char **args, Error *reterr);
int verb_health(Ctl *c, char **args, Error *reterr);
int verb_health_history(Ctl *c, char **args, Error *reterr);
int verb_top(Ctl *c, char **args, Error *reterr);
int verb_start(Ctl *c, char **args, Error *reterr);
int verb_stop(Ctl *c, char **args, Error *reterr);
int verb_restart(Ctl *c, char **args, Error *reterr);
int verb_set(Ctl *c, char **args, Error *reterr);
int verb_delete(Ctl *c, char **args, Error *reterr);
int verb_doctor(Ctl *c, char **args, Error *reterr);
int verb_create(Ctl *c, char **args, Error *reterr);
int verb_logs(Ctl *c, char **args, Error *reterr);
int verb_job_list(Ctl *c, char **args, Error *reterr);
int verb_job_show(Ctl *c, char **args, Error *reterr);
int verb_job_follow(Ctl *c, char **args, Error *reterr);
int verb_job_cancel(Ctl *c, char **args, Error *reterr);
int verb_job_retry(Ctl *c, char **args, Error *reterr);
int verb_blueprint_list(Ctl *c, char **args, Error *reterr);
int verb_blueprint_show(Ctl *c, char **args, Error *reterr);
int verb_blueprint_lint(Ctl *c, char **args, Error *reterr);
int verb_blueprint_render(Ctl *c, char **args, Error *reterr);
int verb_port_list(Ctl *c, char **args, Error *reterr);
int verb_alert_list(Ctl *c, char **args, Error *reterr);
int verb_alert_show(Ctl *c, char **args, Error *reterr);
int verb_alert_silence(Ctl *c, char **args, Error *reterr);
int verb_alert_silences(Ctl *c, char **args, Error *reterr);
int verb_alert_unsilence(Ctl *c, char **args, Error *reterr);
int verb_alert_test(Ctl *c, char **args, Error *reterr);
int verb_alert_secret(Ctl *c, char **args, Error *reterr);
int verb_alert_rotate(Ctl *c, char **args, Error *reterr);
int verb_backup_create(Ctl *c, char **args, Error *reterr);
int verb_backup_list(Ctl *c, char **args, Error *reterr);
int verb_backup_show(Ctl *c, char **args, Error *reterr);
int verb_backup_restore(Ctl *c, char **args, Error *reterr);
int verb_restore_list(Ctl *c, char **args, Error *reterr);
int verb_restore_undo(Ctl *c, char **args, Error *reterr);
int verb_restore_discard(Ctl *c, char **args, Error *reterr);
int verb_backup_export(Ctl *c, char **args, Error *reterr);
int verb_backup_import(Ctl *c, char **args, Error *reterr);
int verb_backup_replicate(Ctl *c, char **args, Error *reterr);
int verb_backup_fetch(Ctl *c, char **args, Error *reterr);
int verb_storage_set(Ctl *c, char **args, Error *reterr);
int verb_storage_show(Ctl *c, char **args, Error *reterr);
int verb_storage_test(Ctl *c, char **args, Error *reterr);
int verb_storage_forget(Ctl *c, char **args, Error *reterr);
int verb_backup_drill(Ctl *c, char **args, Error *reterr);
int verb_backup_verify(Ctl *c, char **args, Error *reterr);
int verb_backup_delete(Ctl *c, char **args, Error *reterr);
int verb_backup_prune(Ctl *c, char **args, Error *reterr);
int verb_key_enroll_recovery(Ctl *c, char **args, Error *reterr);
int verb_key_status(Ctl *c, char **args, Error *reterr);
int verb_key_list(Ctl *c, char **args, Error *reterr);
int verb_key_rotate(Ctl *c, char **args, Error *reterr);
int verb_key_forget(Ctl *c, char **args, Error *reterr);
int verb_audit(Ctl *c, char **args, Error *reterr);
int verb_audit_verify(Ctl *c, char **args, Error *reterr);
int verb_audit_export(Ctl *c, char **args, Error *reterr);
int verb_role_list(Ctl *c, char **args, Error *reterr);
int verb_role_grant(Ctl *c, char **args, Error *reterr);
int verb_role_revoke(Ctl *c, char **args, Error *reterr);
int verb_secret_list(Ctl *c, char **args, Error *reterr);
int verb_secret_reveal(Ctl *c, char **args, Error *reterr);
int verb_settings_show(Ctl *c, char **args, Error *reterr);
int verb_settings_set(Ctl *c, char **args, Error *reterr);
int verb_help(Ctl *c, char **args, Error *reterr);
