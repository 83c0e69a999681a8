/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Long output goes through a pager, as with systemctl: $CCP_PAGER, $SYSTEMD_PAGER, $PAGER, or less. */

#include "ccp/macro.h"

/* Starts the pager and connects standard output to it, if that is a terminal; does nothing where no pager
 * can be had. */
void pager_open(void);
/* Ends the output and waits until the person is done. */
void pager_close(void);

/* The words of the pager to run, from the environment; NULL if there is to be none, -ENOMEM. In secure mode
 * (someone else's privileges: sudo) a pager that is not known to keep to it is not used. */
int pager_choose(bool secure, char ***ret);
