/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a program does when it gets no memory, no thread or no file: the first, the second, … request of a run fails, until a
 * run needs no more of them than did not fail. Once only that one fails, once all that follow it, too.
 *
 * What asks for them is defined in fault.c for the whole program: libraries call that instead of the C library's, also
 * libjansson, libzstd, libsodium and the C library itself, and all threads do. So nothing of ours is built differently, and
 * it works under AddressSanitizer, whose own functions are called in turn. Not seen are the stacks of threads, which the C
 * library maps by itself: that there is none for a thread is what pthread_create() says, which is defined here.
 *
 * A program that uses this has it compiled in: the dependency "test_fault". */

#include <stdbool.h>
#include <stddef.h>

typedef enum FaultKind {
        FAULT_MEMORY = 1
                        << 0, /* malloc() and its like, and mmap(), where libsodium has guarded memory from: ENOMEM */
        FAULT_THREAD = 1 << 1, /* pthread_create(): EAGAIN */
        FAULT_FILE = 1 << 2,   /* open(), openat(), openat2(), memfd_create(): EMFILE */
} FaultKind;

typedef struct FaultScenario {
        /* What is looked at: a negative errno, or 0. It calls nothing of check's, which ends the program without memory. */
        int (*run)(void *userdata);
        /* Looks at what came of it and makes room for the next run; 'failed' tells whether anything did. */
        void (*check)(int r, bool failed, void *userdata);
        void *userdata;
} FaultScenario;

/* Runs it so often. Fails if a run ends with other descriptors, threads or maps of memory than it began with; memory itself
 * is LeakSanitizer's. Returns how many requests there are in a run without faults. */
unsigned fault_loop(unsigned kinds, const FaultScenario *s);

/* The most bytes that were asked for at once since the last call of this. */
size_t fault_largest(void);
