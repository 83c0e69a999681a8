-- SPDX-License-Identifier: LGPL-2.1-or-later

-- How long something still waits that waits for an hour at most: what is due later than that was put off by a clock that was
-- ahead, and is due now. NULL waits for nothing.
CREATE FUNCTION wait_left(due_at timestamptz) RETURNS interval LANGUAGE sql AS $$
SELECT CASE WHEN due_at > clock_timestamp() + interval '2 hours' THEN interval '0'
        ELSE greatest(due_at - clock_timestamp(), interval '0') END
$$;

-- For how many hours what was before a restore is kept, and for how many seconds it was, by the time that the server was up:
-- this boot was counted up to then. So no clock makes it go earlier. What is kept already is counted from now on.
ALTER TABLE restores
        ADD COLUMN keep_hours integer CHECK (keep_hours >= 0),
        ADD COLUMN kept_seconds bigint NOT NULL DEFAULT 0 CHECK (kept_seconds >= 0),
        ADD COLUMN counted_boot text,
        ADD COLUMN counted_at bigint,
        ADD CHECK ((counted_boot IS NULL) = (counted_at IS NULL));
UPDATE restores SET keep_hours = greatest(round(extract(epoch FROM keep_until - switched_at) / 3600), 0)
WHERE state <> 'building';
ALTER TABLE restores ADD CHECK (state = 'building' OR keep_hours IS NOT NULL);
