-- SPDX-License-Identifier: LGPL-2.1-or-later
-- What instances take of the disk. $N are bound parameters; times are µs since the epoch.

-- As disk_records_read() takes them.
-- name: disk-select
SELECT instance, kind, name, bytes, complete, (extract(epoch FROM measured_at) * 1000000)::bigint
FROM disk_use
ORDER BY instance, kind, name COLLATE "C";

-- Which instances there are to be measured.
-- name: disk-instances
SELECT id, slug FROM instances ORDER BY slug COLLATE "C";

-- Those kinds that were measured are replaced.
-- name: disk-delete
DELETE FROM disk_use WHERE kind = ANY ($1::text[]);

-- Several containers of one service are one record, and so are volumes that share a name. Instances that are gone
-- meanwhile are left out.
-- name: disk-insert
INSERT INTO disk_use (instance, kind, name, bytes, complete)
SELECT i.id, u.kind, u.name, least(sum(u.bytes), 9223372036854775807)::bigint, min(u.complete) = 1
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[]) AS u (instance, kind, name, bytes, complete)
JOIN instances i ON i.id::text = u.instance
GROUP BY i.id, u.kind, u.name;
