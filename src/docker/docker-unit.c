/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "docker-unit.h"

#include <systemd/sd-bus.h>

#include "alloc-util.h"
#include "log.h"
#include "string-util.h"

#define UNIT_PATH(name) "/org/freedesktop/systemd1/unit/docker_2e" name

/* PID 1 answers at once, or something is very wrong. */
#define BUS_TIMEOUT_USEC (5ULL * 1000 * 1000)

static int read_state(sd_bus *bus, const char *path, char **ret) {
        return sd_bus_get_property_string(bus, "org.freedesktop.systemd1", path,
                        "org.freedesktop.systemd1.Unit", "ActiveState", NULL, ret);
}

static int ask(char **ret_service, char **ret_socket) {
        sd_bus *bus = NULL;
        int r;

        r = sd_bus_open_system(&bus);
        if (r >= 0)
                r = sd_bus_set_method_call_timeout(bus, BUS_TIMEOUT_USEC);
        if (r >= 0)
                r = read_state(bus, UNIT_PATH("service"), ret_service);
        if (r >= 0)
                r = read_state(bus, UNIT_PATH("socket"), ret_socket);
        sd_bus_flush_close_unref(bus);
        return r;
}

bool docker_unit_is_stopped(void) {
        _cleanup_free_ char *service = NULL, *socket = NULL;
        int r;

        r = ask(&service, &socket);
        if (r < 0) {
                log_debug_errno(r, "Cannot ask whether docker.service runs, ignoring: %m");
                return false;
        }

        return streq(socket, "active") &&
                        (streq(service, "inactive") || streq(service, "failed") ||
                                        streq(service, "deactivating"));
}
