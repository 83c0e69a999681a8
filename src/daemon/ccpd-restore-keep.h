/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What instances had before a restore is kept for a while: then a job removes it. */

typedef struct Manager Manager;

/* Looks now, and every hour from now on. */
void restore_keep_start(Manager *m);
