-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Restores: which volumes an instance had before, and has since. $N are bound parameters; times are µs since the epoch.

-- Also of a job that was begun before. $2, $3: 0 is none. As restore_record_read() takes it.
-- name: restore-begin
INSERT INTO restores (job, backup, undoes, instance, revision_before, revision_after, volumes_before, volumes_after)
SELECT $1::bigint, nullif($2::bigint, 0), nullif($3::bigint, 0), i.id, i.revision,
        (SELECT max(number) + 1 FROM revisions WHERE instance = i.id), $5::jsonb, $6::jsonb
FROM instances i WHERE i.id = $4::uuid AND i.revision > 0
ON CONFLICT (job) DO UPDATE SET job = excluded.job
RETURNING id, job, coalesce(backup, 0), coalesce(undoes, 0), instance, state, revision_before, revision_after, volumes_before, volumes_after,
        (extract(epoch FROM switched_at) * 1000000)::bigint, (extract(epoch FROM keep_until) * 1000000)::bigint;

-- name: restore-of-job
SELECT id, job, coalesce(backup, 0), coalesce(undoes, 0), instance, state, revision_before, revision_after, volumes_before, volumes_after,
        (extract(epoch FROM switched_at) * 1000000)::bigint, (extract(epoch FROM keep_until) * 1000000)::bigint
FROM restores WHERE job = $1;

-- The latest first; $1: of which instance, $2: only what is kept, $3: only what need not be kept any longer.
-- name: restore-select
SELECT id, job, coalesce(backup, 0), coalesce(undoes, 0), instance, state, revision_before, revision_after, volumes_before, volumes_after,
        (extract(epoch FROM switched_at) * 1000000)::bigint, (extract(epoch FROM keep_until) * 1000000)::bigint
FROM restores
WHERE instance = $1::uuid AND state <> 'building' AND (NOT $2::boolean OR state = 'kept')
        AND (NOT $3::boolean OR kept_seconds >= keep_hours * 3600::bigint
                AND (keep_until <= clock_timestamp() OR keep_until > clock_timestamp() + make_interval(hours => keep_hours)))
ORDER BY id DESC;

-- In the boot $1 the server was up for $2 seconds. What was not counted before is counted from here.
-- name: restore-count
UPDATE restores SET kept_seconds = kept_seconds + CASE WHEN counted_boot = $1 THEN greatest($2::bigint - counted_at, 0) ELSE 0 END,
        counted_boot = $1, counted_at = $2::bigint
WHERE state = 'kept';

-- The instances of which something need not be kept any longer: so long was counted, and the clock does not say otherwise. One
-- that was ahead then, and is right again, has no say.
-- name: restore-due
SELECT DISTINCT instance FROM restores
WHERE state = 'kept' AND kept_seconds >= keep_hours * 3600::bigint
        AND (keep_until <= clock_timestamp() OR keep_until > clock_timestamp() + make_interval(hours => keep_hours));

-- What it had before is kept for $2 hours, from one reading of the clock.
-- name: restore-switched
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
UPDATE restores SET state = 'kept', switched_at = c.now, keep_until = c.now + make_interval(hours => $2::integer),
        keep_hours = $2::integer, kept_seconds = 0, counted_boot = NULL, counted_at = NULL
FROM clock c WHERE job = $1 RETURNING job;

-- name: restore-switched-back
UPDATE restores SET state = 'building', switched_at = NULL, keep_until = NULL, keep_hours = NULL WHERE job = $1 RETURNING job;

-- Of the one that the job undoes.
-- name: restore-set-undone
UPDATE restores SET state = 'undone' WHERE id = (SELECT undoes FROM restores WHERE job = $1) AND state = 'kept';

-- name: restore-set-kept
UPDATE restores SET state = 'kept' WHERE id = (SELECT undoes FROM restores WHERE job = $1) AND state = 'undone';

-- name: restore-set-discarded
UPDATE restores SET state = 'discarded' WHERE id = $1 AND state = 'kept';

-- name: restore-forget
DELETE FROM restores WHERE job = $1 AND state = 'building';
