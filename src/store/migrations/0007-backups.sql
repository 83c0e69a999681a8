-- SPDX-License-Identifier: LGPL-2.1-or-later

ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check;
ALTER TABLE jobs ADD CONSTRAINT jobs_kind_check CHECK (kind IN ('create', 'start', 'stop', 'restart', 'delete', 'backup'));

-- One for each file; no reference to the instance, since backups outlive it. A file is 'writing' until it is whole on the
-- disk, 'written' until it was read back, and then 'verified'; 'damaged' if it is found not to be what was written. Its name
-- is that in the folder of the instance.
CREATE TABLE backups (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        instance uuid NOT NULL,
        slug text NOT NULL,
        job bigint NOT NULL UNIQUE,
        sequence bigint NOT NULL CHECK (sequence >= 1),
        state text NOT NULL DEFAULT 'writing' CHECK (state IN ('writing', 'written', 'verified', 'damaged')),
        consistency text NOT NULL CHECK (consistency IN ('live', 'paused', 'cold')),
        blueprint text NOT NULL,
        blueprint_version text NOT NULL,
        file text NOT NULL,
        archive uuid,
        size bigint CHECK (size > 0),
        contents jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(contents) = 'array'),
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        verified_at timestamptz,
        error text,
        UNIQUE (instance, sequence),
        CHECK (state = 'writing' OR (archive IS NOT NULL AND size IS NOT NULL)),
        CHECK (state <> 'verified' OR verified_at IS NOT NULL)
);
CREATE INDEX backups_by_time ON backups (created_at);

-- What seals backups: a key for each instance, by its id, and the one that signs them all, by 'signing'. They outlive the
-- instance as long as there are backups of it.
CREATE TABLE backup_keys (
        name text PRIMARY KEY,
        id text NOT NULL,
        key_id text NOT NULL,
        sealed bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The public halves of the keys that open backups where this server is no more.
CREATE TABLE recovery_keys (
        id text PRIMARY KEY,
        public bytea NOT NULL CHECK (length(public) = 32),
        enrolled_by text NOT NULL,
        enrolled_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
