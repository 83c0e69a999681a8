/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What is known of every container of every instance, and which of it ccpd has not been told yet. Several
 * changes of one container that could not be sent become one. Pure. */

#include "docker-event.h"
#include "hash.h"

typedef struct WatchContainer WatchContainer;
struct WatchContainer {
        char *id; /* key */
        char *instance, *uuid, *service;
        ContainerState state;
        ContainerHealth health;
        bool has_healthcheck;
        int exit_code; /* of the last run, -1 if it never ended */
        usec_t since;

        bool listed; /* seen in the current list */
        bool queued;
        WatchContainer *prev, *next; /* of the queue */
        UT_hash_handle hh;
};

/* Initialize with {}. */
typedef struct WatchTable {
        WatchContainer *by_id;
        WatchContainer *queue;
} WatchTable;

void watch_table_done(WatchTable *t);
size_t watch_table_size(const WatchTable *t);

/* A whole list of the Engine's takes the place of what was known, and all of it is to be sent. */
int watch_table_set(WatchTable *t, const DockerObjects *list);
/* Takes a later look at some containers, but only for what events don't tell: whether there is a
 * healthcheck. */
void watch_table_set_health(WatchTable *t, const DockerObjects *list);
/* Returns 1 if the event leaves open whether the container has a healthcheck, 0 otherwise. */
int watch_table_apply(WatchTable *t, const DockerEvent *e);

void watch_table_queue_all(WatchTable *t);
/* The first one that is to be sent, or NULL. */
WatchContainer *watch_table_next(const WatchTable *t);
/* It was sent. One that is removed is forgotten, and freed. */
void watch_table_sent(WatchTable *t, WatchContainer *c);
