/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The engine "compose": docker compose on this host, and the Engine's API for what compose can't be trusted
 * with: it removes by name, not by label. */

#include "engine.h"

extern const EngineVTable compose_engine;
