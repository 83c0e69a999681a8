/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rows about alerts into records, for the files of the store. */

#include <libpq-fe.h>

#include "store-alert.h"

/* alert-silences-select; *ret is replaced. */
int silence_records_read(const PGresult *result, SilenceRecords **ret, Error *reterr);
