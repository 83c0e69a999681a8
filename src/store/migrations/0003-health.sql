-- SPDX-License-Identifier: LGPL-2.1-or-later

-- Nothing yet.
DO $$ BEGIN END $$;
