-- SPDX-License-Identifier: LGPL-2.1-or-later

-- Alerts, what is told of them to whom, and who wants to hear nothing. The names of rules, channels and the like are
-- those of src/core/alert.c; a test compares them.

-- An alert outlives its instance: there is no reference. Its row is written when it begins to fire.
CREATE TABLE alerts (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        -- Whoever writes it knows it by this, also before it could be written.
        uuid uuid NOT NULL UNIQUE,
        rule text NOT NULL CHECK (rule ~ '^[a-z][a-z-]{0,62}$'),
        severity text NOT NULL CHECK (severity IN ('warning', 'error', 'critical')),
        instance uuid,
        slug text,
        name text,
        subject text NOT NULL,
        state text NOT NULL CHECK (state IN ('firing', 'resolved')),
        message text NOT NULL,
        since timestamptz NOT NULL,
        fired_at timestamptz NOT NULL,
        resolved_at timestamptz,
        -- When it was told last, and how often.
        notified_at timestamptz,
        notifications integer NOT NULL CHECK (notifications >= 0),
        CHECK ((resolved_at IS NOT NULL) = (state = 'resolved'))
);

CREATE INDEX alerts_firing ON alerts (id) WHERE state = 'firing';
CREATE INDEX alerts_by_instance ON alerts (instance, id);
CREATE INDEX alerts_resolved ON alerts (resolved_at) WHERE state = 'resolved';

-- What is sent at once over one channel: one request, one mail. The uuid stays the same however often it is tried.
CREATE TABLE alert_messages (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        uuid uuid NOT NULL UNIQUE DEFAULT gen_random_uuid(),
        channel text NOT NULL CHECK (channel IN ('webhook', 'mail')),
        test boolean NOT NULL,
        state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'delivered', 'failed')),
        attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
        error text,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        -- The next attempt; the end, for what is at its end.
        due_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE INDEX alert_messages_queued ON alert_messages (channel, id) WHERE state = 'queued';

-- One notice: what an alert was at a moment, for one channel. It waits until a message takes it up.
CREATE TABLE alert_deliveries (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        alert bigint NOT NULL REFERENCES alerts ON DELETE CASCADE,
        channel text NOT NULL CHECK (channel IN ('webhook', 'mail')),
        status text NOT NULL CHECK (status IN ('firing', 'resolved', 'test')),
        -- 0 for the first notice, then of its repetitions
        number integer NOT NULL CHECK (number >= 0),
        message text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        due_at timestamptz NOT NULL,
        sent_in bigint REFERENCES alert_messages ON DELETE SET NULL,
        UNIQUE (alert, channel, status, number)
);

CREATE INDEX alert_deliveries_waiting ON alert_deliveries (channel, id) WHERE sent_in IS NULL;
CREATE INDEX alert_deliveries_by_message ON alert_deliveries (sent_in);

CREATE TABLE alert_silences (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        rule text CHECK (rule ~ '^[a-z][a-z-]{0,62}$'),
        instance uuid REFERENCES instances ON DELETE CASCADE,
        until timestamptz NOT NULL,
        reason text NOT NULL CHECK (length(reason) <= 200),
        created_by text NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What messages to the webhook are signed with, sealed as the secrets of instances are.
CREATE TABLE alert_secrets (
        version integer PRIMARY KEY CHECK (version >= 1),
        key_id text NOT NULL,
        sealed bytea NOT NULL,
        created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
