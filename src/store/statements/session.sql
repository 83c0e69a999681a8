-- SPDX-License-Identifier: LGPL-2.1-or-later
-- What a connection begins with, and the schema's own record. $N are bound parameters.

-- The server gives up soon after we would have, and notices a client that went away in mid-statement. No statement
-- of ours runs long enough for compiling it to pay.
-- name: session-begin (script)
SET client_min_messages = warning;
SET statement_timeout = '60s';
SET idle_in_transaction_session_timeout = '60s';
SET client_connection_check_interval = '1s';
SET timezone = 'UTC';
SET jit = off;
SET standard_conforming_strings = on;

-- name: begin
BEGIN;

-- name: begin-read-only
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: commit
COMMIT;

-- name: rollback
ROLLBACK;

-- name: schema-lock
SELECT pg_advisory_xact_lock(4849664381402112);

-- Migrations may take longer than a statement of daily use.
-- name: schema-patience
SET LOCAL statement_timeout = 0;

-- name: schema-table
CREATE TABLE IF NOT EXISTS schema_migrations (
        version integer PRIMARY KEY,
        name text NOT NULL,
        sha256 text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- name: schema-exists
SELECT to_regclass('schema_migrations') IS NOT NULL;

-- name: schema-versions
SELECT version, name, sha256 FROM schema_migrations ORDER BY version;

-- name: schema-record
INSERT INTO schema_migrations (version, name, sha256) VALUES ($1, $2, $3);
