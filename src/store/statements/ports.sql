-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Ports and subnets, and how they are allocated.

-- Whoever allocates waits here for the others, so that nobody runs into another's choice.
-- name: allocation-lock
SELECT pg_advisory_xact_lock(4849664381402113);

-- The lowest $5 free ports of each range ($1 to $2) on a host ($3) without those in use ($4).
-- name: ports-find-free
SELECT range.number, free.port
FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS range (first, last, number)
CROSS JOIN LATERAL (
        SELECT port FROM generate_series(range.first, range.last) AS port
        EXCEPT
        SELECT ports.number FROM ports WHERE ports.host = $3 AND ports.number BETWEEN range.first AND range.last
        EXCEPT
        SELECT unnest($4::bigint[])
        ORDER BY port
        LIMIT $5::bigint) AS free
ORDER BY range.number, free.port;

-- name: ports-insert
INSERT INTO ports (instance, host, name, number)
SELECT $1, $2, port.name, port.number FROM unnest($3::text[], $4::bigint[]) AS port (name, number);

-- The lowest free subnet of the size $2 in the pool $1, and how many records and routes ($3) are in the way.
-- Addresses are counted from 0.0.0.0. A free one begins at the pool's start or behind one that is taken,
-- rounded up to its size, and fits if the next taken one begins no earlier than it ends.
-- name: subnet-find-free
WITH pool AS (
        SELECT host(network($1::cidr))::inet - inet '0.0.0.0' AS first,
                host(broadcast($1::cidr))::inet - inet '0.0.0.0' + 1 AS past,
                1::bigint << (32 - $2::int) AS size),
taken AS (
        SELECT host(network(subnet))::inet - inet '0.0.0.0' AS first,
                host(broadcast(subnet))::inet - inet '0.0.0.0' + 1 AS past,
                recorded
        FROM (SELECT subnet, true AS recorded FROM subnets
                UNION ALL
                SELECT unnest($3::text[])::cidr, false) AS every
        WHERE subnet && $1::cidr),
gaps AS (
        SELECT greatest(pool.first, max(taken.past) OVER before) AS first, taken.first AS past
        FROM taken, pool
        WINDOW before AS (ORDER BY taken.first, taken.past ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        UNION ALL
        SELECT greatest(pool.first, (SELECT max(past) FROM taken)), pool.past FROM pool),
free AS (
        SELECT (gaps.first + pool.size - 1) / pool.size * pool.size AS first, gaps.past FROM gaps, pool)
SELECT (SELECT set_masklen(inet '0.0.0.0' + min(free.first), $2::int)::cidr::text FROM free, pool
                WHERE free.first + pool.size <= free.past),
        (SELECT count(*) FROM taken WHERE recorded),
        (SELECT count(*) FROM taken WHERE NOT recorded);

-- name: subnet-insert
INSERT INTO subnets (instance, subnet) VALUES ($1, $2::cidr);
