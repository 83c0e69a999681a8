-- SPDX-License-Identifier: LGPL-2.1-or-later

-- How instances are, and were. All times are µs since the epoch: they are calculated with.

-- Each sweep over the fleet; also one that could not look, and why.
CREATE TABLE health_sweeps (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        began_at bigint NOT NULL UNIQUE,
        began_monotonic bigint NOT NULL,
        duration bigint NOT NULL CHECK (duration >= 0),
        n_instances integer NOT NULL CHECK (n_instances >= 0),
        n_probes integer NOT NULL CHECK (n_probes >= 0),
        error_name text,
        error_message text,
        CHECK ((error_name IS NULL) = (error_message IS NULL))
);

-- What the probes of a service have come to, in one run of its container.
CREATE TABLE health_probes (
        instance uuid NOT NULL REFERENCES instances ON DELETE CASCADE,
        service text NOT NULL,
        container text NOT NULL,
        verdict text NOT NULL CHECK (verdict IN ('waiting', 'healthy', 'failed')),
        n_failures integer NOT NULL CHECK (n_failures >= 0),
        n_successes integer NOT NULL CHECK (n_successes >= 0),
        since bigint NOT NULL,
        checked_at bigint NOT NULL,
        latency bigint NOT NULL CHECK (latency >= 0),
        reason text,
        exec text,
        PRIMARY KEY (instance, service)
) WITH (fillfactor = 50);

-- What the last sweep that could look found of each instance, and since when it has been so.
CREATE TABLE health_current (
        instance uuid PRIMARY KEY REFERENCES instances ON DELETE CASCADE,
        health text NOT NULL CHECK (health IN ('unknown', 'starting', 'healthy', 'degraded', 'unhealthy')),
        since bigint NOT NULL,
        checked_at bigint NOT NULL,
        reason text
) WITH (fillfactor = 50);

-- latency: of the slowest HTTP or TCP probe that was answered; NULL: none was.
CREATE TABLE health_samples (
        instance uuid NOT NULL REFERENCES instances ON DELETE CASCADE,
        time bigint NOT NULL,
        health text NOT NULL CHECK (health IN ('unknown', 'starting', 'healthy', 'degraded', 'unhealthy')),
        latency bigint CHECK (latency >= 0),
        PRIMARY KEY (instance, time)
);

CREATE INDEX health_samples_by_time ON health_samples USING brin (time) WITH (pages_per_range = 16);

-- What the samples of an hour were. An hour without samples has no row. The latencies are counts in the buckets of
-- src/core/latency.h, those with none left out.
CREATE TABLE health_hours (
        instance uuid NOT NULL REFERENCES instances ON DELETE CASCADE,
        hour bigint NOT NULL CHECK (hour % 3600000000 = 0),
        n_unknown integer NOT NULL,
        n_starting integer NOT NULL,
        n_healthy integer NOT NULL,
        n_degraded integer NOT NULL,
        n_unhealthy integer NOT NULL,
        latency_buckets smallint[] NOT NULL,
        latency_counts integer[] NOT NULL,
        PRIMARY KEY (instance, hour),
        CHECK (cardinality(latency_buckets) = cardinality(latency_counts))
);

CREATE INDEX health_hours_by_hour ON health_hours USING brin (hour) WITH (pages_per_range = 16);

-- Samples from before this time are in health_hours.
CREATE TABLE health_rolled_up (
        until bigint NOT NULL,
        one boolean PRIMARY KEY DEFAULT true CHECK (one)
);
INSERT INTO health_rolled_up (until) VALUES (0);
