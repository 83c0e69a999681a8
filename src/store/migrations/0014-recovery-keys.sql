-- SPDX-License-Identifier: LGPL-2.1-or-later

-- The ids of the recovery keys that open it, as its file had them when it was verified the last time; NULL: they were not
-- looked at then.
ALTER TABLE backups ADD COLUMN recovery_keys jsonb CHECK (jsonb_typeof(recovery_keys) = 'array');
