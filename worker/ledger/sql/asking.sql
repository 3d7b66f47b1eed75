-- name: wallet
-- One wallet as its last change left it; at 0 if the freelancer was named and nothing ever changed.
SELECT coalesce(last.balance_after, 0) AS balance, coalesce(last.version, 0) AS version
FROM (VALUES ($1)) AS asked(id)
LEFT JOIN LATERAL (SELECT * FROM changes c WHERE c.freelancer_id = asked.id ORDER BY c.version DESC LIMIT 1) last ON true
WHERE last.version IS NOT NULL OR EXISTS (SELECT FROM mentions WHERE key = 'f:' || asked.id)

-- name: open_lots
-- What a wallet holds, in the order in which it will be spent.
SELECT lot_id, source, issued_at, expires_at, remaining FROM lots
WHERE freelancer_id = $1 AND open ORDER BY expires_at, issued_at, lot_id COLLATE "C"

-- name: changes_of_wallet
-- The last $2 changes of a wallet (null: all), newest first, each with what caused it.
SELECT c.version, c.occurred_at, c.recorded_at, c.delta, c.debt_delta, c.balance_after, c.rule, c.reason,
       c.policy_version, c.explanation, d.topic, d.incarnation, d.partition, d."offset", d.event_id, d.job_id, d.proposal_id
FROM changes c JOIN decisions d ON d.seq = c.decision_seq
WHERE c.freelancer_id = $1 ORDER BY c.version DESC LIMIT $2::bigint

-- name: membership
-- One membership as it stands.
SELECT freelancer_id, version, plan, cycle_start, next_renewal, downgrade_chosen_at, upgrade_charge, renewal_charge,
       suspensions, earnings_at, earnings_cents, promos
FROM memberships WHERE freelancer_id = $1

-- name: charge
SELECT charge_id, freelancer_id, kind, cycle_start, chosen_at, attempt, amount_cents, currency, source, promo_code,
       choice_promo, requested_at, decision_seq, status
FROM charges WHERE freelancer_id = $1 AND charge_id = $2

-- name: members_who_wait_for
-- Whose of these charges, given by freelancer and id, are not answered yet.
SELECT found.freelancer_id FROM unnest($1::text[], $2::text[]) AS wanted(freelancer_id, charge_id)
CROSS JOIN LATERAL (
    SELECT * FROM charges c WHERE c.freelancer_id = wanted.freelancer_id AND c.charge_id = wanted.charge_id LIMIT 1
) found WHERE found.status = 'asked' ORDER BY found.decision_seq

-- name: charges_unanswered
-- The $1 charges that have waited longest, each with the day from which on it counts as failed (a renewal's only).
SELECT c.charge_id, c.freelancer_id, c.kind, c.cycle_start, c.chosen_at, c.attempt, c.amount_cents, c.currency, c.source,
       c.promo_code, c.choice_promo, c.requested_at, c.decision_seq, c.status,
       (SELECT m.next_renewal FROM memberships m
        WHERE m.freelancer_id = c.freelancer_id AND m.renewal_charge = c.charge_id) AS lapses_on
FROM charges c WHERE c.status = 'asked' ORDER BY c.requested_at, c.charge_id, c.freelancer_id LIMIT $1

-- name: seqs_of_events
-- Decisions on event ids that were decided, by the hash of topic and id.
SELECT seq FROM seen_events WHERE key = ANY($1::uuid[])

-- name: seqs_of_repeats
-- Decisions on an event id that was not used up by them: repeats, conflicts, invalid records; $2 narrows to a topic.
SELECT m.seq FROM mentions m JOIN decisions d ON d.seq = m.seq
WHERE m.key = 'e:' || $1::text AND ($2::text IS NULL OR d.topic = $2)

-- name: seqs_of_clock_and_commands
-- Decisions that no record caused: `expiry:<lot_id>`, `command:<id>` and the like.
SELECT seq FROM decisions WHERE kind IN ('clock', 'command') AND outcome <> 'parked' AND event_id = $1

-- name: seqs_following
-- Follow-ups of these decisions.
SELECT seq FROM mentions WHERE key = ANY(SELECT 's:' || followed FROM unnest($1::bigint[]) AS followed)

-- name: seqs_of_settlements
-- The settlements that the job-closed records among these decisions caused.
SELECT s.seq FROM decisions c
JOIN decisions s ON s.kind = 'settlement' AND s.topic = c.topic AND s.incarnation = c.incarnation
     AND s.partition = c.partition AND s."offset" = c."offset"
WHERE c.seq = ANY($1::bigint[]) AND c.topic = 'job-closed'

-- name: seqs_of_job
-- What was spent on a job, its closures and their settlements, and what else names it.
SELECT decision_seq FROM spends WHERE job_id = $1
UNION SELECT decision_seq FROM closures WHERE job_id = $1
UNION SELECT s.seq FROM closures c JOIN decisions s ON s.kind = 'settlement' AND s.topic = c.topic
      AND s.incarnation = c.incarnation AND s.partition = c.partition AND s."offset" = c."offset" WHERE c.job_id = $1
UNION SELECT seq FROM mentions WHERE key = 'j:' || $1

-- name: seqs_of_proposal
-- Its spend, its settlements by each closure of its job, and what else names it.
SELECT decision_seq FROM spends WHERE proposal_id = $1
UNION SELECT s.seq FROM spends p JOIN closures c USING (job_id) JOIN decisions s ON s.kind = 'settlement'
      AND s.topic = c.topic AND s.incarnation = c.incarnation AND s.partition = c.partition AND s."offset" = c."offset"
      AND s.proposal_id = p.proposal_id WHERE p.proposal_id = $1
UNION SELECT seq FROM mentions WHERE key = 'p:' || $1

-- name: seqs_of_freelancer
-- What changed the wallet, and what else names the freelancer.
SELECT decision_seq FROM changes WHERE freelancer_id = $1
UNION SELECT seq FROM mentions WHERE key = 'f:' || $1

-- name: decisions
-- Decisions in full, in ledger order, without the payload.
SELECT seq, kind, follows, topic, incarnation, partition, "offset", event_id, occurred_at, freelancer_id, job_id,
       proposal_id, outcome, reason, rule, policy_version, facts, late_by_seconds, business_time, recorded_at
FROM decisions WHERE seq = ANY($1::bigint[]) ORDER BY seq

-- name: changes_of_decisions
SELECT decision_seq, ordinal, freelancer_id, version, occurred_at, rule, reason, delta, debt_delta, balance_after, explanation
FROM changes WHERE decision_seq = ANY($1::bigint[]) ORDER BY decision_seq, ordinal

-- name: lots_moved
-- What each change moved in each lot, net, as in wallet-updated.
SELECT m.decision_seq, m.ordinal, m.lot_id, sum(m.delta)::bigint AS delta, l.expires_at
FROM movements m JOIN changes c USING (decision_seq, ordinal)
JOIN lots l ON l.freelancer_id = c.freelancer_id AND l.lot_id = m.lot_id
WHERE m.decision_seq = ANY($1::bigint[])
GROUP BY m.decision_seq, m.ordinal, m.lot_id, l.expires_at
ORDER BY m.decision_seq, m.ordinal, min(m.line_no)

-- name: proposals_of_job
SELECT proposal_id FROM spends WHERE job_id = $1

-- name: proposals_of_freelancer
-- By way of the changes, which have an index: spends by freelancer would need one of their own.
SELECT d.proposal_id FROM changes c JOIN decisions d ON d.seq = c.decision_seq
WHERE c.freelancer_id = $1 AND c.rule = 'spend.proposal'

-- name: open_spends
-- Which of these proposals have Connects on them that no settled closure has decided yet.
SELECT s.proposal_id, s.freelancer_id, s.job_id, s.occurred_at, s.withdrawn_at,
       (CASE WHEN s.base_returned THEN 0 ELSE s.base END + CASE WHEN s.boost_returned THEN 0 ELSE s.boost END) AS connects,
       CASE WHEN s.boost_returned THEN 0 ELSE s.boost END AS boost,
       (SELECT min(c.closed_at) FROM closures c WHERE c.job_id = s.job_id AND c.closed_at >= s.occurred_at) AS closing_at,
       (SELECT h.first_hired_at FROM hires h WHERE h.job_id = s.job_id) AS hired_at
FROM spends s
WHERE s.proposal_id = ANY($1::text[])
  AND ((s.base > 0 AND NOT s.base_returned) OR (s.boost > 0 AND NOT s.boost_returned))
  AND NOT EXISTS (
      SELECT FROM closures c
      WHERE c.job_id = s.job_id AND c.settled AND c.closed_at >= s.occurred_at
        AND NOT EXISTS (SELECT FROM due
                        WHERE kind = 'late-settlement' AND key = c.decision_seq::text || '/' || s.proposal_id))
ORDER BY s.decision_seq

-- name: leader
-- Who holds the ledger, and whether the lease still runs.
SELECT ledger_id, epoch, holder, lease_until > clock_timestamp() AS held FROM leader

-- name: stored_policies
-- Every policy version that the ledger has.
SELECT version, effective_from, document FROM policies ORDER BY version

-- name: last_batch
SELECT batch_no, last_seq, business_time, recorded_at FROM batches ORDER BY batch_no DESC LIMIT 1

-- name: progress
-- Where the ledger is, how old the last batch is, and how often the ledger was taken in the last two minutes, or since the last
-- batch, without that anything was decided. Every leader begins with a batch that may be empty.
WITH latest AS (SELECT * FROM batches ORDER BY batch_no DESC LIMIT 200),
last AS (SELECT * FROM latest ORDER BY batch_no DESC LIMIT 1)
SELECT coalesce((SELECT last_seq FROM last), 0)::bigint AS last_seq,
       coalesce((SELECT sum(next_offset) FROM positions), 0)::bigint AS read,
       (SELECT extract(epoch FROM clock_timestamp() - recorded_at)::float FROM last) AS quiet_seconds,
       coalesce(leader.epoch - least(
           (SELECT epoch FROM last),
           (SELECT min(b.epoch) FROM latest b, last
            WHERE b.last_seq = last.last_seq AND b.recorded_at > clock_timestamp() - interval '2 minutes')), 0)::int AS taken_again
FROM leader

-- name: connections_of_workers
-- How many connections the role of the workers that are connected has, and how many it may have; null: no limit.
SELECT r.rolname AS role, d.datname AS database,
       (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid) AS of_role,
       (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid) AS of_database,
       (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid IS NOT NULL) AS of_server,
       CASE WHEN r.rolconnlimit >= 0 AND NOT r.rolsuper THEN r.rolconnlimit END AS most_of_role,
       CASE WHEN d.datconnlimit >= 0 AND NOT r.rolsuper THEN d.datconnlimit END AS most_of_database,
       current_setting('max_connections')::int - CASE WHEN r.rolsuper THEN 0
           ELSE current_setting('superuser_reserved_connections')::int
                + coalesce(current_setting('reserved_connections', true)::int, 0) END AS most_of_server
FROM pg_database d JOIN pg_stat_activity lease ON lease.datid = d.oid JOIN pg_roles r ON r.oid = lease.usesysid
WHERE d.datname = current_database() AND lease.application_name LIKE 'connects-lease:%' LIMIT 1

-- name: waiting_work
-- What is waiting, counted; $1 is business time, $2 business time less the grace. Only who owes can be overdrawn.
-- A cycle starts at 00:00 UTC. Of the letters, $3 is the age in seconds beyond which one should have been sent.
SELECT (SELECT count(*) FROM due WHERE kind IN ('settlement', 'late-settlement')) AS settlements_pending,
       (SELECT count(*) FROM due WHERE kind NOT IN ('settlement', 'late-settlement') AND due_at <= $1) AS other_due,
       (SELECT count(*) FROM lots WHERE open AND expires_at <= $2) AS expiries_due,
       (SELECT count(*) FROM memberships WHERE next_renewal <= ($2 AT TIME ZONE 'UTC')::date) AS cycles_due,
       (SELECT count(*) FROM charges WHERE status = 'asked') AS charges_unanswered,
       (SELECT count(*) FROM parked) AS parked,
       (SELECT count(*) FROM parked_triggers) AS parked_triggers,
       (SELECT count(*) FROM dead_letters) AS dead_letters,
       (SELECT count(*) FROM dead_letters WHERE sent_at IS NULL) AS dead_letters_unsent,
       (SELECT count(*) FROM dead_letters l JOIN decisions d ON d.seq = l.decision_seq
        WHERE l.sent_at IS NULL AND d.recorded_at < clock_timestamp() - make_interval(secs => $3::float)) AS dead_letters_overdue,
       (SELECT count(*) FROM commands WHERE answered_at IS NULL) AS commands_open,
       (SELECT count(*) FROM (SELECT DISTINCT freelancer_id FROM spends WHERE owing) AS owes
        CROSS JOIN LATERAL (SELECT balance_after FROM changes c WHERE c.freelancer_id = owes.freelancer_id
                            ORDER BY c.version DESC LIMIT 1) AS last WHERE last.balance_after < 0) AS overdrawn_wallets

-- name: for_operators
-- What operators should look at themselves, newest first.
SELECT d.seq, d.recorded_at, d.outcome, d.reason, d.rule, d.freelancer_id, d.job_id, d.proposal_id, d.facts
FROM mentions m JOIN decisions d ON d.seq = m.seq WHERE m.key = 'operators' ORDER BY m.seq DESC LIMIT $1

-- name: unpublished
-- Batches that are not published, and since when the oldest waits; $1 is the marker's seq (null: not known).
SELECT count(*) AS batches, coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0)::float AS seconds
FROM outbox WHERE outbox_seq > coalesce($1::bigint, (SELECT dropped_through FROM relay_state))

-- name: positions
SELECT topic, partition, incarnation, next_offset, last_offset, last_timestamp, last_hash, running_max
FROM positions ORDER BY topic, partition

-- name: parked
-- Stopped wallets and jobs, oldest first, with the trigger that failed and how many wait behind it.
SELECT p.scope, p.key, p.since, p.error, d.topic, d.partition, d."offset", d.event_id,
       (SELECT count(*) FROM parked_triggers t WHERE t.scope = p.scope AND t.key = p.key) AS waiting
FROM parked p JOIN decisions d ON d.seq = p.decision_seq ORDER BY p.decision_seq

-- name: dead_letters
-- The last $1 letters, newest first.
SELECT decision_seq, topic, partition, "offset", timestamp_ms, error_code, error_detail, attempts, sent_at
FROM dead_letters ORDER BY decision_seq DESC LIMIT $1

-- name: dead_letter
-- One letter, whole; by the decision that rejected it.
SELECT decision_seq, topic, partition, "offset", timestamp_ms, error_code, error_detail, attempts, sent_at, key, value, headers
FROM dead_letters WHERE decision_seq = $1

-- name: ask
-- A command for the one writer.
INSERT INTO commands (id, name, arguments, actor, why) VALUES ($1, $2, $3::json, $4, $5)

-- name: answer
SELECT answer FROM commands WHERE id = $1 AND answered_at IS NOT NULL

-- name: sampled
-- What a worker's metrics would pay too much for keeping count of: wallets below zero (only who owes can be), and what
-- the billing system owes an answer to, with the age in seconds of the oldest.
SELECT (SELECT count(*) FROM (SELECT DISTINCT freelancer_id FROM spends WHERE owing) AS owes
        CROSS JOIN LATERAL (SELECT balance_after FROM changes c WHERE c.freelancer_id = owes.freelancer_id
                            ORDER BY c.version DESC LIMIT 1) AS last WHERE last.balance_after < 0) AS overdrawn_wallets,
       (SELECT count(*) FROM charges WHERE status = 'asked') AS charges_unanswered,
       (SELECT coalesce(extract(epoch FROM clock_timestamp() - min(requested_at)), 0)::float
        FROM charges WHERE status = 'asked') AS oldest_charge_seconds
