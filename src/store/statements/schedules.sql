-- SPDX-License-Identifier: LGPL-2.1-or-later
-- When schedules were due. $N are bound parameters; times are µs since the epoch.

-- name: schedules-select
SELECT expression, knock, (extract(epoch FROM knocked_before) * 1000000)::bigint,
        (extract(epoch FROM knocked_at) * 1000000)::bigint, (extract(epoch FROM next_at) * 1000000)::bigint
FROM schedules ORDER BY expression;

-- A timer says that it is time.
-- name: schedule-knock
INSERT INTO schedules (expression, knock, knocked_at) VALUES ($1, nextval('schedule_knocks'), clock_timestamp())
ON CONFLICT (expression) DO UPDATE SET knock = excluded.knock, knocked_before = schedules.knocked_at,
        knocked_at = excluded.knocked_at;

-- Those that nothing goes by any more are forgotten.
-- name: schedules-keep
DELETE FROM schedules WHERE expression <> ALL ($1::text[]);

-- When PID 1 says that it is due the next time.
-- name: schedule-set-next
INSERT INTO schedules (expression, next_at) VALUES ($1, to_timestamp($2::bigint / 1000000.0))
ON CONFLICT (expression) DO UPDATE SET next_at = excluded.next_at
WHERE schedules.next_at IS DISTINCT FROM excluded.next_at;
