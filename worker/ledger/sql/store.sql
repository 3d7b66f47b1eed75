-- name: tail
-- Where the ledger ends: its last batch, and the last outbox row any batch was given.
SELECT b.batch_no, b.last_seq, b.chain_head, b.business_time, b.log_size, b.log_peaks,
       coalesce((SELECT max(outbox_seq) FROM batches), 0) AS outbox_seq
FROM batches b ORDER BY b.batch_no DESC LIMIT 1

-- name: positions
-- The next offset to decide of every partition ever read.
SELECT topic, partition, incarnation, next_offset, last_offset, last_timestamp, last_hash, running_max FROM positions

-- name: holds
-- What is on hold, with who asked for it, why and when.
SELECT h.topic, h.partition, h.lets_time_go_on, d.facts ->> 'actor' AS actor, d.facts ->> 'why' AS why, d.recorded_at AS since
FROM holds h CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = h.decision_seq LIMIT 1) d

-- name: decided_ahead
-- The last offset decided at or after its position, of each partition whose position was set back.
SELECT p.topic, p.partition, ahead."offset"
FROM positions p CROSS JOIN LATERAL (
    SELECT d."offset" FROM decisions d
    WHERE d.kind = 'first' AND d.topic = p.topic AND d.incarnation = p.incarnation AND d.partition = p.partition
      AND d."offset" >= p.next_offset
    ORDER BY d."offset" DESC LIMIT 1
) ahead

-- name: decided_offsets
SELECT "offset" FROM decisions
WHERE kind = 'first' AND topic = $1 AND incarnation = $2 AND partition = $3 AND "offset" BETWEEN $4 AND $5

-- name: seen
-- Which of these event ids were decided, and by which decision.
SELECT key, seq FROM seen_events WHERE key = ANY(string_to_array($1, ',')::uuid[])

-- name: first_decisions
-- The decisions that a repeated event id is compared with; and the corrections that gave their event other content, with their payloads:
-- replacements, and undos of these.
-- No job-closed is given other content, and as many corrections follow one as its job has proposals: these are not looked at.
SELECT d.seq, d.topic, d.incarnation, d.partition, d."offset", d.payload, d.event_id, since.seqs, since.payloads
FROM decisions d CROSS JOIN LATERAL (
    SELECT array_agg(c.seq ORDER BY c.seq) AS seqs, array_agg(c.payload ORDER BY c.seq) AS payloads
    FROM mentions m CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = m.seq LIMIT 1) r
    CROSS JOIN LATERAL (
        SELECT r.seq, r.payload UNION ALL
        SELECT u.seq, u.payload FROM mentions n CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = n.seq LIMIT 1) u
        WHERE n.key = ('s:' || r.seq) COLLATE "C" AND u.rule = 'correct.undo' AND u.outcome = 'applied') c
    WHERE d.topic <> 'job-closed' AND m.key = ('s:' || d.seq) COLLATE "C" AND r.rule = 'correct.replace' AND r.outcome = 'applied'
) since WHERE d.seq = ANY($1::bigint[])

-- name: wallets
-- Each as its last change left it; one that was never changed is not there.
SELECT last.freelancer_id, last.balance_after, last.version FROM unnest(string_to_array($1, ',')) AS wanted(id)
CROSS JOIN LATERAL (SELECT * FROM changes c WHERE c.freelancer_id = wanted.id ORDER BY c.version DESC LIMIT 1) last

-- name: last_decisions
-- The last decision that names each of these freelancers. A change of theirs may be of a decision that names another.
SELECT wanted.id AS freelancer_id, coalesce(greatest(
    (SELECT max(m.seq) FROM mentions m WHERE m.key = ('f:' || wanted.id) COLLATE "C"),
    (SELECT c.decision_seq FROM changes c
     WHERE c.freelancer_id = wanted.id
       AND EXISTS (SELECT FROM decisions d WHERE d.seq = c.decision_seq AND d.freelancer_id = wanted.id)
     ORDER BY c.version DESC LIMIT 1)), 0) AS seq
FROM unnest(string_to_array($1, ',')) AS wanted(id)

-- name: lots
-- Lots with something remaining, and drained ones that may get something back because they have not expired.
SELECT lot_id, freelancer_id, source, issued_at, expires_at, original, remaining, open, linked_to
FROM lots WHERE freelancer_id = ANY(string_to_array($1, ',')) AND (open OR expires_at > $2)

-- name: lots_by_id
SELECT lot_id, freelancer_id, source, issued_at, expires_at, original, remaining, open, linked_to
FROM unnest(string_to_array($1, ','), string_to_array($2, ',')) AS wanted(whose, id)
CROSS JOIN LATERAL (SELECT * FROM lots l WHERE l.freelancer_id = wanted.whose AND l.lot_id = wanted.id LIMIT 1) found

-- name: owing_spends
SELECT proposal_id, freelancer_id, job_id, decision_seq, occurred_at, origin, base, boost, base_debt, boost_debt,
       base_returned, boost_returned, boost_outbid, refunded_closing_at, draws, withdrawn_at, owing
FROM spends WHERE owing AND freelancer_id = ANY(string_to_array($1, ','))

-- name: interviews
SELECT freelancer_id, occurred_at, delta AS connects FROM changes
WHERE rule = 'grant.interview' AND freelancer_id = ANY(string_to_array($1, ','))
  AND NOT EXISTS (SELECT FROM voided v WHERE v.decision_seq = changes.decision_seq)

-- name: spends
SELECT proposal_id, freelancer_id, job_id, decision_seq, occurred_at, origin, base, boost, base_debt, boost_debt,
       base_returned, boost_returned, boost_outbid, refunded_closing_at, draws, withdrawn_at, owing
FROM spends WHERE proposal_id = ANY(string_to_array($1, ','))

-- name: hires
SELECT job_id, first_hired_at FROM hires WHERE job_id = ANY(string_to_array($1, ','))

-- name: closures
SELECT job_id, closed_at, closure, decision_seq, topic, incarnation, partition, "offset", event_id, due_at,
       settled_through, settled, returned_any
FROM closures WHERE job_id = ANY(string_to_array($1, ',')) ORDER BY closed_at, closure COLLATE "C", decision_seq

-- name: proposals_of_jobs
-- Which proposals were spent on these jobs, in ledger order.
SELECT job_id, proposal_id FROM spends WHERE job_id = ANY(string_to_array($1, ',')) ORDER BY decision_seq

-- name: awaiting
-- Withdrawals and outbids that were read before these proposals.
SELECT a.proposal_id, a.decision_seq, d.topic, d.incarnation, d.partition, d."offset", d.event_id, d.freelancer_id, d.job_id, d.occurred_at
FROM awaiting a CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = a.decision_seq LIMIT 1) d
WHERE a.proposal_id = ANY(string_to_array($1, ',')) ORDER BY a.decision_seq

-- name: grants
-- What stands under these natural keys, and how many grants under each were voided; null: nothing stands.
SELECT wanted.rule, wanted.natural_key, found.freelancer_id, found.occurred_at, found.delta AS connects, found.decision_seq, freed.voided
FROM unnest(string_to_array($1, ','), string_to_array($2, ',')) AS wanted(rule, natural_key)
CROSS JOIN LATERAL (SELECT count(*) AS voided FROM voided v WHERE v.rule = wanted.rule AND v.natural_key = wanted.natural_key) freed
LEFT JOIN LATERAL (
    SELECT * FROM changes c
    WHERE c.rule = wanted.rule
      AND c.natural_key = wanted.natural_key || CASE freed.voided WHEN 0 THEN '' ELSE '//' || freed.voided END LIMIT 1
) found ON true
WHERE found.decision_seq IS NOT NULL OR freed.voided > 0

-- name: every_grant
-- Every grant ever made under these natural keys, those that were voided too.
SELECT found.rule, split_part(found.natural_key, '//', 1), found.freelancer_id, found.occurred_at, found.delta, found.decision_seq
FROM unnest(string_to_array($1, ','), string_to_array($2, ',')) AS wanted(rule, natural_key)
CROSS JOIN LATERAL (
    SELECT c.* FROM generate_series(0, (SELECT count(*) FROM voided v WHERE v.rule = wanted.rule AND v.natural_key = wanted.natural_key)) AS n
    CROSS JOIN LATERAL (
        SELECT * FROM changes c WHERE c.rule = wanted.rule
          AND c.natural_key = wanted.natural_key || CASE n WHEN 0 THEN '' ELSE '//' || n END LIMIT 1) c
) found

-- name: decisions_in_full
SELECT seq, batch_no, kind, follows, topic, incarnation, partition, "offset", event_id, occurred_at, freelancer_id, job_id,
       proposal_id, outcome, reason, rule, policy_version, facts, late_by_seconds, business_time, recorded_at, payload,
       previous_seq, running_time, membership_updated
FROM decisions WHERE seq = ANY($1::bigint[])

-- name: changes_in_full
SELECT freelancer_id, version, decision_seq, ordinal, occurred_at, recorded_at, rule, reason, policy_version, delta,
       debt_delta, balance_after, explanation, natural_key, movements
FROM changes WHERE decision_seq = ANY($1::bigint[]) ORDER BY decision_seq, ordinal

-- name: moved_since
-- What moved in the wallets of freelancers $2, from the versions $3 beside them on; $1 are the numbers of these questions.
SELECT asked.number, c.version, c.decision_seq, c.rule, c.movements FROM unnest($1::int[], $2::text[], $3::bigint[]) AS asked(number, whose, since)
CROSS JOIN LATERAL (SELECT * FROM changes WHERE freelancer_id = asked.whose AND version >= asked.since ORDER BY version) c
ORDER BY asked.number, c.version

-- name: linked_lots
SELECT freelancer_id, lot_id, linked_to FROM lots WHERE freelancer_id = ANY($1::text[]) AND linked_to IS NOT NULL

-- name: naming_proposals
-- The withdrawals and outbids that name these proposals, in ledger order.
SELECT named.of_proposal, d.seq, batch_no, kind, follows, topic, incarnation, partition, "offset", event_id, occurred_at, freelancer_id, job_id,
       proposal_id, outcome, reason, rule, policy_version, facts, late_by_seconds, business_time, recorded_at, payload,
       previous_seq, running_time, membership_updated
FROM (
    SELECT asked.id AS of_proposal, m.seq FROM unnest($1::text[]) AS asked(id)
    CROSS JOIN LATERAL (SELECT seq FROM mentions WHERE key = ('p:' || asked.id) COLLATE "C") m
) named CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = named.seq LIMIT 1) d
WHERE topic IN ('proposal-withdrawn', 'boost-outbid') ORDER BY d.seq

-- name: mentioned
-- The decisions after $3 that are mentioned under the keys $2 beside it; $1 are the numbers of the questions that these are of.
SELECT named.number, d.seq, batch_no, kind, follows, topic, incarnation, partition, "offset", event_id, occurred_at, freelancer_id, job_id,
       proposal_id, outcome, reason, rule, policy_version, facts, late_by_seconds, business_time, recorded_at, payload,
       previous_seq, running_time, membership_updated
FROM (
    SELECT DISTINCT asked.number, m.seq FROM unnest($1::int[], $2::text[], $3::bigint[]) AS asked(number, key, after)
    CROSS JOIN LATERAL (SELECT seq FROM mentions WHERE key = asked.key COLLATE "C" AND seq > asked.after) m
) named CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = named.seq LIMIT 1) d ORDER BY named.number, d.seq

-- name: settled_by
-- The settlements of a spend on a job, with the closure of each.
SELECT closure_seq, seq FROM settlements WHERE job_id = $1 AND proposal_id = $2 ORDER BY seq

-- name: unvoid
-- What was voided counts again.
DELETE FROM voided WHERE decision_seq = ANY($1::bigint[])

-- name: standing
-- What stands for decisions $1, each on the proposal of $2 beside it if it is on one: see `Standing`.
SELECT wanted.seq, a.connects, a.policy,
       EXISTS (SELECT FROM voided v WHERE v.decision_seq = wanted.seq AND v.rule <> 'refund.boost-outbid') -- of that lines are settled again
       OR EXISTS (
           SELECT FROM voided v
           WHERE v.rule = 'spend.proposal' AND v.natural_key = wanted.proposal_id AND v.by_seq > wanted.seq)
       OR EXISTS (
           SELECT FROM mentions m CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = m.seq LIMIT 1) d
           WHERE m.key = 's:' || wanted.seq AND d.rule = 'correct.replace' AND d.outcome = 'applied'
             AND NOT EXISTS (SELECT FROM decisions u WHERE u.rule = 'correct.undo' AND u.follows = d.seq)) AS is_over,
       coalesce(a.not_taken, 0) AS not_taken
FROM unnest($1::bigint[], $2::text[]) AS wanted(seq, proposal_id) LEFT JOIN amended a ON a.decision_seq = wanted.seq

-- name: amend
-- What stands for a decision now; it may have been amended before.
INSERT INTO amended (decision_seq, by_seq, connects, policy, not_taken) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (decision_seq) DO UPDATE
SET by_seq = excluded.by_seq, connects = excluded.connects, policy = excluded.policy, not_taken = excluded.not_taken

-- name: void_spends
DELETE FROM spends WHERE proposal_id = ANY($1::text[])

-- name: due_settlements
-- The next settlements after the one of decision $2 that is due at $1, up to $3, by index; $4 of them.
SELECT d.due_at, split_part(d.key, '/', 1)::bigint AS seq, c.job_id
FROM due d
CROSS JOIN LATERAL (SELECT * FROM closures WHERE decision_seq = split_part(d.key, '/', 1)::bigint LIMIT 1) c
WHERE d.kind <> 'late-settlement' AND (d.due_at, split_part(d.key, '/', 1)::bigint) > ($1, $2) AND d.due_at <= $3
ORDER BY d.due_at, split_part(d.key, '/', 1)::bigint LIMIT $4

-- name: due_late_settlements
-- The next late settlements after those of proposal $2 that are due at $1, up to $3, by index; $4 of them.
SELECT d.due_at, split_part(d.key, '/', 1)::bigint AS seq, split_part(d.key, '/', 2) AS proposal_id, c.job_id, c.closed_at, c.closure
FROM due d
CROSS JOIN LATERAL (SELECT * FROM closures WHERE decision_seq = split_part(d.key, '/', 1)::bigint LIMIT 1) c
WHERE d.kind = 'late-settlement' AND (d.due_at, split_part(d.key, '/', 2) COLLATE "C") > ($1, $2::text COLLATE "C") AND d.due_at <= $3
ORDER BY d.due_at, split_part(d.key, '/', 2) COLLATE "C" LIMIT $4

-- name: due_late_settlements_of
-- All late settlements of a proposal that are due at one instant.
SELECT d.due_at, split_part(d.key, '/', 1)::bigint AS seq, split_part(d.key, '/', 2) AS proposal_id, c.job_id, c.closed_at, c.closure
FROM due d
CROSS JOIN LATERAL (SELECT * FROM closures WHERE decision_seq = split_part(d.key, '/', 1)::bigint LIMIT 1) c
WHERE d.kind = 'late-settlement' AND d.due_at = $1 AND split_part(d.key, '/', 2) COLLATE "C" = $2::text COLLATE "C"

-- name: due_expiries
-- The next lots to expire after lot $2, which expires at $1, up to $3, by index; $4 of them. Those that wait for a parked
-- wallet are not asked for again.
SELECT expires_at, lot_id, freelancer_id FROM lots
WHERE open AND (expires_at, lot_id COLLATE "C") > ($1, $2::text COLLATE "C") AND expires_at <= $3
  AND 'expiry:' || lot_id NOT IN (
    SELECT d.event_id FROM parked_triggers t
    CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = t.decision_seq LIMIT 1) d WHERE d.kind = 'clock')
ORDER BY expires_at, lot_id COLLATE "C" LIMIT $4

-- name: due_cycles
-- The next cycle starts after those of day $2 and freelancer $3, by index, a freelancer's ids in byte order; $1 of them,
-- and none that waits for a parked wallet.
SELECT next_renewal, freelancer_id FROM memberships
WHERE next_renewal IS NOT NULL AND (next_renewal, freelancer_id COLLATE "C") > ($2::date, $3::text COLLATE "C")
  AND 'cycle:' || freelancer_id || ':' || to_char(next_renewal, 'YYYY-MM-DD') NOT IN (
    SELECT d.event_id FROM parked_triggers t
    CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = t.decision_seq LIMIT 1) d WHERE d.kind = 'clock')
ORDER BY next_renewal, freelancer_id COLLATE "C" LIMIT $1

-- name: memberships
SELECT freelancer_id, version, plan, cycle_start, next_renewal, downgrade_chosen_at, upgrade_charge, renewal_charge,
       suspensions, earnings_at, earnings_cents, promos
FROM memberships WHERE freelancer_id = ANY(string_to_array($1, ','))

-- name: charges
-- Each by its key: whose it is, and its id.
SELECT found.charge_id, found.freelancer_id, kind, cycle_start, chosen_at, attempt, amount_cents, currency, source, promo_code,
       choice_promo, requested_at, decision_seq, status
FROM unnest(string_to_array($1, ','), string_to_array($2, ',')) AS wanted(freelancer_id, charge_id)
CROSS JOIN LATERAL (
    SELECT * FROM charges c WHERE c.freelancer_id = wanted.freelancer_id AND c.charge_id = wanted.charge_id LIMIT 1
) found

-- name: held
-- Membership events that cannot count yet. One that was parked before has its payload in the decision that parked it.
SELECT h.freelancer_id, h.decision_seq, d.topic, d.incarnation, d.partition, d."offset", d.event_id,
       coalesce(d.payload, parked.payload) AS payload
FROM held h CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = h.decision_seq LIMIT 1) d
LEFT JOIN decisions parked ON parked.seq = d.follows
WHERE h.freelancer_id = ANY(string_to_array($1, ',')) ORDER BY h.decision_seq

-- name: parked
SELECT scope, key FROM parked

-- name: parked_clock_work
-- Expiries and cycle starts that wait for a parked wallet.
SELECT t.key, d.event_id FROM parked_triggers t
CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = t.decision_seq LIMIT 1) d WHERE d.kind = 'clock'

-- name: parked_triggers
-- What waits behind one parked wallet or job after the decision $3, in ledger order; $4 of them.
SELECT d.seq, d.kind, d.topic, d.incarnation, d.partition, d."offset", d.event_id, d.occurred_at, d.business_time, d.payload,
       d.proposal_id, c.job_id AS closure_job, c.decision_seq AS closure_seq
FROM parked_triggers t CROSS JOIN LATERAL (SELECT * FROM decisions WHERE seq = t.decision_seq LIMIT 1) d
LEFT JOIN closures c ON d.kind = 'settlement' AND c.job_id = d.job_id AND c.topic = d.topic AND c.event_id = d.event_id
     AND c.incarnation IS NOT DISTINCT FROM d.incarnation AND c.partition IS NOT DISTINCT FROM d.partition
     AND c."offset" IS NOT DISTINCT FROM d."offset"
WHERE t.scope = $1 AND t.key = $2 AND t.decision_seq > $3 ORDER BY t.decision_seq LIMIT $4

-- name: count_parked_triggers
SELECT count(*) FROM parked_triggers WHERE scope = $1 AND key = $2

-- name: ledger_id
SELECT ledger_id FROM leader

-- name: replay
SELECT plan, header, triggers, actor, why, begun_at, state, decision_seq FROM replays WHERE plan = $1

-- name: replayed
SELECT plan, number, kind, outcome, reason, detail, decision_seq, topic, event_id, freelancer_id, job_id, source, line
FROM replayed WHERE plan = $1 AND number = ANY($2::int[])

-- name: not_replayed
-- The triggers of a plan about these freelancers or jobs that were answered and not booked, by index.
SELECT plan, number, kind, outcome, reason, detail, decision_seq, topic, event_id, freelancer_id, job_id, source, line
FROM replayed WHERE plan = $1 AND decision_seq IS NULL AND (freelancer_id = ANY($2::text[]) OR job_id = ANY($3::text[]))

-- name: store_replay
-- A plan that begins; of one that was begun only the state changes.
INSERT INTO replays (plan, header, triggers, actor, why, begun_at, state, decision_seq)
VALUES ($1, $2::json, $3, $4, $5, $6, $7, $8) ON CONFLICT (plan) DO UPDATE SET state = excluded.state

-- name: close_batch
-- What a batch writes besides its rows, in one statement: positions, what is done with, the outbox, the batch itself.
-- A key of `due` is of one kind only. No part needs what another one writes.
WITH moved AS (
    INSERT INTO positions (topic, partition, incarnation, next_offset, last_offset, last_timestamp, last_hash, running_max)
    SELECT * FROM unnest($1::text[], $2::int[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bytea[], $8::timestamptz[])
    ON CONFLICT (topic, partition) DO UPDATE SET incarnation = excluded.incarnation, next_offset = excluded.next_offset,
        last_offset = excluded.last_offset, last_timestamp = excluded.last_timestamp, last_hash = excluded.last_hash,
        running_max = excluded.running_max),
arrived AS (DELETE FROM awaiting WHERE proposal_id = ANY($9::text[]) AND decision_seq = ANY($10::bigint[])),
done AS (DELETE FROM due WHERE kind = ANY($11::text[]) AND key = ANY($12::text[])),
let_go AS (DELETE FROM held WHERE decision_seq = ANY($13::bigint[])),
dropped AS (DELETE FROM outbox WHERE outbox_seq <= $14::bigint),
noted AS (UPDATE relay_state SET dropped_through = $14::bigint WHERE dropped_through < $14::bigint),
published AS (
    INSERT INTO outbox (outbox_seq, batch_uid, recorded_at, messages)
    SELECT $15::bigint, $16::uuid, $17::timestamptz, $18::bytea WHERE $15::bigint IS NOT NULL)
INSERT INTO batches (batch_no, epoch, last_seq, chain_head, business_time, recorded_at, outbox_seq, batch_uid, release, grace_seconds, skew_seconds, policy_versions, time_before, salt, closures_worked, released_void, log_size, log_peaks, leaf_marks)
VALUES ($19, $20, $21, $22, $23, $17, $15, $16, $24, $25, $26, $27::text[], $28, $29, $30::bigint[], $31::bigint[], $32, $33, $34)

-- name: columns
-- The columns of every table in sight, in order, and their types.
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND pg_table_is_visible(c.oid)
  AND c.relnamespace <> 'pg_catalog'::regnamespace
ORDER BY c.relname, a.attnum

-- name: staging
-- Rows on their way into tables of current state: copied here, then merged. Of this session, and empty after each commit.
CREATE TEMP TABLE staged_lots (LIKE lots) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE staged_spends (LIKE spends) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE staged_closures (LIKE closures) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE staged_hires (LIKE hires) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE staged_memberships (LIKE memberships) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE staged_charges (LIKE charges) ON COMMIT DELETE ROWS

-- name: write_lots
-- New lots are copied straight in; these were there before.
INSERT INTO lots SELECT * FROM staged_lots
ON CONFLICT (freelancer_id, lot_id) DO UPDATE SET remaining = excluded.remaining, open = excluded.open

-- name: write_spends
-- New spends are copied straight in; these were there before.
INSERT INTO spends SELECT * FROM staged_spends
ON CONFLICT (proposal_id) DO UPDATE SET occurred_at = excluded.occurred_at, origin = excluded.origin, base = excluded.base,
    boost = excluded.boost, base_debt = excluded.base_debt, boost_debt = excluded.boost_debt,
    base_returned = excluded.base_returned, boost_returned = excluded.boost_returned, boost_outbid = excluded.boost_outbid,
    refunded_closing_at = excluded.refunded_closing_at, draws = excluded.draws, withdrawn_at = excluded.withdrawn_at,
    owing = excluded.owing

-- name: write_closures
INSERT INTO closures SELECT * FROM staged_closures
ON CONFLICT (decision_seq) DO UPDATE SET closure = excluded.closure, settled_through = excluded.settled_through,
    settled = excluded.settled, returned_any = excluded.returned_any

-- name: write_hires
INSERT INTO hires SELECT * FROM staged_hires
ON CONFLICT (job_id) DO UPDATE SET first_hired_at = excluded.first_hired_at

-- name: write_memberships
INSERT INTO memberships SELECT * FROM staged_memberships
ON CONFLICT (freelancer_id) DO UPDATE SET version = excluded.version, plan = excluded.plan,
    cycle_start = excluded.cycle_start, next_renewal = excluded.next_renewal,
    downgrade_chosen_at = excluded.downgrade_chosen_at, upgrade_charge = excluded.upgrade_charge,
    renewal_charge = excluded.renewal_charge, suspensions = excluded.suspensions, earnings_at = excluded.earnings_at,
    earnings_cents = excluded.earnings_cents, promos = excluded.promos

-- name: write_charges
-- What was asked stays as it was asked; only what became of it changes.
INSERT INTO charges SELECT * FROM staged_charges
ON CONFLICT (freelancer_id, charge_id) DO UPDATE SET status = excluded.status

-- name: unpark
DELETE FROM parked WHERE scope = $1 AND key = $2

-- name: release_triggers
DELETE FROM parked_triggers WHERE decision_seq = ANY($1::bigint[])

-- name: end_hold
DELETE FROM holds WHERE topic = $1 AND partition = $2

-- name: store_hold
INSERT INTO holds (topic, partition, lets_time_go_on, decision_seq) VALUES ($1, $2, $3, $4)
ON CONFLICT (topic, partition) DO UPDATE SET lets_time_go_on = excluded.lets_time_go_on, decision_seq = excluded.decision_seq

-- name: answer_command
UPDATE commands SET answered_at = clock_timestamp(), answer = $2::json WHERE id = $1 AND answered_at IS NULL

-- name: open_commands
SELECT id, name, arguments, actor, why, asked_at FROM commands WHERE answered_at IS NULL ORDER BY asked_at, id

-- name: outbox_rows
-- The rows after $1, in order, and how many bytes they have together.
SELECT outbox_seq, batch_uid, recorded_at, messages FROM (
    SELECT outbox_seq, batch_uid, recorded_at, messages,
           sum(length(messages)) OVER (ORDER BY outbox_seq) - length(messages) AS before
    FROM (SELECT * FROM outbox WHERE outbox_seq > $1 ORDER BY outbox_seq LIMIT 50) AS next
) AS counted WHERE before < $2 ORDER BY outbox_seq

-- name: outbox_state
SELECT coalesce((SELECT max(outbox_seq) FROM batches), 0) AS last_seq, (SELECT dropped_through FROM relay_state) AS dropped_through

-- name: batch_uid_at
SELECT batch_uid FROM batches WHERE outbox_seq = $1

-- name: epoch_held
SELECT EXISTS (SELECT FROM leader WHERE epoch = $1)

-- name: letters_unsent
-- The oldest that were not sent, at most $1, of about $3 bytes together but one at least. A value of more than $2 bytes
-- fits into no letter and stays here; then left_out is true.
WITH oldest AS (
    SELECT decision_seq, sum(bytes) OVER (ORDER BY decision_seq) - bytes AS before
    FROM (SELECT decision_seq, coalesce(octet_length(key), 0) + octet_length(headers)
                 + CASE WHEN octet_length(value) <= $2 THEN octet_length(value) ELSE 0 END AS bytes
          FROM dead_letters WHERE sent_at IS NULL ORDER BY decision_seq LIMIT $1) AS sized
)
SELECT decision_seq, topic, partition, "offset", timestamp_ms, key,
       CASE WHEN octet_length(value) <= $2 THEN value END AS value, headers, error_code, error_detail, attempts,
       coalesce(octet_length(value) > $2, false) AS left_out
FROM oldest JOIN dead_letters USING (decision_seq) WHERE before < $3 ORDER BY decision_seq

-- name: letters_sent
UPDATE dead_letters SET sent_at = clock_timestamp() WHERE decision_seq = ANY($1::bigint[])

-- name: stored_policies
SELECT version, effective_from, document FROM policies

-- name: policies_before_the_log
SELECT version, effective_from, hash, document, batch_no FROM policies WHERE batch_no = 0

-- name: store_policy
INSERT INTO policies (version, effective_from, hash, document, batch_no) VALUES ($1, $2, $3, $4::json, $5)

-- name: database_time
SELECT clock_timestamp()

-- name: not_made_again
-- How many messages that were published before a restore were not made again yet; an adoption counts once its command is answered.
SELECT count(*) FROM adopted a
WHERE a.held_in IS NULL AND EXISTS (SELECT FROM commands c WHERE c.id = a.command AND c.answer ->> 'outcome' = 'applied')

-- name: published_before
-- Those of these messages that were published before a restore and are not made again yet.
SELECT a.topic, a.freelancer_id, a.what, a.content, a.partition, a."offset"
FROM unnest($1::text[], $2::text[], $3::text[]) AS made (topic, freelancer_id, what) JOIN adopted a USING (freelancer_id, topic, what)
WHERE a.held_in IS NULL AND EXISTS (SELECT FROM commands c WHERE c.id = a.command AND c.answer ->> 'outcome' = 'applied')

-- name: hold_back
-- Note in which batch these messages are made again.
UPDATE adopted a SET held_in = $4 FROM unnest($1::text[], $2::text[], $3::text[]) AS made (topic, freelancer_id, what)
WHERE (a.freelancer_id, a.topic, a.what) = (made.freelancer_id, made.topic, made.what)

-- name: recorded_sizes
-- Of these wallets ($1) the changes from these versions ($2) on, in that order and by version, $3 at most, with the bytes of what they moved.
SELECT c.freelancer_id, c.version, octet_length(c.movements::text) AS bytes
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS wanted (id, version, place)
JOIN changes c ON c.freelancer_id = wanted.id AND c.version >= wanted.version
ORDER BY wanted.place, c.version LIMIT $3

-- name: recorded_changes
-- Of these wallets ($1) the changes from these versions ($2) on, in that order and by version, $3 at most, with what their messages say.
SELECT c.freelancer_id, c.version, c.decision_seq, c.ordinal, c.occurred_at, c.recorded_at, c.rule, c.reason, c.policy_version, c.delta,
       c.debt_delta, c.balance_after, c.explanation, c.natural_key, c.movements, d.facts, d.job_id, d.proposal_id, CASE WHEN d.kind = 'correction' THEN d.payload END AS trigger,
       d.topic, d.event_id, d.incarnation, d.partition, d."offset", a.seq AS added, l.lots, l.ends
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS wanted (id, version, place)
JOIN changes c ON c.freelancer_id = wanted.id AND c.version >= wanted.version
JOIN decisions d ON d.seq = c.decision_seq
LEFT JOIN additions a ON d."offset" IS NULL AND a.topic = d.topic AND a.event_id = d.event_id
CROSS JOIN LATERAL (
    SELECT array_agg(lots.lot_id) AS lots, array_agg(lots.expires_at) AS ends
    FROM (SELECT DISTINCT m ->> 0 AS lot_id FROM json_array_elements(c.movements) AS m WHERE m ->> 0 IS NOT NULL) AS moved
    JOIN lots ON lots.freelancer_id = c.freelancer_id AND lots.lot_id = moved.lot_id
) AS l
ORDER BY wanted.place, c.version LIMIT $3
