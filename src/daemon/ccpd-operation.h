/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A method call that is answered later. It is answered exactly once, whatever path frees it: from
 * operation_free() at the latest. */

#include <systemd/sd-bus.h>

#include "audit.h"
#include "error.h"

typedef struct Manager Manager;
typedef struct Operation Operation;

/* Keeps the message, and who sent it. NULL: out of memory. The manager owns the operation until it is answered,
 * and frees the rest at its end. */
Operation *operation_new(Manager *m, sd_bus_message *message);
Operation *operation_free(Operation *o);
DEFINE_CLEANUP_FUNC(Operation *, operation_free);

sd_bus_message *operation_message(Operation *o);
Manager *operation_manager(Operation *o);
/* Who called; lives as long as the operation, whether he is still there or not. */
const AuditActor *operation_actor(const Operation *o);

/* How many calls of a user are not answered yet. */
unsigned operations_count(const Manager *m, uid_t uid);

/* Answer and free. No operation (NULL) is allowed: then nobody waits any more. types NULL: an empty answer. */
void operation_reply(Operation *o, const char *types, ...);
void operation_reply_message(Operation *o, sd_bus_message *reply);
void operation_fail(Operation *o, const Error *error);
/* Answers with an array of n elements of the type 'contents', each appended by 'append'. 'what' completes "Cannot
 * …": "list the jobs". */
typedef int (*operation_append_t)(sd_bus_message *reply, Operation *o, const void *items, size_t k);
void operation_reply_array(Operation *o, const char *contents, const void *items, size_t n,
                operation_append_t append, const char *what);
