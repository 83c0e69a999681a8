-- SPDX-License-Identifier: LGPL-2.1-or-later
-- The storage that backups are copied to, and the copies. $N are bound parameters; times are µs since the epoch.

-- As storage_record_read() takes it. Backups with a copy, and those that should have one and have not; since when the oldest of
-- those should; and what the last attempt failed with, if none came to its end since.
-- name: storage-select
SELECT s.version, s.endpoint, s.region, s.bucket, s.prefix, coalesce(s.path_style, false), s.ca_file, s.key_id,
        coalesce(s.sealed, ''), (extract(epoch FROM s.set_at) * 1000000)::bigint,
        (extract(epoch FROM s.compared_at) * 1000000)::bigint, b.copied, b.missing,
        (SELECT j.error_message FROM jobs j WHERE j.kind = 'replicate' AND j.state IN ('succeeded', 'failed')
                ORDER BY j.id DESC LIMIT 1)
FROM storage s
CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE replicated_at IS NOT NULL) AS copied,
                count(*) FILTER (WHERE replicated_at IS NULL AND state = 'verified') AS missing
        FROM backups WHERE deleted_by IS NULL) b;

-- No row if the version is not $1 any more. Whether what was copied is elsewhere now.
-- name: storage-put
WITH former AS (SELECT endpoint, bucket, prefix FROM storage),
put AS (UPDATE storage SET version = $1::integer + 1, endpoint = $2, region = $3, bucket = $4, prefix = $5,
                path_style = $6::boolean, ca_file = $7, key_id = $8, sealed = ($9::bytea[])[1], set_at = clock_timestamp(),
                compared_at = clock_timestamp()
        WHERE version = $1::integer RETURNING version)
SELECT (f.endpoint, f.bucket, f.prefix) IS DISTINCT FROM ($2, $4, $5) FROM put CROSS JOIN former f;

-- name: storage-forget
UPDATE storage SET version = version + 1, endpoint = NULL, region = NULL, bucket = NULL, prefix = NULL, path_style = NULL,
        ca_file = NULL, key_id = NULL, sealed = NULL, set_at = NULL, compared_at = NULL
WHERE endpoint IS NOT NULL RETURNING version;

-- There is no copy of anything, as far as is known.
-- name: copies-forget
UPDATE backups SET replicated_at = NULL, copy_key = NULL, copy_attempts = 0, copy_due_at = NULL,
        copy_wanted_at = CASE WHEN state = 'verified' THEN clock_timestamp() END;

-- name: doomed-copies-forget
DELETE FROM doomed_copies;

-- What waits is tried now: what it failed with may be mended.
-- name: copies-hurry
UPDATE backups SET copy_due_at = NULL WHERE copy_due_at IS NOT NULL AND replicated_at IS NULL;

-- name: doomed-copies-hurry
UPDATE doomed_copies SET due_at = clock_timestamp() WHERE due_at > clock_timestamp();

-- Since when there should be a copy, by a clock that was ahead: for as long as that has not come again nobody would be told.
-- name: copies-wanted-mend
UPDATE backups SET copy_wanted_at = clock_timestamp() WHERE replicated_at IS NULL AND copy_wanted_at > clock_timestamp();

-- Backups that should have a copy, and in how many µs it is their turn: what is due first, of these the newest first.
-- name: copies-due
SELECT b.id, (extract(epoch FROM wait_left(b.copy_due_at)) * 1000000)::bigint
FROM backups b
WHERE b.state = 'verified' AND b.replicated_at IS NULL AND b.deleted_by IS NULL
        AND NOT EXISTS (SELECT FROM jobs j WHERE j.kind = 'replicate' AND j.state IN ('queued', 'running', 'undoing')
                AND j.spec ->> 'backup' = b.id::text)
ORDER BY wait_left(b.copy_due_at), b.id DESC LIMIT $1::bigint;

-- In how many µs the first of those goes whose backups are deleted; NULL: there is none.
-- name: doomed-copies-due
SELECT CASE WHEN count(*) > 0 THEN (extract(epoch FROM min(wait_left(due_at))) * 1000000)::bigint END
FROM doomed_copies;

-- An attempt begins; the next one is due some time after it, whatever becomes of it.
-- name: copy-attempt
UPDATE backups SET copy_attempts = copy_attempts + 1,
        copy_due_at = clock_timestamp() + least(interval '1 hour', interval '30 seconds' * 2 ^ least(copy_attempts, 10))
WHERE id = $1;

-- From now on something may be there under that name. No row if the storage is not the one of this version any more.
-- name: copy-begin
WITH wanted AS (DELETE FROM doomed_copies WHERE key = $2)
UPDATE backups SET copy_key = $2 WHERE id = $1 AND EXISTS (SELECT FROM storage WHERE version = $3::integer) RETURNING id;

-- name: copy-done
UPDATE backups SET replicated_at = clock_timestamp(), copy_attempts = 0, copy_due_at = NULL
WHERE id = $1 AND copy_key IS NOT NULL AND EXISTS (SELECT FROM storage WHERE version = $2::integer) RETURNING id;

-- The storage has it no more: it is copied anew.
-- name: copy-lost
UPDATE backups SET replicated_at = NULL, copy_due_at = NULL, copy_wanted_at = clock_timestamp()
WHERE id = $1 AND EXISTS (SELECT FROM storage WHERE version = $2::integer);

-- Copies that there should be in the storage.
-- name: copies-list
SELECT id, slug, copy_key, size, state = 'damaged' FROM backups
WHERE replicated_at IS NOT NULL AND deleted_by IS NULL AND state <> 'writing';

-- name: copies-compared
UPDATE storage SET compared_at = clock_timestamp() WHERE version = $1::integer;

-- In how many µs that is to be looked at again, once a day; NULL: there is no storage. No clock that was ahead puts it off.
-- name: copies-compare-due
SELECT CASE WHEN endpoint IS NOT NULL THEN (extract(epoch FROM CASE
                WHEN compared_at IS NULL OR compared_at > clock_timestamp() THEN interval '0'
                ELSE greatest(compared_at + interval '1 day' - clock_timestamp(), interval '0') END) * 1000000)::bigint END
FROM storage;

-- One that is due, put off before it is tried. What is wanted again goes from the list.
-- name: doomed-copy-claim
WITH wanted AS (DELETE FROM doomed_copies d USING backups b WHERE b.copy_key = d.key),
due AS (SELECT d.key FROM doomed_copies d
        WHERE wait_left(d.due_at) = interval '0' AND NOT EXISTS (SELECT FROM backups b WHERE b.copy_key = d.key)
        ORDER BY d.due_at, d.key LIMIT 1 FOR UPDATE SKIP LOCKED)
UPDATE doomed_copies d SET attempts = d.attempts + 1,
        due_at = clock_timestamp() + least(interval '1 hour', interval '1 minute' * 2 ^ least(d.attempts, 10))
FROM due WHERE d.key = due.key RETURNING d.key;

-- It may be gone. Who wants it again since it was claimed has no copy, whatever was seen there: not even one that is being made.
-- name: doomed-copy-lost
UPDATE backups SET replicated_at = NULL, copy_key = NULL, copy_due_at = NULL, copy_wanted_at = clock_timestamp()
WHERE copy_key = $1;

-- name: doomed-copy-end
DELETE FROM doomed_copies WHERE key = $1;

-- Which of these archives are here: their numbers.
-- name: copies-known
SELECT a.archive, coalesce((SELECT b.id FROM backups b WHERE b.archive = a.archive::uuid AND b.state <> 'writing' AND b.deleted_by IS NULL
        ORDER BY b.id LIMIT 1), 0)
FROM unnest($1::text[]) WITH ORDINALITY AS a (archive, place) ORDER BY a.place;
