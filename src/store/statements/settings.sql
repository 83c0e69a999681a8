-- SPDX-License-Identifier: LGPL-2.1-or-later

-- name: settings-select
SELECT key, value FROM settings ORDER BY key;

-- name: settings-reset
DELETE FROM settings WHERE key IN (SELECT key FROM jsonb_each($1::jsonb) WHERE value = 'null');

-- name: settings-put
INSERT INTO settings (key, value)
SELECT key, value FROM jsonb_each($1::jsonb) WHERE value <> 'null'
ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = clock_timestamp();
