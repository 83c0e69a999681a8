-- SPDX-License-Identifier: LGPL-2.1-or-later

-- Who was granted which role, for the whole fleet or for one instance. Number and name are both compared with those of
-- whoever calls, so a grant to a user who is gone is worth nothing to the next one of that number or name.
CREATE TABLE roles (
        subject text NOT NULL CHECK (subject IN ('user', 'group')),
        id bigint NOT NULL CHECK (id BETWEEN 0 AND 4294967295),
        name text NOT NULL CHECK (length(name) BETWEEN 1 AND 256),
        role text NOT NULL CHECK (role IN ('client', 'viewer', 'operator', 'admin')),
        instance uuid REFERENCES instances ON DELETE CASCADE,
        granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        granted_by text NOT NULL,
        UNIQUE NULLS NOT DISTINCT (subject, name, instance),
        CHECK (role <> 'client' OR instance IS NOT NULL)
);

CREATE INDEX roles_by_instance ON roles (instance);

CREATE FUNCTION notify_role() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
        PERFORM pg_notify('ccpd_role', '');
        RETURN NULL;
END
$$;

CREATE TRIGGER notify AFTER INSERT OR UPDATE OR DELETE ON roles
        FOR EACH ROW EXECUTE FUNCTION notify_role();
