/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A stream of a backup as the standard input of a program: a thread opens its frames while the program reads. */

#include "archive-reader.h"

typedef struct JobFeed JobFeed;

/* Begins; 'reader' is the thread's until job_feed_finish(). *ret_fd is what the program reads, and belongs to the feed. */
int job_feed_new(ArchiveReader *reader, const char *stream, JobFeed **ret, int *ret_fd, Error *reterr);
/* Once the program has ended: gives the reader back. An error is that of the stream; that the program did not want all of
 * it is none. */
int job_feed_finish(JobFeed *f, Error *reterr);
/* Bytes that the program has been given. */
uint64_t job_feed_position(const JobFeed *f);
