/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "curl-event.h"

#include <errno.h>
#include <sys/epoll.h>

#include "time-util.h"

typedef struct CurlTransfer CurlTransfer;
struct CurlTransfer {
        CURL *easy;
        curl_event_done_t done;
        void *userdata;
        CurlTransfer *next;
};

struct CurlEvent {
        sd_event *event;
        CURLM *multi;
        sd_event_source *timer;
        sd_event_source *defer; /* looks for ended transfers outside of libcurl's own callbacks */
        CurlTransfer *transfers;
};

static int curl_event_step(CurlEvent *c, curl_socket_t fd, int mask) {
        int running;

        if (curl_multi_socket_action(c->multi, fd, mask, &running) != CURLM_OK)
                return -EIO;

        return sd_event_source_set_enabled(c->defer, SD_EVENT_ONESHOT);
}

static int on_io(_unused_ sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int mask = 0;

        if (revents & EPOLLIN)
                mask |= CURL_CSELECT_IN;
        if (revents & EPOLLOUT)
                mask |= CURL_CSELECT_OUT;
        if (revents & (EPOLLERR | EPOLLHUP))
                mask |= CURL_CSELECT_ERR;

        return curl_event_step(userdata, fd, mask);
}

static int on_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        return curl_event_step(userdata, CURL_SOCKET_TIMEOUT, 0);
}

static CurlTransfer *curl_event_take(CurlEvent *c, CURL *easy) {
        for (CurlTransfer **p = &c->transfers; *p; p = &(*p)->next)
                if ((*p)->easy == easy) {
                        CurlTransfer *t = *p;

                        *p = t->next;
                        return t;
                }

        return NULL;
}

static int on_defer(_unused_ sd_event_source *source, void *userdata) {
        CurlEvent *c = userdata;
        CURLMsg *m;
        int left;

        while ((m = curl_multi_info_read(c->multi, &left))) {
                _cleanup_free_ CurlTransfer *t = NULL;
                CURLcode result = m->data.result;
                CURL *easy = m->easy_handle;

                if (m->msg != CURLMSG_DONE)
                        continue;

                /* Invalidates m. */
                (void) curl_multi_remove_handle(c->multi, easy);
                t = curl_event_take(c, easy);
                if (t)
                        t->done(easy, result, t->userdata);
        }

        return 0;
}

static int on_socket(_unused_ CURL *easy, curl_socket_t fd, int what, void *userdata, void *socket_data) {
        CurlEvent *c = userdata;
        sd_event_source *source = socket_data;
        uint32_t events = 0;

        if (what == CURL_POLL_REMOVE) {
                sd_event_source_disable_unref(source);
                return curl_multi_assign(c->multi, fd, NULL) == CURLM_OK ? 0 : -1;
        }

        if (IN_SET(what, CURL_POLL_IN, CURL_POLL_INOUT))
                events |= EPOLLIN;
        if (IN_SET(what, CURL_POLL_OUT, CURL_POLL_INOUT))
                events |= EPOLLOUT;

        if (source)
                return sd_event_source_set_io_events(source, events) < 0 ? -1 : 0;

        if (sd_event_add_io(c->event, &source, fd, events, on_io, c) < 0)
                return -1;
        (void) sd_event_source_set_description(source, "curl-io");
        return curl_multi_assign(c->multi, fd, source) == CURLM_OK ? 0 : -1;
}

static int on_timeout(_unused_ CURLM *multi, long msec, void *userdata) {
        CurlEvent *c = userdata;
        usec_t at;

        if (msec < 0)
                return sd_event_source_set_enabled(c->timer, SD_EVENT_OFF) < 0 ? -1 : 0;

        at = now(CLOCK_MONOTONIC) + (usec_t) msec * USEC_PER_MSEC;
        return sd_event_source_set_time(c->timer, at) < 0 ||
                                        sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT) < 0
                        ? -1
                        : 0;
}

CurlEvent *curl_event_free(CurlEvent *c) {
        if (!c)
                return NULL;

        for (CurlTransfer *t = c->transfers, *next; t; t = next) {
                next = t->next;
                (void) curl_multi_remove_handle(c->multi, t->easy);
                free(t);
        }
        /* Closes kept connections, which calls on_socket() once more for each. */
        if (c->multi)
                (void) curl_multi_cleanup(c->multi);

        sd_event_source_disable_unref(c->timer);
        sd_event_source_disable_unref(c->defer);
        sd_event_unref(c->event);
        return mfree(c);
}

int curl_event_new(sd_event *event, CurlEvent **ret) {
        _cleanup_curl_event_ CurlEvent *c = NULL;
        int r;

        c = new0(CurlEvent, 1);
        if (!c)
                return -ENOMEM;

        c->event = sd_event_ref(event);
        r = sd_event_add_time(event, &c->timer, CLOCK_MONOTONIC, 0, 0, on_timer, c);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(c->timer, "curl-timer");
        r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        r = sd_event_add_defer(event, &c->defer, on_defer, c);
        if (r < 0)
                return r;
        (void) sd_event_source_set_description(c->defer, "curl-done");
        r = sd_event_source_set_enabled(c->defer, SD_EVENT_OFF);
        if (r < 0)
                return r;

        c->multi = curl_multi_init();
        if (!c->multi)
                return -ENOMEM;
        (void) curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
        (void) curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
        (void) curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
        (void) curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);

        *ret = TAKE_PTR(c);
        return 0;
}

int curl_event_add(CurlEvent *c, CURL *easy, curl_event_done_t done, void *userdata) {
        CurlTransfer *t;

        t = new0(CurlTransfer, 1);
        if (!t)
                return -ENOMEM;
        *t = (CurlTransfer) { .easy = easy, .done = done, .userdata = userdata, .next = c->transfers };

        /* This sets the timer, so the transfer begins in the loop. */
        if (curl_multi_add_handle(c->multi, easy) != CURLM_OK) {
                free(t);
                return -EIO;
        }

        c->transfers = t;
        return 0;
}

void curl_event_remove(CurlEvent *c, CURL *easy) {
        CurlTransfer *t;

        t = curl_event_take(c, easy);
        if (t)
                (void) curl_multi_remove_handle(c->multi, easy);
        free(t);
}
