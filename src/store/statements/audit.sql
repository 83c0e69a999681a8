-- SPDX-License-Identifier: LGPL-2.1-or-later
-- The record of what happened (database/0001-audit.sql). $N are bound parameters; times are µs since the epoch.

-- Which version of it is there.
-- name: audit-exists
SELECT to_regclass('ccpd_audit.versions') IS NOT NULL;

-- name: audit-version
SELECT coalesce(max(version), 0) FROM ccpd_audit.versions;

-- As audit_record_read() takes it, here and below.
-- name: audit-append
SELECT seq, time, action, outcome, instance, instance_id, uid, user_name, login_uid, pid, process, unit, session,
        remote_host, job, error_name, details, previous, hash
FROM ccpd_audit.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15);

-- name: audit-finish
SELECT seq, time, action, outcome, instance, instance_id, uid, user_name, login_uid, pid, process, unit, session,
        remote_host, job, error_name, details, previous, hash
FROM ccpd_audit.finish($1, $2, $3, $4);

-- Each of $1 to $9 may be NULL for any: instance, user, uid, action, outcome, since <= time < until, after < seq <
-- before. Newest first, but for $11. $12 says that there is one of $1 to $5, whose indexes are in the order of -seq.
-- What is NULL or false is gone before the statement is planned, so one key of the order is left, and its index; for
-- a time the numbers tell where in that to begin and to end.
-- name: audit-select
SELECT seq, time, action, outcome, instance, instance_id, uid, user_name, login_uid, pid, process, unit, session,
        remote_host, job, error_name, details, previous, hash
FROM ccpd_audit.entries
WHERE ($1::text IS NULL OR instance = $1)
        AND ($2::text IS NULL OR user_name = $2)
        AND ($3::bigint IS NULL OR uid = $3)
        AND ($4::text IS NULL OR action = $4)
        AND ($5::text IS NULL OR outcome = $5)
        AND ($6::bigint IS NULL OR (time >= $6 AND CASE WHEN $12::boolean
                THEN -seq < -ccpd_audit.seq_before($6) ELSE seq > ccpd_audit.seq_before($6) END))
        AND ($7::bigint IS NULL OR (time < $7 AND CASE WHEN $12
                THEN -seq > -ccpd_audit.seq_behind($7) ELSE seq < ccpd_audit.seq_behind($7) END))
        AND ($8::bigint IS NULL OR (seq < $8 AND -seq > -$8))
        AND ($9::bigint IS NULL OR (seq > $9 AND -seq < -$9))
ORDER BY CASE WHEN $12 AND $11::boolean THEN -seq END DESC, CASE WHEN $12 AND NOT $11 THEN -seq END,
        CASE WHEN NOT $12 AND $11 THEN seq END, CASE WHEN NOT $12 AND NOT $11 THEN seq END DESC
LIMIT $10::bigint;

-- Where the chain begins and ends, by what is recorded of it and by what is there; 0 for what is not there.
-- name: audit-ends
SELECT greatest(c.seq, 0), encode(c.hash, 'hex'), greatest(h.seq, 0), encode(h.hash, 'hex'),
        greatest((SELECT min(seq) FROM ccpd_audit.entries), 0), greatest((SELECT max(seq) FROM ccpd_audit.entries), 0),
        greatest((SELECT min(seq) FROM ccpd_audit.entries WHERE seq > greatest(h.seq, 0)), 0)
FROM (SELECT) AS one
LEFT JOIN (SELECT seq, hash FROM ccpd_audit.checkpoint LIMIT 1) c ON true
LEFT JOIN (SELECT seq, hash FROM ccpd_audit.head LIMIT 1) h ON true;

-- What is hashed, in that order, and the hash.
-- name: audit-chain
SELECT encode(previous, 'hex'), seq, time, action, outcome, instance, instance_id, uid, user_name, login_uid, pid,
        process, unit, session, remote_host, job, error_name, details, encode(hash, 'hex')
FROM ccpd_audit.entries WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3::bigint;

-- name: audit-prune
SELECT removed, last_removed FROM ccpd_audit.prune($1);
