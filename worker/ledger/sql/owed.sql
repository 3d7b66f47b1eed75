-- name: jobs_after
-- The next jobs that were ever closed, by id; $2 of them.
SELECT DISTINCT job_id FROM closures WHERE job_id > $1 ORDER BY job_id LIMIT $2

-- name: closure_before_the_end
-- The decision of the closure that is $1 closures before the last one.
SELECT decision_seq FROM closures ORDER BY decision_seq DESC OFFSET $1 LIMIT 1

-- name: jobs_due_after
-- The jobs of the next closures in ledger order after decision $1, $2 of them, and whether they are due at $3.
SELECT decision_seq, job_id, due_at <= $3 AS is_due FROM closures WHERE decision_seq > $1 ORDER BY decision_seq LIMIT $2

-- name: jobs_closed_last
-- The jobs of the $1 closures that were read last.
SELECT job_id FROM closures ORDER BY decision_seq DESC LIMIT $1

-- name: jobs_of_freelancer
-- By way of the changes, which have an index.
SELECT DISTINCT s.job_id FROM changes c JOIN decisions d ON d.seq = c.decision_seq JOIN spends s ON s.proposal_id = d.proposal_id
WHERE c.freelancer_id = $1 AND c.rule = 'spend.proposal'

-- name: closures_of_jobs
-- Every closure of these jobs, and when they first hired somebody.
SELECT c.job_id, c.closed_at, c.closure, c.decision_seq, c.topic, c.incarnation, c.partition, c."offset", c.event_id, c.due_at,
       c.settled_through, c.settled, c.returned_any, h.first_hired_at
FROM closures c LEFT JOIN hires h ON h.job_id = c.job_id
WHERE c.job_id = ANY($1::text[]) AND NOT EXISTS (SELECT FROM parked p WHERE p.scope = 'job' AND p.key = c.job_id)

-- name: spends_that_may_be_owed
-- Of these jobs the spends after decision $2, in ledger order, $3 of them, that have a line open; with $4 also those that the
-- ledger calls returned, if no settlement of their job made a change under the rule $5. Without those of parked wallets, and of
-- other freelancers than $6 (null: of all). OFFSET 0 has each settlement looked up: else all changes would be read for each page.
SELECT s.proposal_id, s.freelancer_id, s.job_id, s.decision_seq, s.occurred_at, s.origin, s.base, s.boost, s.base_debt, s.boost_debt,
       s.base_returned, s.boost_returned, s.boost_outbid, s.refunded_closing_at, '[]' AS draws, s.withdrawn_at, s.owing
FROM spends s
WHERE s.job_id = ANY($1::text[]) AND s.decision_seq > $2
  AND ($6::text IS NULL OR s.freelancer_id = $6)
  AND ((s.base > 0 AND NOT s.base_returned) OR (s.boost > 0 AND NOT s.boost_returned)
       OR ($4::boolean AND s.refunded_closing_at IS NOT NULL AND NOT EXISTS (
           SELECT FROM settlements d JOIN changes made ON made.decision_seq = d.seq AND made.rule = $5
           WHERE d.job_id = s.job_id AND d.proposal_id = s.proposal_id OFFSET 0)))
  AND NOT EXISTS (SELECT FROM parked p WHERE p.scope = 'wallet' AND p.key = s.freelancer_id)
ORDER BY s.decision_seq LIMIT $3

-- name: came_back
-- How many proposals on these jobs a closure returned, and how many Connects came back of them; of freelancer $2 (null: of all).
SELECT count(*) AS refunds, coalesce(sum(CASE WHEN base_returned THEN base ELSE 0 END + CASE WHEN boost_returned THEN boost ELSE 0 END), 0)::bigint AS connects
FROM spends WHERE job_id = ANY($1::text[]) AND refunded_closing_at IS NOT NULL AND ($2::text IS NULL OR freelancer_id = $2)

-- name: lines_by_movements
-- What a freelancer's changes moved on the lines of a proposal, net: 0 for a line that came back.
SELECT m.spend_line, sum(m.delta)::bigint AS net
FROM changes c JOIN movements m ON m.decision_seq = c.decision_seq AND m.ordinal = c.ordinal
WHERE c.freelancer_id = $1 AND m.proposal_id = $2 GROUP BY m.spend_line

-- name: scheduled
-- When this work for the schedule is due, if it is on it.
SELECT kind, key, due_at FROM due WHERE (kind, key) IN (SELECT * FROM unnest($1::text[], $2::text[]))

-- name: read_at
-- Business time when a decision was taken.
SELECT business_time FROM decisions WHERE seq = $1
