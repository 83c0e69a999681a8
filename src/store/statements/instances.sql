-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Instances, with their ports and subnet. $N are bound parameters; times are µs since the epoch.

-- One (id) or all of them (NULL), as instance_record_read() takes them.
-- A backup that was imported may be old, whenever it came: it does not tell how things are with those made here.
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
        i.limits,
        to_json(i.stopped_services), i.repair, to_json(i.changed_files),
        (extract(epoch FROM i.changed_files_at) * 1000000)::bigint,
        i.recovery_reason, i.recovery_run, i.recovery_attempts,
        (extract(epoch FROM i.recovery_at) * 1000000)::bigint,
        (SELECT r.images FROM revisions r WHERE r.instance = i.id AND r.number = i.revision),
        (SELECT json_build_object(
                        'last_at', (extract(epoch FROM (array_agg(b.created_at ORDER BY b.sequence DESC)
                                FILTER (WHERE b.state = 'verified' AND b.signer IS NULL))[1]) * 1000000)::bigint,
                        'last', (array_agg(b.id ORDER BY b.sequence DESC)
                                FILTER (WHERE b.state = 'verified' AND b.signer IS NULL))[1],
                        'recovery_keys', (jsonb_agg(b.recovery_keys ORDER BY b.sequence DESC)
                                FILTER (WHERE b.state = 'verified' AND b.signer IS NULL))->0,
                        'verified_at', (extract(epoch FROM max(b.verified_at) FILTER (WHERE b.signer IS NULL)) * 1000000)::bigint,
                        'unread_since', (extract(epoch FROM min(b.read_at) FILTER (WHERE b.state = 'verified')) * 1000000)::bigint,
                        'drilled_at', (extract(epoch FROM i.drilled_at) * 1000000)::bigint,
                        'replicated_at', (extract(epoch FROM max(b.replicated_at)
                                FILTER (WHERE b.signer IS NULL)) * 1000000)::bigint,
                        'uncopied_since', (extract(epoch FROM min(b.copy_wanted_at)
                                FILTER (WHERE b.state = 'verified' AND b.replicated_at IS NULL)) * 1000000)::bigint,
                        'restores', (SELECT coalesce(json_agg(json_build_object('id', r.id, 'backup', r.backup,
                                'switched_at', (extract(epoch FROM r.switched_at) * 1000000)::bigint,
                                'keep_until', (extract(epoch FROM r.keep_until) * 1000000)::bigint) ORDER BY r.id DESC), '[]')
                                FROM restores r WHERE r.instance = i.id AND r.state = 'kept'),
                        'n_damaged', count(*) FILTER (WHERE b.state = 'damaged'),
                        'first_damaged', min(b.id) FILTER (WHERE b.state = 'damaged'),
                        'ids', coalesce(json_agg(b.id ORDER BY b.id), '[]'))
                FROM backups b WHERE b.instance = i.id AND b.state <> 'writing' AND b.deleted_by IS NULL),
        i.backup_settings, i.backup_knock, (extract(epoch FROM i.backup_scheduled_at) * 1000000)::bigint,
        i.drill_knock, (extract(epoch FROM i.drill_scheduled_at) * 1000000)::bigint,
        (SELECT json_build_object('state', j.state, 'error', j.error_message) FROM jobs j
                WHERE j.instance = i.id AND j.kind = 'backup' AND j.state IN ('succeeded', 'failed')
                ORDER BY coalesce(j.turn, j.id) DESC LIMIT 1),
        (SELECT json_build_object('state', j.state, 'error', j.error_message) FROM jobs j
                WHERE j.instance = i.id AND j.kind = 'drill' AND j.state IN ('succeeded', 'failed')
                ORDER BY j.id DESC LIMIT 1),
        (SELECT json_build_object('state', j.state, 'error', j.error_message) FROM jobs j
                WHERE j.instance = i.id AND j.kind = 'replicate' AND j.state IN ('succeeded', 'failed')
                ORDER BY j.id DESC LIMIT 1)
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

-- What somebody wants to have stopped, or no longer, after the job $1 of his. A start or restart by ccpd itself (it has
-- a reason) leaves that as it is, and so does a restart of all.
-- name: instance-note-stopped
UPDATE instances i SET stopped_services = CASE
        WHEN j.kind = 'stop' THEN ARRAY(SELECT s FROM unnest(i.stopped_services) s
                UNION SELECT jsonb_array_elements_text(j.spec -> 'services') ORDER BY 1)
        WHEN j.spec ? 'services' THEN ARRAY(SELECT s FROM unnest(i.stopped_services) s
                WHERE NOT j.spec -> 'services' ? s ORDER BY 1)
        ELSE '{}' END
FROM jobs j
WHERE j.id = $1 AND i.id = j.instance AND NOT j.spec ? 'reason'
        AND (j.kind = 'start' OR (j.kind IN ('stop', 'restart') AND j.spec ? 'services'));

-- The attempt $3 to bring it back begins, for the reason $2 in the recovery $4; 0 and 'none': somebody else does
-- something with it.
-- name: instance-note-recovery
UPDATE instances SET recovery_reason = $2, recovery_attempts = $3::integer, recovery_run = $4::bigint,
        recovery_at = CASE WHEN $3::integer > 0 THEN clock_timestamp() END
WHERE id = $1 AND ($3::integer > 0 OR recovery_attempts > 0);

-- It is back, by the job $1. What was repaired is counted on: it may happen again.
-- name: instance-note-recovered
UPDATE instances i SET recovery_reason = 'none', recovery_run = 0, recovery_attempts = 0, recovery_at = NULL
FROM jobs j
WHERE j.id = $1 AND i.id = j.instance AND i.recovery_reason IN ('boot', 'engine');

-- NULL leaves it as it is; in $3, a setting of its own that is null is none any more.
-- name: instance-set
UPDATE instances SET repair = coalesce($2, repair),
        backup_settings = jsonb_strip_nulls(backup_settings || coalesce($3::jsonb, '{}')),
        backup_knock = CASE WHEN $3::jsonb ? 'backup_schedule' THEN coalesce(pg_sequence_last_value('schedule_knocks'), 0)
                ELSE backup_knock END,
        backup_scheduled_at = CASE WHEN $3::jsonb ? 'backup_schedule' THEN clock_timestamp() ELSE backup_scheduled_at END
WHERE id = $1 RETURNING slug;

-- The schedule of all that have none of their own is another one.
-- name: instances-reschedule
UPDATE instances SET backup_knock = coalesce(pg_sequence_last_value('schedule_knocks'), 0),
        backup_scheduled_at = clock_timestamp()
WHERE NOT backup_settings ? 'backup_schedule';

-- name: instances-reschedule-drills
UPDATE instances SET drill_knock = coalesce(pg_sequence_last_value('schedule_knocks'), 0),
        drill_scheduled_at = clock_timestamp();

-- It gets what it was due for since this knock, by a job of the kind $3.
-- name: instance-note-knock
UPDATE instances SET backup_knock = CASE WHEN $3 = 'backup' THEN greatest(backup_knock, $2::bigint) ELSE backup_knock END,
        drill_knock = CASE WHEN $3 = 'drill' THEN greatest(drill_knock, $2::bigint) ELSE drill_knock END
WHERE id = $1;

-- The round of drills since this knock leaves it out.
-- name: instance-skip-drill
UPDATE instances SET drill_knock = greatest(drill_knock, $2::bigint), drill_scheduled_at = clock_timestamp() WHERE id = $1;

-- Only if it differs, and only of the revision that was looked at.
-- name: instance-set-changed-files
UPDATE instances SET changed_files = $3::text[], changed_files_at = CASE WHEN $3::text[] <> '{}' THEN clock_timestamp() END
WHERE id = $1 AND revision = $2::integer AND changed_files <> $3::text[];

-- name: instance-delete
DELETE FROM instances WHERE id = $1;
