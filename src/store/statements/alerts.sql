-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Alerts, their delivery and silence. $N are bound parameters; times are µs since the epoch.

-- --- what the daemon writes ---

-- All of a moment at once, in the order in which they come.
-- name: alerts-put
INSERT INTO alerts (uuid, rule, severity, instance, slug, name, subject, state, message, since, fired_at,
        resolved_at, notified_at, notifications)
SELECT a.uuid, a.rule, a.severity, a.instance, a.slug, a.name, a.subject,
        CASE WHEN a.resolved_at > 0 THEN 'resolved' ELSE 'firing' END, a.message,
        to_timestamp(a.since / 1000000.0), to_timestamp(a.fired_at / 1000000.0),
        to_timestamp(nullif(a.resolved_at, 0) / 1000000.0), to_timestamp(nullif(a.notified_at, 0) / 1000000.0),
        a.notifications
FROM ROWS FROM (jsonb_to_recordset($1::jsonb) AS (uuid uuid, rule text, severity text, instance uuid, slug text,
        name text, subject text, message text, since bigint, fired_at bigint, resolved_at bigint,
        notified_at bigint, notifications integer))
        WITH ORDINALITY AS a (uuid, rule, severity, instance, slug, name, subject, message, since, fired_at,
                resolved_at, notified_at, notifications, place)
ORDER BY a.place
ON CONFLICT (uuid) DO UPDATE
SET state = excluded.state, message = excluded.message, resolved_at = excluded.resolved_at,
        notified_at = excluded.notified_at, notifications = excluded.notifications;

-- What is to be told of them ($1) over these channels ($2), after a while ($3) in which more may come.
-- name: alert-notices-put
INSERT INTO alert_deliveries (alert, channel, status, number, message, due_at)
SELECT a.id, channel.name, n.status, n.number, n.message, clock_timestamp() + $3::bigint * interval '1 microsecond'
FROM ROWS FROM (jsonb_to_recordset($1::jsonb) AS (uuid uuid, notices jsonb)) WITH ORDINALITY
        AS x (uuid, notices, place)
JOIN alerts a ON a.uuid = x.uuid
CROSS JOIN LATERAL ROWS FROM (jsonb_to_recordset(x.notices) AS (status text, number integer, message text))
        WITH ORDINALITY AS n (status, number, message, place)
CROSS JOIN unnest($2::text[]) AS channel (name)
ORDER BY x.place, n.place
ON CONFLICT (alert, channel, status, number) DO NOTHING;

-- When each channel has something to do: that which is first in its queue, or a test, which waits for nobody. And how
-- often anything was tried, which tells a worker that tries nothing.
-- name: alert-queue-due
SELECT c.name, (extract(epoch FROM due.wait) * 1000000)::bigint,
        (SELECT coalesce(sum(t.attempts), 0) FROM alert_messages t WHERE t.channel = c.name)
FROM (VALUES ('webhook'), ('mail')) AS c (name)
CROSS JOIN LATERAL (SELECT least(
        (SELECT min(wait_left(m.due_at)) FROM alert_messages m WHERE m.channel = c.name AND m.state = 'queued' AND m.test),
        (SELECT min(wait_left(d.due_at)) FROM alert_deliveries d
                WHERE d.channel = c.name AND d.sent_in IS NULL AND d.status = 'test'),
        coalesce(
                (SELECT wait_left(m.due_at) FROM alert_messages m WHERE m.channel = c.name AND m.state = 'queued' AND NOT m.test
                        ORDER BY m.id LIMIT 1),
                (SELECT min(wait_left(d.due_at)) FROM alert_deliveries d
                        WHERE d.channel = c.name AND d.sent_in IS NULL AND d.status <> 'test')))
        AS wait) AS due
WHERE due.wait IS NOT NULL;

-- What waits is tried now: the settings changed.
-- name: alert-queue-hurry
UPDATE alert_messages SET due_at = clock_timestamp() WHERE state = 'queued' AND due_at > clock_timestamp();

-- How many tests there were lately ($1, µs).
-- name: alert-tests-count
SELECT count(*) FROM alerts WHERE rule = 'test' AND fired_at > clock_timestamp() - $1::bigint * interval '1 microsecond';

-- name: alert-test
INSERT INTO alerts (uuid, rule, severity, subject, state, message, since, fired_at, resolved_at, notified_at,
        notifications)
VALUES (gen_random_uuid(), 'test', 'warning', '', 'resolved', $1, clock_timestamp(), clock_timestamp(),
        clock_timestamp(), clock_timestamp(), 1)
RETURNING id;

-- name: alert-test-notice
INSERT INTO alert_deliveries (alert, channel, status, number, message, due_at)
SELECT a.id, $2, 'test', 0, a.message, clock_timestamp() FROM alerts a WHERE a.id = $1;

-- What ended so long ago ($1, µs), with what was told of it.
-- name: alerts-prune
DELETE FROM alerts WHERE state = 'resolved' AND resolved_at < clock_timestamp() - $1::bigint * interval '1 microsecond';

-- name: alert-messages-prune
DELETE FROM alert_messages m
WHERE m.state <> 'queued' AND m.due_at < clock_timestamp() - $1::bigint * interval '1 microsecond'
        AND NOT EXISTS (SELECT FROM alert_deliveries d WHERE d.sent_in = m.id);

-- What ended is kept while somebody may still have to be told what it covered.
-- name: alert-silences-prune
DELETE FROM alert_silences WHERE until < clock_timestamp() - interval '1 day';

-- --- reading ---

-- Newest first, as alert_record_read() takes them: by id ($1), rule ($2), state ($3), slug of the instance ($4), each
-- NULL for any; $5 not NULL: only of these instances.
-- name: alerts-select
SELECT a.id, a.uuid, a.rule, a.severity, a.instance, a.slug, a.name, a.subject, a.state, a.message,
        (extract(epoch FROM a.since) * 1000000)::bigint, (extract(epoch FROM a.fired_at) * 1000000)::bigint,
        (extract(epoch FROM a.resolved_at) * 1000000)::bigint,
        (extract(epoch FROM a.notified_at) * 1000000)::bigint, a.notifications,
        (SELECT coalesce(json_agg(to_json(l) ORDER BY l.channel), '[]') FROM (
                SELECT DISTINCT ON (d.channel) d.channel, d.status, d.number, coalesce(m.state, 'queued') AS state,
                        coalesce(m.attempts, 0) AS attempts, coalesce(m.error, '') AS error,
                        (extract(epoch FROM coalesce(m.due_at, d.due_at)) * 1000000)::bigint AS at
                FROM alert_deliveries d LEFT JOIN alert_messages m ON m.id = d.sent_in
                WHERE d.alert = a.id
                ORDER BY d.channel, d.id DESC) AS l)
FROM alerts a
WHERE ($1::bigint IS NULL OR a.id = $1)
        AND ($2::text IS NULL OR a.rule = $2)
        AND ($3::text IS NULL OR a.state = $3)
        AND ($4::text IS NULL OR a.slug = $4)
        AND ($5::uuid[] IS NULL OR a.instance = ANY ($5))
ORDER BY a.id DESC
LIMIT $6::bigint OFFSET $7::bigint;

-- Those that are in force, and the newest of those that ended, as silence_records_read() takes them.
-- name: alert-silences-select
SELECT s.id, s.rule, s.instance, i.slug, (extract(epoch FROM s.until) * 1000000)::bigint, s.reason, s.created_by,
        (extract(epoch FROM s.created_at) * 1000000)::bigint
FROM alert_silences s LEFT JOIN instances i ON i.id = s.instance
WHERE s.until > clock_timestamp() OR s.id IN (SELECT e.id FROM alert_silences e WHERE e.until <= clock_timestamp()
        ORDER BY e.until DESC LIMIT 256)
ORDER BY s.id;

-- Instances with secrets whose newest version is older than $1 (µs), and when the oldest was made.
-- name: alert-old-secrets
SELECT n.instance, (extract(epoch FROM min(n.created_at)) * 1000000)::bigint
FROM (SELECT DISTINCT ON (instance, name) instance, created_at FROM secrets
        ORDER BY instance, name, version DESC) AS n
GROUP BY n.instance
HAVING min(n.created_at) < clock_timestamp() - $1::bigint * interval '1 microsecond';

-- --- silence ---

-- Whoever silences waits here for the others, so that they can be counted.
-- name: alert-silences-lock
SELECT pg_advisory_xact_lock(4849664381402116);

-- All, and those of the instance $1 (NULL: those of the fleet).
-- name: alert-silences-count
SELECT count(*), count(*) FILTER (WHERE instance IS NOT DISTINCT FROM $1::uuid)
FROM alert_silences WHERE until > clock_timestamp();

-- name: alert-silence-put
INSERT INTO alert_silences (rule, instance, until, reason, created_by)
VALUES ($1, $2, to_timestamp($3::bigint / 1000000.0), $4, $5) RETURNING id;

-- name: alert-silence-end
UPDATE alert_silences s SET until = to_timestamp($2::bigint / 1000000.0)
WHERE s.id = $1 AND s.until > to_timestamp($2::bigint / 1000000.0)
RETURNING s.rule, s.instance, (SELECT i.slug FROM instances i WHERE i.id = s.instance);

-- --- the secret of the webhook ---

-- name: alert-secrets-lock
SELECT pg_advisory_xact_lock(4849664381402117);

-- The newest versions, as secret_records_read() takes them: the last, and the one before for a day after that.
-- name: alert-secrets-select
SELECT 'ALERT_WEBHOOK', s.version, s.key_id, s.sealed, (extract(epoch FROM s.created_at) * 1000000)::bigint
FROM alert_secrets s
WHERE s.version > (SELECT max(n.version) FROM alert_secrets n) - CASE
        WHEN (SELECT max(n.created_at) FROM alert_secrets n) > clock_timestamp() - interval '1 day' THEN 2 ELSE 1 END
ORDER BY s.version DESC;

-- The version that is expected to be the next one: whoever is second has lost.
-- name: alert-secret-put
INSERT INTO alert_secrets (version, key_id, sealed)
SELECT $1::integer, $2, ($3::bytea[])[1] WHERE $1::integer = (SELECT coalesce(max(version), 0) + 1 FROM alert_secrets)
ON CONFLICT (version) DO NOTHING;

-- --- what the workers do ---

-- Each test is a message of its own.
-- name: alert-queue-form-tests
WITH waiting AS (
        SELECT d.id, gen_random_uuid() AS uuid FROM alert_deliveries d
        WHERE d.channel = $1 AND d.sent_in IS NULL AND d.status = 'test' FOR UPDATE),
message AS (INSERT INTO alert_messages (uuid, channel, test) SELECT w.uuid, $1, true FROM waiting w RETURNING id, uuid)
UPDATE alert_deliveries d SET sent_in = m.id FROM waiting w JOIN message m ON m.uuid = w.uuid WHERE d.id = w.id;

-- What waits and is due becomes a message, at most $2 notices, unless one is queued; that is, one after $3.
-- name: alert-queue-form
WITH waiting AS (
        SELECT d.id FROM alert_deliveries d
        WHERE d.channel = $1 AND d.sent_in IS NULL AND d.status <> 'test'
                AND NOT EXISTS (SELECT FROM alert_messages m
                        WHERE m.channel = $1 AND m.state = 'queued' AND NOT m.test AND m.id > $3::bigint)
                AND (SELECT min(wait_left(f.due_at)) FROM alert_deliveries f
                        WHERE f.channel = $1 AND f.sent_in IS NULL AND f.status <> 'test') = interval '0'
        ORDER BY d.id LIMIT $2::bigint FOR UPDATE),
message AS (INSERT INTO alert_messages (channel, test) SELECT $1, false WHERE EXISTS (SELECT FROM waiting) RETURNING id)
UPDATE alert_deliveries d SET sent_in = m.id FROM waiting w CROSS JOIN message m WHERE d.id = w.id;

-- The first that is due, tests before all others, and the others in their order: the one after $2, or the first ($2 is
-- 0). It is counted as an attempt before it is one, and left alone by others for a while ($3, µs).
-- name: alert-queue-claim
UPDATE alert_messages t
SET attempts = t.attempts + 1, due_at = clock_timestamp() + $3::bigint * interval '1 microsecond'
WHERE t.id = (SELECT m.id FROM alert_messages m
        WHERE m.channel = $1 AND m.state = 'queued' AND CASE
                WHEN m.test THEN $2::bigint = 0 AND wait_left(m.due_at) = interval '0'
                ELSE m.id = (SELECT min(h.id) FROM alert_messages h
                                WHERE h.channel = $1 AND h.state = 'queued' AND NOT h.test AND h.id > $2::bigint)
                        AND ($2::bigint > 0 OR wait_left(m.due_at) = interval '0') END
        ORDER BY m.test DESC, m.id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING t.id, t.uuid, t.test, t.attempts,
        (extract(epoch FROM clock_timestamp() - t.created_at) * 1000000)::bigint;

-- What is in it, in the order in which it happened.
-- name: alert-queue-notices
SELECT a.id, a.rule, a.severity, d.status, a.slug, a.name, a.subject, (extract(epoch FROM a.since) * 1000000)::bigint,
        (extract(epoch FROM d.created_at) * 1000000)::bigint, d.number, d.message
FROM alert_deliveries d JOIN alerts a ON a.id = d.alert
WHERE d.sent_in = $1
ORDER BY d.id;

-- The end of a message ($2), or when it is tried again ($4, µs).
-- name: alert-queue-note
UPDATE alert_messages SET state = $2, error = $3, due_at = clock_timestamp() + $4::bigint * interval '1 microsecond'
WHERE id = $1 AND state = 'queued';

-- A channel that is switched off has no queue.
-- name: alert-queue-drop
WITH gone AS (UPDATE alert_messages SET state = 'failed', error = $2, due_at = clock_timestamp()
        WHERE channel = $1 AND state = 'queued')
DELETE FROM alert_deliveries WHERE channel = $1 AND sent_in IS NULL;
