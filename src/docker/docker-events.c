/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker-events.h"

#include "alloc-util.h"
#include "docker-event.h"
#include "docker-transfer.h"

#define WAIT_MAX_USEC USEC_PER_SEC

struct DockerEvents {
        CURLM *multi;
        CURL *easy;
        DockerTransfer transfer;
        JsonSplitter splitter;
        bool happened;
};

static int on_event(const char *data, size_t size, void *userdata) {
        _cleanup_docker_event_ DockerEvent event = {};
        DockerEvents *e = userdata;
        int r;

        if (!data) {
                e->happened = true;
                return 0;
        }

        r = docker_event_parse(data, size, &event);
        if (r < 0)
                return r;

        if (event.type != DOCKER_EVENT_OTHER)
                e->happened = true;
        return 0;
}

static int on_data(const char *data, size_t size, void *userdata) {
        DockerEvents *e = userdata;

        return json_splitter_feed(&e->splitter, data, size, on_event, e);
}

DockerEvents *docker_events_free(DockerEvents *e) {
        if (!e)
                return NULL;

        if (e->multi && e->easy)
                (void) curl_multi_remove_handle(e->multi, e->easy);
        docker_transfer_done(&e->transfer);
        if (e->easy)
                curl_easy_cleanup(e->easy);
        if (e->multi)
                (void) curl_multi_cleanup(e->multi);
        json_splitter_done(&e->splitter);
        return mfree(e);
}

int docker_events_new(Docker *d, const char *label, DockerEvents **ret, Error *reterr) {
        _cleanup_docker_events_ DockerEvents *e = NULL;
        _cleanup_free_ char *path = NULL, *versioned = NULL;
        int r;

        r = docker_events_path(label, &path);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot ask for the Docker Engine's events: %m");
        r = docker_versioned_path(d, path, &versioned, reterr);
        if (r < 0)
                return r;

        e = new0(DockerEvents, 1);
        if (!e)
                return error_set_errnof(reterr, ENOMEM, "Cannot ask for the Docker Engine's events: %m");
        e->multi = curl_multi_init();
        e->easy = curl_easy_init();
        if (!e->multi || !e->easy)
                return error_set_errnof(reterr, ENOMEM, "Cannot ask for the Docker Engine's events: %m");

        e->transfer.stream = on_data;
        e->transfer.stream_userdata = e;
        r = docker_transfer_prepare(&e->transfer, e->easy, d->socket, "GET", versioned, 0, 0);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot ask for the Docker Engine's events: %m");
        if (curl_multi_add_handle(e->multi, e->easy) != CURLM_OK)
                return error_set_errnof(reterr, ENOMEM, "Cannot ask for the Docker Engine's events: %m");

        *ret = TAKE_PTR(e);
        return 0;
}

int docker_events_wait(DockerEvents *e, usec_t timeout) {
        usec_t deadline = now(CLOCK_MONOTONIC) + MIN(timeout, WAIT_MAX_USEC);

        for (;;) {
                usec_t n = now(CLOCK_MONOTONIC);
                int running;

                if (curl_multi_perform(e->multi, &running) != CURLM_OK)
                        return -EIO;
                if (e->happened) {
                        e->happened = false;
                        return 1;
                }
                if (running == 0)
                        return -ECONNRESET;
                if (n >= deadline)
                        return 0;
                /* Rounded up, lest the last millisecond be spent spinning. */
                if (curl_multi_poll(e->multi, NULL, 0, (int) ((deadline - n) / USEC_PER_MSEC) + 1, NULL) !=
                                CURLM_OK)
                        return -EIO;
        }
}
