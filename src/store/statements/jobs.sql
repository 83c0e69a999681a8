-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Jobs and their steps. $N are bound parameters; times are µs since the epoch.

-- Newest first, as job_record_read() takes them: by id ($1), slug ($2), state ($3), kind ($4), each NULL for
-- any; $7 not NULL: only those that are not at their end and the last $7; $8 not NULL: only of these instances.
-- name: jobs-select
SELECT j.id, j.instance, j.slug, j.kind, j.state, j.state_before, j.spec, j.attempt, j.cancel_requested,
        j.error_name, j.error_message, j.started_by, j.started_by_uid,
        (extract(epoch FROM j.queued_at) * 1000000)::bigint,
        (extract(epoch FROM coalesce(j.turn_at, j.queued_at)) * 1000000)::bigint,
        (extract(epoch FROM j.started_at) * 1000000)::bigint,
        (extract(epoch FROM j.finished_at) * 1000000)::bigint,
        (SELECT coalesce(json_agg(json_build_object(
                                'number', s.number, 'name', s.name, 'state', s.state, 'undo', s.undo,
                                'detail', s.detail,
                                'started_at', (extract(epoch FROM s.started_at) * 1000000)::bigint,
                                'finished_at', (extract(epoch FROM s.finished_at) * 1000000)::bigint)
                        ORDER BY s.number), '[]')
                FROM job_steps s WHERE s.job = j.id)
FROM jobs j
WHERE ($1::bigint IS NULL OR j.id = $1)
        AND ($2::text IS NULL OR j.slug = $2)
        AND ($3::text IS NULL OR j.state = $3)
        AND ($4::text IS NULL OR j.kind = $4)
        AND ($8::uuid[] IS NULL OR j.instance = ANY ($8))
        AND ($7::bigint IS NULL OR j.id IN (
                SELECT a.id FROM jobs a WHERE a.state IN ('waiting', 'queued', 'running', 'undoing')
                UNION
                (SELECT r.id FROM jobs r ORDER BY r.id DESC LIMIT $7)))
ORDER BY j.id DESC
LIMIT $5::bigint OFFSET $6::bigint;

-- No row if another job is on the instance that this one cannot be beside; of one in the state $6 "waiting": if one waits.
-- name: job-insert
INSERT INTO jobs (instance, slug, kind, state, state_before, spec, started_by, started_by_uid)
SELECT i.id, i.slug, $2, $6, i.state, coalesce($3::jsonb, '{}'), $4, $5 FROM instances i WHERE i.id = $1
ON CONFLICT DO NOTHING
RETURNING id;

-- The same about a backup, $1; its instance may be gone, which is told by the state from before.
-- name: job-insert-about-backup
INSERT INTO jobs (instance, slug, kind, state_before, spec, started_by, started_by_uid)
SELECT b.instance, b.slug, $2, coalesce(i.state, 'deleting'), coalesce($3::jsonb, '{}'), $4, $5
FROM backups b LEFT JOIN instances i ON i.id = b.instance WHERE b.id = $1
ON CONFLICT DO NOTHING
RETURNING id;

-- What a job of the kind $2 about the backup $3 has to wait for; the one that waits before another that would, $4.
-- name: job-active-on
SELECT id, kind, slug FROM jobs
WHERE instance = $1 AND CASE WHEN $4 THEN state = 'waiting' ELSE state IN ('queued', 'running', 'undoing') END
        AND CASE WHEN $2 = 'replicate' THEN kind = 'replicate' AND spec ->> 'backup' = $3::bigint::text ELSE kind <> 'replicate' END;

-- The first $3 are done already.
-- name: job-steps-insert
INSERT INTO job_steps (job, number, name, state, started_at, finished_at)
SELECT $1, step.number, step.name,
        CASE WHEN step.number <= $3::bigint THEN 'done' ELSE 'pending' END,
        CASE WHEN step.number <= $3::bigint THEN now() END,
        CASE WHEN step.number <= $3::bigint THEN clock_timestamp() END
FROM unnest($2::text[]) WITH ORDINALITY AS step (name, number);

-- The instance first, then the job: always in this order, so that no two wait for each other.
-- name: job-lock-instance
SELECT id FROM instances WHERE id = (SELECT instance FROM jobs WHERE id = $1) FOR UPDATE;

-- name: job-lock
SELECT state, instance, state_before, attempt FROM jobs WHERE id = $1 FOR UPDATE;

-- The turn of one that waits has come.
-- name: job-admit
UPDATE jobs j SET state = 'queued', state_before = i.state, turn = nextval(pg_get_serial_sequence('jobs', 'id')),
        turn_at = clock_timestamp()
FROM instances i
WHERE j.id = $1 AND j.state = 'waiting' AND NOT j.cancel_requested AND i.id = j.instance;

-- name: job-cancel
UPDATE jobs SET cancel_requested = true WHERE id = $1 AND NOT cancel_requested;

-- name: job-is-cancelled
SELECT cancel_requested FROM jobs WHERE id = $1;

-- name: job-finish-steps
UPDATE job_steps
SET state = CASE state WHEN 'pending' THEN 'skipped' ELSE 'failed' END, finished_at = clock_timestamp()
WHERE job = $1 AND state IN ('pending', 'running', 'undoing');

-- name: job-finish
UPDATE jobs SET state = $2, error_name = $3, error_message = $4, finished_at = clock_timestamp() WHERE id = $1;

-- The session's lock for a job; two keys, so that no other kind of lock has the same.
-- name: job-lock-session
SELECT pg_try_advisory_lock(1129136244, ($1::bigint % 2147483647)::int);

-- The same lock, up to the end of the transaction: for the session that has it, or while no other has it.
-- name: job-lock-worker
SELECT pg_try_advisory_xact_lock(1129136244, ($1::bigint % 2147483647)::int);

-- The attempt $2 was none: repeated, it takes back no other.
-- name: job-uncount-attempt
UPDATE jobs SET attempt = $2::int - 1 WHERE id = $1 AND attempt = $2::int;

-- Repeated, it does not count the attempt again.
-- name: job-claim
UPDATE jobs
SET state = CASE state WHEN 'queued' THEN 'running' ELSE state END,
        attempt = greatest(attempt, $2::int), started_at = coalesce(started_at, clock_timestamp())
WHERE id = $1;

-- The job's state, and whether it shall be cancelled and has this step. A job that is at its end stays as it is, also
-- when it comes to its end just now.
-- name: job-set-step
WITH job AS (SELECT id, state, cancel_requested FROM jobs WHERE id = $1 FOR SHARE),
step AS (
        UPDATE job_steps s
        SET state = $3, undo = coalesce($4::jsonb, s.undo), detail = coalesce($5, s.detail),
                started_at = CASE WHEN $3 = 'running' THEN clock_timestamp() ELSE s.started_at END,
                finished_at = CASE
                        WHEN $3 IN ('done', 'failed', 'undone', 'skipped') THEN clock_timestamp()
                        WHEN $3 IN ('pending', 'running') THEN NULL
                        ELSE s.finished_at END
        FROM job
        WHERE s.job = job.id AND s.number = $2 AND job.state IN ('queued', 'running', 'undoing')
        RETURNING s.number)
SELECT state, cancel_requested, EXISTS (SELECT FROM step) FROM job;

-- The state from before, by which a job that is at its end stays as it is.
-- name: job-set-state
WITH job AS (SELECT id, state FROM jobs WHERE id = $1 FOR UPDATE),
changed AS (
        UPDATE jobs j SET state = $2, error_name = coalesce($3, j.error_name),
                error_message = CASE WHEN $3 IS NULL THEN j.error_message ELSE $4 END
        FROM job WHERE j.id = job.id AND job.state IN ('queued', 'running', 'undoing'))
SELECT state FROM job;

-- What was recorded before says more than that the worker died.
-- name: job-note-crash
UPDATE jobs SET error_name = $2, error_message = $3 WHERE id = $1 AND error_name IS NULL;
