/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Questions on the terminal. They are written to standard error, answers are read from standard input. All
 * return -ECANCELED at the end of input (Ctrl-D), -EINTR for Ctrl-C, and other errors of reading. */

#include "ccp/macro.h"

/* Reads a line. An empty one gives a copy of 'fallback', unless that is NULL. */
int prompt_line(const char *question, const char *fallback, char **ret);
/* The same without echo; to be freed with erase_and_free(). */
int prompt_secret(const char *question, char **ret);
/* Asks until it is answered with yes or no. Returns 1 or 0. */
int prompt_yes_no(const char *question, bool fallback);
