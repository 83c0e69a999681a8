/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "watch-engine.h"

#include <errno.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "alloc-util.h"
#include "curl-event.h"
#include "docker-list.h"
#include "docker-transfer.h"
#include "log.h"
#include "strv.h"

#define LIST_TIMEOUT_USEC USEC_PER_MINUTE
#define RETRY_MIN_USEC (250 * USEC_PER_MSEC)
#define RETRY_MAX_USEC (30 * USEC_PER_SEC)
/* From the ping to the end of the list. */
#define CONNECT_TIMEOUT_USEC (2 * USEC_PER_MINUTE)
/* A stream that lived so long was a good one. */
#define STREAM_GOOD_USEC (10 * USEC_PER_SEC)
/* After its socket has appeared, the Engine is given a moment. */
#define APPEARED_USEC (100 * USEC_PER_MSEC)
/* New containers are looked at together. */
#define DETAILS_DELAY_USEC (100 * USEC_PER_MSEC)
#define NSEC_PER_USEC 1000U
#define PID_FILE "docker.pid"
#define ENGINE_UNIT_PATH "/org/freedesktop/systemd1/unit/docker_2eservice"
#define ENGINE_SOCKET_PATH "/org/freedesktop/systemd1/unit/docker_2esocket"
/* How long is waited for the answer whether it is still there. */
#define PROBE_TIMEOUT_USEC (15 * USEC_PER_SEC)
/* The part of the silence by which it does not matter when that is asked. */
#define PROBE_ACCURACY 10U
/* Events that may come while the list is made. */
#define EARLY_EVENTS_MAX 65536U

typedef enum EngineState {
        ENGINE_AWAY,
        ENGINE_PINGED,
        ENGINE_SUBSCRIBED, /* the stream of events was asked for */
        ENGINE_LISTED,     /* the stream is there, the list was asked for */
        ENGINE_WATCHED,
} EngineState;

/* One request with the handle that it runs on. */
typedef struct Request {
        WatchEngine *engine;
        CURL *easy;
        DockerTransfer transfer;
        bool running;

        JsonSplitter splitter;   /* of events */
        DockerListReader reader; /* of a list */
} Request;

struct WatchEngine {
        sd_event *event;
        CurlEvent *curl;
        char *socket, *directory, *pid_file;
        WatchTable *table;
        WatchNotify *notify;
        char version[DOCKER_VERSION_TEXT_MAX];

        Request call;    /* ping and list */
        Request stream;  /* events */
        Request details; /* a list of new containers */
        Request probe;   /* a ping, whether the Engine still answers */

        EngineState state;
        /* What happened while the list was made; whether that has it already nobody can tell. */
        DockerEvent *early;
        size_t n_early, n_early_allocated;
        sd_event_source *list_defer;

        char **details_wanted; /* ids */
        sd_event_source *details_timer;

        sd_event_source *probe_timer;
        usec_t silence; /* how long nothing may be heard of the Engine */
        usec_t heard;   /* the last time */

        sd_event_source *retry_timer, *inotify;
        sd_bus *bus;        /* to PID 1, once it had to be asked */
        sd_bus_slot *asked; /* whether the Engine's unit runs */
        usec_t retry;
        usec_t watched_since;
        bool has_pid_file; /* this Engine is known to keep one */
        bool lost, large;  /* said so already */
        size_t n_told;     /* containers in the status of our unit */
};

static void engine_lost(WatchEngine *e, const char *why);
static void engine_wait(WatchEngine *e);
static bool engine_seems_stopped(const WatchEngine *e);

static void request_stop(WatchEngine *e, Request *q) {
        if (q->running)
                curl_event_remove(e->curl, q->easy);
        q->running = false;
        docker_transfer_done(&q->transfer);
        q->transfer = (DockerTransfer) {};
        json_splitter_done(&q->splitter);
        docker_list_reader_done(&q->reader);
}

/* Takes the path without the version, where one is settled on. */
static int request_start(
                WatchEngine *e, Request *q, const char *path, usec_t timeout, curl_event_done_t done) {
        _cleanup_free_ char *versioned = NULL;
        int r;

        versioned = strjoin(e->version[0] ? "/v" : "", e->version, path);
        if (!versioned)
                return -ENOMEM;

        r = docker_transfer_prepare(&q->transfer, q->easy, e->socket, "GET", versioned, timeout, 0);
        if (r >= 0)
                r = curl_event_add(e->curl, q->easy, done, e);
        if (r < 0)
                return r;

        q->running = true;
        return 0;
}

static void tell_large(WatchEngine *e, const char *what) {
        log_full(e->large ? LOG_DEBUG : LOG_WARNING, 0,
                        "%s that the Docker Engine sent is larger than %u MiB and was left out. A container "
                        "has too many labels: look for it with docker ps, and remove it.",
                        what, DOCKER_ITEM_MAX >> 20);
        e->large = true;
}

static int request_start_list(WatchEngine *e, Request *q, const char *path, curl_event_done_t done) {
        q->reader.splitter.list = true;
        q->transfer.stream = docker_list_reader_feed;
        q->transfer.stream_userdata = &q->reader;
        return request_start(e, q, path, LIST_TIMEOUT_USEC, done);
}

/* What the list that just came from the Engine says; on failure the error is ready to be logged. */
static int request_read_list(Request *q, CURLcode code, DockerObjects *ret, Error *reterr) {
        int r;

        r = docker_transfer_finish(&q->transfer, code, NULL, reterr);
        if (r < 0)
                return r;
        if (q->reader.n_too_large > 0)
                tell_large(q->engine, "An entry of the list of containers");
        return docker_list_reader_finish(&q->reader, ret, reterr);
}

static void on_details_done(_unused_ CURL *easy, CURLcode code, void *userdata) {
        _cleanup_docker_objects_ DockerObjects list = {};
        WatchEngine *e = userdata;

        e->details.running = false;
        /* Where it fails, the first event of a healthcheck will tell. */
        if (request_read_list(&e->details, code, &list, NULL) >= 0) {
                watch_table_set_details(e->table, &list);
                watch_notify_flush(e->notify);
        } else
                watch_table_set_details(e->table, NULL);
        request_stop(e, &e->details);
        if (e->details_wanted)
                (void) sd_event_source_set_enabled(e->details_timer, SD_EVENT_ONESHOT);
}

static int on_details_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        _cleanup_free_ char *path = NULL;
        WatchEngine *e = userdata;
        int r;

        if (e->state != ENGINE_WATCHED || e->details.running || !e->details_wanted)
                return 0;

        r = docker_list_path(DOCKER_CONTAINER, "id", e->details_wanted, &path);
        e->details_wanted = strv_free(e->details_wanted);
        if (r >= 0)
                r = request_start_list(e, &e->details, path, on_details_done);
        if (r < 0)
                log_debug_errno(r, "Cannot ask for new containers, ignoring: %m");
        return 0;
}

static int want_details(WatchEngine *e, const char *id) {
        int r;

        r = strv_extend(&e->details_wanted, id);
        if (r < 0 || e->details.running)
                return r;

        r = sd_event_source_set_time(e->details_timer, now(CLOCK_MONOTONIC) + DETAILS_DELAY_USEC);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(e->details_timer, SD_EVENT_ONESHOT);
}

static int apply_event(WatchEngine *e, const DockerEvent *event) {
        int r;

        r = watch_table_apply(e->table, event);
        return r > 0 ? want_details(e, event->container) : r;
}

static int on_event(const char *data, size_t size, void *userdata) {
        _cleanup_docker_event_ DockerEvent event = {};
        WatchEngine *e = userdata;
        int r;

        if (!data) {
                tell_large(e, "An event");
                return 0;
        }

        r = docker_event_parse(data, size, &event);
        if (r < 0)
                return r;
        if (e->state == ENGINE_WATCHED)
                return apply_event(e, &event);

        if (e->n_early >= EARLY_EVENTS_MAX)
                return -EFBIG;
        if (!GREEDY_REALLOC(e->early, e->n_early_allocated, e->n_early + 1))
                return -ENOMEM;
        e->early[e->n_early++] = TAKE_GENERIC(event, (DockerEvent) {});
        return 0;
}

/* The status of our unit; PID 1 is not told what it knows. */
static void tell_size(WatchEngine *e) {
        size_t n = watch_table_size(e->table);

        if (e->n_told == n)
                return;

        e->n_told = n;
        (void) sd_notifyf(0, "STATUS=Watching %zu container%s.", n, n == 1 ? "" : "s");
}

static int on_stream(const char *data, size_t size, void *userdata) {
        WatchEngine *e = userdata;
        int r;

        e->heard = now(CLOCK_MONOTONIC);
        r = json_splitter_feed(&e->stream.splitter, data, size, on_event, e);
        watch_notify_flush(e->notify);
        /* After it, as removed ones are in the table until ccpd knows. */
        if (e->state == ENGINE_WATCHED)
                tell_size(e);
        return r;
}

/* Called from within libcurl, where no request can begin. */
static void on_stream_begins(void *userdata) {
        WatchEngine *e = userdata;

        (void) sd_event_source_set_enabled(e->list_defer, SD_EVENT_ONESHOT);
}

static void on_stream_done(_unused_ CURL *easy, CURLcode code, void *userdata) {
        _cleanup_error_ Error error = {};
        WatchEngine *e = userdata;
        int r;

        e->stream.running = false;
        r = docker_transfer_finish(&e->stream.transfer, code, NULL, &error);
        engine_lost(e, r < 0 ? error.message : "The Docker Engine ended the stream of its events.");
}

static void clear_early(WatchEngine *e) {
        FOREACH_ARRAY(i, e->early, e->n_early)
                docker_event_done(i);
        e->early = mfree(e->early);
        e->n_early = e->n_early_allocated = 0;
}

/* The events that came meanwhile go on top of the list, the old ones among them too: they end in the state
 * that holds now. */
static int take_list(WatchEngine *e, const DockerObjects *list) {
        int r;

        r = watch_table_set(e->table, list, now(CLOCK_REALTIME));
        if (r < 0)
                return r;

        e->state = ENGINE_WATCHED;
        FOREACH_ARRAY(i, e->early, e->n_early) {
                r = apply_event(e, i);
                if (r < 0)
                        return r;
        }
        clear_early(e);
        return 0;
}

static void probe_at(WatchEngine *e, usec_t at) {
        (void) sd_event_source_set_time(e->probe_timer, at);
        (void) sd_event_source_set_enabled(e->probe_timer, SD_EVENT_ONESHOT);
}

static void on_probe_done(_unused_ CURL *easy, CURLcode code, void *userdata) {
        _cleanup_error_ Error error = {};
        WatchEngine *e = userdata;
        int r;

        e->probe.running = false;
        r = docker_transfer_finish(&e->probe.transfer, code, NULL, &error);
        if (r < 0)
                return engine_lost(e, error.message);

        request_stop(e, &e->probe);
        e->heard = now(CLOCK_MONOTONIC);
        probe_at(e, e->heard + e->silence);
}

static int on_probe_timer(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        WatchEngine *e = userdata;

        if (e->state != ENGINE_WATCHED || e->probe.running)
                return 0;
        if (now(CLOCK_MONOTONIC) - e->heard < e->silence)
                probe_at(e, e->heard + e->silence);
        /* To ask one that is just being stopped would start it again. */
        else if (engine_seems_stopped(e))
                probe_at(e, now(CLOCK_MONOTONIC) + e->silence);
        else if (request_start(e, &e->probe, "/_ping", MIN(PROBE_TIMEOUT_USEC, e->silence), on_probe_done) <
                        0)
                engine_lost(e, "Out of memory.");
        return 0;
}

/* The Engine writes its pid file when it starts. */
static usec_t engine_started(const WatchEngine *e) {
        struct stat st;

        if (stat(e->pid_file, &st) < 0)
                return 0;
        return (usec_t) st.st_mtim.tv_sec * USEC_PER_SEC + (usec_t) st.st_mtim.tv_nsec / NSEC_PER_USEC;
}

static void on_list_done(_unused_ CURL *easy, CURLcode code, void *userdata) {
        _cleanup_docker_objects_ DockerObjects list = {};
        _cleanup_error_ Error error = {};
        WatchEngine *e = userdata;
        int r;

        e->call.running = false;
        r = request_read_list(&e->call, code, &list, &error);
        if (r < 0)
                return engine_lost(e, error.message);
        request_stop(e, &e->call);
        if (take_list(e, &list) < 0)
                return engine_lost(e, "Out of memory.");

        (void) sd_event_source_set_enabled(e->retry_timer, SD_EVENT_OFF);
        e->watched_since = now(CLOCK_MONOTONIC);
        e->heard = e->watched_since;
        e->has_pid_file = access(e->pid_file, F_OK) >= 0;
        probe_at(e, e->heard + e->silence);
        if (e->lost)
                log_info("The Docker Engine is back.");
        e->lost = false;

        watch_notify_set_engine(e->notify, true, engine_started(e));
        watch_notify_begin_list(e->notify);
        watch_notify_flush(e->notify);
        tell_size(e);
}

/* The list is asked for once the stream is there, so nothing can happen unseen in between. */
static int on_list_defer(_unused_ sd_event_source *source, void *userdata) {
        char *const labels[] = { (char *) CCP_LABEL_INSTANCE, NULL };
        _cleanup_free_ char *path = NULL;
        WatchEngine *e = userdata;
        int r;

        if (e->state != ENGINE_SUBSCRIBED)
                return 0;

        e->state = ENGINE_LISTED;
        r = docker_list_path(DOCKER_CONTAINER, "label", labels, &path);
        if (r >= 0)
                r = request_start_list(e, &e->call, path, on_list_done);
        if (r < 0)
                engine_lost(e, "Out of memory.");
        return 0;
}

static void on_ping_done(_unused_ CURL *easy, CURLcode code, void *userdata) {
        _cleanup_free_ char *path = NULL;
        _cleanup_error_ Error error = {};
        WatchEngine *e = userdata;
        int r;

        e->call.running = false;
        r = docker_transfer_finish(&e->call.transfer, code, NULL, &error);
        if (r >= 0)
                r = docker_negotiate(e->call.transfer.version, e->version, &error);
        if (r < 0)
                return engine_lost(e, error.message);
        request_stop(e, &e->call);

        e->state = ENGINE_SUBSCRIBED;
        e->stream.transfer.stream = on_stream;
        e->stream.transfer.stream_begins = on_stream_begins;
        e->stream.transfer.stream_userdata = e;
        r = docker_events_path(CCP_LABEL_INSTANCE, &path);
        if (r >= 0)
                r = request_start(e, &e->stream, path, 0, on_stream_done);
        if (r < 0)
                engine_lost(e, "Out of memory.");
}

static void retry_in(WatchEngine *e, usec_t delay) {
        (void) sd_event_source_set_time(e->retry_timer, now(CLOCK_MONOTONIC) + delay);
        (void) sd_event_source_set_enabled(e->retry_timer, SD_EVENT_ONESHOT);
}

static void stop_waiting(WatchEngine *e) {
        e->asked = sd_bus_slot_unref(e->asked);
        e->inotify = sd_event_source_disable_unref(e->inotify);
        (void) sd_event_source_set_enabled(e->retry_timer, SD_EVENT_OFF);
}

static void stop_requests(WatchEngine *e) {
        request_stop(e, &e->call);
        request_stop(e, &e->stream);
        request_stop(e, &e->details);
        request_stop(e, &e->probe);
        clear_early(e);
        e->details_wanted = strv_free(e->details_wanted);
        (void) sd_event_source_set_enabled(e->details_timer, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(e->probe_timer, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(e->list_defer, SD_EVENT_OFF);
        e->state = ENGINE_AWAY;
        e->version[0] = 0;
}

void watch_engine_start(WatchEngine *e) {
        stop_waiting(e);
        stop_requests(e);
        e->state = ENGINE_PINGED;
        e->large = false;
        /* The stream itself has no time-out, so this one is for all until the list is there. */
        retry_in(e, CONNECT_TIMEOUT_USEC);
        if (request_start(e, &e->call, "/_ping", DOCKER_TIMEOUT_USEC, on_ping_done) < 0)
                engine_lost(e, "Out of memory.");
}

/* Under systemd, the socket stays when the Engine is stopped, and to connect to it would start the Engine
 * again behind the back of whoever stopped it. PID 1 knows, of the unit and of the socket; where nobody can ask
 * it, an Engine that kept a pid file and has none now is stopped. */
static bool engine_seems_stopped(const WatchEngine *e) {
        return e->has_pid_file && access(e->pid_file, F_OK) < 0;
}

static void connect_or_wait(WatchEngine *e, bool connect) {
        int enabled = SD_EVENT_OFF;

        if (connect)
                watch_engine_start(e);
        else if (sd_event_source_get_enabled(e->retry_timer, &enabled) >= 0 && enabled == SD_EVENT_OFF)
                engine_wait(e);
}

/* NULL if nobody knows. Borrowed from the message. */
static const char *read_unit_state(sd_bus_message *m) {
        const char *state;

        return sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "v", "s", &state) < 0
                        ? NULL
                        : state;
}

static int ask_unit(WatchEngine *e, const char *path, sd_bus_message_handler_t handler) {
        e->asked = sd_bus_slot_unref(e->asked);
        return sd_bus_call_method_async(e->bus, &e->asked, "org.freedesktop.systemd1", path,
                        "org.freedesktop.DBus.Properties", "Get", handler, e, "ss",
                        "org.freedesktop.systemd1.Unit", "ActiveState");
}

/* Where the socket is not PID 1's, to connect starts nothing. A pid file is that of an Engine with another unit. */
static int on_socket_state(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr_error) {
        WatchEngine *e = userdata;
        const char *state = read_unit_state(m);

        e->asked = sd_bus_slot_unref(e->asked);
        connect_or_wait(e,
                        streq_ptr(state, "active") ? access(e->pid_file, F_OK) >= 0
                                                   : !engine_seems_stopped(e));
        return 0;
}

/* While it starts, its socket lets us wait for it. */
static int on_unit_state(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr_error) {
        WatchEngine *e = userdata;
        const char *state = read_unit_state(m);
        int r = 0;

        e->asked = sd_bus_slot_unref(e->asked);
        if (streq_ptr(state, "inactive") || streq_ptr(state, "failed"))
                r = ask_unit(e, ENGINE_SOCKET_PATH, on_socket_state);
        else
                connect_or_wait(e, state ? !streq(state, "deactivating") : !engine_seems_stopped(e));
        if (r < 0)
                connect_or_wait(e, !engine_seems_stopped(e));
        return 0;
}

static int ask_pid1(WatchEngine *e) {
        if (e->bus && sd_bus_is_open(e->bus) <= 0)
                e->bus = sd_bus_close_unref(e->bus);
        if (!e->bus) {
                int r;

                r = sd_bus_open_system(&e->bus);
                if (r >= 0)
                        r = sd_bus_attach_event(e->bus, e->event, SD_EVENT_PRIORITY_NORMAL);
                if (r < 0) {
                        e->bus = sd_bus_close_unref(e->bus);
                        return r;
                }
        }

        return ask_unit(e, ENGINE_UNIT_PATH, on_unit_state);
}

static int on_retry(_unused_ sd_event_source *source, _unused_ uint64_t usec, void *userdata) {
        WatchEngine *e = userdata;
        int r;

        if (e->state != ENGINE_AWAY)
                engine_lost(e, "The Docker Engine did not answer in time.");
        else {
                r = ask_pid1(e);
                if (r < 0) {
                        log_debug_errno(r, "Cannot ask whether docker.service runs, ignoring: %m");
                        connect_or_wait(e, !engine_seems_stopped(e));
                }
        }
        return 0;
}

static int on_inotify(_unused_ sd_event_source *source, const struct inotify_event *i, void *userdata) {
        WatchEngine *e = userdata;

        if (i->len > 0 && (streq(i->name, PID_FILE) || streq(i->name, e->socket + strlen(e->directory) + 1)))
                retry_in(e, APPEARED_USEC);
        return 0;
}

/* For its socket or pid file to appear, and for a while. */
static void engine_wait(WatchEngine *e) {
        int r;

        if (!e->inotify) {
                r = sd_event_add_inotify(
                                e->event, &e->inotify, e->directory, IN_CREATE | IN_MOVED_TO, on_inotify, e);
                if (r < 0)
                        log_debug_errno(r, "Cannot watch %s, ignoring: %m", e->directory);
        }
        retry_in(e, e->retry);
        e->retry = MIN(e->retry * 2, RETRY_MAX_USEC);
}

static void engine_lost(WatchEngine *e, const char *why) {
        if (!e->lost)
                log_warning("The containers can't be watched. %s", strempty(why));
        e->lost = true;

        if (e->watched_since > 0 && now(CLOCK_MONOTONIC) - e->watched_since >= STREAM_GOOD_USEC)
                e->retry = RETRY_MIN_USEC;
        e->watched_since = 0;
        stop_requests(e);

        e->n_told = SIZE_MAX;
        (void) sd_notify(0, "STATUS=Waiting for the Docker Engine.");
        watch_notify_set_engine(e->notify, false, 0);
        watch_notify_flush(e->notify);
        engine_wait(e);
}

WatchEngine *watch_engine_free(WatchEngine *e) {
        if (!e)
                return NULL;

        stop_requests(e);
        curl_event_free(e->curl);
        FOREACH_ARRAY(q, ((Request *[]) { &e->call, &e->stream, &e->details, &e->probe }), 4)
                if ((*q)->easy)
                        curl_easy_cleanup((*q)->easy);
        sd_event_source_disable_unref(e->list_defer);
        sd_event_source_disable_unref(e->details_timer);
        sd_event_source_disable_unref(e->probe_timer);
        sd_event_source_disable_unref(e->retry_timer);
        sd_event_source_disable_unref(e->inotify);
        sd_bus_slot_unref(e->asked);
        sd_bus_close_unref(e->bus);
        sd_event_unref(e->event);
        free(e->socket);
        free(e->directory);
        free(e->pid_file);
        return mfree(e);
}

static int add_timer(WatchEngine *e, const char *name, usec_t accuracy, sd_event_time_handler_t handler,
                sd_event_source **ret) {
        int r;

        r = sd_event_add_time(e->event, ret, CLOCK_MONOTONIC, 0, accuracy, handler, e);
        if (r < 0)
                return r;

        (void) sd_event_source_set_description(*ret, name);
        return sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int set_paths(WatchEngine *e, const char *socket) {
        const char *slash = strrchr(socket, '/');

        if (!slash || slash == socket)
                return -EINVAL;

        e->socket = strdup(socket);
        e->directory = strndup(socket, (size_t) (slash - socket));
        e->pid_file = e->directory ? strjoin(e->directory, "/", PID_FILE) : NULL;
        return e->socket && e->pid_file ? 0 : -ENOMEM;
}

int watch_engine_new(sd_event *event, const char *socket, usec_t silence, WatchTable *table,
                WatchNotify *notify, WatchEngine **ret) {
        _cleanup_watch_engine_ WatchEngine *e = NULL;
        int r;

        e = new0(WatchEngine, 1);
        if (!e)
                return -ENOMEM;

        e->event = sd_event_ref(event);
        e->table = table;
        e->notify = notify;
        e->silence = silence ?: WATCH_SILENCE_USEC;
        e->retry = RETRY_MIN_USEC;
        e->n_told = SIZE_MAX;
        r = set_paths(e, socket ?: CCP_DOCKER_SOCKET);
        if (r >= 0)
                r = add_timer(e, "engine-retry", 0, on_retry, &e->retry_timer);
        if (r >= 0)
                r = add_timer(e, "engine-details", 0, on_details_timer, &e->details_timer);
        if (r >= 0)
                r = add_timer(e, "engine-probe", e->silence / PROBE_ACCURACY, on_probe_timer,
                                &e->probe_timer);
        if (r >= 0)
                r = sd_event_add_defer(event, &e->list_defer, on_list_defer, e);
        if (r >= 0)
                r = sd_event_source_set_enabled(e->list_defer, SD_EVENT_OFF);
        if (r >= 0)
                r = docker_curl_init();
        if (r >= 0)
                r = curl_event_new(event, &e->curl);
        if (r < 0)
                return r;

        FOREACH_ARRAY(q, ((Request *[]) { &e->call, &e->stream, &e->details, &e->probe }), 4) {
                (*q)->engine = e;
                (*q)->easy = curl_easy_init();
                if (!(*q)->easy)
                        return -ENOMEM;
        }

        *ret = TAKE_PTR(e);
        return 0;
}
