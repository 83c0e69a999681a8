/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccpctl backup restore, and ccpctl restore: an instance gets back what it had, or another one is made of it; and what that
 * replaced is listed, brought back and given up. */

#include <errno.h>
#include <stdio.h>

#include "alloc-util.h"
#include "ctl-bus.h"
#include "ctl.h"
#include "job-watch.h"
#include "string-util.h"

/* Into a new instance: the backup need not be of one that is there. */
static int restore_as(Ctl *c, const char *backup, const char *slug, Error *reterr) {
        const char *const options[][2] = {
                { "domain", c->arguments.values[OPTION_DOMAIN] },
                { "name", c->arguments.values[OPTION_NAME] },
                { "version", arguments_have(&c->arguments, OPTION(ANY_VERSION)) ? "any" : NULL },
                {},
        };
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r;

        r = ctl_message(c, CCP_BUS_PATH, CCP_INTERFACE_MANAGER, "RestoreInstance", &m, reterr);
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", slug, backup);
        if (r >= 0)
                r = ctl_append_options(m, options);
        return r < 0 ? r : ctl_submit_job(c, m, backup, reterr);
}

int verb_backup_restore(Ctl *c, char **args, Error *reterr) {
        const char *const options[][2] = {
                { "version", arguments_have(&c->arguments, OPTION(ANY_VERSION)) ? "any" : NULL }, {}
        };
        _cleanup_json_ json_t *backup = NULL;
        const char *slug;
        int r;

        if (c->arguments.values[OPTION_AS])
                return restore_as(c, args[0], c->arguments.values[OPTION_AS], reterr);
        if (arguments_have(&c->arguments, OPTION(DOMAIN) | OPTION(NAME)))
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "A domain and a name are for a new instance: say --as=SLUG too.");

        r = ctl_get_backup(c, args[0], &backup, reterr);
        if (r < 0)
                return r;
        slug = json_get_text(backup, "instance");
        r = ctl_run_instance_job(c, slug,
                        &(CtlJobCall) { .method = "Restore", .backup = args[0], .options = options },
                        reterr);
        if (r < 0 && streq_ptr(reterr->name, CCP_ERROR_NO_SUCH_INSTANCE)) {
                error_done(reterr);
                return error_setf(reterr, CCP_ERROR_NO_SUCH_INSTANCE,
                                "There is no instance '%s' any more. To make a new one of backup %s: ccpctl "
                                "backup restore %s --as=%s --domain=DOMAIN",
                                slug, args[0], args[0], slug);
        }
        if (r == EXIT_DONE && !arguments_have(&c->arguments, OPTION(NO_WAIT)) &&
                        !arguments_have(&c->arguments, OPTION(QUIET)))
                (void) fprintf(stderr, "What '%s' had before is kept. To go back: ccpctl restore undo %s\n",
                                slug, slug);
        return r;
}

/* --- what restores replaced --- */

static char *format_switched(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_TIMESTAMP(json_get_number(row, "switched_at")));
}

static char *format_keep(const json_t *row, _unused_ Color *ret_color) {
        return strdup(FORMAT_TIMESTAMP(json_get_number(row, "keep_until")));
}

static char *format_origin(const json_t *row, _unused_ Color *ret_color) {
        const char *backup = json_get_text(row, "backup");

        return isempty(backup) ? strdup("an undo") : strjoin("backup ", backup);
}

static const ListColumn restore_columns[] = {
        { { "ID", .right = true }, "id" },
        { { "AS IT WAS UNTIL" }, "switched_at", format_switched },
        { { "REPLACED BY" }, "backup", format_origin },
        { { "KEPT UNTIL", 1 }, "keep_until", format_keep },
};

int verb_restore_list(Ctl *c, char **args, Error *reterr) {
        _cleanup_json_ json_t *instance = NULL;
        int r;

        r = ctl_get_instance(c, args[0], NULL, &instance, reterr);
        return r < 0 ? r
                     : ctl_print_list(c, json_object_get(instance, "restores"), restore_columns,
                                       ELEMENTSOF(restore_columns), "kept state");
}

int verb_restore_undo(Ctl *c, char **args, Error *reterr) {
        const char *const options[][2] = { { "restore", args[1] }, {} };

        return ctl_run_instance_job(
                        c, args[0], &(CtlJobCall) { .method = "UndoRestore", .options = options }, reterr);
}

/* What is to go, in words: all of it, or what the restore of that number replaced. */
static int describe_kept(Ctl *c, const char *slug, const char *id, char **ret, Error *reterr) {
        _cleanup_json_ json_t *instance = NULL;
        const json_t *row, *restores;
        size_t k;
        int r;

        r = ctl_get_instance(c, slug, NULL, &instance, reterr);
        if (r < 0)
                return r;
        restores = json_object_get(instance, "restores");
        if (!id) {
                size_t n = json_array_size(restores);

                r = n > 1 ? asprintf(ret, "what '%s' had before each of %zu restores", slug, n)
                          : asprintf(ret, "what '%s' had before it was restored", slug);
                return r < 0 ? -ENOMEM : 0;
        }

        json_array_foreach(restores, k, row)
                if (streq(json_get_text(row, "id"), id))
                        return asprintf(ret, "what '%s' had until %s (restore %s)", slug,
                                               FORMAT_TIMESTAMP(json_get_number(row, "switched_at")), id) < 0
                                        ? -ENOMEM
                                        : 0;
        return error_setf(reterr, CCP_ERROR_WRONG_STATE,
                        "Nothing is kept of what '%s' had before a restore %s. See: ccpctl restore list %s",
                        slug, id, slug);
}

int verb_restore_discard(Ctl *c, char **args, Error *reterr) {
        const char *const options[][2] = { { "restore", args[1] }, {} };
        _cleanup_free_ char *what = NULL;
        int r;

        if (!arguments_have(&c->arguments, OPTION(YES))) {
                r = describe_kept(c, args[0], args[1], &what, reterr);
                if (r >= 0)
                        r = ctl_confirm_delete(c, what, reterr);
                if (r < 0)
                        return r;
        }
        return ctl_run_instance_job(c, args[0],
                        &(CtlJobCall) { .method = "DiscardRestore", .options = options }, reterr);
}
