/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One call that makes jobs on many instances: it is answered with the paths of all once they are recorded. */

#include "ccpd-operation.h"
#include "job-kind.h"

typedef struct Manager Manager;
typedef struct Instance Instance;
typedef struct JobBatch JobBatch;

/* Takes the operation. NULL when out of memory: then it is still the caller's. */
JobBatch *job_batch_new(Manager *m, Operation *o);
/* One that cannot be made is left out; where a backup is under way, or waits, that is the one. 'spec' may be NULL. A backup
 * waits for its turn, and leaves its instance to others until then. */
void job_batch_add(JobBatch *b, Instance *i, JobKind kind, const json_t *spec);
/* There are no more. If none could be made, the call fails as the first of them did. */
void job_batch_end(JobBatch *b);

/* Frees those that are not at their end. */
void job_batches_forget(Manager *m);
