-- SPDX-License-Identifier: LGPL-2.1-or-later

-- Drills go by a schedule as backups do. Since drill_scheduled_at an instance could have been drilled in each round: the
-- schedule was set, or the last round that left it out. When a backup of it was drilled the last time outlives the backup.
ALTER TABLE instances
        ADD COLUMN drill_knock bigint NOT NULL DEFAULT coalesce(pg_sequence_last_value('schedule_knocks'), 0),
        ADD COLUMN drill_scheduled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        ADD COLUMN drilled_at timestamptz;
UPDATE instances i SET drilled_at = (SELECT max(b.drilled_at) FROM backups b WHERE b.instance = i.id);

-- The knock before the last one.
ALTER TABLE schedules ADD COLUMN knocked_before timestamptz CHECK (knocked_before IS NULL OR knock > 0);

-- What became of the last one of each kind is read with the instance; one that failed changes nothing else.
CREATE INDEX jobs_drill ON jobs (instance, id) WHERE kind = 'drill';
CREATE TRIGGER notify_backup AFTER UPDATE OF state ON jobs
        FOR EACH ROW WHEN (NEW.kind IN ('backup', 'drill') AND NEW.state IN ('succeeded', 'failed'))
        EXECUTE FUNCTION notify_backup();
