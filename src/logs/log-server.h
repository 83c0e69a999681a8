/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Takes connections of ccpd and starts a reader for each. */

/* Takes them from a listening socket, and starts 'program' with each as its standard input and output, until there
 * was nothing to do for a while. 0 or a negative errno. */
int log_server_run(int fd, const char *program);
