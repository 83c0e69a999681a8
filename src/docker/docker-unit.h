/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What PID 1 says of the Engine's unit. */

#include "ccp/macro.h"

/* Whether docker.service is stopped, or is being stopped, while its socket stays: to connect would start it again behind
 * the back of whoever stopped it. False where nobody can tell. */
bool docker_unit_is_stopped(void);
