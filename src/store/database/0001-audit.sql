-- SPDX-License-Identifier: LGPL-2.1-or-later

-- The record of what happened. It belongs to a role that nobody can log in as; the role ccpd may read it, append to
-- it, and remove what is older than 30 days, by the functions below and by nothing else (privileges.sql).
--
-- ccp-setup runs each file of this folder that ccpd_audit.versions does not have yet, by number, as the superuser.
-- A file that was released is never edited. Workers of the version before run on through an upgrade, so a later file
-- keeps the functions as they are called here, and the hash of entries that are there.
--
-- The chain
--
-- Entries are numbered from 1 without gaps. The hash of an entry is the SHA-256 of these 18 values, one after the
-- other, as UTF-8 text:
--
--     previous seq time action outcome instance instance_id uid user_name login_uid pid process unit session
--     remote_host job error_name details
--
-- Each is written as its length in bytes in decimal, ':', the value, ',' ("5:alice,"; an empty one is "0:,"), and one
-- that is NULL as "-,". Numbers are decimal; time is in microseconds since 1970-01-01 00:00 UTC; instance_id is a UUID
-- in lower case; details is JSON text, exactly as it is stored. 'previous' is the hash of the entry before in 64
-- lower-case hexadecimal digits, and 64 zeros for the first one. ccpd(8) describes the same.
--
-- 'head' has number and hash of the last entry, and is locked by whoever appends, up to the end of the transaction:
-- so everything else is done before that. 'checkpoint' has those of the last entry that was pruned, with which the
-- rest begins; 0 and 32 zero bytes as long as there is none.
--
-- 'latest' and 'setback' in 'head' are the highest time so far, and by how much an entry's time was behind that at
-- most, because the clock had been set back: who looks for a time knows by them between which numbers to look.

BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(4849664381402114);

CREATE SCHEMA IF NOT EXISTS ccpd_audit AUTHORIZATION ccpd_audit;
SET LOCAL ROLE ccpd_audit;

CREATE TABLE IF NOT EXISTS ccpd_audit.versions (
        version integer PRIMARY KEY,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE IF NOT EXISTS ccpd_audit.entries (
        seq bigint PRIMARY KEY CHECK (seq > 0),
        time bigint NOT NULL,
        action text NOT NULL CHECK (action ~ '^[A-Z][A-Z_]{0,62}$'),
        outcome text NOT NULL CHECK (outcome IN ('accepted', 'succeeded', 'failed', 'cancelled', 'denied')),
        instance text CHECK (octet_length(instance) <= 1024),
        instance_id uuid,
        uid bigint NOT NULL CHECK (uid BETWEEN 0 AND 4294967295),
        user_name text NOT NULL CHECK (octet_length(user_name) <= 1024),
        login_uid bigint CHECK (login_uid BETWEEN 0 AND 4294967295),
        pid bigint CHECK (pid BETWEEN 1 AND 4294967295),
        process text CHECK (octet_length(process) <= 1024),
        unit text CHECK (octet_length(unit) <= 1024),
        session text CHECK (octet_length(session) <= 1024),
        remote_host text CHECK (octet_length(remote_host) <= 1024),
        job bigint CHECK (job > 0),
        error_name text CHECK (octet_length(error_name) <= 1024),
        details text NOT NULL CHECK (octet_length(details) <= 65536 AND json_typeof(details::json) = 'object'),
        previous bytea NOT NULL CHECK (octet_length(previous) = 32),
        hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);

-- What is found by one of these comes in the order of -seq. Were it that of seq, the planner would at times go
-- backwards through all entries for the last few of an instance, which may be far from the end.
CREATE INDEX IF NOT EXISTS entries_by_instance ON ccpd_audit.entries (instance, (-seq)) WHERE instance IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_by_user ON ccpd_audit.entries (user_name, (-seq));
CREATE INDEX IF NOT EXISTS entries_by_uid ON ccpd_audit.entries (uid, (-seq));
CREATE INDEX IF NOT EXISTS entries_by_action ON ccpd_audit.entries (action, (-seq));
CREATE INDEX IF NOT EXISTS entries_by_outcome ON ccpd_audit.entries (outcome, (-seq));
CREATE INDEX IF NOT EXISTS entries_by_job ON ccpd_audit.entries (job, seq) WHERE job IS NOT NULL;
CREATE INDEX IF NOT EXISTS entries_by_time ON ccpd_audit.entries (time, seq);

CREATE TABLE IF NOT EXISTS ccpd_audit.head (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        seq bigint NOT NULL CHECK (seq >= 0),
        hash bytea NOT NULL CHECK (octet_length(hash) = 32),
        latest bigint NOT NULL DEFAULT 0,
        setback bigint NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS ccpd_audit.checkpoint (
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        seq bigint NOT NULL CHECK (seq >= 0),
        hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);
INSERT INTO ccpd_audit.head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING;
INSERT INTO ccpd_audit.checkpoint (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING;

CREATE OR REPLACE FUNCTION ccpd_audit.netstring(value text) RETURNS text
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN CASE WHEN value IS NULL THEN '-,' ELSE octet_length(value)::text || ':' || value || ',' END;

-- What the hash of an entry has to be.
CREATE OR REPLACE FUNCTION ccpd_audit.entry_hash(e ccpd_audit.entries) RETURNS bytea
        LANGUAGE sql IMMUTABLE PARALLEL SAFE
        RETURN sha256(convert_to(
                ccpd_audit.netstring(encode(e.previous, 'hex'))
                || ccpd_audit.netstring(e.seq::text)
                || ccpd_audit.netstring(e.time::text)
                || ccpd_audit.netstring(e.action)
                || ccpd_audit.netstring(e.outcome)
                || ccpd_audit.netstring(e.instance)
                || ccpd_audit.netstring(e.instance_id::text)
                || ccpd_audit.netstring(e.uid::text)
                || ccpd_audit.netstring(e.user_name)
                || ccpd_audit.netstring(e.login_uid::text)
                || ccpd_audit.netstring(e.pid::text)
                || ccpd_audit.netstring(e.process)
                || ccpd_audit.netstring(e.unit)
                || ccpd_audit.netstring(e.session)
                || ccpd_audit.netstring(e.remote_host)
                || ccpd_audit.netstring(e.job::text)
                || ccpd_audit.netstring(e.error_name)
                || ccpd_audit.netstring(e.details), 'UTF8'));

-- Between which numbers entries of a time are: up to the first all are from before it, and from the second on none is.
CREATE OR REPLACE FUNCTION ccpd_audit.seq_before(usec bigint) RETURNS bigint LANGUAGE sql STABLE
        RETURN coalesce((SELECT e.seq FROM ccpd_audit.entries e
                WHERE e.time < usec - (SELECT setback FROM ccpd_audit.head) ORDER BY e.time DESC LIMIT 1), 0);
CREATE OR REPLACE FUNCTION ccpd_audit.seq_behind(usec bigint) RETURNS bigint LANGUAGE sql STABLE
        RETURN coalesce((SELECT e.seq FROM ccpd_audit.entries e
                WHERE e.time >= usec + (SELECT setback FROM ccpd_audit.head) ORDER BY e.time LIMIT 1),
                9223372036854775807);

-- Gives the entry number, time and its place in the chain, and tells whoever listens. Not for the role ccpd.
CREATE OR REPLACE FUNCTION ccpd_audit.link(e ccpd_audit.entries) RETURNS ccpd_audit.entries
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, ccpd_audit, pg_temp AS $$
DECLARE
        h ccpd_audit.head;
BEGIN
        SELECT * INTO STRICT h FROM ccpd_audit.head FOR UPDATE;
        e.seq := h.seq + 1;
        e.time := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
        e.previous := h.hash;
        e.hash := ccpd_audit.entry_hash(e);
        INSERT INTO ccpd_audit.entries VALUES (e.*);
        UPDATE ccpd_audit.head SET seq = e.seq, hash = e.hash, latest = greatest(h.latest, e.time),
                setback = greatest(h.setback, h.latest - e.time);
        PERFORM pg_notify('ccpd_audit', e.seq::text);
        RETURN e;
END
$$;

-- Appends an entry, and gives it.
CREATE OR REPLACE FUNCTION ccpd_audit.append(action text, outcome text, instance text, instance_id uuid, uid bigint,
                user_name text, login_uid bigint, pid bigint, process text, unit text, session text, remote_host text,
                job bigint, error_name text, details text)
        RETURNS ccpd_audit.entries
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, ccpd_audit, pg_temp AS $$
DECLARE
        e ccpd_audit.entries;
BEGIN
        e.action := append.action;
        e.outcome := append.outcome;
        e.instance := append.instance;
        e.instance_id := append.instance_id;
        e.uid := append.uid;
        e.user_name := append.user_name;
        e.login_uid := append.login_uid;
        e.pid := append.pid;
        e.process := append.process;
        e.unit := append.unit;
        e.session := append.session;
        e.remote_host := append.remote_host;
        e.job := append.job;
        e.error_name := append.error_name;
        e.details := append.details;
        RETURN ccpd_audit.link(e);
END
$$;

-- The first terminal entry of what was accepted; no row if there is none.
CREATE OR REPLACE FUNCTION ccpd_audit.terminal_of(accepted ccpd_audit.entries) RETURNS SETOF ccpd_audit.entries
        LANGUAGE sql STABLE
        BEGIN ATOMIC
                SELECT * FROM ccpd_audit.entries e
                WHERE e.job = accepted.job AND e.seq > accepted.seq AND e.action = accepted.action
                        AND e.outcome IN ('succeeded', 'failed', 'cancelled')
                ORDER BY e.seq LIMIT 1;
        END;

-- Appends what a job came to, with who and what of its accepted entry, and gives that entry. If there is one already
-- it gives that and changes nothing; no row if the job was accepted before there was this record, or so long ago that
-- its entries were pruned.
CREATE OR REPLACE FUNCTION ccpd_audit.finish(job bigint, outcome text, error_name text, details text)
        RETURNS SETOF ccpd_audit.entries
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, ccpd_audit, pg_temp AS $$
DECLARE
        e ccpd_audit.entries;
BEGIN
        IF finish.outcome IS NULL OR finish.outcome NOT IN ('succeeded', 'failed', 'cancelled') THEN
                RAISE EXCEPTION 'The outcome ''%'' does not end a job.', finish.outcome;
        END IF;

        -- Two who finish the same job: the second waits here, and sees below what the first did.
        PERFORM FROM ccpd_audit.head FOR UPDATE;

        SELECT * INTO e FROM ccpd_audit.entries a
                WHERE a.job = finish.job AND a.outcome = 'accepted' ORDER BY a.seq LIMIT 1;
        IF NOT FOUND THEN
                RETURN;
        END IF;
        RETURN QUERY SELECT * FROM ccpd_audit.terminal_of(e);
        IF FOUND THEN
                RETURN;
        END IF;

        e.outcome := finish.outcome;
        e.error_name := finish.error_name;
        e.details := finish.details;
        RETURN QUERY SELECT * FROM ccpd_audit.link(e);
END
$$;

-- Removes the oldest entries: those from before a time (µs), but none of the last 30 days, none behind one that has to
-- stay, and at most 100000. An accepted entry stays until its job has ended, and all behind it. Gives how many were
-- removed, and the last one's number.
CREATE OR REPLACE FUNCTION ccpd_audit.prune(before_usec bigint, OUT removed bigint, OUT last_removed bigint)
        LANGUAGE plpgsql STRICT SECURITY DEFINER SET search_path = pg_catalog, ccpd_audit, pg_temp AS $$
DECLARE
        c ccpd_audit.checkpoint;
        last_hash bytea;
        bound bigint := least(before_usec,
                (extract(epoch FROM clock_timestamp() - interval '720 hours') * 1000000)::bigint);
BEGIN
        SELECT * INTO STRICT c FROM ccpd_audit.checkpoint FOR UPDATE;
        last_removed := coalesce(
                (SELECT e.seq - 1 FROM ccpd_audit.entries e
                        WHERE e.seq > c.seq AND e.seq <= c.seq + 100000
                                AND (e.time >= bound
                                        OR (e.outcome = 'accepted' AND e.job IS NOT NULL
                                                AND NOT EXISTS (SELECT FROM ccpd_audit.terminal_of(e))))
                        ORDER BY e.seq LIMIT 1),
                (SELECT max(e.seq) FROM ccpd_audit.entries e WHERE e.seq <= c.seq + 100000));
        removed := coalesce(last_removed, c.seq) - c.seq;
        IF removed <= 0 THEN
                removed := 0;
                last_removed := c.seq;
                RETURN;
        END IF;

        -- What somebody tampered with is not to be tidied away.
        SELECT e.hash INTO last_hash FROM ccpd_audit.entries e WHERE e.seq = last_removed;
        IF last_hash IS NULL
                OR removed <> (SELECT count(*) FROM ccpd_audit.entries e WHERE e.seq <= last_removed) THEN
                RAISE EXCEPTION 'The chain of the audit record is broken before entry %: nothing was removed.',
                        last_removed + 1;
        END IF;

        DELETE FROM ccpd_audit.entries e WHERE e.seq <= last_removed;
        UPDATE ccpd_audit.checkpoint SET seq = last_removed, hash = last_hash;
END
$$;

INSERT INTO ccpd_audit.versions (version) VALUES (1) ON CONFLICT DO NOTHING;
RESET ROLE;

COMMIT;
