/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "live.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <systemd/sd-event.h>

#include "alloc-util.h"
#include "ctl.h"
#include "string-util.h"

/* A fleet that starts tells of changes by the hundred. */
#define DRAW_INTERVAL (200 * USEC_PER_MSEC)
/* Nothing tells of time that passes: "3min ago". */
#define DRAW_INTERVAL_MAX (10 * USEC_PER_SEC)
/* A ccpd that came back has to read its records first. */
#define RETRY (USEC_PER_SEC)

/* A screen of its own, so that what was there before comes back; no cursor on it, and no long line goes on in the
 * next. ECMA-48 and xterm's private modes. */
#define SCREEN_ENTER "\x1b[?1049h\x1b[?25l\x1b[?7l"
#define SCREEN_LEAVE "\x1b[?7h\x1b[?25h\x1b[?1049l"
#define SCREEN_HOME "\x1b[H"
#define SCREEN_CLEAR_LINE "\x1b[K"
#define SCREEN_CLEAR_REST "\x1b[J"

#define MATCH_ALL "type='signal',sender='" CCP_BUS_NAME "',path_namespace='" CCP_BUS_PATH "'"

typedef struct Live {
        Ctl *ctl;
        live_draw_t draw;
        void *userdata;
        usec_t interval; /* 0: by ccpd's signals */
        bool has_screen;

        sd_event *event;
        sd_bus_slot *signals, *owner;
        sd_event_source *timer, *winch;
        char *peer;
        bool subscribed;
        usec_t drawn; /* monotonic */
        char *picture;
        int result;
        Error error;
} Live;

static void live_done(Live *l) {
        if (l->has_screen) {
                (void) fputs(SCREEN_LEAVE, stdout);
                (void) fflush(stdout);
        }
        sd_event_source_disable_unref(l->timer);
        sd_event_source_disable_unref(l->winch);
        sd_bus_slot_unref(l->signals);
        sd_bus_slot_unref(l->owner);
        if (l->event)
                (void) sd_bus_detach_event(l->ctl->bus);
        sd_event_unref(l->event);
        free(l->peer);
        free(l->picture);
        error_done(&l->error);
}

int live_clip(const char *text, size_t rows, char **ret) {
        _cleanup_string_builder_ StringBuilder b = {};

        for (size_t row = 0; *text && row < rows; row++) {
                size_t n = strcspn(text, "\n");

                string_builder_append_n(&b, text, n);
                string_builder_append(&b, SCREEN_CLEAR_LINE);
                /* The last row has no newline: it would push the first one out. */
                if (text[n] == '\n' && row + 1 < rows)
                        string_builder_append(&b, "\n");
                text += n + (text[n] == '\n');
        }
        return string_builder_finish(&b, ret, NULL);
}

/* In one go, so that nobody sees it half. */
static void live_paint(Live *l, const char *note) {
        _cleanup_free_ char *picture = NULL;
        size_t rows = terminal_output_rows();

        if (live_clip(strempty(l->picture), note ? MAX(rows, (size_t) 2) - 1 : rows, &picture) < 0)
                return;

        (void) printf(SCREEN_HOME "%s%s%s%s%s" SCREEN_CLEAR_REST, picture, note ? "\n" : "",
                        note ? color_on(stdout, COLOR_RED) : "", strempty(note),
                        note ? color_on(stdout, COLOR_NONE) : "");
        (void) fflush(stdout);
}

/* What the verb prints, which knows of no screen. glibc's manual allows to put another stream in the place of stdout
 * ("Standard Streams"). */
static int live_capture(Live *l, char **ret, Error *reterr) {
        FILE *saved = stdout, *f;
        char *text = NULL;
        size_t size;
        int r;

        f = open_memstream(&text, &size);
        if (!f)
                return -errno;
        stdout = f;
        r = l->draw(l->ctl, l->userdata, reterr);
        stdout = saved;
        if (fclose(f) != 0 && r >= 0)
                r = -errno;
        if (r < 0) {
                free(text);
                return r;
        }

        *ret = text;
        return r;
}

static int live_draw(Live *l, Error *reterr) {
        _cleanup_free_ char *picture = NULL;
        int r;

        if (!l->subscribed && l->interval == 0) {
                l->peer = mfree(l->peer);
                r = ctl_subscribe(l->ctl, &l->peer, reterr);
                if (r < 0)
                        return r;
                l->subscribed = true;
        }

        r = live_capture(l, &picture, reterr);
        if (r < 0)
                return r;

        if (!l->has_screen) {
                if (!streq_ptr(picture, l->picture))
                        (void) fputs(strempty(picture), stdout);
                (void) fflush(stdout);
        }
        free(l->picture);
        l->picture = TAKE_PTR(picture);
        if (l->has_screen)
                live_paint(l, NULL);
        return 0;
}

static void live_draw_in(Live *l, usec_t delay) {
        (void) sd_event_source_set_time_relative(l->timer, delay);
        (void) sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

static int on_timer(_unused_ sd_event_source *s, _unused_ uint64_t usec, void *userdata) {
        _cleanup_error_ Error error = {};
        Live *l = userdata;
        int r;

        l->drawn = now(CLOCK_MONOTONIC);
        r = live_draw(l, &error);
        if (r >= 0) {
                live_draw_in(l, l->interval ?: DRAW_INTERVAL_MAX);
                return 0;
        }

        /* What is away may come back; a refusal, or an instance that is gone, stays. */
        if (exit_code_from_error(error.name) == EXIT_AWAY && sd_bus_is_open(l->ctl->bus) > 0) {
                if (l->has_screen)
                        live_paint(l, error.message);
                live_draw_in(l, RETRY);
                return 0;
        }

        l->result = r;
        error_move(&l->error, &error);
        return sd_event_exit(l->event, 0);
}

static int on_signal(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        usec_t n = now(CLOCK_MONOTONIC);
        Live *l = userdata;

        if (signal_is_from(m, l->peer))
                live_draw_in(l, n < l->drawn + DRAW_INTERVAL ? l->drawn + DRAW_INTERVAL - n : 0);
        return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        const char *name, *old_owner, *new_owner;
        Live *l = userdata;
        int r;

        r = sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner);
        if (r < 0 || streq_ptr(l->peer, new_owner))
                return 0;

        l->subscribed = false;
        live_draw_in(l, 0);
        return 0;
}

static int on_winch(
                _unused_ sd_event_source *s, _unused_ const struct signalfd_siginfo *si, void *userdata) {
        Live *l = userdata;

        terminal_update_size();
        live_draw_in(l, 0);
        return 0;
}

static int live_set_up(Live *l) {
        sd_bus *bus = l->ctl->bus;
        sigset_t mask;
        int r;

        sigemptyset(&mask);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGWINCH);
        if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
                return -errno;

        r = sd_event_new(&l->event);
        if (r < 0)
                return r;
        /* Without a handler they end the loop, and well. */
        r = sd_event_add_signal(l->event, NULL, SIGINT, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(l->event, NULL, SIGTERM, NULL, NULL);
        if (r >= 0)
                r = sd_event_add_signal(l->event, &l->winch, SIGWINCH, on_winch, l);
        if (r >= 0)
                r = sd_event_add_time_relative(l->event, &l->timer, CLOCK_MONOTONIC, 0, 0, on_timer, l);
        if (r >= 0)
                r = sd_bus_attach_event(bus, l->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_set_exit_on_disconnect(bus, true);
        if (r >= 0 && l->interval == 0)
                r = sd_bus_add_match(bus, &l->signals, MATCH_ALL, on_signal, l);
        if (r >= 0)
                r = ctl_match_owner(l->ctl, &l->owner, on_owner, l);
        return r;
}

int live_show_every(Ctl *c, live_draw_t draw, void *userdata, usec_t interval, Error *reterr) {
        _cleanup_(live_done) Live l = {
                .ctl = c,
                .draw = draw,
                .userdata = userdata,
                .interval = interval,
                .has_screen = !ctl_prints_json(c),
        };
        int r;

        if (l.has_screen && !terminal_is_screen())
                return error_setf(reterr, CCP_ERROR_INVALID_ARGUMENT,
                                "--watch needs a terminal to draw on, or --json=short.");

        c->arguments.given |= OPTION(NO_PAGER);
        r = ctl_connect(c, reterr);
        if (r < 0)
                return r;
        r = live_set_up(&l);
        if (r < 0)
                return error_from_bus(reterr, NULL, r);
        if (l.has_screen)
                (void) fputs(SCREEN_ENTER, stdout);

        r = sd_event_loop(l.event);
        if (error_is_set(&l.error))
                error_move(reterr, &l.error);
        if (r < 0 || l.result < 0)
                return r < 0 ? r : l.result;
        /* A bus that went away ends the loop as a failure, a signal does not. */
        return r > 0 ? error_from_bus(reterr, NULL, -ENOTCONN) : EXIT_DONE;
}

int live_show(Ctl *c, live_draw_t draw, void *userdata, Error *reterr) {
        return live_show_every(c, draw, userdata, 0, reterr);
}
