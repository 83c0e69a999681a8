/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How much may be written to a disk: PostgreSQL, Docker and the instances live there, too, so it never fills one. */

#include "error.h"

/* NoSpace if fewer than 'size' bytes are free on the disk of 'fd' beside what stays free for others, a part of it. 'where' is
 * what the disk is called in the message, 'advice' a sentence on how to make room. */
int disk_check_room(int fd, const char *where, uint64_t size, const char *advice, Error *reterr);
/* The same of files that are to be made: those that there may be. */
int disk_check_entries(int fd, const char *where, uint64_t n, Error *reterr);
