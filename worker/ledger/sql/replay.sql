-- name: plans
-- Plans whose hash begins with $1, the last begun first, with how many of their triggers were booked, deviated, were left out, and
-- were undone.
SELECT p.plan, p.state, p.actor, p.why, p.begun_at, p.triggers,
       count(*) FILTER (WHERE r.outcome = 'booked') AS booked, count(*) FILTER (WHERE r.outcome = 'deviated') AS deviated,
       count(*) FILTER (WHERE r.outcome = 'left-out') AS left_out, count(u.seq) AS undone
FROM replays p LEFT JOIN replayed r ON r.plan = p.plan
LEFT JOIN decisions u ON u.rule = 'correct.undo' AND u.follows = r.decision_seq
WHERE starts_with(p.plan, $1) GROUP BY p.plan ORDER BY p.begun_at DESC, p.plan

-- name: stopped
-- By whom and why a plan was stopped last.
SELECT d.facts ->> 'actor' AS actor, d.facts ->> 'why' AS why
FROM commands c JOIN decisions d ON d.event_id = 'command:' || c.id AND d.kind IN ('clock', 'command') AND d.outcome <> 'parked'
WHERE c.name = 'replay-stop' AND d.reason = 'plan-stopped' AND d.facts ->> 'plan' = $1 ORDER BY d.seq DESC LIMIT 1

-- name: not_booked
-- The first $2 triggers of a plan that were not booked, those that deviated before those that were left out.
SELECT number, kind, outcome, reason, detail, topic, event_id, source, line FROM replayed
WHERE plan = $1 AND decision_seq IS NULL ORDER BY outcome, number LIMIT $2

-- name: answered
SELECT number, decision_seq IS NOT NULL AS booked FROM replayed WHERE plan = $1

-- name: plans_in_order
-- The last $2 plans (null: all) whose hash begins with $1, the last begun first, with how many of their triggers of each kind were
-- booked, deviated and were left out, when the last of them was booked, and how many were undone.
SELECT p.plan, p.state, p.actor, p.why, p.begun_at, p.triggers, r.kind,
       count(*) FILTER (WHERE r.outcome = 'booked') AS booked, count(*) FILTER (WHERE r.outcome = 'deviated') AS deviated,
       count(*) FILTER (WHERE r.outcome = 'left-out') AS left_out, max(d.recorded_at) AS booked_at, count(u.seq) AS undone
FROM replays p LEFT JOIN replayed r ON r.plan = p.plan LEFT JOIN decisions d ON d.seq = r.decision_seq
LEFT JOIN decisions u ON u.rule = 'correct.undo' AND u.follows = r.decision_seq
WHERE p.plan IN (SELECT plan FROM replays WHERE starts_with(plan, $1) ORDER BY begun_at DESC, plan LIMIT $2::bigint)
GROUP BY p.plan, r.kind ORDER BY p.begun_at DESC, p.plan, r.kind

-- name: steps_of_plan
-- The last $2 batches in which a plan's triggers were booked, the last one first: when, from which to which trigger, and how many.
SELECT max(d.recorded_at) AS recorded_at, min(r.number) AS first, max(r.number) AS last, count(*) AS booked,
       count(*) OVER () AS steps
FROM replayed r JOIN decisions d ON d.seq = r.decision_seq WHERE r.plan = $1
GROUP BY d.batch_no ORDER BY d.batch_no DESC LIMIT $2

-- name: booked_of_plan
-- What a plan's triggers booked, by rule and reason: how many changes, and the Connects given and taken.
SELECT c.rule, c.reason, count(*) AS changes, sum(greatest(c.delta, 0))::bigint AS given, -sum(least(c.delta, 0))::bigint AS taken
FROM replayed r JOIN changes c ON c.decision_seq = r.decision_seq WHERE r.plan = $1
GROUP BY c.rule, c.reason ORDER BY count(*) DESC, c.rule, c.reason

-- name: wallets_of_plan
-- The $2 wallets that gained most by a plan's triggers and the $2 that lost most, with how many changed in the end.
SELECT freelancer_id, delta, wallets FROM (
    SELECT *, count(*) OVER () AS wallets, row_number() OVER (ORDER BY delta DESC, freelancer_id) AS from_most,
           row_number() OVER (ORDER BY delta, freelancer_id) AS from_least
    FROM (SELECT c.freelancer_id, sum(c.delta)::bigint AS delta FROM replayed r JOIN changes c ON c.decision_seq = r.decision_seq
          WHERE r.plan = $1 GROUP BY c.freelancer_id) summed WHERE delta <> 0
) ranked WHERE (delta > 0 AND from_most <= $2) OR (delta < 0 AND from_least <= $2) ORDER BY delta DESC, freelancer_id

-- name: shortfalls_of_plan
-- The $2 largest shortfalls of a plan's triggers, with what all of them come to.
SELECT r.number, d.freelancer_id, (d.facts ->> 'shortfall')::bigint AS connects,
       sum((d.facts ->> 'shortfall')::bigint) OVER ()::bigint AS together
FROM replayed r JOIN decisions d ON d.seq = r.decision_seq
WHERE r.plan = $1 AND d.kind = 'correction' AND (d.facts ->> 'shortfall')::bigint > 0 ORDER BY connects DESC, r.number LIMIT $2

-- name: first_booked
-- The first $2 triggers of a plan that were booked.
SELECT r.number, r.kind, r.reason, r.topic, r.event_id, r.freelancer_id, r.decision_seq AS seq FROM replayed r
WHERE r.plan = $1 AND r.decision_seq IS NOT NULL ORDER BY r.number LIMIT $2
