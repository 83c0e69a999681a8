/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "ctl.h"

#include <errno.h>
#include <stdio.h>

#include "pager.h"
#include "polkit-agent.h"
#include "string-util.h"

static const Verb verbs[] = {
        { NULL, NULL, NULL, 0, 0, OPTION(WATCH), "Show the fleet at a glance", verb_overview },
        { NULL, "list", "[PATTERN…]", 0, ARGUMENTS_ANY, OPTION(STATE) | OPTION(HEALTH) | OPTION(BLUEPRINT),
                        "List instances", verb_list },
        { NULL, "create", "[SLUG]", 0, 1,
                        OPTION(BLUEPRINT) | OPTION(DOMAIN) | OPTION(NAME) | OPTION(FEATURE) | OPTION(SET) |
                                        OPTION(SET_FILE) | OPTION(SOURCE) | OPTION(LIMIT) | OPTION(DRY_RUN),
                        "Create an instance; without arguments, ask for all of it", verb_create },
        { NULL, "show", "SLUG…", 1, ARGUMENTS_ANY, OPTION(PROPERTY) | OPTION(VALUE),
                        "Show all properties of instances", verb_show },
        { NULL, "status", "SLUG…", 1, ARGUMENTS_ANY, OPTION(WATCH) | OPTION(LINES),
                        "Show how instances are, for people", verb_status },
        { "health", "history", "[SLUG]", 0, 1, OPTION(SINCE) | OPTION(UNTIL),
                        "Show how healthy instances were, and how fast", verb_health_history },
        { NULL, "health", "[SLUG…]", 0, ARGUMENTS_ANY, 0,
                        "Show how healthy instances are, or check them now", verb_health },
        { NULL, "top", "[SLUG…]", 0, ARGUMENTS_ANY, OPTION(SORT) | OPTION(ONCE),
                        "Show what instances use, or the services of one", verb_top },
        { NULL, "start", "SLUG [SERVICE…]", 1, ARGUMENTS_ANY, 0, "Start an instance, or services of it",
                        verb_start },
        { NULL, "stop", "SLUG [SERVICE…]", 1, ARGUMENTS_ANY, 0, "Stop an instance, or services of it",
                        verb_stop },
        { NULL, "restart", "SLUG [SERVICE…]", 1, ARGUMENTS_ANY, 0, "Restart an instance, or services of it",
                        verb_restart },
        { NULL, "set", "SLUG KEY=VALUE…", 2, ARGUMENTS_ANY, 0, "Change settings of an instance", verb_set },
        { NULL, "delete", "SLUG", 1, 1, OPTION(YES), "Delete an instance and all its data", verb_delete },
        { NULL, "doctor", NULL, 0, 0, 0, "Check that all that ccpd needs is there", verb_doctor },
        { NULL, "logs", "SLUG [SERVICE…]", 1, ARGUMENTS_ANY,
                        OPTION(LINES) | OPTION(FOLLOW) | OPTION(SINCE) | OPTION(UNTIL) | OPTION(GREP) |
                                        OPTION(ALL),
                        "Show what the services of an instance wrote", verb_logs },
        { NULL, "help", "[VERB]", 0, 2, 0, "Show help, or that of a verb", verb_help },
        { "job", "list", NULL, 0, 0, OPTION(STATE) | OPTION(INSTANCE) | OPTION(KIND) | OPTION(LINES),
                        "List jobs, newest first", verb_job_list },
        { "job", "show", "ID", 1, 1, 0, "Show a job and its steps", verb_job_show },
        { "job", "follow", "ID", 1, 1, 0, "Show how a job goes until it has ended", verb_job_follow },
        { "job", "cancel", "ID", 1, 1, 0, "Cancel a job and undo what it did", verb_job_cancel },
        { "job", "retry", "ID", 1, 1, 0, "Run a failed job once more", verb_job_retry },
        { "blueprint", "list", NULL, 0, 0, 0, "List blueprints", verb_blueprint_list },
        { "blueprint", "show", "NAME", 1, 1, 0, "Show a blueprint", verb_blueprint_show },
        { "blueprint", "lint", "FOLDER|NAME", 1, 1, 0, "Check a blueprint, without ccpd",
                        verb_blueprint_lint },
        { "blueprint", "render", "TEMPLATE", 1, 1, OPTION(CONTEXT) | OPTION(FORMAT),
                        "Render a template, without ccpd", verb_blueprint_render },
        { "port", "list", NULL, 0, 0, 0, "List the ports that instances have", verb_port_list },
        { "role", "list", NULL, 0, 0, OPTION(INSTANCE), "List who has which role", verb_role_list },
        { "role", "grant", "ROLE", 1, 1, OPTION(USER) | OPTION(GROUP) | OPTION(INSTANCE),
                        "Give a user or group a role", verb_role_grant },
        { "role", "revoke", NULL, 0, 0, OPTION(USER) | OPTION(GROUP) | OPTION(INSTANCE), "Take a role away",
                        verb_role_revoke },
        { "alert", "list", NULL, 0, 0, OPTION(ALL) | OPTION(INSTANCE) | OPTION(RULE) | OPTION(LINES),
                        "List the alerts that fire, and whom they were told to", verb_alert_list },
        { "alert", "show", "ID", 1, 1, 0, "Show an alert", verb_alert_show },
        { "alert", "silence", NULL, 0, 0,
                        OPTION(INSTANCE) | OPTION(RULE) | OPTION(UNTIL) | OPTION(FOR) | OPTION(REASON),
                        "Deliver no alerts for a while", verb_alert_silence },
        { "alert", "silences", NULL, 0, 0, 0, "List the silences", verb_alert_silences },
        { "alert", "unsilence", "ID", 1, 1, 0, "End a silence", verb_alert_unsilence },
        { "alert", "test", "CHANNEL", 1, 1, 0, "Try the webhook, or mail", verb_alert_test },
        { "alert", "secret", NULL, 0, 0, 0, "Write the webhook's secret to standard output",
                        verb_alert_secret },
        { "alert", "rotate", NULL, 0, 0, 0, "Replace the webhook's secret", verb_alert_rotate },
        { "backup", "create", "[SLUG]", 0, 1, OPTION(CONSISTENCY) | OPTION(ALL),
                        "Back up an instance, or all that run", verb_backup_create },
        { "backup", "list", NULL, 0, 0, OPTION(INSTANCE) | OPTION(LINES) | OPTION(STORAGE),
                        "List backups, newest first", verb_backup_list },
        { "backup", "show", "ID", 1, 1, 0, "Show a backup and what is in it", verb_backup_show },
        { "backup", "restore", "ID", 1, 1, OPTION(ANY_VERSION) | OPTION(AS) | OPTION(DOMAIN) | OPTION(NAME),
                        "Give an instance back what it had then", verb_backup_restore },
        { "restore", "list", "SLUG", 1, 1, 0, "List what is kept from before restores", verb_restore_list },
        { "restore", "undo", "SLUG [ID]", 1, 2, 0, "Give it back what it had before a restore",
                        verb_restore_undo },
        { "restore", "discard", "SLUG [ID]", 1, 2, OPTION(YES), "Remove what is kept from before a restore",
                        verb_restore_discard },
        { "backup", "verify", "ID…", 1, ARGUMENTS_ANY, 0, "Read backups again, from the disk",
                        verb_backup_verify },
        { "backup", "export", "ID", 1, 1, OPTION(OUTPUT), "Write the file of a backup to standard output",
                        verb_backup_export },
        { "backup", "import", "FILE|KEY", 1, 1, OPTION(RECOVERY_KEY_FILE) | OPTION(SIGNER) | OPTION(STORAGE),
                        "Take in a backup from elsewhere, or from the storage", verb_backup_import },
        { "backup", "replicate", "ID…", 1, ARGUMENTS_ANY, 0, "Copy backups to the storage now",
                        verb_backup_replicate },
        { "backup", "fetch", "ID…", 1, ARGUMENTS_ANY, 0, "Bring the files of backups back from the storage",
                        verb_backup_fetch },
        { "backup", "drill", "ID…", 1, ARGUMENTS_ANY, 0, "Restore backups to nowhere, to see that it works",
                        verb_backup_drill },
        { "backup", "delete", "ID…", 1, ARGUMENTS_ANY, OPTION(LAST) | OPTION(YES), "Delete backups",
                        verb_backup_delete },
        { "backup", "prune", "[SLUG]", 0, 1, OPTION(DRY_RUN) | OPTION(YES),
                        "Show which backups are kept, and delete the others", verb_backup_prune },
        { "storage", "set", NULL, 0, 0,
                        OPTION(ENDPOINT) | OPTION(REGION) | OPTION(BUCKET) | OPTION(PREFIX) |
                                        OPTION(PATH_STYLE) | OPTION(CA_FILE) | OPTION(CREDENTIALS_FILE),
                        "Name the storage that backups are copied to", verb_storage_set },
        { "storage", "show", NULL, 0, 0, 0, "Show the storage, and how many backups are there",
                        verb_storage_show },
        { "storage", "test", NULL, 0, 0, 0, "Try what the storage lets ccpd do", verb_storage_test },
        { "storage", "forget", NULL, 0, 0, OPTION(YES), "Copy nothing any more", verb_storage_forget },
        { "key", "enroll-recovery", NULL, 0, 0, OPTION(OUTPUT) | OPTION(RECOVERY_KEY_FILE) | OPTION(PUBLIC),
                        "Make a recovery key, which opens backups elsewhere", verb_key_enroll_recovery },
        { "key", "status", NULL, 0, 0, 0, "Show the master key, and what opens backups elsewhere",
                        verb_key_status },
        { "key", "list", NULL, 0, 0, 0, "List the recovery keys", verb_key_list },
        { "key", "rotate", NULL, 0, 0, 0, "Replace the master key, which seals all secrets",
                        verb_key_rotate },
        { "key", "forget", "ID", 1, 1, OPTION(LAST), "Seal new backups for a recovery key no more",
                        verb_key_forget },
        { "audit", NULL, NULL, 0, 0,
                        OPTION(INSTANCE) | OPTION(USER) | OPTION(ACTION) | OPTION(OUTCOME) | OPTION(SINCE) |
                                        OPTION(UNTIL) | OPTION(LINES) | OPTION(FOLLOW),
                        "Show who did what, newest last", verb_audit },
        { "audit", "verify", NULL, 0, 0, 0, "Prove that the record is as it was written",
                        verb_audit_verify },
        { "audit", "export", NULL, 0, 0, 0, "Write the whole record out, one JSON object a line",
                        verb_audit_export },
        { "secret", "list", "SLUG", 1, 1, 0, "List the secrets of an instance", verb_secret_list },
        { "secret", "reveal", "SLUG NAME", 2, 2, 0, "Write a secret to standard output",
                        verb_secret_reveal },
        { "settings", "show", NULL, 0, 0, 0, "Show the settings of ccpd", verb_settings_show },
        { "settings", "set", "KEY=VALUE…", 1, ARGUMENTS_ANY, 0, "Change settings of ccpd",
                        verb_settings_set },
        {},
};

int verb_help(Ctl *c, char **args, Error *reterr) {
        return verb_print_help(c->verbs, args, stdout, reterr);
}

static int print_version(void) {
        (void) printf("ccpctl %s\n", CCP_VERSION);
        return EXIT_DONE;
}

static int run(Ctl *c, int argc, char *argv[], Error *reterr) {
        const Verb *verb;
        char **args;
        int r;

        r = arguments_parse(argc, argv, &c->arguments, reterr);
        if (r < 0)
                return r;
        if (arguments_have(&c->arguments, OPTION(HELP)))
                return verb_print_help(verbs, c->arguments.words, stdout, reterr);
        if (arguments_have(&c->arguments, OPTION(VERSION)))
                return print_version();

        r = verb_find(verbs, &c->arguments, &verb, &args, reterr);
        return r < 0 ? r : verb->run(c, args, reterr);
}

/* A full disk must not look like success. */
static int flush_output(void) {
        if (fflush(stdout) != 0) {
                (void) fprintf(stderr, "Cannot write the output: %m.\n");
                return EXIT_FAILED;
        }
        if (ferror(stdout)) {
                (void) fprintf(stderr, "Cannot write all of the output.\n");
                return EXIT_FAILED;
        }

        return EXIT_DONE;
}

int main(int argc, char *argv[]) {
        _cleanup_ctl_ Ctl c = { .verbs = verbs };
        _cleanup_error_ Error error = {};
        int r, code;

        terminal_open();

        r = run(&c, argc, argv, &error);
        code = flush_output();
        pager_close();
        polkit_agent_close();
        if (r < 0)
                return ctl_report(&error, r);

        return r != EXIT_DONE ? r : code;
}
