/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The datagrams that the workers and ccp-watch send to ccpd: text, KEY=VALUE lines. They are hints that may
 * get lost: what must last is in the records, and ccp-watch sends its whole list again. */

#include "byte-meter.h"
#include "container-state.h"
#include "time-util.h"

#define NOTIFY_DATAGRAM_MAX 8192U
#define NOTIFY_TEXT_MAX 1024U

typedef enum NotifyType {
        NOTIFY_JOB,        /* how far a job is */
        NOTIFY_ENGINE,     /* the Engine came or went */
        NOTIFY_CONTAINER,  /* the state of a container */
        NOTIFY_LIST_BEGIN, /* all containers follow, each in a datagram of its own … */
        NOTIFY_LIST_END,   /* … and what was not among them is gone */
        _NOTIFY_TYPE_MAX,
        _NOTIFY_TYPE_INVALID = -EINVAL,
} NotifyType;

typedef struct NotifyMessage {
        NotifyType type;

        /* NOTIFY_JOB */
        uint64_t job;
        int progress;    /* percent of the whole job, -1 if not told */
        char *message;   /* NULL if not told */
        ByteCount bytes; /* of what is at work; all 0 if that is not counted in bytes */

        /* NOTIFY_ENGINE */
        bool engine_available;
        usec_t engine_started; /* realtime, 0 if unknown */

        /* NOTIFY_CONTAINER */
        char *instance; /* slug */
        char *uuid;     /* of the instance */
        char *service;
        char *container; /* its id */
        ContainerState state;
        ContainerHealth health;
        int exit_code;       /* of the last run, -1 if it never ended */
        usec_t since;        /* in this state; realtime, 0 if unknown */
        usec_t started;      /* the last time; realtime, 0 if unknown */
        unsigned n_restarts; /* that nobody asked for, since the sender watches */
        bool oom_killed;     /* the last run ended for want of memory */
        bool stopped;        /* it ended, and the Engine is not going to start it again */
        char *image;         /* its name; NULL if not told, as below */
        char *image_id;      /* "sha256:…" */
} NotifyMessage;

void notify_message_done(NotifyMessage *m);
#define _cleanup_notify_message_ _cleanup_(notify_message_done)

/* The datagram's text. The message of a job is cut at NOTIFY_TEXT_MAX, and what can't be printed becomes a
 * blank; anything else that can't be written so is -EINVAL. */
int notify_message_format(const NotifyMessage *m, char **ret, size_t *ret_size);
/* Reads one. Unknown keys are passed over; -EBADMSG if it is none of the above, or wrong. */
int notify_message_parse(const char *data, size_t size, NotifyMessage *ret);

/* A socket to send from: close it with safe_close(). Returns the descriptor. */
int notify_socket_new(void);
/* Sends, without ever waiting. path NULL: CCP_NOTIFY_SOCKET. -EAGAIN: its queue is full. -ENOENT and
 * -ECONNREFUSED: ccpd's socket is not there. */
int notify_socket_send(int fd, const char *path, const NotifyMessage *m);

/* For who must not lose a datagram: a connected socket becomes writable again when its queue has room.
 * Errors as above; after -ECONNREFUSED it is of no more use. */
int notify_socket_new_connected(const char *path);
int notify_socket_send_connected(int fd, const NotifyMessage *m);
