-- SPDX-License-Identifier: LGPL-2.1-or-later

-- Whom the database and the schema of the audit record belong to. ccp-setup runs this in the database as PostgreSQL's
-- superuser, at each installation and upgrade, then the numbered files, then privileges.sql. It changes nothing where
-- all is as it should be.
--
-- The role ccpd was the owner of the database up to version 0.1.0. An owner may drop it, and anything in it, so it
-- belongs to the superuser now. Nothing here may rely on the search path: the role ccpd may put functions and
-- operators of its own into the schema public.

BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(4849664381402114);

DO $$
BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ccpd_audit') THEN
                CREATE ROLE ccpd_audit NOLOGIN;
        END IF;

        -- As owner of the database the role ccpd could have made one of its own.
        IF EXISTS (SELECT FROM pg_namespace
                        WHERE nspname = 'ccpd_audit' AND pg_get_userbyid(nspowner) <> 'ccpd_audit') THEN
                RAISE EXCEPTION 'The schema ccpd_audit does not belong to the role ccpd_audit: somebody else made it. '
                        'Look into it, rename it, and run ccp-setup --database again.';
        END IF;

        IF EXISTS (SELECT FROM pg_database
                        WHERE datname = current_database() AND pg_get_userbyid(datdba) = 'ccpd') THEN
                EXECUTE format('ALTER DATABASE %I OWNER TO CURRENT_USER', current_database());
                EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO ccpd', current_database());
        END IF;
END
$$;

COMMIT;
