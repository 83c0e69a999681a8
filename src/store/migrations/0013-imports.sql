-- SPDX-License-Identifier: LGPL-2.1-or-later

-- The id of an archive is what its writer says. As the name of a key it could be that of an instance's own.
UPDATE backup_keys SET name = 'archive/' || name WHERE id = 'archive';
CREATE OR REPLACE FUNCTION forget_backup_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
        DELETE FROM backup_keys WHERE name = 'archive/' || OLD.archive::text;
        RETURN NULL;
END
$$;
