-- SPDX-License-Identifier: LGPL-2.1-or-later

-- Instances, what is reserved for them, and the jobs done on them. The values of the states and kinds are
-- those of src/core; a test compares them.

CREATE TABLE instances (
        id uuid PRIMARY KEY,
        slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$'),
        name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
        domain text UNIQUE CHECK (length(domain) BETWEEN 1 AND 253 AND domain = lower(domain)),
        blueprint text NOT NULL CHECK (blueprint ~ '^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$'),
        blueprint_version text NOT NULL,
        engine text NOT NULL CHECK (engine IN ('compose', 'swarm', 'portainer')),
        state text NOT NULL DEFAULT 'provisioning'
                CHECK (state IN ('provisioning', 'running', 'stopped', 'updating', 'restoring', 'deleting', 'failed')),
        state_changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        parameters jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(parameters) = 'object'),
        features text[] NOT NULL DEFAULT '{}',
        source text,
        bind_address text NOT NULL,
        revision integer NOT NULL DEFAULT 0 CHECK (revision >= 0),
        error_name text,
        error_message text,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CHECK (error_name IS NOT NULL OR error_message IS NULL)
);

CREATE TABLE ports (
        host text NOT NULL,
        number integer NOT NULL CHECK (number BETWEEN 1 AND 65535),
        instance uuid NOT NULL REFERENCES instances ON DELETE CASCADE,
        name text NOT NULL,
        PRIMARY KEY (host, number),
        UNIQUE (instance, name)
);

-- One for each instance; no two overlap, whatever their sizes.
CREATE TABLE subnets (
        instance uuid PRIMARY KEY REFERENCES instances ON DELETE CASCADE,
        subnet cidr NOT NULL CHECK (family(subnet) = 4),
        EXCLUDE USING gist (subnet inet_ops WITH &&)
);

-- Sealed by src/vault: nothing in here can be read without the master key.
CREATE TABLE secrets (
        instance uuid NOT NULL REFERENCES instances ON DELETE CASCADE,
        name text NOT NULL CHECK (name ~ '^[A-Za-z][A-Za-z0-9_]{0,62}$'),
        version integer NOT NULL CHECK (version >= 1),
        key_id text NOT NULL,
        sealed bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (instance, name, version)
);

CREATE TABLE revisions (
        instance uuid NOT NULL REFERENCES instances ON DELETE CASCADE,
        number integer NOT NULL CHECK (number >= 1),
        state text NOT NULL CHECK (state IN ('rendered', 'active', 'superseded', 'failed')),
        files jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(files) = 'object'),
        images jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(images) = 'object'),
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        PRIMARY KEY (instance, number)
);

CREATE UNIQUE INDEX revisions_one_active ON revisions (instance) WHERE state = 'active';

-- A job outlives its instance: there is no reference.
CREATE TABLE jobs (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        instance uuid NOT NULL,
        slug text NOT NULL,
        kind text NOT NULL CHECK (kind IN ('create', 'start', 'stop', 'restart', 'delete')),
        state text NOT NULL DEFAULT 'queued'
                CHECK (state IN ('queued', 'running', 'undoing', 'succeeded', 'failed', 'cancelled')),
        state_before text NOT NULL
                CHECK (state_before IN
                        ('provisioning', 'running', 'stopped', 'updating', 'restoring', 'deleting', 'failed')),
        spec jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(spec) = 'object'),
        attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
        cancel_requested boolean NOT NULL DEFAULT false,
        error_name text,
        error_message text,
        started_by text NOT NULL,
        started_by_uid bigint NOT NULL CHECK (started_by_uid BETWEEN 0 AND 4294967295),
        queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        started_at timestamptz,
        finished_at timestamptz,
        CHECK (error_name IS NOT NULL OR error_message IS NULL),
        CHECK ((finished_at IS NOT NULL) = (state IN ('succeeded', 'failed', 'cancelled')))
);

CREATE UNIQUE INDEX jobs_one_active ON jobs (instance) WHERE state IN ('queued', 'running', 'undoing');
CREATE INDEX jobs_by_slug ON jobs (slug, id);
CREATE INDEX jobs_active ON jobs (id) WHERE state IN ('queued', 'running', 'undoing');

CREATE TABLE job_steps (
        job bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
        number integer NOT NULL CHECK (number >= 1),
        name text NOT NULL,
        state text NOT NULL DEFAULT 'pending'
                CHECK (state IN ('pending', 'running', 'done', 'failed', 'undoing', 'undone', 'skipped')),
        undo jsonb,
        detail text,
        started_at timestamptz,
        finished_at timestamptz,
        PRIMARY KEY (job, number),
        UNIQUE (job, name)
);

CREATE TABLE settings (
        key text PRIMARY KEY,
        value jsonb NOT NULL,
        updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Whoever keeps copies of rows learns that they changed; several changes in one transaction are told once.
CREATE FUNCTION notify_job() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
        PERFORM pg_notify('ccpd_job', (coalesce(to_jsonb(NEW), to_jsonb(OLD)) ->> TG_ARGV[0]));
        RETURN NULL;
END
$$;

CREATE FUNCTION notify_instance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
        PERFORM pg_notify('ccpd_instance', coalesce(NEW.id, OLD.id)::text);
        RETURN NULL;
END
$$;

CREATE FUNCTION touch_instance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
        NEW.updated_at := clock_timestamp();
        IF NEW.state <> OLD.state THEN
                NEW.state_changed_at := NEW.updated_at;
        END IF;
        RETURN NEW;
END
$$;

CREATE TRIGGER touch BEFORE UPDATE ON instances
        FOR EACH ROW EXECUTE FUNCTION touch_instance();
CREATE TRIGGER notify AFTER INSERT OR UPDATE OR DELETE ON instances
        FOR EACH ROW EXECUTE FUNCTION notify_instance();
CREATE TRIGGER notify AFTER INSERT OR UPDATE OR DELETE ON jobs
        FOR EACH ROW EXECUTE FUNCTION notify_job('id');
CREATE TRIGGER notify AFTER INSERT OR UPDATE OR DELETE ON job_steps
        FOR EACH ROW EXECUTE FUNCTION notify_job('job');
