-- name: known_wallets
-- Those of these freelancers ($1) whose wallets were ever changed.
SELECT freelancer_id FROM unnest($1::text[]) AS wanted (freelancer_id)
WHERE EXISTS (SELECT FROM changes c WHERE c.freelancer_id = wanted.freelancer_id)

-- name: wallets_to_republish
-- Wallets with changes from version $1 on that were decided after $2, recorded since $3 (null: whenever), of these freelancers ($4; null:
-- all), by id: the first of these changes, and how many there are.
SELECT freelancer_id, min(version) AS version, count(*) AS messages FROM changes
WHERE version >= $1 AND decision_seq > $2 AND ($3::timestamptz IS NULL OR recorded_at >= $3)
  AND ($4::text[] IS NULL OR freelancer_id = ANY($4)) GROUP BY freelancer_id ORDER BY freelancer_id

-- name: last_of_selection
-- The last command that published messages of that selection ($1) once more.
SELECT arguments, actor, asked_at, answer FROM commands
WHERE name = 'outputs-republish' AND arguments ->> 'selection' = $1 ORDER BY asked_at DESC LIMIT 1

-- name: republishing
-- One such command.
SELECT arguments, actor, asked_at, answer FROM commands WHERE id = $1
