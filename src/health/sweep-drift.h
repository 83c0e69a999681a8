/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Looks whether the files of an instance's active revision are those that were recorded. A start refuses others; that
 * somebody edited one shall be known before. */

#include "db-sync.h"
#include "records.h"

/* 'instances' is a descriptor of the folder of all instances. What differs is recorded with the instance, if it is not
 * what is there already; that is how ccpd learns of it. 1 if it was recorded, 0 if nothing was to do. */
int sweep_drift(DbSync *db, int instances, const InstanceRecord *i, Error *reterr);
