-- SPDX-License-Identifier: LGPL-2.1-or-later
-- What was brought back after a start of the Engine. $N are bound parameters; times are µs since the epoch.

-- As recovery_record_read() takes it, here and below.
-- name: recovery-last
SELECT id, reason, boot, (extract(epoch FROM engine_started_at) * 1000000)::bigint,
        (extract(epoch FROM begun_at) * 1000000)::bigint, (extract(epoch FROM ended_at) * 1000000)::bigint,
        total, healthy, to_json(failed)
FROM recoveries ORDER BY id DESC LIMIT 1;

-- The Engine was started once more in the middle of it.
-- name: recovery-supersede
UPDATE recoveries SET ended_at = clock_timestamp() WHERE ended_at IS NULL;

-- Those of years ago tell nobody anything.
-- name: recovery-prune
DELETE FROM recoveries WHERE id <= (SELECT max(id) FROM recoveries) - 1000;

-- With nothing to bring back it is over.
-- name: recovery-begin
INSERT INTO recoveries (reason, boot, engine_started_at, total, ended_at)
VALUES ($1, $2, timestamptz 'epoch' + $3::bigint * interval '1 microsecond', $4::integer,
        CASE WHEN $4::integer = 0 THEN clock_timestamp() END)
RETURNING id, reason, boot, (extract(epoch FROM engine_started_at) * 1000000)::bigint,
        (extract(epoch FROM begun_at) * 1000000)::bigint, (extract(epoch FROM ended_at) * 1000000)::bigint,
        total, healthy, to_json(failed);

-- Repeated, it gives the same.
-- name: recovery-end
UPDATE recoveries SET ended_at = coalesce(ended_at, clock_timestamp()), total = $2::integer, healthy = $3::integer,
        failed = $4::text[]
WHERE id = $1
RETURNING id, reason, boot, (extract(epoch FROM engine_started_at) * 1000000)::bigint,
        (extract(epoch FROM begun_at) * 1000000)::bigint, (extract(epoch FROM ended_at) * 1000000)::bigint,
        total, healthy, to_json(failed);
