/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* polkit's agent for terminals, pkttyagent: it asks for a password where no desktop does. */

#include "ctl-bus.h"

/* Starts it where there is somebody to ask, by the rule that systemctl has: not for root, who is never asked;
 * only with a terminal as standard input; not with --no-ask-password or --host. Goes on without it where it
 * cannot be had. To be called right before a call that may need authentication. */
void polkit_agent_open(const Ctl *c);
void polkit_agent_close(void);

/* Starts the agent that is installed as 'program', and waits until it is ready. 'fd' is the terminal. */
int polkit_agent_start(const char *program, int fd, pid_t *ret);
