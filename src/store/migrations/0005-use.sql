-- SPDX-License-Identifier: LGPL-2.1-or-later

-- Limits that were chosen for this instance, in place of its blueprint's: memory (bytes), cpus (thousandths), pids.
ALTER TABLE instances ADD COLUMN limits jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(limits) = 'object');

-- What instances take of the disk, as it was measured last.
CREATE TABLE disk_use (
        instance uuid NOT NULL REFERENCES instances ON DELETE CASCADE,
        kind text NOT NULL CHECK (kind IN ('folder', 'volume', 'container')),
        name text NOT NULL, -- of the volume or service; '' for the folder
        bytes bigint NOT NULL CHECK (bytes >= 0),
        complete boolean NOT NULL,
        measured_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (instance, kind, name)
);

CREATE FUNCTION notify_use() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
        PERFORM pg_notify('ccpd_use', '');
        RETURN NULL;
END
$$;

CREATE TRIGGER notify AFTER INSERT ON disk_use
        FOR EACH STATEMENT EXECUTE FUNCTION notify_use();
