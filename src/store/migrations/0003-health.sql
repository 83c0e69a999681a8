-- SPDX-License-Identifier: LGPL-2.1-or-later

-- The place of the migration that comes with the history of health.
DO $$ BEGIN END $$;
