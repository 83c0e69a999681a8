-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Instances, with their ports and subnet. $N are bound parameters; times are µs since the epoch.

-- One (id) or all of them (NULL), as instance_record_read() takes them.
-- name: instances-select
SELECT i.id, i.slug, i.name, i.domain, i.blueprint, i.blueprint_version, i.engine, i.state,
        (extract(epoch FROM i.state_changed_at) * 1000000)::bigint,
        i.parameters, to_json(i.features), i.source, i.bind_address, i.revision, i.error_name, i.error_message,
        (extract(epoch FROM i.created_at) * 1000000)::bigint,
        (extract(epoch FROM i.updated_at) * 1000000)::bigint,
        (SELECT coalesce(json_agg(json_build_object('name', p.name, 'host', p.host, 'number', p.number)
                        ORDER BY p.name COLLATE "C"), '[]')
                FROM ports p WHERE p.instance = i.id),
        (SELECT s.subnet::text FROM subnets s WHERE s.instance = i.id),
        i.limits
FROM instances i
WHERE $1::uuid IS NULL OR i.id = $1
ORDER BY i.slug COLLATE "C";

-- No row if the slug or the domain is taken: the next statement then says by whom.
-- name: instance-insert
INSERT INTO instances (id, slug, name, domain, blueprint, blueprint_version, engine, source, bind_address,
        parameters, features, limits)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10::jsonb, '{}'), $11::text[], $12::jsonb)
ON CONFLICT DO NOTHING
RETURNING id;

-- name: instance-who-has
SELECT slug, slug = $1 FROM instances WHERE slug = $1 OR domain = $2 ORDER BY slug = $1 DESC LIMIT 1;

-- name: instance-lock
SELECT slug, state FROM instances WHERE id = $1 FOR UPDATE;

-- name: instance-set-state
UPDATE instances SET state = $2 WHERE id = $1 RETURNING id;

-- A state of NULL leaves it as it is.
-- name: instance-finish
UPDATE instances SET state = coalesce($2, state), error_name = $3, error_message = $4 WHERE id = $1;

-- name: instance-delete
DELETE FROM instances WHERE id = $1;
