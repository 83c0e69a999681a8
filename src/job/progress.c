/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "progress.h"

#include <systemd/sd-daemon.h>

#include "fd-util.h"
#include "notify-proto.h"
#include "string-util.h"

#define SEND_INTERVAL_USEC (100 * USEC_PER_MSEC)
#define PING_INTERVAL_USEC USEC_PER_SEC

void progress_init(Progress *p, const char *socket_path, uint64_t job, JobKind kind) {
        *p = (Progress) {
                .fd = notify_socket_new(),
                .socket_path = socket_path,
                .job = job,
                .kind = kind,
        };
}

void progress_done(Progress *p) {
        p->fd = safe_close(p->fd);
}

/* Keeps one line of printable text: the receivers are line protocols. */
static bool set_message(Progress *p, const char *message) {
        char text[JOB_MESSAGE_MAX];
        size_t n = strcspn(message, "\r\n");

        n = MIN(n, sizeof(text) - 1);
        memcpy(text, message, n);
        /* Not in the middle of a character. */
        while (n > 0 && !utf8_is_valid(text, n))
                n--;
        text[n] = 0;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char) text[i] < ' ' || text[i] == 0x7f)
                        text[i] = ' ';

        if (streq(text, p->message))
                return false;

        memcpy(p->message, text, n + 1);
        return true;
}

void progress_flush(Progress *p) {
        const NotifyMessage m = {
                .type = NOTIFY_JOB,
                .job = p->job,
                .progress = (int) p->percent,
                .message = p->message,
                .bytes = p->meter.count,
        };

        /* A full queue, or none, means that ccpd is away: the records tell it the rest. */
        if (p->fd >= 0)
                (void) notify_socket_send(p->fd, p->socket_path, &m);
        (void) sd_notifyf(0, "STATUS=%u%%: %s", p->percent, p->message);
        p->pending = false;
        p->sent_at = now(CLOCK_MONOTONIC);
}

void progress_tick(Progress *p) {
        usec_t t = now(CLOCK_MONOTONIC);

        if (p->pending && t - p->sent_at >= SEND_INTERVAL_USEC)
                progress_flush(p);

        if (p->pinged_at == 0 || t - p->pinged_at >= PING_INTERVAL_USEC) {
                (void) sd_notify(0, "WATCHDOG=1");
                p->pinged_at = t;
        }
}

static unsigned percent_at(const Progress *p, double fraction) {
        return (unsigned) (job_kind_progress(p->kind, p->step, fraction) * 100);
}

void progress_begin_step(Progress *p, size_t step, const char *title) {
        p->step = step;
        p->percent = percent_at(p, 0);
        p->meter = (ByteMeter) {};
        (void) set_message(p, title);
        progress_flush(p);
}

static void set(Progress *p, double fraction, const char *message) {
        unsigned percent = fraction >= 0 ? percent_at(p, fraction) : 0;

        if (percent > p->percent) {
                p->percent = percent;
                p->pending = true;
        }
        if (message && set_message(p, message))
                p->pending = true;

        progress_tick(p);
}

void progress_set(Progress *p, double fraction, const char *message) {
        p->meter = (ByteMeter) {};
        set(p, fraction, message);
}

void progress_set_bytes(Progress *p, double fraction, const char *message, uint64_t done, uint64_t total) {
        byte_meter_update(&p->meter, done, total, now(CLOCK_MONOTONIC));
        p->pending = true;
        set(p, fraction, message);
}
