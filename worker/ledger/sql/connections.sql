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
