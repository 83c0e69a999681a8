/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "alloc-util.h"
#include "ccp/names.h"
#include "doctor.h"
#include "fd-util.h"
#include "string-util.h"
#include "use-cgroup.h"

#define PARENT_SLICE_PATH CGROUP_ROOT "/ccp.slice"
#define SCOPE_PREFIX "docker-"
#define SCOPE_SUFFIX ".scope"
#define CONTAINER_ID_LENGTH 64U
/* Stray containers that are told; there are hardly ever two. */
#define STRAYS_MAX 8U
/* Processes come before the Engine says that a container runs, and go a moment before it says that one has ended. */
#define SECOND_LOOK_USEC (2 * USEC_PER_SEC)

/* A container whose processes run, in the slice of an instance, while the Engine says that it has ended or is no more. That
 * is what an Engine leaves behind that was killed within a health check (moby #48912): each start of it then ends again,
 * and one that was removed goes on writing to its volumes beside its successor. */
typedef struct Stray {
        char id[CONTAINER_ID_LENGTH + 1];
        char slice[NAME_MAX + 1];
} Stray;

typedef struct Strays {
        Stray items[STRAYS_MAX];
        size_t n;
} Strays;

static bool runs(const DockerObjects *l, const char *id) {
        FOREACH_ARRAY(o, l->items, l->n)
                if (streq(o->id, id))
                        return IN_SET(o->state, CONTAINER_RUNNING, CONTAINER_PAUSED);
        return false;
}

/* "docker-ID.scope" */
static bool scope_to_id(const char *name, char ret[static CONTAINER_ID_LENGTH + 1]) {
        const char *id = startswith(name, SCOPE_PREFIX);

        if (!id || strlen(id) != CONTAINER_ID_LENGTH + strlen(SCOPE_SUFFIX) ||
                        strspn(id, "0123456789abcdef") != CONTAINER_ID_LENGTH ||
                        !streq(id + CONTAINER_ID_LENGTH, SCOPE_SUFFIX))
                return false;

        (void) snprintf(ret, CONTAINER_ID_LENGTH + 1, "%.*s", (int) CONTAINER_ID_LENGTH, id);
        return true;
}

static bool has_process(int slice, const char *id) {
        _cleanup_close_ int group = cgroup_open_container(slice, id);
        pid_t pid;

        return group >= 0 && cgroup_first_process(group, &pid) >= 0;
}

static void look_into_slice(int parent, const char *name, const DockerObjects *containers, Strays *strays) {
        _cleanup_closedir_ DIR *dir = NULL;
        const struct dirent *e;
        int fd;

        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir) {
                if (fd >= 0)
                        (void) close(fd);
                return;
        }

        while (strays->n < STRAYS_MAX && (e = readdir(dir))) {
                Stray *s = strays->items + strays->n;

                if (!scope_to_id(e->d_name, s->id) || runs(containers, s->id) ||
                                !has_process(dirfd(dir), s->id))
                        continue;
                (void) snprintf(s->slice, sizeof(s->slice), "%s", name);
                strays->n++;
        }
}

/* Without the slice of all instances, none runs anything. */
static int look(Docker *docker, DockerObjects *ret, Strays *ret_strays, Error *reterr) {
        char *labels[] = { (char *) "ccp.instance", NULL };
        _cleanup_closedir_ DIR *dir = NULL;
        const struct dirent *e;
        int r;

        ret_strays->n = 0;
        r = docker_list(docker, DOCKER_CONTAINER, labels, ret, reterr);
        if (r < 0)
                return r;
        dir = opendir(PARENT_SLICE_PATH);
        if (!dir)
                return 0;

        while ((e = readdir(dir)))
                if (startswith(e->d_name, "ccp-") && !streq(e->d_name, CCP_JOBS_SLICE))
                        look_into_slice(dirfd(dir), e->d_name, ret, ret_strays);
        return 0;
}

static bool is_among(const Strays *l, const Stray *s) {
        FOREACH_ARRAY(o, l->items, l->n)
                if (streq(o->id, s->id))
                        return true;
        return false;
}

static int add_stray(json_t *findings, const DockerObjects *containers, const Stray *s) {
        const DockerObject *container = NULL;
        _cleanup_free_ char *advice = NULL;

        FOREACH_ARRAY(o, containers->items, containers->n)
                if (streq(o->id, s->id))
                        container = o;

        if (!container) {
                if (asprintf(&advice,
                                    "End it, before it writes to what another one has in use: systemctl "
                                    "stop docker-%s.scope",
                                    s->id) < 0)
                        return -ENOMEM;
                return findings_addf(findings, "containers", FINDING_FAILED, advice,
                                "A container that Docker knows no more still runs in %s.", s->slice);
        }

        if (asprintf(&advice,
                            "End it, then start it anew: ccpctl stop %s; systemctl stop docker-%s.scope; "
                            "ccpctl start %s",
                            strempty(container->instance), s->id, strempty(container->instance)) < 0)
                return -ENOMEM;
        return findings_addf(findings, "containers", FINDING_FAILED, advice,
                        "The container of '%s' in '%s' runs, and Docker says that it does not: it lost "
                        "track of "
                        "it, which a kill of Docker can do. No start of it lasts before it was ended.",
                        strempty(container->service), strempty(container->instance));
}

int doctor_check_containers(json_t *findings, Docker *docker) {
        _cleanup_docker_objects_ DockerObjects before = {}, after = {};
        _cleanup_error_ Error error = {};
        Strays first, second = {};
        unsigned n = 0;
        int r;

        r = look(docker, &before, &first, &error);
        if (r >= 0 && first.n > 0) {
                (void) usleep(SECOND_LOOK_USEC);
                r = look(docker, &after, &second, &error);
        }
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return findings_addf(findings, "containers", FINDING_UNKNOWN, NULL, "%s", error.message);

        FOREACH_ARRAY(s, second.items, second.n) {
                if (!is_among(&first, s))
                        continue;
                r = add_stray(findings, &after, s);
                if (r < 0)
                        return r;
                n++;
        }

        return n > 0 ? 0
                     : findings_addf(findings, "containers", FINDING_OK, NULL,
                                       "What runs of the instances is what Docker says.");
}
