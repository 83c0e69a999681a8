-- SPDX-License-Identifier: LGPL-2.1-or-later

-- When it was last looked whether the storage has all copies that are on record.
ALTER TABLE storage ADD COLUMN compared_at timestamptz;
