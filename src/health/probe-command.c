/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <stdio.h>

#include "alloc-util.h"
#include "json-util.h"
#include "probe-internal.h"

/* Of the calls around the command itself. */
#define CALL_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define BODY_MAX (1024U * 1024U)

/* Commands run by the Engine's exec calls, in three requests: make it, run it and read what it writes, ask how
 * it ended. Nothing can end it but itself: one that hangs is asked for again before another one is started. */

/* Keeps the last bytes. */
static int on_output(_unused_ DockerStream stream, const char *data, size_t size, void *userdata) {
        ProbeRun *run = userdata;
        size_t n = MIN(size, (size_t) PROBE_OUTPUT_MAX), keep;

        if (!run->probe->wants_output)
                return 0;
        if (!run->output) {
                run->output = malloc(PROBE_OUTPUT_MAX);
                if (!run->output)
                        return -ENOMEM;
        }

        keep = MIN(run->n_output, PROBE_OUTPUT_MAX - n);
        memmove(run->output, run->output + run->n_output - keep, keep);
        memcpy(run->output + keep, data + size - n, n);
        run->n_output = keep + n;
        return 0;
}

static int on_stream(const char *data, size_t size, void *userdata) {
        ProbeRun *run = userdata;
        int r;

        if (!run->raw) {
                r = frame_parser_feed(&run->frames, data, size, on_output, run);
                if (r != -EBADMSG)
                        return r;
                run->raw = true;
        }

        return on_output(DOCKER_STDOUT, data, size, run);
}

static int request(ProbeRun *run, CommandPhase phase, const char *method, const char *path,
                const json_t *body) {
        _cleanup_free_ char *versioned = NULL;
        _cleanup_error_ Error error = {};
        Docker *d = probe_run_docker(run);
        usec_t timeout = phase == COMMAND_START ? PROBE_COMMAND_TIMEOUT_USEC : CALL_TIMEOUT_USEC;
        int r;

        r = docker_versioned_path(d, path, &versioned, &error);
        if (r < 0)
                return r == -ENOMEM ? r : probe_run_unknown(run);

        run->phase = phase;
        run->transfer = (DockerTransfer) {};
        r = docker_transfer_prepare(
                        &run->transfer, run->easy, docker_socket(d), method, versioned, timeout, BODY_MAX);
        if (r >= 0 && body)
                r = docker_transfer_set_body(&run->transfer, body);
        if (r < 0)
                return r;

        if (phase == COMMAND_START) {
                run->transfer.stream = on_stream;
                run->transfer.stream_userdata = run;
        }
        (void) curl_easy_setopt(run->easy, CURLOPT_PRIVATE, run);
        return probe_run_add_transfer(run);
}

static int request_of_exec(
                ProbeRun *run, CommandPhase phase, const char *method, const char *id, const char *what) {
        _cleanup_json_ json_t *body = phase == COMMAND_START ? json_object() : NULL;
        _cleanup_free_ char *path = NULL;

        path = docker_id_is_valid(id) ? strjoin("/exec/", id, what) : NULL;
        if (!path || (phase == COMMAND_START && !body))
                return docker_id_is_valid(id) ? -ENOMEM : probe_run_unknown(run);

        return request(run, phase, method, path, body);
}

static int create(ProbeRun *run) {
        _cleanup_json_ json_t *body = NULL, *argv = json_array();
        _cleanup_free_ char *path = NULL;

        for (char **word = run->probe->health->command; word && *word; word++)
                if (json_array_append_new(argv, json_string(*word)) < 0)
                        return -ENOMEM;
        body = json_pack("{s:b, s:b, s:O}", "AttachStdout", 1, "AttachStderr", 1, "Cmd", argv);
        path = strjoin("/containers/", run->probe->container, "/exec");
        if (!body || !path)
                return -ENOMEM;

        return request(run, COMMAND_CREATE, "POST", path, body);
}

static int command_begin(ProbeRun *run) {
        run->deadline = run->begun + PROBE_COMMAND_TIMEOUT_USEC;
        if (!probe_run_docker(run) || !run->probe->container || !docker_id_is_valid(run->probe->container))
                return probe_run_unknown(run);
        if (run->probe->running_exec)
                return request_of_exec(run, COMMAND_CHECK, "GET", run->probe->running_exec, "/json");

        return create(run);
}

static int give_output(ProbeRun *run) {
        return run->output ? text_make_printable(run->output, run->n_output, &run->probe->output) : 0;
}

static int ended(ProbeRun *run, const json_t *answer) {
        Probe *p = run->probe;
        int r;

        if (json_is_true(json_object_get(answer, "Running")))
                return probe_run_unknown(run);

        p->status = (int) json_integer_value(json_object_get(answer, "ExitCode"));
        r = give_output(run);
        if (r < 0)
                return r;
        if (p->status == 0)
                return probe_run_good(run, p->latency);
        return probe_run_bad(run, "fails its health command (exit code %d)", p->status);
}

static int still_running(ProbeRun *run, const char *id) {
        run->probe->exec = strdup(id);
        if (!run->probe->exec)
                return -ENOMEM;

        return probe_run_bad(run, "has a health command that does not end");
}

static int command_answered(ProbeRun *run, const json_t *answer) {
        const char *id;

        switch (run->phase) {
        case COMMAND_CHECK:
                if (json_is_true(json_object_get(answer, "Running")))
                        return still_running(run, run->probe->running_exec);
                return create(run);
        case COMMAND_CREATE:
                id = json_object_get_string(answer, "Id");
                run->exec_id = id ? strdup(id) : NULL;
                if (!run->exec_id)
                        return probe_run_unknown(run);
                return request_of_exec(run, COMMAND_START, "POST", run->exec_id, "/start");
        case COMMAND_START:
                run->probe->latency = MAX(now(CLOCK_MONOTONIC) - run->begun, (usec_t) 1);
                return request_of_exec(run, COMMAND_INSPECT, "GET", run->exec_id, "/json");
        default:
                return ended(run, answer);
        }
}

static int command_on_transfer(ProbeRun *run, CURLcode code) {
        _cleanup_json_ json_t *answer = NULL;
        _cleanup_error_ Error error = {};
        int r;

        r = docker_transfer_finish(
                        &run->transfer, code, run->phase == COMMAND_START ? NULL : &answer, &error);
        docker_transfer_done(&run->transfer);
        if (r == -ENOMEM)
                return r;
        /* It is not known any more: the Engine was started anew, or has forgotten it. */
        if (r < 0 && run->phase == COMMAND_CHECK && r == -ENOENT)
                return create(run);
        if (r < 0 && streq_ptr(error.name, CCP_ERROR_ENGINE_UNAVAILABLE))
                return run->phase == COMMAND_START && code == CURLE_OPERATION_TIMEDOUT
                                ? still_running(run, run->exec_id)
                                : probe_run_unknown(run);
        if (r < 0)
                return probe_run_bad(
                                run, "can't be asked by its health command: %s", strempty(error.message));

        return command_answered(run, answer);
}

static int command_on_time(ProbeRun *run) {
        return run->phase == COMMAND_START && run->exec_id ? still_running(run, run->exec_id)
                                                           : probe_run_unknown(run);
}

static void command_end(ProbeRun *run) {
        docker_transfer_done(&run->transfer);
        free(run->exec_id);
        free(run->output);
}

const ProbeOps probe_command_ops = {
        .begin = command_begin,
        .on_transfer = command_on_transfer,
        .on_time = command_on_time,
        .end = command_end,
};
