/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Replaces the master key. A unit of root's makes the next one; ccpd is started anew with both; once no worker is left that
 * has the former one alone, all that is sealed with that is sealed with the next one, some rows at a time; then a unit of
 * root's puts the next one in its place. Whatever ends ccpd meanwhile, it goes on when it is started again: that it has two
 * keys is all that it has to know. */

#include <systemd/sd-bus.h>

#include "error.h"

typedef struct Manager Manager;
typedef struct KeyRotation KeyRotation;

/* NULL: out of memory. */
KeyRotation *key_rotation_new(Manager *m);
/* Returns NULL. */
KeyRotation *key_rotation_free(KeyRotation *k);
DEFINE_CLEANUP_FUNC(KeyRotation *, key_rotation_free);

/* The records were read: goes on, if there is something to go on with. */
void key_rotation_note_loaded(KeyRotation *k);
/* The units of jobs that run now. */
void key_rotation_note_units(KeyRotation *k, char *const *units);

/* Why it does not go on; NULL: it does, or there is nothing to be done. */
const char *key_rotation_error(const KeyRotation *k);
/* How many secrets are still sealed with the former key, as far as that is known. */
uint64_t key_rotation_left(const KeyRotation *k);

int method_rotate_master_key(sd_bus_message *message, void *userdata, sd_bus_error *reterr);
int property_get_master_key(sd_bus *bus, const char *path, const char *interface, const char *property,
                sd_bus_message *reply, void *userdata, sd_bus_error *reterr);
