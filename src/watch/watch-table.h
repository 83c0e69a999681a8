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
        char *image;    /* its name; NULL: not told, as below */
        char *image_id; /* only a list tells */
        ContainerState state;
        ContainerHealth health;
        bool has_healthcheck;
        int exit_code; /* of the last run, -1 if it never ended */
        usec_t since;
        usec_t started;      /* the last time */
        unsigned n_restarts; /* that nobody asked for, since we watch */
        bool oom;            /* this run, or the last one where none goes on, ran out of memory */
        bool stopped;        /* somebody asked for the end of the last run, so the Engine starts none */
        usec_t killed;       /* when somebody sent a signal, the last time */

        bool listed;         /* seen in the current list */
        bool wanted, looked; /* a look at it was asked for; was taken */
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

/* A whole list of the Engine's, made now (realtime), takes the place of what was known, and all of it is to be
 * sent. */
int watch_table_set(WatchTable *t, const DockerObjects *list, usec_t realtime);
/* Takes a later look at some containers, but only for what events don't tell: whether there is a healthcheck, and
 * the image's id. NULL: the look failed, the next start of each asks for another one. */
void watch_table_set_details(WatchTable *t, const DockerObjects *list);
/* Returns 1 if the event leaves that open, and no look was asked for yet; 0 otherwise. */
int watch_table_apply(WatchTable *t, const DockerEvent *e);

void watch_table_queue_all(WatchTable *t);
/* The first one that is to be sent, or NULL. */
WatchContainer *watch_table_next(const WatchTable *t);
/* It was sent. One that is removed is forgotten, and freed. */
void watch_table_sent(WatchTable *t, WatchContainer *c);
