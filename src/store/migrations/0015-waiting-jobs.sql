-- SPDX-License-Identifier: LGPL-2.1-or-later

-- A job that waits for its turn is recorded, and leaves its instance to others until then: it is not among those of which an
-- instance has one.
ALTER TABLE jobs DROP CONSTRAINT jobs_state_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_state_check CHECK (state IN
        ('waiting', 'queued', 'running', 'undoing', 'succeeded', 'failed', 'cancelled'));
CREATE UNIQUE INDEX jobs_one_waiting ON jobs (instance) WHERE state = 'waiting';
DROP INDEX jobs_active;
CREATE INDEX jobs_active ON jobs (id) WHERE state IN ('waiting', 'queued', 'running', 'undoing');

-- Of a job that waited: the number that it would have got when its turn came, and when that was. In the order of these, of all
-- others in the order of their own, the jobs of an instance followed each other.
ALTER TABLE jobs
        ADD COLUMN turn bigint,
        ADD COLUMN turn_at timestamptz,
        ADD CHECK ((turn IS NULL) = (turn_at IS NULL));
DROP INDEX jobs_backup;
CREATE INDEX jobs_backup ON jobs (instance, (coalesce(turn, id))) WHERE kind = 'backup';
CREATE INDEX jobs_by_turn ON jobs (slug, (coalesce(turn, id))) WHERE state <> 'waiting';
