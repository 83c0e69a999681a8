-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Scrubs: reading backups again that were not read for long. $N are bound parameters; times are µs since the epoch.

-- Those that were not read for $1 days, what was read the longest ago first; none if that is 0. Of a clock that was ahead no
-- backup waits for it to come there again.
-- name: scrub-due
SELECT id FROM backups
WHERE $1::bigint > 0 AND state = 'verified' AND deleted_by IS NULL
        AND (read_at IS NULL OR read_at <= clock_timestamp() - make_interval(days => $1::integer) OR read_at > clock_timestamp())
ORDER BY read_at NULLS FIRST, id;

-- What became of the record meanwhile is newer: it is gone, or was verified anew at another time than $2.
-- name: scrub-read
UPDATE backups SET read_at = clock_timestamp()
WHERE id = $1 AND state = 'verified' AND deleted_by IS NULL AND (extract(epoch FROM verified_at) * 1000000)::bigint = $2
RETURNING id;

-- Where that is on record already it was us, before a connection was lost.
-- name: scrub-damaged
UPDATE backups SET state = 'damaged', error = $3
WHERE id = $1 AND (state = 'verified' OR (state = 'damaged' AND error = $3)) AND deleted_by IS NULL AND (extract(epoch FROM verified_at) * 1000000)::bigint = $2
RETURNING id;

-- Of the backups of instances that are gone: how many there are, how many are damaged, the first of these, and when the verified one was read that
-- was read the longest ago.
-- name: scrub-gone
SELECT count(*), count(*) FILTER (WHERE b.state = 'damaged'), coalesce(min(b.id) FILTER (WHERE b.state = 'damaged'), 0),
        (extract(epoch FROM min(b.read_at) FILTER (WHERE b.state = 'verified')) * 1000000)::bigint
FROM backups b
WHERE b.state <> 'writing' AND b.deleted_by IS NULL AND NOT EXISTS (SELECT FROM instances i WHERE i.id = b.instance);
