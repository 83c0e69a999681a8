/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker.h"

#include <ctype.h>
#include <stdio.h>

#include "alloc-util.h"
#include "docker-list.h"
#include "docker-transfer.h"
#include "docker-unit.h"
#include "json-util.h"
#include "log.h"
#include "strv.h"

/* A container's own grace period may be long. */
#define STOP_TIMEOUT_USEC (10 * USEC_PER_MINUTE)
#define ID_MAX 255U
#define IMAGE_MAX 1024U

static const struct {
        const char *list, *inspect_prefix, *inspect_suffix;
} paths[_DOCKER_KIND_MAX] = {
        [DOCKER_CONTAINER] = { "/containers/json?all=1&filters=", "/containers/", "/json" },
        [DOCKER_NETWORK] = { "/networks?filters=", "/networks/", "" },
        [DOCKER_VOLUME] = { "/volumes?filters=", "/volumes/", "" },
};

int docker_new(const DockerOptions *options, Docker **ret) {
        static const DockerOptions default_options = {};
        const DockerOptions *o = options ?: &default_options;
        _cleanup_docker_ Docker *d = NULL;
        int r;

        r = docker_curl_init();
        if (r < 0)
                return r;

        d = new0(Docker, 1);
        if (!d)
                return -ENOMEM;

        d->socket = strdup(o->socket ?: CCP_DOCKER_SOCKET);
        d->easy = curl_easy_init();
        if (!d->socket || !d->easy)
                return -ENOMEM;
        if (strlen(d->socket) > DOCKER_SOCKET_PATH_MAX)
                return -ENAMETOOLONG;

        docker_set_timeout(d, o->timeout);
        d->body_max = o->body_max;
        d->poll = o->poll;
        d->userdata = o->userdata;

        *ret = TAKE_PTR(d);
        return 0;
}

Docker *docker_free(Docker *d) {
        if (!d)
                return NULL;

        curl_easy_cleanup(d->easy);
        free(d->socket);
        return mfree(d);
}

const char *docker_socket(const Docker *d) {
        return d->socket;
}

void docker_set_timeout(Docker *d, usec_t timeout) {
        d->timeout = timeout ?: DOCKER_TIMEOUT_USEC;
}

const char *docker_api_version(const Docker *d) {
        return d->version[0] ? d->version : NULL;
}

bool docker_id_is_valid(const char *s) {
        if (isempty(s) || !isalnum((unsigned char) s[0]) || strlen(s) > ID_MAX)
                return false;

        return strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-") == strlen(s);
}

static int call_raw(Docker *d, DockerTransfer *t, const char *method, const char *path, json_t **ret,
                Error *reterr) {
        int r;

        t->poll = d->poll;
        t->poll_userdata = d->userdata;
        r = docker_transfer_prepare(t, d->easy, d->socket, method, path, d->timeout, d->body_max);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot call the Docker Engine: %m");

        return docker_transfer_finish(t, curl_easy_perform(d->easy), ret, reterr);
}

int docker_ping(Docker *d, Error *reterr) {
        _cleanup_docker_transfer_ DockerTransfer t = {};
        int r;

        if (streq(d->socket, CCP_DOCKER_SOCKET) && docker_unit_is_stopped())
                return error_setf(reterr, CCP_ERROR_ENGINE_UNAVAILABLE,
                                "The Docker Engine was stopped. To start it: systemctl start docker");

        r = call_raw(d, &t, "GET", "/_ping", NULL, reterr);
        if (r < 0)
                return r;

        return docker_negotiate(t.version, d->version, reterr);
}

int docker_versioned_path(Docker *d, const char *path, char **ret, Error *reterr) {
        int r;

        if (!d->version[0]) {
                r = docker_ping(d, reterr);
                if (r < 0)
                        return r;
        }

        *ret = strjoin("/v", d->version, path);
        return *ret ? 0 : error_set_errnof(reterr, ENOMEM, "Cannot call the Docker Engine: %m");
}

int docker_call(Docker *d, const char *method, const char *path, json_t **ret, Error *reterr) {
        _cleanup_docker_transfer_ DockerTransfer t = {};
        _cleanup_free_ char *versioned = NULL;
        int r;

        r = docker_versioned_path(d, path, &versioned, reterr);
        if (r < 0)
                return r;

        return call_raw(d, &t, method, versioned, ret, reterr);
}

int docker_info(Docker *d, json_t **ret, Error *reterr) {
        return docker_call(d, "GET", "/info", ret, reterr);
}

int docker_call_stream(Docker *d, const char *path, docker_stream_t stream, void *userdata, Error *reterr) {
        _cleanup_docker_transfer_ DockerTransfer t = { .stream = stream, .stream_userdata = userdata };
        _cleanup_free_ char *versioned = NULL;
        int r;

        r = docker_versioned_path(d, path, &versioned, reterr);
        if (r < 0)
                return r;

        return call_raw(d, &t, "GET", versioned, NULL, reterr);
}

int docker_list_path(DockerKind kind, const char *filter, char *const *values, char **ret) {
        _cleanup_json_ json_t *filters = json_object(), *array = json_array();
        char *text, *escaped;

        STRV_FOREACH(v, values)
                if (json_array_append_new(array, json_string(*v)) < 0)
                        return -EINVAL;
        if (json_object_set(filters, filter, array) < 0)
                return -ENOMEM;

        text = json_format(filters, JSON_COMPACT);
        if (!text)
                return -ENOMEM;
        escaped = curl_easy_escape(NULL, text, 0);
        free(text);
        if (!escaped)
                return -ENOMEM;

        *ret = strjoin(paths[kind].list, escaped);
        curl_free(escaped);
        return *ret ? 0 : -ENOMEM;
}

static int list_containers(Docker *d, const char *path, DockerObjects *ret, Error *reterr) {
        _cleanup_docker_list_reader_ DockerListReader reader = { .splitter.list = true };
        int r;

        r = docker_call_stream(d, path, docker_list_reader_feed, &reader, reterr);
        if (r < 0)
                return r;
        if (reader.n_too_large > 0)
                log_warning("%u containers have labels of more than %u MiB and are left out. Look for them "
                            "with "
                            "docker ps, and remove them.",
                                reader.n_too_large, DOCKER_ITEM_MAX >> 20);

        return docker_list_reader_finish(&reader, ret, reterr);
}

static int list_filtered(Docker *d, DockerKind kind, const char *filter, char *const *values,
                DockerObjects *ret, Error *reterr) {
        _cleanup_json_ json_t *json = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        r = docker_list_path(kind, filter, values, &path);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot ask the Docker Engine for a list: %m");
        if (kind == DOCKER_CONTAINER)
                return list_containers(d, path, ret, reterr);

        r = docker_call(d, "GET", path, &json, reterr);
        if (r < 0)
                return r;

        r = docker_objects_from_json(kind, json, now(CLOCK_REALTIME), ret);
        if (r == -EBADMSG)
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "The Docker Engine's list of %ss can't be understood.",
                                docker_kind_to_string(kind));
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read the Docker Engine's list: %m");

        return 0;
}

/* Drops what the Engine should not have sent. */
static void objects_filter(DockerObjects *l, bool (*wanted)(const DockerObject *o, const void *what),
                const void *what) {
        size_t n = 0;

        for (size_t i = 0; i < l->n; i++)
                if (wanted(l->items + i, what))
                        l->items[n++] = l->items[i];
                else
                        docker_object_done(l->items + i);
        l->n = n;
}

static bool wanted_prefix(const DockerObject *o, const void *what) {
        return startswith(o->name, what);
}

static bool wanted_owner(const DockerObject *o, const void *what) {
        return docker_object_is_owned(o, what);
}

int docker_list(Docker *d, DockerKind kind, char *const *labels, DockerObjects *ret, Error *reterr) {
        if (strv_length(labels) == 0)
                return error_set_errnof(reterr, EINVAL, "Will not list all of the Docker Engine's objects.");

        return list_filtered(d, kind, "label", labels, ret, reterr);
}

int docker_list_named(Docker *d, DockerKind kind, const char *prefix, DockerObjects *ret, Error *reterr) {
        int r;

        if (!docker_id_is_valid(prefix))
                return error_set_errnof(reterr, EINVAL, "Will not list all of the Docker Engine's objects.");

        r = list_filtered(d, kind, "name", (char *const[]) { (char *) prefix, NULL }, ret, reterr);
        if (r < 0)
                return r;

        objects_filter(ret, wanted_prefix, prefix);
        return 0;
}

int docker_list_owned(
                Docker *d, DockerKind kind, const DockerOwner *owner, DockerObjects *ret, Error *reterr) {
        _cleanup_strv_free_ char **labels = NULL;
        int r;

        if (isempty(owner->slug) || isempty(owner->uuid))
                return error_set_errnof(reterr, EINVAL, "Will not list the objects of nobody.");
        if (strv_extendf(&labels, CCP_LABEL_INSTANCE "=%s", owner->slug) < 0 ||
                        strv_extendf(&labels, CCP_LABEL_ID "=%s", owner->uuid) < 0)
                return error_set_errnof(reterr, ENOMEM, "Cannot ask the Docker Engine for a list: %m");

        r = docker_list(d, kind, labels, ret, reterr);
        if (r < 0)
                return r;

        objects_filter(ret, wanted_owner, owner);
        return 0;
}

int docker_inspect(Docker *d, DockerKind kind, const char *id, DockerObject *ret, Error *reterr) {
        _cleanup_json_ json_t *json = NULL;
        _cleanup_free_ char *path = NULL;
        int r;

        if (!docker_id_is_valid(id))
                return error_set_errnof(
                                reterr, EINVAL, "Not the name of a %s.", docker_kind_to_string(kind));

        path = strjoin(paths[kind].inspect_prefix, id, paths[kind].inspect_suffix);
        if (!path)
                return error_set_errnof(reterr, ENOMEM, "Cannot call the Docker Engine: %m");

        r = docker_call(d, "GET", path, &json, reterr);
        if (r < 0)
                return r;

        r = docker_object_from_inspect(kind, json, ret);
        if (r == -EBADMSG)
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED,
                                "What the Docker Engine says of the %s %s can't be understood.",
                                docker_kind_to_string(kind), id);
        if (r < 0)
                return error_set_errnof(reterr, r, "Cannot read the Docker Engine's answer: %m");

        return 0;
}

/* Returns 1 if it is the owner's, 0 if there is no such object. */
static int check_owner(Docker *d, DockerKind kind, const char *id, const DockerOwner *owner, Error *reterr) {
        _cleanup_docker_object_ DockerObject o = {};
        _cleanup_error_ Error error = {};
        int r;

        r = docker_inspect(d, kind, id, &o, &error);
        if (r == -ENOENT)
                return 0;
        if (r < 0) {
                error_move(reterr, &error);
                return r;
        }

        if (!docker_object_is_owned(&o, owner))
                return error_setf(reterr, CCP_ERROR_POLICY_VIOLATION,
                                "The %s '%s' does not belong to the instance '%s' and is not touched.",
                                docker_kind_to_string(kind), o.name, owner->slug);

        return 1;
}

/* A call whose object may be gone by then. */
bool docker_error_is_removal(const Error *e) {
        return e->message && strstr(e->message, "is already in progress");
}

static int call_tolerant(Docker *d, const char *method, const char *path, Error *reterr) {
        _cleanup_error_ Error error = {};
        int r;

        r = docker_call(d, method, path, NULL, &error);
        if (r == -ENOENT)
                return 0;
        if (r < 0 && docker_error_is_removal(&error))
                return 0;
        if (r < 0)
                error_move(reterr, &error);
        return r;
}

int docker_stop(Docker *d, const char *id, const DockerOwner *owner, Error *reterr) {
        _cleanup_free_ char *path = NULL;
        usec_t timeout = d->timeout;
        int r;

        r = check_owner(d, DOCKER_CONTAINER, id, owner, reterr);
        if (r <= 0)
                return r;

        path = strjoin("/containers/", id, "/stop");
        if (!path)
                return error_set_errnof(reterr, ENOMEM, "Cannot call the Docker Engine: %m");

        d->timeout = MAX(timeout, STOP_TIMEOUT_USEC);
        r = call_tolerant(d, "POST", path, reterr);
        d->timeout = timeout;
        return r;
}

static int post_owned(Docker *d, const char *id, const DockerOwner *owner, const char *verb, Error *reterr) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = check_owner(d, DOCKER_CONTAINER, id, owner, reterr);
        if (r <= 0)
                return r;

        path = strjoin("/containers/", id, verb);
        if (!path)
                return error_set_errnof(reterr, ENOMEM, "Cannot call the Docker Engine: %m");

        return call_tolerant(d, "POST", path, reterr);
}

int docker_start(Docker *d, const char *id, const DockerOwner *owner, Error *reterr) {
        return post_owned(d, id, owner, "/start", reterr);
}

int docker_pause(Docker *d, const char *id, const DockerOwner *owner, Error *reterr) {
        return post_owned(d, id, owner, "/pause", reterr);
}

int docker_unpause(Docker *d, const char *id, const DockerOwner *owner, Error *reterr) {
        return post_owned(d, id, owner, "/unpause", reterr);
}

int docker_remove(Docker *d, DockerKind kind, const char *id, const DockerOwner *owner, Error *reterr) {
        _cleanup_free_ char *path = NULL;
        int r;

        r = check_owner(d, kind, id, owner, reterr);
        if (r <= 0)
                return r;

        path = strjoin(paths[kind].inspect_prefix, id, kind == DOCKER_CONTAINER ? "?force=1&v=1" : "");
        if (!path)
                return error_set_errnof(reterr, ENOMEM, "Cannot call the Docker Engine: %m");

        return call_tolerant(d, "DELETE", path, reterr);
}

int docker_remove_anonymous(Docker *d, const char *volume, Error *reterr) {
        _cleanup_docker_object_ DockerObject o = {};
        _cleanup_error_ Error error = {};
        _cleanup_free_ char *path = NULL;
        int r;

        r = docker_inspect(d, DOCKER_VOLUME, volume, &o, &error);
        if (r == -ENOENT)
                return 0;
        if (r < 0) {
                error_move(reterr, &error);
                return r;
        }
        if (!o.is_anonymous || o.project || o.instance || o.uuid)
                return error_setf(reterr, CCP_ERROR_POLICY_VIOLATION,
                                "The volume '%s' is not an anonymous one and is not touched.", volume);

        path = strjoin(paths[DOCKER_VOLUME].inspect_prefix, volume);
        if (!path)
                return error_set_errnof(reterr, ENOMEM, "Cannot call the Docker Engine: %m");

        /* Without force, the Engine refuses while a container has it. */
        return call_tolerant(d, "DELETE", path, reterr);
}

/* The reference of an image as a path: its slashes and colons stay, nothing may climb. */
static bool image_is_valid(const char *s) {
        return !isempty(s) && strlen(s) <= IMAGE_MAX && isalnum((unsigned char) s[0]) && !strstr(s, "..") &&
                        !strstr(s, "//") &&
                        strspn(s, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.-/:@+") ==
                        strlen(s);
}

int docker_find_image(Docker *d, const char *image, char **ret_id, Error *reterr) {
        _cleanup_json_ json_t *json = NULL;
        _cleanup_free_ char *path = NULL, *id = NULL;
        int r;

        if (!image_is_valid(image))
                return error_setf(reterr, CCP_ERROR_ENGINE_FAILED, "Not the name of an image.");

        path = strjoin("/images/", image, "/json");
        if (!path)
                return error_set_errnof(reterr, ENOMEM, "Cannot call the Docker Engine: %m");

        r = docker_call(d, "GET", path, &json, reterr);
        if (r < 0)
                return r;

        if (ret_id) {
                id = strdup(strempty(json_object_get_string(json, "Id")));
                if (!id)
                        return error_set_errnof(reterr, ENOMEM, "Cannot call the Docker Engine: %m");
                *ret_id = TAKE_PTR(id);
        }
        return 0;
}
