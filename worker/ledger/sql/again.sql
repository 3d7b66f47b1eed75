-- name: last_seq
-- That of the last batch, and no more than there are decisions, should a batch be damaged.
SELECT least((SELECT coalesce(max(last_seq), 0) FROM batches), (SELECT coalesce(max(seq), 0) FROM decisions))::bigint

-- name: batches_in_range
-- The batches after $2, at most $3, that begin at or before place $1, or that have no decision after it, with their settings.
SELECT batch_no, last_seq, release, grace_seconds, policy_versions, business_time, closures_worked, released_void
FROM (SELECT b.*, coalesce((SELECT p.last_seq FROM batches p WHERE p.batch_no < b.batch_no ORDER BY p.batch_no DESC LIMIT 1), 0)
             AS after_seq
      FROM batches b WHERE b.batch_no > $2 ORDER BY b.batch_no LIMIT $3) next_ones
WHERE after_seq < $1 OR last_seq <= $1 ORDER BY batch_no

-- name: batches_by_number
-- Lists come as JSON, and closures as text, here and below: for an array of bigint the driver first asks what that is.
SELECT batch_no, last_seq, release, grace_seconds, policy_versions, business_time, array_to_json(closures_worked)::text,
       array_to_json(released_void)::text
FROM batches WHERE batch_no = ANY(string_to_array($1, ',')::bigint[]) ORDER BY batch_no

-- name: batches_that_worked_off
-- The batches from $2 to $3 that worked off one of these closures: looked up in all that were, for && would compare each with each.
SELECT batch_no, last_seq, release, grace_seconds, policy_versions, business_time, array_to_json(closures_worked)::text,
       array_to_json(released_void)::text
FROM batches WHERE batch_no IN (
    SELECT worked.batch_no FROM unnest(string_to_array($1, ',')::bigint[]) AS wanted (seq)
    JOIN (SELECT batch_no, unnest(closures_worked) AS seq FROM batches WHERE batch_no BETWEEN $2 AND $3) AS worked USING (seq))
ORDER BY batch_no

-- name: all_decisions
-- Those after $1 up to $2; all of them are of the part.
SELECT seq, batch_no, kind, follows, topic, incarnation, partition, "offset", event_id, occurred_at, freelancer_id, job_id,
       proposal_id, outcome, reason, rule, policy_version, facts, late_by_seconds, business_time, recorded_at, payload,
       previous_seq, running_time, membership_updated, true AS is_mine, true AS is_my_job
FROM decisions WHERE seq > $1 AND seq <= $2 ORDER BY seq

-- name: decisions_of_part
-- Those after $1 up to $2 of the freelancers whose hash modulo $4 is $3; closures and hires, with their corrections, of jobs that they spent on, and
-- of jobs whose own hash is that; and of those jobs all settlements and corrections, but for settlements of others that returned nothing.
-- OFFSET 0 has each spend looked up by its job: else all spends would be read for each range, which PostgreSQL takes for cheaper.
SELECT seq, batch_no, kind, follows, topic, incarnation, partition, "offset", event_id, occurred_at, freelancer_id, job_id,
       proposal_id, outcome, reason, rule, policy_version, facts, late_by_seconds, business_time, recorded_at, payload,
       previous_seq, running_time, membership_updated,
       (hashtext(coalesce(freelancer_id, '')) & 2147483647) % $4::int = $3::int AS is_mine,
       (hashtext(coalesce(job_id, '')) & 2147483647) % $4::int = $3::int AS is_my_job
FROM decisions d
WHERE seq > $1 AND seq <= $2 AND CASE
    WHEN (topic IN ('job-closed', 'hire-made') OR (kind = 'correction' AND job_id IS NOT NULL)) AND (hashtext(coalesce(job_id, '')) & 2147483647) % $4::int = $3::int
        THEN kind <> 'settlement' OR outcome <> 'declined' OR (hashtext(coalesce(freelancer_id, '')) & 2147483647) % $4::int = $3::int
    WHEN topic = 'hire-made' OR ((topic = 'job-closed' OR kind = 'correction') AND freelancer_id IS NULL) THEN EXISTS (
        SELECT FROM spends s WHERE s.job_id = d.job_id
        AND (hashtext(s.freelancer_id) & 2147483647) % $4::int = $3::int OFFSET 0)
        OR EXISTS (
        SELECT FROM voided v WHERE v.job_id = d.job_id AND v.rule = 'spend.proposal'
        AND (hashtext(v.freelancer_id) & 2147483647) % $4::int = $3::int OFFSET 0)
    ELSE (hashtext(coalesce(freelancer_id, '')) & 2147483647) % $4::int = $3::int
END
ORDER BY seq

-- name: all_changes
SELECT freelancer_id, version, decision_seq, ordinal, occurred_at, recorded_at, rule, reason, policy_version, delta,
       debt_delta, balance_after, explanation, natural_key, movements, true AS is_mine
FROM changes WHERE decision_seq > $1 AND decision_seq <= $2 ORDER BY decision_seq, ordinal

-- name: changes_of_part
-- Those of its wallets, and what hires took back of others.
SELECT freelancer_id, version, decision_seq, ordinal, occurred_at, recorded_at, rule, reason, policy_version, delta,
       debt_delta, balance_after, explanation, natural_key, movements,
       (hashtext(freelancer_id) & 2147483647) % $4::int = $3::int AS is_mine
FROM changes
WHERE decision_seq > $1 AND decision_seq <= $2
  AND ((hashtext(freelancer_id) & 2147483647) % $4::int = $3::int OR rule = 'refund.clawed-back')
ORDER BY decision_seq, ordinal

-- name: named_decisions
-- Seqs come as text, with commas between, here and below: of a list the driver looks twice at what each one is.
SELECT seq, batch_no, kind, follows, topic, incarnation, partition, "offset", event_id, occurred_at, freelancer_id, job_id,
       proposal_id, outcome, reason, rule, policy_version, facts, late_by_seconds, business_time, recorded_at, payload,
       previous_seq, running_time, membership_updated
FROM decisions WHERE seq = ANY(string_to_array($1, ',')::bigint[]) ORDER BY seq

-- name: named_changes
SELECT freelancer_id, version, decision_seq, ordinal, occurred_at, recorded_at, rule, reason, policy_version, delta,
       debt_delta, balance_after, explanation, natural_key, movements
FROM changes WHERE decision_seq = ANY(string_to_array($1, ',')::bigint[]) ORDER BY decision_seq, ordinal

-- name: outlines_of_freelancer
-- What of the decisions about a freelancer says whether others depend on it.
SELECT seq, kind, follows, topic, job_id, proposal_id, outcome, reason, rule FROM decisions
WHERE seq = ANY(ARRAY(SELECT decision_seq FROM changes WHERE freelancer_id = $1
                      UNION ALL SELECT seq FROM mentions WHERE key = 'f:' || $1)) ORDER BY seq

-- name: moved_of_freelancer
-- What the changes of a wallet moved, by decisions up to $2.
SELECT decision_seq, version, occurred_at, rule, delta, balance_after, natural_key, movements
FROM changes WHERE freelancer_id = $1 AND decision_seq <= $2 ORDER BY version

-- name: seen_by_others
-- Of these event ids ($1), each with a decision on it ($2, both with commas between), those that another one was first to use, by their place
-- among these, from 1 on. Null: none is known.
SELECT named.place, s.seq
FROM unnest(string_to_array($1, ',')::uuid[], string_to_array($2, ',')::bigint[]) WITH ORDINALITY AS named(key, seq, place)
LEFT JOIN LATERAL (SELECT seq FROM seen_events WHERE key = named.key LIMIT 1) s ON true WHERE s.seq IS DISTINCT FROM named.seq

-- name: others_spends
-- The spends of these proposals ($1) that are not the freelancer's who is named with each ($2, both with commas between).
SELECT found.proposal_id, found.freelancer_id, job_id, decision_seq, occurred_at, origin, base, boost, base_debt, boost_debt,
       base_returned, boost_returned, boost_outbid, refunded_closing_at, draws, withdrawn_at, owing
FROM unnest(string_to_array($1, ','), string_to_array($2, ',')) AS wanted(proposal_id, freelancer_id)
CROSS JOIN LATERAL (SELECT * FROM spends s WHERE s.proposal_id = wanted.proposal_id LIMIT 1) found
WHERE found.freelancer_id IS DISTINCT FROM wanted.freelancer_id

-- name: voided_spends
-- The decisions on these proposals whose spends were voided, with the one that voided each; one that was parked before has its
-- payload in the decision that parked it.
SELECT v.by_seq, d.seq, d.batch_no, d.kind, d.follows, d.topic, d.incarnation, d.partition, d."offset", d.event_id, d.occurred_at,
       d.freelancer_id, d.job_id, d.proposal_id, d.outcome, d.reason, d.rule, d.policy_version, d.facts, d.late_by_seconds,
       d.business_time, d.recorded_at, coalesce(d.payload, parked.payload) AS payload, d.previous_seq, d.running_time,
       d.membership_updated
FROM voided v JOIN decisions d ON d.seq = v.decision_seq LEFT JOIN decisions parked ON parked.seq = d.follows
WHERE v.rule = 'spend.proposal' AND v.natural_key = ANY(string_to_array($1, ','))

-- name: jobs_spent_on
-- The jobs of the spends among these decisions.
SELECT DISTINCT job_id FROM decisions WHERE seq = ANY($1::bigint[]) AND topic = 'proposal-submitted' AND job_id IS NOT NULL

-- name: seqs_about_jobs
-- Closures of these jobs, and what else names them: hires among it.
SELECT decision_seq AS seq FROM closures WHERE job_id = ANY($1::text[])
UNION SELECT seq FROM mentions WHERE key = ANY(SELECT 'j:' || id FROM unnest($1::text[]) AS id)

-- name: releases_of_decisions
SELECT d.seq, b.release FROM decisions d JOIN batches b USING (batch_no) WHERE d.seq = ANY(string_to_array($1, ',')::bigint[])

-- name: amended_of
-- What stands for those of these decisions that a correction amended.
SELECT decision_seq, connects FROM amended WHERE decision_seq = ANY(string_to_array($1, ',')::bigint[])
