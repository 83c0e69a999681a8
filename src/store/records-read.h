/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Rows into records, for the files of the store. Each takes a row of the statement that it names; a negative
 * errno comes with an error. */

#include <libpq-fe.h>

#include "records.h"
#include "store-recovery-key.h"
#include "store-role.h"

/* instances-select */
int instance_record_read(const PGresult *result, int number, InstanceRecord **ret, Error *reterr);
int instance_records_read(const PGresult *result, InstanceRecords *ret, Error *reterr);
/* jobs-select */
int job_record_read(const PGresult *result, int number, JobRecord **ret, Error *reterr);
int job_records_read(const PGresult *result, JobRecords *ret, Error *reterr);
/* secrets-newest */
int secret_records_read(const PGresult *result, SecretRecords *ret, Error *reterr);
/* roles-select; *ret is replaced */
int role_records_read(const PGresult *result, RoleRecords **ret, Error *reterr);
/* recovery-keys-select; *ret is replaced */
int recovery_keys_read(const PGresult *result, RecoveryKeyRecords **ret, Error *reterr);
/* recovery-last and the like; NULL: there was none */
int recovery_record_read(const PGresult *result, RecoveryRecord **ret, Error *reterr);
/* revision-get */
int revision_record_read(const PGresult *result, int number, RevisionRecord **ret, Error *reterr);
