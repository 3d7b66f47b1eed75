-- name: plans
-- Plans whose hash begins with $1, the last begun first, with how many of their triggers were booked, deviated and were left out.
SELECT p.plan, p.state, p.actor, p.why, p.begun_at, p.triggers,
       count(*) FILTER (WHERE r.outcome = 'booked') AS booked, count(*) FILTER (WHERE r.outcome = 'deviated') AS deviated,
       count(*) FILTER (WHERE r.outcome = 'left-out') AS left_out
FROM replays p LEFT JOIN replayed r ON r.plan = p.plan
WHERE starts_with(p.plan, $1) GROUP BY p.plan ORDER BY p.begun_at DESC, p.plan

-- name: not_booked
-- The first $2 triggers of a plan that were not booked, those that deviated before those that were left out.
SELECT number, kind, outcome, reason, detail, topic, event_id, source, line FROM replayed
WHERE plan = $1 AND decision_seq IS NULL ORDER BY outcome, number LIMIT $2

-- name: answered
SELECT number, decision_seq IS NOT NULL AS booked FROM replayed WHERE plan = $1

-- name: plans_in_order
-- Every plan, the last begun first, with how many of its triggers of each kind were booked, deviated and were left out, when the
-- last of them was booked, and how many were undone.
SELECT p.plan, p.state, p.actor, p.why, p.begun_at, p.triggers, r.kind,
       count(*) FILTER (WHERE r.outcome = 'booked') AS booked, count(*) FILTER (WHERE r.outcome = 'deviated') AS deviated,
       count(*) FILTER (WHERE r.outcome = 'left-out') AS left_out, max(d.recorded_at) AS booked_at, count(u.seq) AS undone
FROM replays p LEFT JOIN replayed r ON r.plan = p.plan LEFT JOIN decisions d ON d.seq = r.decision_seq
LEFT JOIN decisions u ON u.rule = 'correct.undo' AND u.follows = r.decision_seq
GROUP BY p.plan, r.kind ORDER BY p.begun_at DESC, p.plan, r.kind
