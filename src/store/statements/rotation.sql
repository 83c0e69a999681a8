-- SPDX-License-Identifier: LGPL-2.1-or-later
-- What is sealed with the master key, while that is being replaced. $N are bound parameters.

-- Some of what is sealed with the key $1, as sealed_records_read() takes it, each with how many there are.
-- name: sealed-select
SELECT s.kind, s.instance, s.name, s.version, s.sealed,
        (SELECT count(*) FROM secrets WHERE key_id = $1) + (SELECT count(*) FROM alert_secrets WHERE key_id = $1)
        + (SELECT count(*) FROM backup_keys WHERE key_id = $1) + (SELECT count(*) FROM storage WHERE key_id = $1)
FROM (SELECT 'secret' AS kind, instance::text, name, version, sealed FROM secrets WHERE key_id = $1
        UNION ALL SELECT 'backup-key', '', name, 1, sealed FROM backup_keys WHERE key_id = $1
        UNION ALL SELECT 'alert-secret', '', '', version, sealed FROM alert_secrets WHERE key_id = $1
        UNION ALL SELECT 'storage', '', '', version, sealed FROM storage WHERE key_id = $1) s
LIMIT $2;

-- With which keys anything is sealed, and how much.
-- name: sealed-keys
SELECT key_id, count(*)
FROM (SELECT key_id FROM secrets UNION ALL SELECT key_id FROM backup_keys UNION ALL SELECT key_id FROM alert_secrets
        UNION ALL SELECT key_id FROM storage) s
WHERE key_id IS NOT NULL GROUP BY key_id ORDER BY key_id;

-- One that is sealed with another key than $1, if there is any: that key, and how many are.
-- name: sealed-with-others
SELECT key_id, count(*)
FROM (SELECT key_id FROM secrets UNION ALL SELECT key_id FROM backup_keys UNION ALL SELECT key_id FROM alert_secrets
        UNION ALL SELECT key_id FROM storage) s
WHERE key_id <> $1 GROUP BY key_id ORDER BY key_id LIMIT 1;

-- Each is sealed anew, from the key $1 to $2, unless somebody else did that meanwhile.
-- name: reseal-secrets
UPDATE secrets t SET key_id = $2, sealed = s.sealed
FROM unnest($3::text[], $4::text[], $5::bigint[], $6::bytea[]) AS s (instance, name, version, sealed)
WHERE t.instance = s.instance::uuid AND t.name = s.name AND t.version = s.version AND t.key_id = $1;

-- name: reseal-backup-keys
UPDATE backup_keys t SET key_id = $2, sealed = s.sealed
FROM unnest($3::text[], $4::bytea[]) AS s (name, sealed) WHERE t.name = s.name AND t.key_id = $1;

-- name: reseal-alert-secrets
UPDATE alert_secrets t SET key_id = $2, sealed = s.sealed
FROM unnest($3::bigint[], $4::bytea[]) AS s (version, sealed) WHERE t.version = s.version AND t.key_id = $1;

-- name: reseal-storage
UPDATE storage t SET key_id = $2, sealed = s.sealed
FROM unnest($3::bigint[], $4::bytea[]) AS s (version, sealed) WHERE t.version = s.version AND t.key_id = $1;

-- A ccpd that was killed may still be at the end of this here: its entry is seen once that is over.
-- name: rotation-lock
SELECT pg_advisory_xact_lock(4849664381402119);

-- How many are left that are sealed with the key $1; and whether it is on record already that $2 took its place.
-- name: sealed-left
SELECT (SELECT count(*) FROM secrets WHERE key_id = $1) + (SELECT count(*) FROM alert_secrets WHERE key_id = $1)
        + (SELECT count(*) FROM backup_keys WHERE key_id = $1) + (SELECT count(*) FROM storage WHERE key_id = $1),
        EXISTS (SELECT FROM ccpd_audit.entries
                WHERE action = 'KEY_ROTATE' AND outcome = 'succeeded' AND details::json ->> 'key' = $2);
