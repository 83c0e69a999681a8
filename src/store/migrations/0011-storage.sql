-- SPDX-License-Identifier: LGPL-2.1-or-later

-- What is copied to the storage is only looked at: that runs beside all other jobs of the instance, once for each backup.
ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_kind_check CHECK (kind IN
        ('create', 'start', 'stop', 'restart', 'delete', 'backup', 'verify', 'delete-backup', 'restore',
        'undo-restore', 'discard-restore', 'clone', 'drill',
        'import', 'replicate', 'fetch'));
DROP INDEX jobs_one_active;
CREATE UNIQUE INDEX jobs_one_active ON jobs (instance)
        WHERE state IN ('queued', 'running', 'undoing') AND kind <> 'replicate';
CREATE UNIQUE INDEX jobs_one_replicates ON jobs ((spec ->> 'backup'))
        WHERE state IN ('queued', 'running', 'undoing') AND kind = 'replicate';
CREATE INDEX jobs_replicate ON jobs (instance, id) WHERE kind = 'replicate';

-- Where backups are copied to, if anywhere. Each change counts the version up, also when the storage is forgotten: no version
-- comes twice. The credentials are sealed for their version.
CREATE TABLE storage (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        version integer NOT NULL DEFAULT 0 CHECK (version >= 0),
        endpoint text,
        region text,
        bucket text,
        prefix text,
        path_style boolean,
        ca_file text,
        key_id text,
        sealed bytea,
        set_at timestamptz,
        CHECK (num_nulls(endpoint, region, bucket, prefix, path_style, ca_file, key_id, sealed, set_at) IN (0, 9))
);
INSERT INTO storage DEFAULT VALUES;

CREATE FUNCTION notify_storage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
        PERFORM pg_notify('ccpd_storage', '');
        RETURN NULL;
END
$$;
CREATE TRIGGER notify AFTER UPDATE ON storage FOR EACH STATEMENT EXECUTE FUNCTION notify_storage();

-- The copy: what it is called in the storage, once anything may be there under that name; and when it was there, and compared.
-- Until then: since when there should be one, how often it was tried, and when it is tried again.
ALTER TABLE backups
        ADD COLUMN copy_key text,
        ADD COLUMN replicated_at timestamptz,
        ADD COLUMN copy_wanted_at timestamptz,
        ADD COLUMN copy_attempts integer NOT NULL DEFAULT 0 CHECK (copy_attempts >= 0),
        ADD COLUMN copy_due_at timestamptz,
        ADD CHECK (replicated_at IS NULL OR copy_key IS NOT NULL);
UPDATE backups SET copy_wanted_at = clock_timestamp() WHERE state = 'verified';
CREATE INDEX backups_uncopied ON backups (copy_due_at) WHERE state = 'verified' AND replicated_at IS NULL;

-- Copies whose backups are deleted.
CREATE TABLE doomed_copies (
        key text PRIMARY KEY,
        attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
        due_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER notify AFTER INSERT ON doomed_copies FOR EACH STATEMENT EXECUTE FUNCTION notify_storage();

CREATE FUNCTION doom_copy() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
        INSERT INTO doomed_copies (key) VALUES (OLD.copy_key) ON CONFLICT DO NOTHING;
        RETURN NULL;
END
$$;
CREATE TRIGGER doom_copy AFTER DELETE ON backups
        FOR EACH ROW WHEN (OLD.copy_key IS NOT NULL) EXECUTE FUNCTION doom_copy();

-- What became of the last attempt is read with the instance.
DROP TRIGGER notify_backup ON jobs;
CREATE TRIGGER notify_backup AFTER UPDATE OF state ON jobs
        FOR EACH ROW WHEN (NEW.kind IN ('backup', 'drill', 'replicate') AND NEW.state IN ('succeeded', 'failed'))
        EXECUTE FUNCTION notify_backup();
