-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Who was granted which role. $N are bound parameters; times are µs since the epoch.

-- As role_records_read() takes them.
-- name: roles-select
SELECT r.subject, r.id, r.name, r.role, r.instance, i.slug, (extract(epoch FROM r.granted_at) * 1000000)::bigint,
        r.granted_by
FROM roles r LEFT JOIN instances i ON i.id = r.instance
ORDER BY i.slug COLLATE "C" NULLS FIRST, r.subject = 'group', r.name COLLATE "C";

-- Whoever grants waits here for the others, so that they can be counted.
-- name: roles-lock
SELECT pg_advisory_xact_lock(4849664381402115);

-- The instance stays as long as the transaction lasts.
-- name: role-instance
SELECT slug FROM instances WHERE id = $1 FOR KEY SHARE;

-- How many there are, and the one of a subject ($1, $2) in a scope ($3), if there is one.
-- name: role-find
SELECT (SELECT count(*) FROM roles), r.role, r.id
FROM (SELECT) AS one
LEFT JOIN roles r ON r.subject = $1 AND r.name = $2 AND r.instance IS NOT DISTINCT FROM $3::uuid;

-- name: role-put
INSERT INTO roles (subject, name, instance, id, role, granted_by) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (subject, name, instance) DO UPDATE
SET id = excluded.id, role = excluded.role, granted_by = excluded.granted_by, granted_at = clock_timestamp();

-- name: role-remove
DELETE FROM roles WHERE subject = $1 AND name = $2 AND instance IS NOT DISTINCT FROM $3::uuid;
