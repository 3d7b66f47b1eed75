-- name: set_up
-- The settings of a session ($1: names, $2: values), but for those that this server does not know, and its backend's pid.
-- They are made only if the backend is $3: behind a pooler it is another one than was announced, and may not be ours to set.
SELECT pg_backend_pid() AS pid,
       (SELECT count(set_config(wanted.name, wanted.value, false))
        FROM unnest($1::text[], $2::text[]) AS wanted (name, value)
        JOIN pg_settings ON pg_settings.name = wanted.name
        WHERE pg_backend_pid() = $3) AS made

-- name: mark_session
SELECT set_config('connects.session', $1, false)

-- name: marked
SELECT current_setting('connects.session', true)

-- name: forget_mark
RESET connects.session; COMMIT

-- name: slots
-- How many connections this role may have: by its own limit, the database's, and the server's. Null: no limit. Superusers
-- have the server's only.
SELECT r.rolname AS role, quote_ident(r.rolname) AS quoted_role, d.datname AS database, quote_ident(d.datname) AS quoted_database,
       CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit END AS of_role,
       CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit END AS of_database,
       current_setting('max_connections')::int - CASE WHEN r.rolsuper THEN 0
           ELSE current_setting('superuser_reserved_connections')::int
                + coalesce(current_setting('reserved_connections', true)::int, 0) END AS of_server
FROM pg_roles r, pg_database d
WHERE r.rolname = session_user AND d.datname = current_database()
