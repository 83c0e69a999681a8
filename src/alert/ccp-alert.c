/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-alert: delivers what is due in the queue of one channel, and ends. Started by ccpd, which may not reach the network. */

#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>

#include "alert-mail.h"
#include "alert-webhook.h"
#include "log.h"
#include "string-util.h"

/* ccpd starts us again when the records are back. */
#define STORE_PATIENCE_USEC (20 * USEC_PER_SEC)

static int show_help(void) {
        (void) printf("ccp-alert [OPTIONS…] VERB\n\n"
                      "Delivers the alerts of ccpd that are due. Started by ccpd, not by hand.\n\n"
                      "Verbs:\n"
                      "  webhook     By HTTP, as ccp-alert-webhook.service\n"
                      "  mail        By sendmail(8), as ccp-alert-mail.service\n\n"
                      "Options:\n"
                      "  -h --help     Show this help\n"
                      "     --version  Show the version\n\n"
                      "See ccpd(8).\n");
        return 0;
}

/* Returns 1 to go on, 0 if all is done, a negative errno for wrong usage. */
static int parse_argv(int argc, char *argv[]) {
        enum { ARG_VERSION = 0x100 };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "version", no_argument, NULL, ARG_VERSION },
                {},
        };
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 'h':
                        return show_help();
                case ARG_VERSION:
                        (void) printf("ccp-alert %s\n", CCP_VERSION);
                        return 0;
                default:
                        return -EINVAL;
                }

        if (argc - optind != 1)
                return log_error_errno(EINVAL, "ccp-alert wants a verb. See ccp-alert --help.");
        return 1;
}

static int deliver(const AlertCarrier *carrier, Error *reterr) {
        _cleanup_(db_sync_freep) DbSync *db = NULL;
        int r;

        r = db_sync_open(&(DbSyncOptions) { .patience = STORE_PATIENCE_USEC }, &db, reterr);
        if (r < 0)
                return r;
        r = db_sync_check_schema(db, reterr);
        if (r < 0)
                return r;

        return alert_deliver(db, carrier, reterr);
}

static int run_webhook(Error *reterr) {
        _cleanup_(alert_webhook_freep) AlertWebhook *webhook = NULL;
        _cleanup_(vault_freep) Vault *vault = NULL;
        AlertCarrier carrier;
        int r;

        r = vault_open(&vault, reterr);
        if (r < 0)
                return r;
        r = alert_webhook_new(vault, &webhook);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot set up the HTTP client: %m");

        carrier = alert_webhook_carrier(webhook);
        return deliver(&carrier, reterr);
}

static int run_mail(Error *reterr) {
        AlertCarrier carrier = alert_mail_carrier(NULL);

        return deliver(&carrier, reterr);
}

int main(int argc, char *argv[]) {
        _cleanup_error_ Error e = {};
        int r;

        log_open();
        r = parse_argv(argc, argv);
        if (r <= 0)
                return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;

        (void) umask(0077);
        if (sodium_init() < 0) {
                log_error("The cryptographic library does not start.");
                return EXIT_FAILURE;
        }

        if (streq(argv[optind], alert_channel_to_string(ALERT_WEBHOOK)))
                r = run_webhook(&e);
        else if (streq(argv[optind], alert_channel_to_string(ALERT_MAIL)))
                r = run_mail(&e);
        else
                r = error_setf(&e, CCP_ERROR_INVALID_ARGUMENT,
                                "ccp-alert has no verb '%s'. See ccp-alert --help.", argv[optind]);
        if (r >= 0)
                return EXIT_SUCCESS;

        /* What is in the queue stays there. */
        log_error("Alerts are not delivered now: %s", strempty(e.message));
        return EXIT_FAILURE;
}
