-- SPDX-License-Identifier: LGPL-2.1-or-later

ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_kind_check CHECK (kind IN
        ('create', 'start', 'stop', 'restart', 'delete', 'backup', 'verify', 'delete-backup', 'restore',
        'undo-restore', 'discard-restore', 'clone', 'drill',
        'import'));

-- What the instance was asked for, without what is secret: what it takes to make one of the backup.
ALTER TABLE backups ADD COLUMN config jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(config) = 'object');

-- A file that came from elsewhere, and who signed it. It has no job until that of its import. Its key is among backup_keys,
-- by the id of the archive, and goes with it.
ALTER TABLE backups ALTER COLUMN job DROP NOT NULL, ADD COLUMN signer bytea CHECK (length(signer) = 32);
CREATE UNIQUE INDEX backups_by_archive ON backups (archive) WHERE signer IS NOT NULL AND deleted_by IS NULL;

CREATE FUNCTION forget_backup_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
        DELETE FROM backup_keys WHERE name = OLD.archive::text;
        RETURN NULL;
END
$$;
CREATE TRIGGER forget_key AFTER DELETE ON backups
        FOR EACH ROW WHEN (OLD.signer IS NOT NULL) EXECUTE FUNCTION forget_backup_key();

-- It was restored, and proven, by a drill that took so long.
ALTER TABLE backups ADD COLUMN drilled_at timestamptz, ADD COLUMN drill_took bigint CHECK (drill_took >= 0);

-- What the engine calls the volumes that a restore made, by their key in the compose file.
ALTER TABLE revisions ADD COLUMN volumes jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(volumes) = 'object');

-- One for each time that an instance got other volumes: from a backup, or, where that was undone, those that it had before.
-- 'building' until it was switched over. What it had before is 'kept' until keep_until, then 'discarded'; 'undone' if it has
-- it back.
CREATE TABLE restores (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        instance uuid NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
        job bigint NOT NULL UNIQUE,
        backup bigint,
        state text NOT NULL DEFAULT 'building' CHECK (state IN ('building', 'kept', 'undone', 'discarded')),
        undoes bigint REFERENCES restores (id) ON DELETE SET NULL,
        revision_before integer NOT NULL,
        revision_after integer NOT NULL,
        volumes_before jsonb NOT NULL CHECK (jsonb_typeof(volumes_before) = 'object'),
        volumes_after jsonb NOT NULL CHECK (jsonb_typeof(volumes_after) = 'object'),
        switched_at timestamptz,
        keep_until timestamptz,
        CHECK (state = 'building' OR (switched_at IS NOT NULL AND keep_until IS NOT NULL))
);
CREATE INDEX restores_by_instance ON restores (instance, id);
