-- SPDX-License-Identifier: LGPL-2.1-or-later

ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_kind_check CHECK (kind IN
        ('create', 'start', 'stop', 'restart', 'delete', 'backup', 'verify', 'delete-backup'));
CREATE INDEX jobs_backup ON jobs (instance, id) WHERE kind = 'backup';

-- The job that deletes it; from then on it is in no list. The file goes first, the record last: whoever is killed in
-- between leaves what a later one goes on with.
ALTER TABLE backups ADD COLUMN deleted_by bigint;
CREATE INDEX backups_deleted ON backups (deleted_by) WHERE deleted_by IS NOT NULL;

-- The highest number that a backup had: none is given twice, whichever are deleted.
ALTER TABLE instances ADD COLUMN backup_sequence bigint NOT NULL DEFAULT 0 CHECK (backup_sequence >= 0);

-- What an instance has of its own of the settings backup_…, under these names; the fleet's hold for the others.
ALTER TABLE instances ADD COLUMN backup_settings jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(backup_settings) = 'object');

-- When schedules were due, by their expressions. Knocks are counted over all of them. An instance is due when there was one
-- of its schedule after the last one that it got a backup for; one that is new, or gets another schedule, waits for the next.
CREATE SEQUENCE schedule_knocks;
CREATE TABLE schedules (
        expression text PRIMARY KEY,
        knock bigint NOT NULL DEFAULT 0 CHECK (knock >= 0),
        knocked_at timestamptz,
        next_at timestamptz,
        CHECK ((knock > 0) = (knocked_at IS NOT NULL))
);
ALTER TABLE instances
        ADD COLUMN backup_knock bigint NOT NULL DEFAULT coalesce(pg_sequence_last_value('schedule_knocks'), 0),
        ADD COLUMN backup_scheduled_at timestamptz NOT NULL DEFAULT clock_timestamp();

CREATE FUNCTION notify_schedule() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
        PERFORM pg_notify('ccpd_schedule', '');
        RETURN NULL;
END
$$;
CREATE TRIGGER notify AFTER INSERT OR UPDATE OR DELETE ON schedules
        FOR EACH STATEMENT EXECUTE FUNCTION notify_schedule();

-- What is known of an instance's backups is read with it.
CREATE FUNCTION notify_backup() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
        PERFORM pg_notify('ccpd_instance', coalesce(NEW.instance, OLD.instance)::text);
        RETURN NULL;
END
$$;
CREATE TRIGGER notify AFTER INSERT OR UPDATE OR DELETE ON backups
        FOR EACH ROW EXECUTE FUNCTION notify_backup();
