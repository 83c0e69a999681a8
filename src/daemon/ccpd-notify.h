/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The receiving end of /run/ccpd/notify: how far the jobs are, what the containers do. */

#include "ccpd-manager.h"

/* Takes the socket from PID 1. Without one (in a test) nothing is received. What comes waits in its queue until... */
int manager_listen_notify(Manager *m);
/* ...the instances and jobs are known that it is about. */
int manager_hear_notify(Manager *m);
