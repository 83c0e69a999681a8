/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Bus messages as JSON: properties become objects with keys in snake_case, structs that we know become
 * objects too, and everything else what it is nearest to. All that ccpctl shows is made of this JSON. */

#include <systemd/sd-bus.h>

#include "json-util.h"

/* "StartedByUID" gives "started_by_uid". NULL: out of memory. */
char *snake_case(const char *name);

/* Reads the next complete value. Numbers above INT64_MAX ("never") become null. 0 or a negative errno. */
int json_from_message(sd_bus_message *m, json_t **ret);

/* Reads a{sv}: the properties of an interface, or something that has the same keys. */
int json_from_properties(sd_bus_message *m, const char *interface, json_t **ret);

/* Reads the rows that the method of this name returns: aa{sv} or an array of structs. */
int json_from_rows(sd_bus_message *m, const char *interface, const char *method, json_t **ret);

/* Text of a value for people, in one line: lists and objects as "a b" and "a=1 b=2"; deeper ones as JSON.
 * NULL: out of memory. */
char *json_to_text(const json_t *v);

/* The string at a key, "" if there is none. Borrowed. */
const char *json_get_text(const json_t *o, const char *key);
