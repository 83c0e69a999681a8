-- SPDX-License-Identifier: LGPL-2.1-or-later

-- name: secrets-insert
INSERT INTO secrets (instance, name, version, key_id, sealed)
SELECT $1, secret.name, 1, secret.key_id, secret.sealed
FROM unnest($2::text[], $3::text[], $4::bytea[]) AS secret (name, key_id, sealed);

-- In place of those that were made with the instance.
-- name: secrets-adopt
INSERT INTO secrets (instance, name, version, key_id, sealed)
SELECT $1, secret.name, 1, secret.key_id, secret.sealed
FROM unnest($2::text[], $3::text[], $4::bytea[]) AS secret (name, key_id, sealed)
ON CONFLICT (instance, name, version) DO UPDATE SET key_id = excluded.key_id, sealed = excluded.sealed;

-- The newest version of each, or of one ($2 not NULL), as secret_records_read() takes them.
-- name: secrets-newest
SELECT DISTINCT ON (name) name, version, key_id, sealed, (extract(epoch FROM created_at) * 1000000)::bigint
FROM secrets WHERE instance = $1 AND ($2::text IS NULL OR name = $2)
ORDER BY name, version DESC;
