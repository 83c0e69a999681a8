/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Starting, stopping and watching units of PID 1 (org.freedesktop.systemd1(5)). All calls are asynchronous:
 * a PID 1 that is busy delays nobody but the caller that waits for it. */

#include <systemd/sd-bus.h>

#include "error.h"
#include "time-util.h"

typedef struct UnitClient UnitClient;
typedef struct UnitRequest UnitRequest;

/* A unit request ended. 'error' is NULL when PID 1 finished the job with the result "done"; InvalidArgument when what the unit's
 * name stands for makes no unit; Busy when the
 * system is going down, the unit is still being stopped, or PID 1 did not answer, or not tell the end within ten
 * minutes: then it may have done it. */
typedef void (*unit_request_handler_t)(const Error *error, void *userdata);

/* PID 1 forgot a unit: with CollectMode=inactive-or-failed, it has ended; or PID 1 reads its configuration
 * again, which forgets and finds all units. unit_client_list() tells which. */
typedef void (*unit_removed_handler_t)(const char *unit, void *userdata);

/* PID 1 was replaced (daemon-reexec): what is known of its units is to be read again. */
typedef void (*unit_reset_handler_t)(void *userdata);

/* The units that match a pattern and are active, activating or deactivating; NULL after an error. */
typedef void (*unit_list_handler_t)(char *const *units, const Error *error, void *userdata);

/* When a timer elapses the next time by the wall clock; 0: PID 1 does not say. */
typedef void (*unit_timer_handler_t)(const char *unit, usec_t next, void *userdata);

/* The bus must be attached to an event loop. */
int unit_client_new(sd_bus *bus, unit_removed_handler_t removed, unit_reset_handler_t reset, void *userdata,
                UnitClient **ret);
UnitClient *unit_client_free(UnitClient *c);
DEFINE_CLEANUP_FUNC(UnitClient *, unit_client_free);

/* Starts or stops a unit. The request calls the handler once and frees itself after it; free it earlier to
 * have it not called. At most 64 requests are in flight, further ones wait. ret may be NULL. */
int unit_client_start(UnitClient *c, const char *unit, unit_request_handler_t handler, void *userdata,
                UnitRequest **ret);
int unit_client_stop(UnitClient *c, const char *unit, unit_request_handler_t handler, void *userdata,
                UnitRequest **ret);
UnitRequest *unit_request_free(UnitRequest *q);

/* As what the error of a request that is made again is logged: that PID 1 is busy, or the system goes down, is no fault of
 * anything (LOG_INFO), all else is worth a look (LOG_WARNING). */
int unit_error_level(const Error *error);

/* A further call with the same pattern takes the place of one that was not answered yet. */
int unit_client_list(UnitClient *c, const char *pattern, unit_list_handler_t handler, void *userdata);

/* A further call about the same timer takes the place of one that was not answered yet. */
int unit_client_read_timer(UnitClient *c, const char *unit, unit_timer_handler_t handler, void *userdata);
