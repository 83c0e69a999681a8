/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* ccp-doctor: looks at the host for ccpd, which may neither talk to the Engine nor wait for a disk. PID 1 starts it for
 * each connection to its socket: a line of JSON comes in, {"subnet_pool": …, "disk_percent": …}, an array of findings goes
 * out. */

#include <stdio.h>

#include "alloc-util.h"
#include "docker-unit.h"
#include "doctor.h"
#include "fd-util.h"
#include "json-util.h"
#include "log.h"

#define REQUEST_MAX 4096U

typedef struct Request {
        Subnet pool;
        bool has_pool;
        unsigned disk_percent; /* 0: not said */
} Request;

static int read_request(Request *ret) {
        _cleanup_json_ json_t *request = NULL;
        _cleanup_free_ char *text = NULL;
        const char *pool;
        json_int_t percent;
        int r;

        r = read_full_fd(STDIN_FILENO, REQUEST_MAX, &text, NULL);
        if (r < 0)
                return log_error_errno(r, "Failed to read the request: %m");

        r = json_parse(text, strlen(text), 0, &request);
        if (r == -ENOMEM)
                return log_error_errno(r, "Failed to read the request: %m");
        if (!json_is_object(request))
                return log_error_errno(-EBADMSG, "The request is no JSON object.");

        pool = json_object_get_string(request, "subnet_pool");
        ret->has_pool = pool && subnet_parse(pool, &ret->pool) >= 0;
        percent = json_integer_value(json_object_get(request, "disk_percent"));
        ret->disk_percent = percent > 0 && percent <= 100 ? (unsigned) percent : 0;
        return 0;
}

static int examine(json_t *findings, const Request *q) {
        _cleanup_(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        _cleanup_docker_ Docker *docker = NULL;
        _cleanup_free_ char *root = NULL;
        int r;

        r = docker_new(NULL, &docker);
        if (r < 0)
                return r;
        r = sd_bus_open_system(&bus);
        if (r < 0)
                return r;
        r = doctor_check_engine(
                        findings, docker, !docker_unit_is_stopped(), q->has_pool ? &q->pool : NULL, &root);
        if (r < 0)
                return r;
        r = doctor_check_host(findings, root, q->disk_percent);
        if (r < 0)
                return r;
        return doctor_check_system(findings, bus);
}

int main(void) {
        _cleanup_json_ json_t *findings = NULL;
        Request request = {};
        int r;

        log_open();
        r = read_request(&request);
        if (r < 0)
                return EXIT_FAILURE;

        findings = json_array();
        r = findings ? examine(findings, &request) : -ENOMEM;
        if (r >= 0 && (json_dumpf(findings, stdout, JSON_COMPACT) < 0 || fflush(stdout) != 0))
                r = -EIO;
        if (r < 0)
                (void) log_error_errno(r, "Failed to look at the host: %m");

        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
