-- name: last_batch
SELECT batch_no, epoch, last_seq, chain_head, business_time, recorded_at, outbox_seq, batch_uid, release,
       grace_seconds, skew_seconds, policy_versions, time_before, salt, closures_worked, released_void, log_size,
       log_peaks, leaf_marks
FROM batches ORDER BY batch_no DESC LIMIT 1

-- name: batch_from
-- The first batch of that number or a later one.
SELECT batch_no, epoch, last_seq, chain_head, business_time, recorded_at, outbox_seq, batch_uid, release,
       grace_seconds, skew_seconds, policy_versions, time_before, salt, closures_worked, released_void, log_size,
       log_peaks, leaf_marks
FROM batches WHERE batch_no >= $1 ORDER BY batch_no LIMIT 1

-- name: batch_before
SELECT batch_no, epoch, last_seq, chain_head, business_time, recorded_at, outbox_seq, batch_uid, release,
       grace_seconds, skew_seconds, policy_versions, time_before, salt, closures_worked, released_void, log_size,
       log_peaks, leaf_marks
FROM batches WHERE batch_no < $1 ORDER BY batch_no DESC LIMIT 1

-- name: batches
-- The next batches after $1, up to $2; $3 of them.
SELECT batch_no, epoch, last_seq, chain_head, business_time, recorded_at, outbox_seq, batch_uid, release,
       grace_seconds, skew_seconds, policy_versions, time_before, salt, closures_worked, released_void, log_size,
       log_peaks, leaf_marks
FROM batches WHERE batch_no > $1 AND batch_no <= $2 ORDER BY batch_no LIMIT $3

-- name: decisions
-- Those after seq $1, up to $2.
SELECT seq, batch_no, kind, follows, topic, incarnation, partition, "offset", event_id, occurred_at, freelancer_id,
       job_id, proposal_id, outcome, reason, rule, policy_version, facts, late_by_seconds, business_time,
       recorded_at, payload, previous_seq, running_time, membership_updated
FROM decisions WHERE seq > $1 AND seq <= $2 ORDER BY seq

-- name: changes
-- Those of the decisions after seq $1, up to $2.
SELECT freelancer_id, version, decision_seq, ordinal, occurred_at, recorded_at, rule, reason, policy_version, delta,
       debt_delta, balance_after, explanation, natural_key, movements
FROM changes WHERE decision_seq > $1 AND decision_seq <= $2 ORDER BY decision_seq, ordinal

-- name: policies
-- Those that the batches from $1 to $2 stored.
SELECT version, effective_from, hash, document, batch_no
FROM policies WHERE batch_no BETWEEN $1 AND $2 ORDER BY batch_no, version COLLATE "C"

-- name: answers
-- Commands by their ids.
SELECT id AS command_id, answer, name, arguments, actor, why, asked_at FROM commands WHERE id = ANY($1::uuid[])

-- name: places
-- The batches of these decisions.
SELECT seq, batch_no FROM decisions WHERE seq = ANY($1::bigint[]) ORDER BY seq

-- name: places_of_freelancer
-- Of the decisions $1 up to $4 those that name a freelancer ($2) or changed the wallet, and the closures and hires of jobs ($3), with their corrections.
SELECT seq, batch_no FROM decisions d
WHERE seq = ANY($1::bigint[]) AND seq <= $4 AND (
    freelancer_id = $2
    OR EXISTS (SELECT FROM changes c WHERE c.decision_seq = d.seq AND c.freelancer_id = $2)
    OR (job_id = ANY($3::text[]) AND (topic = 'hire-made' OR ((topic = 'job-closed' OR kind = 'correction') AND freelancer_id IS NULL))))
ORDER BY seq

-- name: in_no_batch
-- Rows that no batch can have: decisions and changes before the first place or after the last, policies of other batches.
WITH ends AS (SELECT coalesce(max(batch_no), 0) AS batch_no, coalesce(max(last_seq), 0) AS seq FROM batches)
SELECT 'decisions' AS "table", d.seq, d.batch_no FROM decisions d, ends WHERE d.seq > ends.seq OR d.seq < 1
UNION ALL
SELECT 'changes', c.decision_seq, NULL FROM changes c, ends WHERE c.decision_seq > ends.seq OR c.decision_seq < 1
UNION ALL
SELECT 'policies', NULL, p.batch_no FROM policies p, ends WHERE p.batch_no > ends.batch_no OR p.batch_no < 0
ORDER BY 1, 2, 3 LIMIT 1000

-- name: answered_without_a_decision
-- The next commands after $1 that have a reply and no decision, by index.
SELECT c.id FROM commands c
WHERE c.id > $1 AND c.answered_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM decisions d
    WHERE d.event_id = 'command:' || c.id AND d.kind IN ('clock', 'command') AND d.outcome <> 'parked')
ORDER BY c.id LIMIT 1000

-- name: releases
-- The batches at which another release began to decide, and the last one. Null: a release before 0.2.0.
WITH told AS (
    SELECT batch_no, release, last_seq, recorded_at, lag(release) OVER w AS before, lag(batch_no) OVER w AS batch_before,
           lag(last_seq, 1, 0::bigint) OVER w AS seq_before, lag(recorded_at) OVER w AS recorded_before,
           lead(batch_no) OVER w IS NULL AS is_last
    FROM batches WINDOW w AS (ORDER BY batch_no))
SELECT batch_no, release, last_seq, recorded_at, batch_before, seq_before, recorded_before, is_last,
       batch_before IS NULL OR release IS DISTINCT FROM before AS begins
FROM told WHERE is_last OR batch_before IS NULL OR release IS DISTINCT FROM before ORDER BY batch_no
