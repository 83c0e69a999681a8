-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Recovery keys. $N are bound parameters; times are µs since the epoch.

-- As recovery_keys_read() takes them, the first one enrolled first.
-- name: recovery-keys-select
SELECT id, public, enrolled_by, (extract(epoch FROM enrolled_at) * 1000000)::bigint
FROM recovery_keys ORDER BY enrolled_at, id;

-- Whoever enrolls or forgets one waits here for the others, so that they can be counted.
-- name: recovery-keys-lock
SELECT pg_advisory_xact_lock(4849664381402118);

-- How many there are, and whether the one of this id is there.
-- name: recovery-keys-count
SELECT count(*), coalesce(bool_or(id = $1), false) FROM recovery_keys;

-- name: recovery-key-put
INSERT INTO recovery_keys (id, public, enrolled_by) VALUES ($1, ($2::bytea[])[1], $3);

-- name: recovery-key-remove
DELETE FROM recovery_keys WHERE id = $1;
