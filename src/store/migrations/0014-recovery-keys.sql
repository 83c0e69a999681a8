-- SPDX-License-Identifier: LGPL-2.1-or-later

-- The ids of the recovery keys that open it, as its file had them when it was verified the last time.
ALTER TABLE backups ADD COLUMN recovery_keys jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(recovery_keys) = 'array');
