-- SPDX-License-Identifier: LGPL-2.1-or-later
-- How instances are and were (migrations/0003-health.sql). $N are bound parameters; times are µs since the epoch.

-- Two sweeps at once would count each failure twice. The lock is the session's.
-- name: health-lock
SELECT pg_try_advisory_lock(4849664381402114);

-- The instances that a job is at work on.
-- name: health-busy
SELECT instance FROM jobs WHERE state IN ('queued', 'running', 'undoing');

-- Of one instance, or of all (NULL), as health_probe_records_read() takes them.
-- name: health-probes-select
SELECT instance, service, container, verdict, n_failures, n_successes, since, checked_at, latency, reason, exec
FROM health_probes WHERE $1::uuid IS NULL OR instance = $1
ORDER BY instance, service COLLATE "C";

-- name: health-current-select
SELECT instance, health, since, checked_at FROM health_current WHERE $1::uuid IS NULL OR instance = $1;

-- name: health-sweep-last
SELECT number, began_at, began_monotonic, error_name, error_message
FROM health_sweeps ORDER BY number DESC LIMIT 1;

-- The same again where it was recorded already.
-- name: health-sweep-put
INSERT INTO health_sweeps (began_at, began_monotonic, duration, n_instances, n_probes, error_name, error_message)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (began_at) DO UPDATE SET began_at = excluded.began_at
RETURNING number;

-- What a job saw later stays. An instance that is gone meanwhile is left out.
-- name: health-probes-put
INSERT INTO health_probes AS p
        (instance, service, container, verdict, n_failures, n_successes, since, checked_at, latency, reason, exec)
SELECT n.instance, n.service, n.container, n.verdict, n.n_failures, n.n_successes, n.since, n.checked_at, n.latency,
        n.reason, n.exec
FROM json_to_recordset($1::json) AS n (instance uuid, service text, container text, verdict text, n_failures integer,
                n_successes integer, since bigint, checked_at bigint, latency bigint, reason text, exec text)
JOIN instances i ON i.id = n.instance
ORDER BY n.instance, n.service COLLATE "C"
FOR KEY SHARE OF i
ON CONFLICT (instance, service) DO UPDATE
SET container = excluded.container, verdict = excluded.verdict, n_failures = excluded.n_failures,
        n_successes = excluded.n_successes, since = excluded.since, checked_at = excluded.checked_at,
        latency = excluded.latency, reason = excluded.reason, exec = excluded.exec
WHERE p.checked_at <= excluded.checked_at;

-- Of services that have no probes any more.
-- name: health-probes-forget
DELETE FROM health_probes p
USING json_to_recordset($1::json) AS n (instance uuid, service text, checked_at bigint)
WHERE p.instance = n.instance AND p.service = n.service AND p.checked_at <= n.checked_at;

-- Samples of the time $2, of instances that are as they were when they were looked at, with no job since then; they are
-- counted where $3 is true.
-- name: health-samples-put
WITH sample AS (
        SELECT n.*
        FROM json_to_recordset($1::json) AS n (instance uuid, state_changed_at bigint, health text, latency bigint,
                        reason text)
        JOIN instances i ON i.id = n.instance
        WHERE i.state = 'running' AND (extract(epoch FROM i.state_changed_at) * 1000000)::bigint = n.state_changed_at
                AND coalesce((SELECT coalesce((extract(epoch FROM j.finished_at) * 1000000)::bigint <= $2::bigint, false)
                        FROM jobs j WHERE j.slug = i.slug AND j.state <> 'waiting'
                        ORDER BY coalesce(j.turn, j.id) DESC LIMIT 1), true)
        ORDER BY n.instance
        FOR KEY SHARE OF i),
current AS (
        INSERT INTO health_current AS c (instance, health, since, checked_at, reason)
        SELECT instance, health, $2, $2, reason FROM sample WHERE health <> 'unknown'
        ON CONFLICT (instance) DO UPDATE
        SET health = excluded.health, checked_at = excluded.checked_at, reason = excluded.reason,
                since = CASE WHEN c.health = excluded.health THEN c.since ELSE excluded.since END)
INSERT INTO health_samples (instance, time, health, latency)
SELECT instance, $2, health, latency FROM sample WHERE $3::boolean
ON CONFLICT DO NOTHING;

-- name: health-notify
SELECT pg_notify('ccpd_health', $1);

-- name: health-rolled-up-select
SELECT until FROM health_rolled_up;

-- name: health-rolled-up-lock
SELECT until FROM health_rolled_up FOR UPDATE;

-- The hours of $2 to before $3, from their samples; the bounds of the latency's buckets are $1. What was made of
-- more samples stays: the clock was set back, and the older ones are gone.
-- name: health-roll-up
WITH known AS MATERIALIZED (SELECT id FROM instances ORDER BY id FOR KEY SHARE),
sample AS (
        SELECT s.instance, s.time - s.time % 3600000000 AS hour, s.health,
                width_bucket(s.latency, $1::bigint[]) AS bucket
        FROM health_samples s JOIN known ON known.id = s.instance
        WHERE s.time >= $2 AND s.time < $3),
latency AS (
        SELECT instance, hour, array_agg(bucket::smallint ORDER BY bucket) AS buckets,
                array_agg(n::integer ORDER BY bucket) AS counts
        FROM (SELECT instance, hour, bucket, count(*) AS n FROM sample WHERE bucket IS NOT NULL
                GROUP BY instance, hour, bucket) AS counted
        GROUP BY instance, hour)
INSERT INTO health_hours AS h (instance, hour, n_unknown, n_starting, n_healthy, n_degraded, n_unhealthy,
        latency_buckets, latency_counts)
SELECT s.instance, s.hour,
        count(*) FILTER (WHERE s.health = 'unknown'), count(*) FILTER (WHERE s.health = 'starting'),
        count(*) FILTER (WHERE s.health = 'healthy'), count(*) FILTER (WHERE s.health = 'degraded'),
        count(*) FILTER (WHERE s.health = 'unhealthy'),
        coalesce(min(l.buckets), '{}'), coalesce(min(l.counts), '{}')
FROM sample s LEFT JOIN latency l ON l.instance = s.instance AND l.hour = s.hour
GROUP BY s.instance, s.hour
ON CONFLICT (instance, hour) DO UPDATE
SET n_unknown = excluded.n_unknown, n_starting = excluded.n_starting, n_healthy = excluded.n_healthy,
        n_degraded = excluded.n_degraded, n_unhealthy = excluded.n_unhealthy,
        latency_buckets = excluded.latency_buckets, latency_counts = excluded.latency_counts
WHERE excluded.n_unknown + excluded.n_starting + excluded.n_healthy + excluded.n_degraded + excluded.n_unhealthy
        >= h.n_unknown + h.n_starting + h.n_healthy + h.n_degraded + h.n_unhealthy;

-- name: health-rolled-up-set
UPDATE health_rolled_up SET until = $1;

-- What is older than $1, and what a clock that was ahead left behind $2, the time that it is now.
-- name: health-samples-prune
DELETE FROM health_samples WHERE time < $1 OR time > $2::bigint + 3600000000;

-- name: health-hours-prune
DELETE FROM health_hours WHERE hour < $1 OR hour > $2::bigint + 3600000000;

-- name: health-sweeps-prune
DELETE FROM health_sweeps
WHERE (began_at < $1 OR began_at > $2::bigint + 3600000000) AND number < (SELECT max(number) FROM health_sweeps);

-- Of the instances $1, in periods of $4 from $2 to before $3: how many samples had which health, and with $6 their
-- latencies, as an object from bucket to count; the buckets' bounds are $5. With $7, from hours that were rolled up
-- where there are such; else from samples alone.
-- name: health-query
WITH rolled AS (SELECT CASE WHEN $7::boolean THEN until ELSE 0 END AS until FROM health_rolled_up),
part AS (
        SELECT h.instance, (h.hour - $2::bigint) / $4::bigint AS period, h.n_unknown, h.n_starting, h.n_healthy,
                h.n_degraded, h.n_unhealthy, h.latency_buckets, h.latency_counts
        FROM rolled JOIN health_hours h ON h.instance = ANY ($1::uuid[]) AND h.hour >= $2
                AND h.hour < least($3::bigint, rolled.until)
        UNION ALL
        SELECT s.instance, (s.time - $2) / $4, (s.health = 'unknown')::integer, (s.health = 'starting')::integer,
                (s.health = 'healthy')::integer, (s.health = 'degraded')::integer, (s.health = 'unhealthy')::integer,
                CASE WHEN s.latency IS NOT NULL THEN ARRAY[width_bucket(s.latency, $5::bigint[])::smallint] END,
                CASE WHEN s.latency IS NOT NULL THEN ARRAY[1] END
        FROM rolled JOIN health_samples s ON s.instance = ANY ($1) AND s.time >= greatest($2, rolled.until)
                AND s.time < $3),
latency AS (
        SELECT instance, period, json_object_agg(bucket, n) AS counts
        FROM (SELECT part.instance, part.period, l.bucket, sum(l.n) AS n
                FROM part CROSS JOIN LATERAL unnest(part.latency_buckets, part.latency_counts) AS l (bucket, n)
                WHERE $6::boolean
                GROUP BY part.instance, part.period, l.bucket) AS summed
        GROUP BY instance, period),
counted AS (
        SELECT instance, period, sum(n_unknown) AS n_unknown, sum(n_starting) AS n_starting,
                sum(n_healthy) AS n_healthy, sum(n_degraded) AS n_degraded, sum(n_unhealthy) AS n_unhealthy
        FROM part
        GROUP BY instance, period)
SELECT c.instance, c.period, c.n_unknown, c.n_starting, c.n_healthy, c.n_degraded, c.n_unhealthy,
        coalesce(l.counts, '{}')
FROM counted c LEFT JOIN latency l ON l.instance = c.instance AND l.period = c.period
ORDER BY c.instance, c.period;
