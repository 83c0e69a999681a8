-- SPDX-License-Identifier: LGPL-2.1-or-later

-- What was stopped on purpose stays so, whatever else starts. How often ccpd itself tried to bring an instance back, and
-- why, is kept until that succeeds or somebody else does something: a ccpd that dies goes on where it was.
ALTER TABLE instances
        ADD COLUMN stopped_services text[] NOT NULL DEFAULT '{}',
        ADD COLUMN repair text NOT NULL DEFAULT 'default' CHECK (repair IN ('default', 'off', 'on')),
        ADD COLUMN changed_files text[] NOT NULL DEFAULT '{}',
        ADD COLUMN changed_files_at timestamptz,
        ADD COLUMN recovery_reason text NOT NULL DEFAULT 'none'
                CHECK (recovery_reason IN ('none', 'boot', 'engine', 'drift')),
        ADD COLUMN recovery_run bigint NOT NULL DEFAULT 0,
        ADD COLUMN recovery_attempts integer NOT NULL DEFAULT 0 CHECK (recovery_attempts >= 0),
        ADD COLUMN recovery_at timestamptz,
        ADD CHECK ((recovery_attempts > 0) = (recovery_reason <> 'none') AND (recovery_attempts > 0) = (recovery_at IS NOT NULL));

-- One for each start of the Engine after which there was something to bring back, or to see that it is there. An Engine is
-- known by the time when it started, a boot by its id.
CREATE TABLE recoveries (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        reason text NOT NULL CHECK (reason IN ('boot', 'engine')),
        boot text NOT NULL,
        engine_started_at timestamptz NOT NULL,
        begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        ended_at timestamptz,
        total integer NOT NULL DEFAULT 0 CHECK (total >= 0),
        healthy integer NOT NULL DEFAULT 0 CHECK (healthy >= 0),
        failed text[] NOT NULL DEFAULT '{}'
);
