-- SPDX-License-Identifier: LGPL-2.1-or-later

-- name: revision-next
SELECT coalesce(max(number), 0) + 1 FROM revisions WHERE instance = $1;

-- As revision_record_read() takes it.
-- name: revision-get
SELECT number, state, files, images, volumes, (extract(epoch FROM created_at) * 1000000)::bigint
FROM revisions WHERE instance = $1 AND number = $2;

-- name: revision-put
INSERT INTO revisions (instance, number, state, files, images, volumes)
VALUES ($1, $2, $3, coalesce($4::jsonb, '{}'), coalesce($5::jsonb, '{}'), coalesce($6::jsonb, '{}'))
ON CONFLICT (instance, number) DO UPDATE
SET state = excluded.state, files = excluded.files, images = excluded.images, volumes = excluded.volumes;

-- name: revision-supersede-others
UPDATE revisions SET state = 'superseded' WHERE instance = $1 AND number <> $2 AND state = 'active';

-- name: revision-activate
UPDATE revisions SET state = 'active' WHERE instance = $1 AND number = $2 RETURNING number;

-- name: instance-set-revision
UPDATE instances SET revision = $2, changed_files = '{}', changed_files_at = NULL WHERE id = $1;

-- name: revision-remove
DELETE FROM revisions WHERE instance = $1 AND number = $2;
