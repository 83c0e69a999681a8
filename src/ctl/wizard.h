/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The interactive create: five pages of questions. */

#include "create-request.h"

/* Fills the request. Nothing has been created when it returns; -ECANCELED, with the error Cancelled, if the
 * person left. */
int wizard_run(Ctl *c, CreateRequest *q, Error *reterr);
