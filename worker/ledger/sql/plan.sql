-- name: changes_to_plan_on
-- Of each of these wallets the last change, which has its balance, and the grants for interviews, which a cap counts.
SELECT last.freelancer_id, last.version, last.decision_seq, last.ordinal, last.occurred_at, last.recorded_at, last.rule,
       last.reason, last.policy_version, last.delta, last.debt_delta, last.balance_after, last.explanation,
       last.natural_key, last.movements
FROM unnest(string_to_array($1, ',')) AS wanted(id)
CROSS JOIN LATERAL (SELECT * FROM changes c WHERE c.freelancer_id = wanted.id ORDER BY c.version DESC LIMIT 1) last
UNION ALL
SELECT freelancer_id, version, decision_seq, ordinal, occurred_at, recorded_at, rule, reason, policy_version, delta,
       debt_delta, balance_after, explanation, natural_key, movements
FROM changes WHERE rule = 'grant.interview' AND freelancer_id = ANY(string_to_array($1, ','))

-- name: grants_to_plan_on
-- The changes that granted something under these (rule, natural key).
SELECT found.freelancer_id, found.version, found.decision_seq, found.ordinal, found.occurred_at, found.recorded_at,
       found.rule, found.reason, found.policy_version, found.delta, found.debt_delta, found.balance_after,
       found.explanation, found.natural_key, found.movements
FROM unnest(string_to_array($1, ','), string_to_array($2, ',')) AS wanted(rule, natural_key)
CROSS JOIN LATERAL (SELECT count(*) AS voided FROM voided v WHERE v.rule = wanted.rule AND v.natural_key = wanted.natural_key) freed
CROSS JOIN LATERAL (
    SELECT * FROM changes c
    WHERE c.rule = wanted.rule
      AND c.natural_key = wanted.natural_key || CASE freed.voided WHEN 0 THEN '' ELSE '//' || freed.voided END LIMIT 1
) found

-- name: voided_keys_to_plan_on
-- What was voided under these (rule, natural key).
SELECT decision_seq, by_seq, v.rule, v.natural_key, freelancer_id, job_id
FROM unnest(string_to_array($1, ','), string_to_array($2, ',')) AS wanted(rule, natural_key)
JOIN voided v ON v.rule = wanted.rule AND v.natural_key = wanted.natural_key

-- name: voided_to_plan_on
-- What was voided of these freelancers.
SELECT decision_seq, by_seq, rule, natural_key, freelancer_id, job_id FROM voided
WHERE freelancer_id = ANY(string_to_array($1, ','))

-- name: voided_of_jobs
-- The closures and hires that were voided.
SELECT decision_seq, by_seq, rule, natural_key, freelancer_id, job_id FROM voided WHERE freelancer_id = ''

-- name: refused_of
-- What was refused of freelancers $2 after decisions $3 beside them because it was granted, or spent, before under the
-- rules $4; $1 are the numbers of these questions.
SELECT asked.number, d.facts, d.proposal_id
FROM unnest($1::int[], $2::text[], $3::bigint[], $4::text[]) AS asked(number, whose, after, rule)
CROSS JOIN LATERAL (SELECT seq FROM mentions WHERE key = ('f:' || asked.whose) COLLATE "C" AND seq > asked.after) m
CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = m.seq LIMIT 1) d
WHERE d.rule = asked.rule AND d.reason IN ('already-granted', 'already-spent')

-- name: booked_of_plan
-- The triggers of a plan that were booked, the latest decision first.
SELECT plan, number, kind, outcome, reason, detail, decision_seq, topic, event_id, freelancer_id, job_id, source, line
FROM replayed WHERE plan = $1 AND decision_seq IS NOT NULL ORDER BY decision_seq DESC

-- name: sent_again
-- Which of these events (topics, ids) were sent again after they were decided, with the same content or another.
SELECT DISTINCT d.topic, d.event_id
FROM unnest(string_to_array($1, ','), string_to_array($2, ',')) AS wanted(topic, event_id)
JOIN mentions m ON m.key = 'e:' || wanted.event_id
CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = m.seq LIMIT 1) d
WHERE d.topic = wanted.topic AND (d.outcome = 'duplicate' OR d.reason = 'event-id-conflict')

-- name: policies_to_plan_on
SELECT version, effective_from, hash, document, batch_no FROM policies ORDER BY effective_from

-- name: conditions_to_plan_on
-- The settings under which the last batch was decided.
SELECT grace_seconds, skew_seconds FROM batches ORDER BY batch_no DESC LIMIT 1

-- name: let_transactions_last
-- In this session no limit of the role or the server ends a transaction that is long, or idle for long. Which limits there
-- are depends on the server's version.
SELECT set_config(name, '0', false) FROM pg_settings
WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')

-- name: jobs_with_late_hires
-- The jobs on which something came back before a hire, or a withdrawal, became known that makes it undue.
SELECT job_id FROM closures c JOIN hires h USING (job_id) WHERE c.returned_any AND c.closure NOT LIKE '%//%' AND h.first_hired_at <= c.closed_at
UNION
SELECT job_id FROM spends WHERE withdrawn_at < refunded_closing_at
ORDER BY job_id

-- name: jobs_not_known
-- Those of these jobs on which nothing was spent.
SELECT wanted.job_id FROM unnest($1::text[]) AS wanted(job_id)
WHERE NOT EXISTS (SELECT FROM spends s WHERE s.job_id = wanted.job_id)

-- name: amended_before
-- The decisions that corrections amended.
SELECT decision_seq FROM amended
