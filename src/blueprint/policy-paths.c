/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The policy on folders that containers can write. Root in a container is root in a folder that is mounted
 * there: it can change each file in it, and put links into it. So nothing may lie in such a folder that the
 * host later opens by its path: not the compose file (it would choose what the next start runs), and nothing
 * that is mounted, built or read from there (a link would lead the engine to any file of the host). A link that
 * came with the source tree could lead there too, so none is followed. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "fd-util.h"
#include "fs-util.h"
#include "path.h"
#include "policy-check.h"
#include "strv.h"
#include "validate.h"

/* Paths of one project; comparing all with all takes the square of it. */
#define PATHS_MAX 500U

typedef struct HostPath {
        const char *path;
        const char *service; /* NULL: of none */
        const char *what;    /* for the sentence */
        bool writable;       /* mounted so that a container can write */
} HostPath;

typedef struct HostPaths {
        HostPath *items;
        size_t n, n_allocated;
} HostPaths;

static void host_paths_done(HostPaths *paths) {
        free(paths->items);
}

static int add_path(
                HostPaths *paths, const char *path, const char *service, const char *what, bool writable) {
        if (!path)
                return 0;
        if (paths->n >= PATHS_MAX)
                return -E2BIG;
        if (!GREEDY_REALLOC(paths->items, paths->n_allocated, paths->n + 1))
                return -ENOMEM;

        paths->items[paths->n++] = (HostPath) { path, service, what, writable };
        return 0;
}

static int collect_service(HostPaths *paths, const char *name, const json_t *service) {
        const json_t *build = json_object_get(service, "build");
        const char *key;
        json_t *item;
        size_t i;
        int r;

        name = string_is_safe(name) ? name : NULL;

        json_array_foreach(json_object_get(service, "volumes"), i, item) {
                if (!streq_ptr(json_object_get_string(item, "type"), "bind"))
                        continue;

                r = add_path(paths, json_object_get_string(item, "source"), name, "The bind mount",
                                !json_is_true(json_object_get(item, "read_only")));
                if (r < 0)
                        return r;
        }

        r = add_path(paths, json_object_get_string(build, "context"), name, "The build context", false);
        if (r < 0)
                return r;

        json_object_foreach(json_object_get(build, "additional_contexts"), key, item) {
                r = add_path(paths, json_string_value(item), name, "The build context", false);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int collect_paths(PolicyCheck *c, HostPaths *paths) {
        static const char *const sections[] = { "secrets", "configs" };
        const char *key;
        json_t *item;
        int r;

        json_object_foreach(json_object_get(c->config, "services"), key, item) {
                r = collect_service(paths, key, item);
                if (r < 0)
                        return r;
        }

        FOREACH_ARRAY(section, sections, ELEMENTSOF(sections)) {
                json_object_foreach(json_object_get(c->config, *section), key, item) {
                        r = add_path(paths, json_object_get_string(item, "file"), NULL, "The file", false);
                        if (r < 0)
                                return r;
                }
        }

        STRV_FOREACH(file, c->input->files) {
                r = add_path(paths, *file, NULL, "The file", false);
                if (r < 0)
                        return r;
        }

        return 0;
}

static int report_of(PolicyCheck *c, const HostPath *p, const char *sentence, const char *argument) {
        int r;

        c->service = p->service;
        r = report(c, POLICY_BIND_OUTSIDE, "%s '%s' %s%s%s.", p->what, TEXT_FOR_ERROR(p->path), sentence,
                        argument ? " " : "", argument ? TEXT_FOR_ERROR(argument) : "");
        c->service = NULL;
        return r;
}

/* What is ccpd's own in the instance's folder. Through the link a path means what its text does not tell. */
static bool is_reserved(const PolicyInput *input, const char *path) {
        static const char *const names[] = { "current", ".current.new", ".ccp" };
        const char *rest = path_is_beneath(input->directory, path) ? path + strlen(input->directory) : "";

        FOREACH_ARRAY(name, names, ELEMENTSOF(names)) {
                const char *after = rest[0] == '/' ? startswith(rest + 1, *name) : NULL;

                if (after && IN_SET(*after, 0, '/'))
                        return true;
        }

        return false;
}

/* True if who can write at this place can change what compose and ccpd read, now or from an older revision. */
static int holds_compose_file(const PolicyInput *input, const char *place) {
        const char *const files[] = { input->compose, BLUEPRINT_OVERRIDE_FILE, BLUEPRINT_COPY_FILE, ".env" };
        const char *slash = strrchr(input->revision, '/');
        _cleanup_free_ char *revisions = NULL;

        FOREACH_ARRAY(name, files, ELEMENTSOF(files)) {
                _cleanup_free_ char *file = NULL;

                file = strjoin(input->revision, "/", *name);
                if (!file)
                        return -ENOMEM;
                if (path_is_beneath(place, file))
                        return 1;
        }

        revisions = strndup(input->revision, slash ? (size_t) (slash - input->revision) : 0);
        if (!revisions)
                return -ENOMEM;

        return path_is_beneath(revisions, place) && !path_is_beneath(input->revision, place);
}

static int check_writable(PolicyCheck *c, const HostPaths *paths, const HostPath *writable) {
        int r;

        r = holds_compose_file(c->input, writable->path);
        if (r < 0)
                return r;
        if (r > 0)
                return report_of(c, writable,
                                "has files that compose or ccpd reads; mount it read-only, or a folder in "
                                "it",
                                NULL);

        FOREACH_ARRAY(p, paths->items, paths->n) {
                if (streq(p->path, writable->path) || !path_is_beneath(writable->path, p->path))
                        continue;

                r = report_of(c, p, "lies in a folder that a container can write; mount that one read-only:",
                                writable->path);
                if (r < 0)
                        return r;
        }

        return 0;
}

int check_writable_folders(PolicyCheck *c) {
        _cleanup_(host_paths_done) HostPaths paths = {};
        int r;

        r = collect_paths(c, &paths);
        if (r == -E2BIG)
                return report(c, POLICY_BIND_OUTSIDE, "There are more than %u mounts and files.", PATHS_MAX);
        if (r < 0)
                return r;

        FOREACH_ARRAY(p, paths.items, paths.n) {
                if (is_reserved(c->input, p->path)) {
                        r = report_of(c, p, "is ccpd's own; name what is in the revision by a relative path",
                                        NULL);
                        if (r < 0)
                                return r;
                }
                if (!p->writable)
                        continue;

                r = check_writable(c, &paths, p);
                if (r < 0)
                        return r;
        }

        return 0;
}

bool policy_path_is_writable(const json_t *config, const char *path) {
        const char *name;
        json_t *service, *mount;
        size_t i;

        json_object_foreach(json_object_get(config, "services"), name, service)
                json_array_foreach(json_object_get(service, "volumes"), i, mount)
                        if (streq_ptr(json_object_get_string(mount, "type"), "bind") &&
                                        !json_is_true(json_object_get(mount, "read_only")) &&
                                        path_is_beneath(strempty(json_object_get_string(mount, "source")),
                                                        path))
                                return true;

        return false;
}

static int check_links(PolicyCheck *c, int folder, const HostPath *p) {
        const char *rest = p->path + strlen(c->input->directory);
        _cleanup_close_ int fd = -EBADF;

        fd = open_beneath(folder, rest[0] ? rest + 1 : ".", O_PATH, 0);
        if (fd >= 0 || IN_SET(fd, -ENOENT, -ENOTDIR))
                return 0;

        return report_of(c, p,
                        fd == -ELOOP ? "leads through a symbolic link; name the place itself"
                                     : "can't be looked at",
                        NULL);
}

int policy_check_links(
                const json_t *config, const PolicyInput *input, int folder, PolicyViolations *violations) {
        PolicyCheck c = { .input = input, .config = config, .violations = violations };
        _cleanup_(host_paths_done) HostPaths paths = {};
        int r;

        r = collect_paths(&c, &paths);
        /* Too many are a violation already. */
        if (r < 0)
                return r == -E2BIG ? 0 : r;

        /* What is outside was allowed by name, or is no path. */
        FOREACH_ARRAY(p, paths.items, paths.n) {
                if (!path_is_beneath(input->directory, p->path))
                        continue;

                r = check_links(&c, folder, p);
                if (r < 0)
                        return r;
        }

        return 0;
}
