-- SPDX-License-Identifier: LGPL-2.1-or-later

-- When the file was read as a whole the last time, and was what had been written; by a verification or a scrub.
ALTER TABLE backups ADD COLUMN read_at timestamptz;
UPDATE backups SET read_at = verified_at;
CREATE INDEX backups_read ON backups (read_at) WHERE state = 'verified';
