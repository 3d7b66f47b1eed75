-- name: place
-- Where a schema would be made, and whether this role can make one there.
SELECT current_schema() AS schema,
       session_user AS role,
       coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create

-- name: read_only
-- Whether nothing can be written here.
SELECT current_setting('transaction_read_only')::bool

-- name: revisions
-- The revisions that alembic has noted in this schema.
SELECT version_num FROM alembic_version

-- name: has_rights
-- Whether this role has each right ($2) on each table ($1), in their order.
SELECT coalesce(has_table_privilege(to_regclass(wanted.name), wanted.privilege), false) AS has
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS wanted (name, privilege, place) ORDER BY place

-- name: owns
-- Whether this role owns one of the tables, or may do whatever an owner may.
SELECT bool_or(pg_has_role(current_user, c.relowner, 'USAGE')) FROM pg_class c
WHERE c.oid = ANY (SELECT to_regclass(named.name) FROM unnest($1::text[]) AS named (name))

-- name: unguarded
-- The tables without a trigger that refuses to rewrite history, or with one that is switched off.
SELECT named.name FROM unnest($1::text[]) AS named (name)
WHERE NOT EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
                  WHERE t.tgrelid = to_regclass(named.name) AND p.proname = 'refuse_rewriting_history' AND t.tgenabled IN ('O', 'A'))
ORDER BY named.name
