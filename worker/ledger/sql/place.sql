-- name: place
-- Where a schema would be made, and whether this role can make one there.
SELECT current_schema() AS schema,
       session_user AS role,
       current_setting('transaction_read_only')::bool AS read_only,
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create

-- name: revisions
-- The revisions that alembic has noted in this schema.
SELECT version_num FROM alembic_version
