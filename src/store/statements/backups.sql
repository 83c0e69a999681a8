-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Backups and the keys that seal them. $N are bound parameters; times are µs since the epoch.

-- Also of a job that was begun before: then it begins anew. With the size of the latest one before it, and of what is in that.
-- name: backup-begin
INSERT INTO backups (instance, slug, job, sequence, consistency, blueprint, blueprint_version, file)
SELECT i.id, i.slug, $2::bigint, s.next, $3, $4, $5,
        i.slug || '-' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS"Z"') || '-' || s.next || '.ccpb'
FROM instances i, LATERAL (SELECT greatest(i.backup_sequence, coalesce(max(sequence), 0)) + 1 AS next
        FROM backups WHERE instance = i.id) s
WHERE i.id = $1::uuid
ON CONFLICT (job) DO UPDATE SET state = 'writing', archive = NULL, size = NULL, contents = '[]'
RETURNING id, sequence, file, (extract(epoch FROM created_at) * 1000000)::bigint,
        coalesce((SELECT o.size FROM backups o WHERE o.instance = backups.instance AND o.state = 'verified' AND o.id <> backups.id
                ORDER BY o.sequence DESC LIMIT 1), 0),
        coalesce((SELECT (SELECT greatest(0, least(9223372036854775807, coalesce(sum(CASE jsonb_typeof(e -> 'size')
                        WHEN 'number' THEN (e ->> 'size')::numeric END), 0)))::bigint FROM jsonb_array_elements(o.contents) e)
                FROM backups o WHERE o.instance = backups.instance AND o.state = 'verified' AND o.id <> backups.id
                ORDER BY o.sequence DESC LIMIT 1), 0);

-- name: backup-written
UPDATE backups SET state = 'written', archive = $2::uuid, size = $3::bigint, contents = $4::jsonb, consistency = $5,
        config = coalesce($6::jsonb, '{}')
WHERE id = $1 RETURNING id;

-- All at the same time: each call of the clock would give another one.
-- name: backup-verified
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS now)
UPDATE backups SET state = 'verified', verified_at = c.now, read_at = c.now, error = NULL,
        copy_wanted_at = coalesce(copy_wanted_at, c.now), recovery_keys = $2::jsonb
FROM clock c WHERE id = $1 RETURNING id;

-- name: backup-damaged
UPDATE backups SET state = 'damaged', error = $2 WHERE id = $1 RETURNING id;

-- That of a job, in any state. As backup_record_read() takes it.
-- name: backup-of-job
SELECT id, instance, slug, coalesce(job, 0), sequence, state, consistency, blueprint, blueprint_version, file,
        coalesce(archive, '00000000-0000-0000-0000-000000000000'), coalesce(size, 0), contents, config,
        (extract(epoch FROM created_at) * 1000000)::bigint, (extract(epoch FROM verified_at) * 1000000)::bigint,
        (extract(epoch FROM read_at) * 1000000)::bigint, error,
        (extract(epoch FROM drilled_at) * 1000000)::bigint, coalesce(drill_took, 0),
        (extract(epoch FROM replicated_at) * 1000000)::bigint, copy_key, encode(signer, 'hex'), recovery_keys
FROM backups WHERE job = $1;

-- One by its number, whole on the disk.
-- name: backup-get
SELECT id, instance, slug, coalesce(job, 0), sequence, state, consistency, blueprint, blueprint_version, file, archive, size, contents, config,
        (extract(epoch FROM created_at) * 1000000)::bigint, (extract(epoch FROM verified_at) * 1000000)::bigint,
        (extract(epoch FROM read_at) * 1000000)::bigint, error,
        (extract(epoch FROM drilled_at) * 1000000)::bigint, coalesce(drill_took, 0),
        (extract(epoch FROM replicated_at) * 1000000)::bigint, copy_key, encode(signer, 'hex'), recovery_keys
FROM backups WHERE id = $1 AND state <> 'writing' AND deleted_by IS NULL;

-- A file that comes from elsewhere: not in any list until its job has read it. No row if it is here already. Its number is
-- that of the file, unless another one has it.
-- name: backup-import
WITH b AS (
        INSERT INTO backups (instance, slug, sequence, consistency, blueprint, blueprint_version, file, archive, created_at, signer)
        SELECT $1::uuid, $2, CASE WHEN $3::bigint <= s.last THEN s.last + 1 ELSE $3::bigint END, 'live', '', '',
                $2 || '-' || to_char(to_timestamp($5::bigint / 1000000.0) AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS"Z"') || '-'
                        || $4 || '.ccpb',
                $4::uuid, to_timestamp($5::bigint / 1000000.0), ($8::bytea[])[1]
        FROM (SELECT greatest(coalesce(max(o.sequence), 0),
                        coalesce((SELECT i.backup_sequence FROM instances i WHERE i.id = $1::uuid), 0)) AS last
                FROM backups o WHERE o.instance = $1::uuid) s
        WHERE NOT EXISTS (SELECT FROM backups o WHERE o.archive = $4::uuid AND o.deleted_by IS NULL)
        RETURNING id, archive),
k AS (
        INSERT INTO backup_keys (name, id, key_id, sealed) SELECT 'archive/' || b.archive::text, 'archive', $6, ($7::bytea[])[1] FROM b
        ON CONFLICT (name) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed)
SELECT id FROM b;

-- Whether instance $1 is one of this server's; whether there is anything imported of it already, and signed by $2; and the key
-- that signs here, '' if there is none yet.
-- name: backup-import-trust
SELECT EXISTS (SELECT FROM instances WHERE id::text = $1) OR EXISTS (SELECT FROM backup_keys WHERE name = $1)
                OR EXISTS (SELECT FROM backups WHERE instance::text = $1 AND signer IS NULL),
        EXISTS (SELECT FROM backups WHERE instance::text = $1 AND signer IS NOT NULL AND state <> 'writing'),
        EXISTS (SELECT FROM backups WHERE instance::text = $1 AND signer = ($2::bytea[])[1] AND state <> 'writing'),
        coalesce(k.key_id, ''), coalesce(k.sealed, '')
FROM (VALUES (1)) one LEFT JOIN backup_keys k ON k.name = 'signing';

-- What never got a job, or whose job left it.
-- name: backup-import-sweep
DELETE FROM backups b WHERE b.state = 'writing' AND b.signer IS NOT NULL
        AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = b.job AND j.finished_at IS NULL);

-- The job that imports it, from its beginning.
-- name: backup-import-claim
UPDATE backups SET job = $2 WHERE id = $1 AND (job IS NULL OR job = $2) AND state IN ('writing', 'written', 'verified') RETURNING id;

-- name: backup-import-describe
UPDATE backups SET blueprint = $2, blueprint_version = $3 WHERE id = $1 RETURNING id;

-- name: backup-import-get
SELECT k.key_id, k.sealed, b.signer FROM backups b JOIN backup_keys k ON k.name = 'archive/' || b.archive::text
WHERE b.id = $1 AND b.signer IS NOT NULL;

-- By a job, which took as long as the drill until now. That of an imported one proves nothing of those that are made here.
-- name: backup-drilled
WITH drilled AS (
        UPDATE backups b SET drilled_at = clock_timestamp(),
                drill_took = (extract(epoch FROM clock_timestamp() - j.started_at) * 1000000)::bigint
        FROM jobs j WHERE b.id = $1 AND j.id = $2 RETURNING b.id, b.instance, b.drilled_at, b.signer),
noted AS (UPDATE instances i SET drilled_at = d.drilled_at FROM drilled d WHERE i.id = d.instance AND d.signer IS NULL)
SELECT id FROM drilled;

-- What a job began, and did not bring to its end.
-- name: backup-discard
DELETE FROM backups WHERE job = $1 AND state IN ('writing', 'written');

-- As backup_record_read() takes them, the latest first. $1: of which slug; $2: which one; $3: of which instances alone; NULL
-- each: all.
-- name: backup-select
SELECT id, instance, slug, coalesce(job, 0), sequence, state, consistency, blueprint, blueprint_version, file, archive, size, contents, config,
        (extract(epoch FROM created_at) * 1000000)::bigint, (extract(epoch FROM verified_at) * 1000000)::bigint,
        (extract(epoch FROM read_at) * 1000000)::bigint, error,
        (extract(epoch FROM drilled_at) * 1000000)::bigint, coalesce(drill_took, 0),
        (extract(epoch FROM replicated_at) * 1000000)::bigint, copy_key, encode(signer, 'hex'), recovery_keys
FROM backups
WHERE state <> 'writing' AND deleted_by IS NULL AND ($1::text IS NULL OR slug = $1) AND ($2::bigint IS NULL OR id = $2::bigint)
        AND ($3::text[] IS NULL OR instance::text = ANY ($3::text[]))
ORDER BY id DESC OFFSET $4::bigint LIMIT $5::bigint;

-- Locks a backup for a job about it (0: one that is not there yet). Whether it is the last one that is verified of its
-- instance, or, where there is none, that comes back from the storage: one that was imported stands in for none that was made
-- here; whether that instance is gone, so that this is all there is; and which other job uses it, 0 if none does.
-- name: backup-lock
SELECT b.instance, b.slug,
        (b.state = 'verified' OR (b.state = 'damaged' AND b.replicated_at IS NOT NULL))
                AND NOT EXISTS (SELECT FROM backups o WHERE o.instance = b.instance AND o.id <> b.id AND o.deleted_by IS NULL
                AND (o.state = 'verified' OR (o.state = 'damaged' AND o.replicated_at IS NOT NULL AND b.state <> 'verified'))
                AND (o.signer IS NULL OR b.signer IS NOT NULL)),
        NOT EXISTS (SELECT FROM instances i WHERE i.id = b.instance),
        coalesce((SELECT min(j.id) FROM jobs j WHERE j.state IN ('queued', 'running', 'undoing') AND j.id <> $2
                AND (j.id = b.job OR j.spec ->> 'backup' = b.id::text)), 0)
FROM backups b
WHERE b.id = $1 AND (b.state <> 'writing' OR b.job IS NULL) AND coalesce(b.deleted_by, $2) = $2
FOR UPDATE;

-- name: backup-delete-mark
UPDATE backups SET deleted_by = $2 WHERE id = $1;

-- What others began to delete, and will not go on with.
-- name: backup-delete-adopt
UPDATE backups b SET deleted_by = $1
WHERE b.deleted_by <> $1
        AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = b.deleted_by AND j.state IN ('queued', 'running', 'undoing'));

-- What the job deletes. As backup_record_read() takes it.
-- name: backup-delete-list
SELECT id, instance, slug, coalesce(job, 0), sequence, state, consistency, blueprint, blueprint_version, file, archive, size, contents, config,
        (extract(epoch FROM created_at) * 1000000)::bigint, (extract(epoch FROM verified_at) * 1000000)::bigint,
        (extract(epoch FROM read_at) * 1000000)::bigint, error,
        (extract(epoch FROM drilled_at) * 1000000)::bigint, coalesce(drill_took, 0),
        (extract(epoch FROM replicated_at) * 1000000)::bigint, copy_key, encode(signer, 'hex'), recovery_keys
FROM backups WHERE deleted_by = $1 ORDER BY id;

-- name: backup-delete-keep
UPDATE backups SET deleted_by = NULL WHERE id = $1 AND deleted_by = $2;

-- The file is gone. No row if that is on record already.
-- name: backup-delete-record
WITH gone AS (DELETE FROM backups WHERE id = $1 AND deleted_by = $2 RETURNING id, instance, sequence),
noted AS (UPDATE instances i SET backup_sequence = greatest(i.backup_sequence, g.sequence) FROM gone g WHERE i.id = g.instance)
SELECT id FROM gone;

-- name: backup-key-get
SELECT id, key_id, sealed FROM backup_keys WHERE name = $1;

-- The first one stays.
-- name: backup-key-put
INSERT INTO backup_keys (name, id, key_id, sealed) VALUES ($1, $2, $3, ($4::bytea[])[1]) ON CONFLICT DO NOTHING;

-- name: recovery-key-list
SELECT public FROM recovery_keys ORDER BY enrolled_at, id;
