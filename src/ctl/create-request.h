/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What an instance is to be made of: gathered from the command line or from the questions of the interactive
 * create, and sent to CreateInstance() or PlanInstance(). */

#include "ctl-bus.h"

typedef struct RequestParameter {
        char *name;
        char *value; /* wiped when it goes: it may be a secret */
} RequestParameter;

typedef struct CreateRequest {
        char *slug, *blueprint, *domain, *name, *source;
        char **limits;   /* keys and values in turn */
        char **features; /* NAME, or NAME=no for one that is on by default */
        RequestParameter *parameters;
        size_t n_parameters, n_allocated;
} CreateRequest;

void create_request_done(CreateRequest *q);
#define _cleanup_create_request_ _cleanup_(create_request_done)

/* Sets a parameter, in place of an earlier value; NULL takes it back. Copies both. 0 or -ENOMEM. */
int create_request_set(CreateRequest *q, const char *name, const char *value);
/* The value, or NULL. */
const char *create_request_get(const CreateRequest *q, const char *name);

/* Calls CreateInstance() or PlanInstance(). */
int create_request_send(Ctl *c, const CreateRequest *q, const char *method, sd_bus_message **ret_reply,
                Error *reterr);
/* PlanInstance(), and its result. */
int create_request_plan(Ctl *c, const CreateRequest *q, json_t **ret_plan, Error *reterr);
/* Prints a plan for people. */
void plan_print(const json_t *plan);
