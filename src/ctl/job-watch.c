/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "job-watch.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <systemd/sd-event.h>

#include "alloc-util.h"
#include "ctl.h"
#include "fd-util.h"
#include "job-kind.h"
#include "polkit-agent.h"
#include "progress.h"
#include "string-util.h"
#include "top.h"

/* How often the times on the screen go on, and how often a ccpd that came back is asked for the job until
 * it has read its records. */
#define TICK (250 * USEC_PER_MSEC)
#define RETRY (USEC_PER_SEC)
/* A ccpd that is away for longer is not being restarted, and one that is back reads its records within this
 * time. */
#define AWAY_MAX (2 * USEC_PER_MINUTE)
#define LOAD_MAX (30 * USEC_PER_SEC)

/* Of the newest backups of an instance, in how many the one that a job made is looked for. */
#define MADE_MAX 16U

#define NOTE_SENT "\nThe job may have been accepted all the same. To see: ccpctl job list\n"
#define NOTE_AWAY "ccpd has stopped. The job goes on without it; waiting for ccpd to come back."

#define MATCH_CHANGES                                                           \
        "type='signal',sender='" CCP_BUS_NAME "',path_namespace='" CCP_PATH_JOB \
        "',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'"
#define MATCH_REMOVED                                                                                       \
        "type='signal',sender='" CCP_BUS_NAME "',path='" CCP_BUS_PATH "',interface='" CCP_INTERFACE_MANAGER \
        "',member='JobRemoved'"
struct JobWatch {
        Ctl *ctl;
        sd_event *event;
        sd_bus_slot *changes, *removed, *owner;
        sd_event_source *tick, *retry;
        Progress *progress;

        bool subscribed; /* with the ccpd that has the name now … */
        char *peer;      /* … and this connection */
        char *path;
        json_t *job;
        const char *about; /* the number of the backup that it is about; NULL: not known */
        json_t *made;      /* the backup that it made; NULL: none, or it could not be read */
        usec_t away_since; /* monotonic, 0 while ccpd is there and knows the job */
        usec_t back_since; /* monotonic, when ccpd came back; 0 while it is gone */
        int signal;        /* that ended the waiting */
        int result;        /* errno that ended it */
        Error error;
};

JobWatch *job_watch_free(JobWatch *w) {
        if (!w)
                return NULL;

        sd_event_source_disable_unref(w->tick);
        sd_event_source_disable_unref(w->retry);
        sd_bus_slot_unref(w->changes);
        sd_bus_slot_unref(w->removed);
        sd_bus_slot_unref(w->owner);
        if (w->event)
                (void) sd_bus_detach_event(w->ctl->bus);
        /* The end of the loop closed it; who goes on connects anew. */
        if (w->ctl->bus && sd_bus_is_open(w->ctl->bus) <= 0)
                w->ctl->bus = sd_bus_close_unref(w->ctl->bus);
        sd_event_unref(w->event);
        progress_free(w->progress);
        json_decref(w->job);
        json_decref(w->made);
        free(w->peer);
        free(w->path);
        error_done(&w->error);
        return mfree(w);
}

const char *job_again(const json_t *job, char buf[static JOB_AGAIN_MAX]) {
        /* The file of an import that failed is not kept. */
        if (job_kind_from_string(json_get_text(job, "kind")) == JOB_IMPORT)
                return "ccpctl backup import";
        (void) snprintf(buf, JOB_AGAIN_MAX, "ccpctl job retry %s", json_get_text(job, "id"));
        return buf;
}

bool job_has_ended(const json_t *job) {
        JobState state = job_state_from_string(json_get_text(job, "state"));

        return state >= 0 && job_state_is_final(state);
}

static void watch_end(JobWatch *w, int r) {
        w->result = r;
        (void) sd_event_exit(w->event, 0);
}

/* Which backup the job made: nothing but the list of them tells. Before the loop ends, which closes the
 * connection. Whoever may not see it, or cannot now, has a success all the same. */
static void watch_find_made(JobWatch *w) {
        const char *kind = json_get_text(w->job, "kind");
        const char *const filters[][2] = { { "instance", json_get_text(w->job, "instance") }, {} };
        _cleanup_json_ json_t *rows = NULL;
        _cleanup_error_ Error error = {};
        json_t *row;
        size_t i;

        if (!streq(kind, "backup") && !streq(kind, "import"))
                return;
        /* Nothing is to be said of it. */
        if (!streq(json_get_text(w->job, "state"), "succeeded") || !w->progress || ctl_prints_json(w->ctl))
                return;

        if (ctl_list_rows(w->ctl, "ListBackups", filters, MADE_MAX, &rows, &error) < 0)
                return;
        json_array_foreach(rows, i, row)
                if (!w->made && streq(json_get_text(row, "job"), json_get_text(w->job, "id")))
                        w->made = json_incref(row);
}

static void watch_show(JobWatch *w) {
        if (w->progress && w->job)
                progress_update(w->progress, w->job, now(CLOCK_REALTIME));
        if (w->job && job_has_ended(w->job)) {
                watch_find_made(w);
                watch_end(w, 0);
        }
}

static void watch_note(JobWatch *w, const char *note) {
        if (w->progress)
                progress_note(w->progress, note);
        watch_show(w);
}

static void watch_lost(JobWatch *w) {
        if (w->away_since > 0)
                return;

        w->away_since = now(CLOCK_MONOTONIC);
        watch_note(w, NOTE_AWAY);
}

static int watch_subscribe(JobWatch *w, Error *reterr) {
        int r;

        if (w->subscribed)
                return 0;

        w->peer = mfree(w->peer);
        r = ctl_subscribe(w->ctl, &w->peer, reterr);
        w->subscribed = r >= 0;
        return r;
}

static int watch_retry_later(JobWatch *w);

/* Reads the job anew. A ccpd that is gone again is waited for; one that just started may not yet know its
 * jobs, and is asked again in a moment. */
static void watch_refresh(JobWatch *w) {
        _cleanup_error_ Error error = {};
        json_t *job;
        int r;

        if (w->result < 0)
                return;

        r = watch_subscribe(w, &error);
        if (r >= 0)
                r = ctl_get_all(w->ctl, w->path, CCP_INTERFACE_JOB, &job, &error);
        if (r >= 0) {
                json_decref(w->job);
                w->job = job;
                w->away_since = w->back_since = 0;
                watch_note(w, NULL);
                return;
        }

        if (sd_bus_is_open(w->ctl->bus) > 0 && error_is_away(error.name)) {
                watch_lost(w);
                return;
        }
        if (w->back_since > 0 && now(CLOCK_MONOTONIC) < w->back_since + LOAD_MAX)
                r = watch_retry_later(w);
        else
                error_move(&w->error, &error);
        if (r < 0)
                watch_end(w, r);
}

static void watch_check_away(JobWatch *w) {
        _cleanup_free_ char *id = NULL;

        if (w->away_since == 0 || now(CLOCK_MONOTONIC) < w->away_since + AWAY_MAX)
                return;

        (void) job_id_from_path(w->path, &id);
        (void) error_setf(&w->error, SD_BUS_ERROR_SERVICE_UNKNOWN,
                        "ccpd has been away for %s. Job %s goes on without it. See 'systemctl status ccpd', "
                        "then 'ccpctl job follow %s'.",
                        FORMAT_TIMESPAN(AWAY_MAX), strempty(id), strempty(id));
        watch_end(w, -EHOSTDOWN);
}

static int on_retry(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        watch_refresh(userdata);
        return 0;
}

static int watch_retry_later(JobWatch *w) {
        w->retry = sd_event_source_disable_unref(w->retry);
        return sd_event_add_time_relative(w->event, &w->retry, CLOCK_MONOTONIC, RETRY, 0, on_retry, w);
}

static int on_tick(sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        JobWatch *w = userdata;
        int r;

        watch_show(w);
        watch_check_away(w);

        r = sd_event_source_set_time_relative(s, TICK);
        return r < 0 ? r : sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
}

static int on_signal(_unused_ sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        JobWatch *w = userdata;

        if (si->ssi_signo == SIGWINCH)
                watch_show(w);
        else {
                w->signal = (int) si->ssi_signo;
                watch_end(w, 0);
        }
        return 0;
}

static int on_changes(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr_error) {
        _cleanup_json_ json_t *changed = NULL;
        JobWatch *w = userdata;
        const char *interface;
        int r;

        if (!w->job || !signal_is_from(m, w->peer) || !streq_ptr(sd_bus_message_get_path(m), w->path))
                return 0;

        r = sd_bus_message_read(m, "s", &interface);
        if (r < 0 || !streq(interface, CCP_INTERFACE_JOB))
                return 0;

        r = json_from_properties(m, interface, &changed);
        if (r < 0 || json_object_update(w->job, changed) < 0)
                return 0;

        /* Properties that are only named as changed have to be read. */
        r = sd_bus_message_enter_container(m, 'a', "s");
        if (r >= 0 && sd_bus_message_at_end(m, false) == 0)
                watch_refresh(w);
        else
                watch_show(w);
        return 0;
}

static int on_removed(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr_error) {
        const char *id, *path, *result;
        JobWatch *w = userdata;
        int r;

        if (!w->job || !signal_is_from(m, w->peer))
                return 0;

        r = sd_bus_message_read(m, "sos", &id, &path, &result);
        if (r < 0 || !streq(path, w->path))
                return 0;

        watch_refresh(w);
        return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr_error) {
        const char *name, *old_owner, *new_owner;
        JobWatch *w = userdata;
        int r;

        if (!w->job)
                return 0;

        r = sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner);
        if (r < 0)
                return 0;

        /* Our call may have been what started it; then this is only told afterwards. */
        if (streq_ptr(w->peer, new_owner))
                return 0;

        w->subscribed = false;
        watch_lost(w);
        w->back_since = isempty(new_owner) ? 0 : now(CLOCK_MONOTONIC);
        if (w->back_since > 0)
                watch_refresh(w);
        return 0;
}

static int watch_set_up(JobWatch *w, Error *reterr) {
        sd_bus *bus = w->ctl->bus;
        int r;

        r = sd_event_new(&w->event);
        if (r >= 0)
                r = sd_bus_attach_event(bus, w->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(bus, true);
        if (r >= 0)
                r = sd_bus_add_match(bus, &w->changes, MATCH_CHANGES, on_changes, w);
        if (r >= 0)
                r = sd_bus_add_match(bus, &w->removed, MATCH_REMOVED, on_removed, w);
        if (r >= 0)
                r = ctl_match_owner(w->ctl, &w->owner, on_owner, w);
        if (r < 0)
                return error_from_bus(reterr, NULL, r);

        return watch_subscribe(w, reterr);
}

int job_watch_new(Ctl *c, JobWatch **ret, Error *reterr) {
        _cleanup_job_watch_ JobWatch *w = NULL;
        int r;

        r = ctl_connect(c, reterr);
        if (r < 0)
                return r;

        w = new0(JobWatch, 1);
        if (!w)
                return -ENOMEM;
        w->ctl = c;

        r = watch_set_up(w, reterr);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(w);
        return 0;
}

void job_watch_set_backup(JobWatch *w, const char *backup) {
        if (w)
                w->about = backup;
}

/* All that happens here may happen in the middle of anything. */
static void on_signal_during_call(int sig) {
        (void) loop_write(STDERR_FILENO, NOTE_SENT, STRLEN(NOTE_SENT));
        (void) raise(sig);
}

void ctl_begin_job(const Ctl *c) {
        static const int signals[] = { SIGINT, SIGTERM };
        const struct sigaction sa = { .sa_handler = on_signal_during_call, .sa_flags = SA_RESETHAND };

        polkit_agent_open(c);

        FOREACH_ARRAY(s, signals, ELEMENTSOF(signals)) {
                struct sigaction old;

                /* nohup and the like have these ignored. */
                if (sigaction(*s, NULL, &old) >= 0 && old.sa_handler != SIG_IGN)
                        (void) sigaction(*s, &sa, NULL);
        }
}

static int watch_begin(JobWatch *w, const char *path) {
        static const int signals[] = { SIGINT, SIGTERM, SIGWINCH };
        sigset_t set;
        int r;

        w->path = strdup(path);
        if (!w->path)
                return -ENOMEM;

        if (!arguments_have(&w->ctl->arguments, OPTION(QUIET))) {
                w->progress = progress_new(terminal_is_error());
                if (!w->progress)
                        return -ENOMEM;
        }

        (void) sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTSOF(signals); i++)
                (void) sigaddset(&set, signals[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(signals); i++) {
                r = sd_event_add_signal(w->event, NULL, signals[i], on_signal, w);
                if (r < 0)
                        return r;
        }

        return sd_event_add_time_relative(w->event, &w->tick, CLOCK_MONOTONIC, TICK, 0, on_tick, w);
}

static void _noreturn_ die_of_signal(JobWatch *w) {
        _cleanup_free_ char *id = NULL;
        sigset_t set;

        w->progress = progress_free(w->progress);
        (void) job_id_from_path(w->path, &id);
        (void) fprintf(stderr,
                        "\nJob %s goes on. To see how: ccpctl job follow %s. To end it: ccpctl job cancel "
                        "%s.\n",
                        strempty(id), strempty(id), strempty(id));

        (void) sigemptyset(&set);
        (void) sigaddset(&set, w->signal);
        (void) signal(w->signal, SIG_DFL);
        (void) raise(w->signal);
        (void) sigprocmask(SIG_UNBLOCK, &set, NULL);
        _exit(EXIT_FAILED);
}

int job_watch_run(JobWatch *w, const char *path, json_t **ret_job, Error *reterr) {
        int r;

        r = watch_begin(w, path);
        if (r < 0)
                return r;

        watch_refresh(w);
        /* A first look that fails does not leave a job to follow, unless ccpd is on its way. */
        if (!w->job && w->away_since > 0)
                w->job = json_object();

        r = sd_event_loop(w->event);
        if (w->signal != 0)
                die_of_signal(w);
        w->progress = progress_free(w->progress);
        if (r >= 0)
                r = w->result;
        if (r >= 0 && !job_has_ended(w->job))
                return error_from_bus(reterr, NULL, -ENOTCONN);
        if (r < 0) {
                error_move(reterr, &w->error);
                return r;
        }

        *ret_job = TAKE_PTR(w->job);
        return 0;
}

bool ctl_waits(const Ctl *c) {
        return !arguments_have(&c->arguments, OPTION(NO_WAIT));
}

static bool has_undone_steps(const json_t *job) {
        json_t *step;
        size_t i;

        json_array_foreach(json_object_get(job, "steps"), i, step)
                if (streq(json_get_text(step, "state"), "undone"))
                        return true;

        return false;
}

/* The step that failed, or else the one that was reached. */
static const json_t *failed_step(const json_t *job) {
        const json_t *steps = json_object_get(job, "steps");
        uint64_t n = json_get_number(job, "step");
        json_t *step;
        size_t i;

        json_array_foreach(steps, i, step)
                if (streq(json_get_text(step, "state"), "failed"))
                        return step;

        return n > 0 ? json_array_get(steps, n - 1) : NULL;
}

void job_print_failure(const json_t *job, FILE *f) {
        const char *id = json_get_text(job, "id"), *state = json_get_text(job, "state");
        const json_t *step = failed_step(job);
        _cleanup_free_ char *sentence = NULL;

        sentence = text_escape(json_get_text(json_object_get(job, "error"), "message"));
        (void) fprintf(f, "%sJob %s (%s %s) %s", color_on(f, COLOR_RED), id, json_get_text(job, "kind"),
                        json_get_text(job, "instance"), streq(state, "cancelled") ? "was cancelled" : state);
        if (step)
                (void) fprintf(f, " at step %" PRIu64 ", %s", json_get_number(step, "number"),
                                json_get_text(step, "name"));
        (void) fprintf(f, "%s%s%s\n", isempty(sentence) ? "." : ": ", strempty(sentence),
                        color_on(f, COLOR_NONE));
        if (has_undone_steps(job))
                (void) fprintf(f, "What it had done has been undone.\n");
        (void) fprintf(f, "See 'ccpctl job show %s' and 'journalctl CCP_JOB=%s'.\n", id, id);
}

/* "17", or "17, 12M" of one that was just made. NULL: it is not known, or there is no memory for it. */
static char *format_backup(const char *about, const json_t *made) {
        _cleanup_free_ char *size = made ? top_format_bytes(made, "size") : NULL;

        if (about)
                return strdup(about);
        return size ? strjoin(json_get_text(made, "id"), isempty(size) ? "" : ", ", size) : NULL;
}

static void print_success(const Ctl *c, const json_t *job, const char *about, const json_t *made) {
        /* What goes after the slug: as it is, or with the number of a backup in the middle, if that is known. */
        static const struct {
                const char *kind, *sentence, *before, *after;
        } sentences[] = {
                { "create", " was created and is running" },
                { "start", " is running" },
                { "stop", " has stopped" },
                { "restart", " was restarted" },
                { "delete", " was deleted" },
                { "backup", " was backed up, verified", " was backed up as backup ", ", verified" },
                { "restore", " was restored and is running", " was restored from backup ",
                                " and is running" },
                { "undo-restore", " has what it had before, and is running" },
                { "discard-restore", ": what was to be kept no longer from before a restore was removed" },
                { "clone", " was created from a backup and is running", " was created from backup ",
                                " and is running" },
                { "drill", "'s backup was restored to nowhere, and all of it was there", "'s backup ",
                                " was restored to nowhere, and all of it was there" },
                { "import", "'s backup was imported, verified", "'s backup was imported as backup ",
                                ", verified" },
                { "verify", "'s backup was read again and is as it was written", "'s backup ",
                                " was read again and is as it was written" },
                { "delete-backup", "'s backups that were to go were deleted", "'s backup ", " was deleted" },
                { "replicate", "'s backup was copied to the storage", "'s backup ",
                                " was copied to the storage" },
                { "fetch", "'s backup was brought back from the storage, verified", "'s backup ",
                                " was brought back from the storage, verified" },
        };
        const char *kind = json_get_text(job, "kind"), *slug = json_get_text(job, "instance");
        const json_t *names = json_object_get(job, "services");
        _cleanup_free_ char *services = json_array_size(names) > 0 ? json_to_text(names) : NULL,
                            *backup = format_backup(about, made);
        usec_t began = progress_since(job), finished = json_get_number(job, "finished_at");

        if (streq(json_get_text(job, "state"), "cancelled")) {
                ctl_say(c, "Job %s was cancelled.\n", json_get_text(job, "id"));
                return;
        }

        FOREACH_ARRAY(s, sentences, ELEMENTSOF(sentences)) {
                bool named = s->before && backup;

                if (streq(kind, s->kind))
                        ctl_say(c, "%s%s%s%s%s%s (job %s, %s).\n", slug, services ? ": " : "",
                                        strempty(services), named ? s->before : s->sentence,
                                        named ? backup : "", named ? s->after : "", json_get_text(job, "id"),
                                        FORMAT_TIMESPAN(finished > began ? finished - began : 0));
        }
        if (streq(kind, "create"))
                ctl_say(c, "See 'ccpctl status %s'.\n", slug);
}

static int finish_without_waiting(Ctl *c, const char *path, Error *reterr) {
        _cleanup_json_ json_t *job = NULL;
        _cleanup_free_ char *id = NULL;
        int r;

        r = job_id_from_path(path, &id);
        if (r < 0)
                return ctl_bad_reply(reterr, r);

        if (ctl_prints_json(c)) {
                r = ctl_get_all(c, path, CCP_INTERFACE_JOB, &job, reterr);
                return r < 0 ? r : ctl_print_json(c, job);
        }

        ctl_say(c, "Job %s was accepted. To see how it goes: ccpctl job follow %s.\n", id, id);
        return EXIT_DONE;
}

int ctl_finish_job(Ctl *c, JobWatch *w, const char *path, const char *expected, Error *reterr) {
        _cleanup_json_ json_t *job = NULL;
        int r;

        if (!w)
                return finish_without_waiting(c, path, reterr);

        r = job_watch_run(w, path, &job, reterr);
        if (r < 0)
                return r;

        if (ctl_prints_json(c)) {
                r = ctl_print_json(c, job);
                if (r != EXIT_DONE)
                        return r;
        }
        if (!streq(json_get_text(job, "state"), expected)) {
                if (streq(json_get_text(job, "state"), "succeeded")) {
                        (void) fprintf(stderr, "Job %s had already succeeded.\n", json_get_text(job, "id"));
                        return EXIT_FAILED;
                }
                job_print_failure(job, stderr);
                return EXIT_JOB_FAILED;
        }
        if (!ctl_prints_json(c))
                print_success(c, job, w->about, w->made);
        return EXIT_DONE;
}

int ctl_submit_job(Ctl *c, sd_bus_message *m, const char *backup, Error *reterr) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        _cleanup_job_watch_ JobWatch *w = NULL;
        const char *job;
        int r;

        if (ctl_waits(c)) {
                r = job_watch_new(c, &w, reterr);
                if (r < 0)
                        return r;
                job_watch_set_backup(w, backup);
        }

        ctl_begin_job(c);
        r = ctl_send(c, m, &reply, reterr);
        if (r < 0)
                return r;
        /* Before it may come the path of an instance. */
        r = sd_bus_message_has_signature(reply, "oo") ? sd_bus_message_skip(reply, "o") : 0;
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &job);
        return r < 0 ? ctl_bad_reply(reterr, r) : ctl_finish_job(c, w, job, "succeeded", reterr);
}
