-- SPDX-License-Identifier: LGPL-2.1-or-later

-- What the role ccpd may do in its database; see roles.sql. A database that was restored without its privileges has
-- them again after this.

BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(4849664381402114);

DO $$
BEGIN
        -- Other users of this machine have no business in there.
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC, ccpd', current_database());
        EXECUTE format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO ccpd', current_database());
END
$$;

GRANT USAGE, CREATE ON SCHEMA public TO ccpd;

REVOKE ALL ON SCHEMA ccpd_audit FROM PUBLIC, ccpd;
REVOKE ALL ON ALL TABLES IN SCHEMA ccpd_audit FROM PUBLIC, ccpd;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ccpd_audit FROM PUBLIC, ccpd;
GRANT USAGE ON SCHEMA ccpd_audit TO ccpd;
GRANT SELECT ON ALL TABLES IN SCHEMA ccpd_audit TO ccpd;
GRANT EXECUTE ON FUNCTION ccpd_audit.append, ccpd_audit.finish, ccpd_audit.prune, ccpd_audit.netstring,
        ccpd_audit.entry_hash, ccpd_audit.seq_before, ccpd_audit.seq_behind TO ccpd;

COMMIT;
