-- name: wallet
-- One wallet as its last change left it; at 0 if the freelancer was named and nothing ever changed.
SELECT coalesce(last.balance_after, 0) AS balance, coalesce(last.version, 0) AS version
FROM (VALUES ($1)) AS asked(id)
LEFT JOIN LATERAL (SELECT * FROM changes c WHERE c.freelancer_id = asked.id ORDER BY c.version DESC LIMIT 1) last ON true
WHERE last.version IS NOT NULL OR EXISTS (SELECT FROM mentions WHERE key = 'f:' || asked.id)

-- name: open_lots
-- What a wallet holds, in the order in which it will be spent; the first $2, and all that end on the day of the last of them.
SELECT lot_id, source, issued_at, expires_at, remaining FROM (
    SELECT *, (expires_at AT TIME ZONE 'UTC')::date AS day FROM lots
    WHERE freelancer_id = $1 AND open ORDER BY day FETCH FIRST ($2::bigint) ROWS WITH TIES) first
ORDER BY expires_at, issued_at, lot_id COLLATE "C"

-- name: count_of_open_lots
SELECT count(*) FROM lots WHERE freelancer_id = $1 AND open

-- name: changes_of_wallet
-- The last $2 changes of a wallet (null: all), newest first, each with what caused it.
SELECT c.version, c.occurred_at, c.recorded_at, c.delta, c.debt_delta, c.balance_after, c.rule, c.reason,
       c.policy_version, c.explanation, d.topic, d.incarnation, d.partition, d."offset", d.event_id, d.job_id, d.proposal_id,
       a.seq AS added, a.recorded_at AS added_at,
       a.actor AS added_by, a.why AS added_why, a.source, a.line,
       CASE WHEN d.kind = 'correction' THEN (SELECT ARRAY[k.actor, k.why] FROM corrections k WHERE k.seq = d.seq) END AS ordered_by
FROM changes c JOIN decisions d ON d.seq = c.decision_seq
LEFT JOIN additions a ON d."offset" IS NULL AND a.topic = d.topic AND a.event_id = d.event_id
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
-- Decisions on an event id that was not used up by them: repeats, conflicts, invalid records, corrections; $2 narrows to a topic.
SELECT m.seq FROM mentions m JOIN decisions d ON d.seq = m.seq
LEFT JOIN LATERAL (SELECT topic, follows FROM decisions WHERE seq = d.follows LIMIT 1) corrected ON d.kind = 'correction'
LEFT JOIN LATERAL (SELECT topic FROM decisions WHERE seq = corrected.follows LIMIT 1) undone ON d.rule = 'correct.undo'
WHERE m.key = 'e:' || $1::text AND ($2::text IS NULL OR d.topic = $2 OR corrected.topic = $2 OR undone.topic = $2)

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
UNION ALL SELECT seq FROM settlements WHERE closure_seq = ANY($1::bigint[])

-- name: seqs_of_job
-- What was spent on a job, its closures and their settlements, and what else names it.
SELECT decision_seq FROM spends WHERE job_id = $1
UNION SELECT decision_seq FROM voided WHERE job_id = $1 AND rule = 'spend.proposal'
UNION SELECT decision_seq FROM closures WHERE job_id = $1
UNION SELECT seq FROM settlements WHERE job_id = $1
UNION SELECT seq FROM mentions WHERE key = 'j:' || $1

-- name: seqs_of_proposals
-- The spends of these proposals, their settlements by each closure of their jobs, and what else names them. Each is looked up by
-- itself: joined as a whole, all closures and settlements of the ledger would be read for a hundred proposals.
WITH spent AS (
    SELECT decision_seq, job_id, proposal_id FROM spends WHERE proposal_id = ANY($1::text[])
    UNION ALL SELECT decision_seq, job_id, natural_key FROM voided WHERE rule = 'spend.proposal' AND natural_key = ANY($1::text[])),
closed AS (
    SELECT p.proposal_id, c.* FROM spent p CROSS JOIN LATERAL (
        SELECT topic, incarnation, partition, "offset", event_id FROM closures WHERE job_id = p.job_id OFFSET 0) c)
SELECT decision_seq FROM spent
UNION SELECT s.seq FROM closed c CROSS JOIN LATERAL (
    SELECT seq FROM decisions WHERE kind = 'settlement' AND topic = c.topic AND incarnation = c.incarnation
           AND partition = c.partition AND "offset" = c."offset" AND proposal_id = c.proposal_id OFFSET 0) s
UNION SELECT s.seq FROM closed c CROSS JOIN LATERAL (
    SELECT seq FROM decisions WHERE kind = 'settlement' AND "offset" IS NULL AND topic = c.topic AND event_id = c.event_id
           AND proposal_id = c.proposal_id OFFSET 0) s WHERE c."offset" IS NULL
UNION SELECT seq FROM mentions WHERE key = ANY(ARRAY(SELECT 'p:' || named FROM unnest($1::text[]) AS named))

-- name: seqs_of_freelancer
-- What changed the wallet, and what else names the freelancer.
SELECT decision_seq FROM changes WHERE freelancer_id = $1
UNION SELECT seq FROM mentions WHERE key = 'f:' || $1

-- name: seqs_under_rules
-- The last $3 of what changed the wallet of a freelancer under these rules, and what else names them that was decided under one.
SELECT decision_seq AS seq FROM changes WHERE freelancer_id = $1 AND rule = ANY($2::text[])
UNION SELECT seq FROM decisions WHERE seq = ANY(ARRAY(SELECT seq FROM mentions WHERE key = 'f:' || $1)) AND rule = ANY($2::text[])
ORDER BY seq DESC LIMIT $3

-- name: decisions
-- Decisions in full, in ledger order, without the payload. Their seqs are text: the driver takes long for an array.
SELECT d.seq, kind, follows, d.topic, incarnation, partition, "offset", d.event_id, occurred_at, freelancer_id, job_id,
       proposal_id, outcome, reason, rule, policy_version, facts, late_by_seconds, business_time, d.recorded_at,
       a.seq AS added, a.recorded_at AS added_at,
       a.actor AS added_by, a.why AS added_why, a.source, a.line,
       CASE WHEN d.kind = 'correction' THEN (SELECT ARRAY[k.actor, k.why] FROM corrections k WHERE k.seq = d.seq) END AS ordered_by
FROM decisions d LEFT JOIN additions a ON d."offset" IS NULL AND a.topic = d.topic AND a.event_id = d.event_id
WHERE d.seq = ANY(string_to_array($1, ',')::bigint[]) ORDER BY d.seq

-- name: changes_of_decisions
-- What these decisions changed, and the movements of it; their seqs are text, as above.
SELECT decision_seq, freelancer_id, version, occurred_at, delta, debt_delta, balance_after, rule, reason, explanation, movements
FROM changes WHERE decision_seq = ANY(string_to_array($1, ',')::bigint[]) ORDER BY decision_seq, ordinal

-- name: changes_of_freelancer
-- The same of all changes of one wallet.
SELECT decision_seq, freelancer_id, version, occurred_at, delta, debt_delta, balance_after, rule, reason, explanation, movements
FROM changes WHERE freelancer_id = $1 ORDER BY decision_seq, ordinal

-- name: seqs_naming_freelancer
SELECT seq FROM mentions WHERE key = 'f:' || $1

-- name: ends_of_lots
-- When these lots expire, given by freelancer and id.
SELECT found.lot_id, found.expires_at FROM unnest(string_to_array($1, ','), string_to_array($2, ',')) AS wanted(whose, id)
CROSS JOIN LATERAL (SELECT * FROM lots l WHERE l.freelancer_id = wanted.whose AND l.lot_id = wanted.id LIMIT 1) found

-- name: proposals_of_job
SELECT proposal_id FROM spends WHERE job_id = $1

-- name: open_spends
-- Which of these proposals ($1) have Connects on them that no settled closure has decided yet; and since when one is due. With a
-- freelancer ($2) only theirs, of all if $1 is empty: one that was voided may have been submitted again since, perhaps by another.
-- Each is looked up by itself: joined as a whole, all closures of the ledger would be read for somebody with many proposals.
SELECT s.proposal_id, s.freelancer_id, s.job_id, s.occurred_at, s.withdrawn_at,
       (CASE WHEN s.base_returned THEN 0 ELSE s.base END + CASE WHEN s.boost_returned THEN 0 ELSE s.boost END) AS connects,
       CASE WHEN s.boost_returned THEN 0 ELSE s.boost END AS boost,
       (SELECT min(c.closed_at) FROM closures c WHERE c.job_id = s.job_id AND c.closure NOT LIKE '%//%' AND c.closed_at >= s.occurred_at) AS closing_at,
       (SELECT h.first_hired_at FROM hires h WHERE h.job_id = s.job_id) AS hired_at,
       (SELECT min(d.due_at) FROM closures c JOIN due d ON d.kind = 'settlement' AND d.key = c.decision_seq::text
        WHERE c.job_id = s.job_id AND c.closure NOT LIKE '%//%' AND c.closed_at >= s.occurred_at) AS due_at
FROM (SELECT unnest($1::text[]) AS id
      UNION SELECT movements::json -> 0 ->> 1 FROM changes WHERE freelancer_id = $2 AND rule = 'spend.proposal'
            AND cardinality($1::text[]) = 0 OFFSET 0) wanted
CROSS JOIN LATERAL (SELECT * FROM spends WHERE proposal_id = wanted.id AND ($2::text IS NULL OR freelancer_id = $2) LIMIT 1) s
LEFT JOIN LATERAL (
    SELECT c.decision_seq FROM closures c
    WHERE c.job_id = s.job_id AND c.settled AND c.closure NOT LIKE '%//%' AND c.closed_at >= s.occurred_at
      AND NOT EXISTS (SELECT FROM due
                      WHERE kind = 'late-settlement' AND key = c.decision_seq::text || '/' || s.proposal_id)
    LIMIT 1) decided ON true
WHERE ((s.base > 0 AND NOT s.base_returned) OR (s.boost > 0 AND NOT s.boost_returned)) AND decided.decision_seq IS NULL
ORDER BY s.decision_seq

-- name: leader
-- Who holds the ledger, and whether the lease still runs.
SELECT ledger_id, epoch, holder, lease_until > clock_timestamp() AS held FROM leader

-- name: stored_policies
-- Every policy version that the ledger has.
SELECT version, effective_from, document FROM policies ORDER BY version

-- name: reports
-- What the workers that run say of themselves, and how old that is.
SELECT holder, report, extract(epoch FROM clock_timestamp() - reported_at)::float AS seconds
FROM workers WHERE reported_at > clock_timestamp() - interval '15 seconds' ORDER BY holder

-- name: last_batch
SELECT batch_no, last_seq, business_time, recorded_at,
       extract(epoch FROM clock_timestamp() - recorded_at)::float AS quiet_seconds
FROM batches ORDER BY batch_no DESC LIMIT 1

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
-- Batches that are not published, and since when the oldest waits; $1 is the marker's seq (null: not known). The worker's
-- clock may be ahead of this server's: no wait is shorter than none.
SELECT count(*) AS batches, greatest(coalesce(extract(epoch FROM clock_timestamp() - min(recorded_at)), 0), 0)::float AS seconds
FROM outbox WHERE outbox_seq > coalesce($1::bigint, (SELECT dropped_through FROM relay_state))

-- name: positions
SELECT topic, partition, incarnation, next_offset, last_offset, last_timestamp, last_hash, running_max
FROM positions ORDER BY topic, partition

-- name: holds
-- What is on hold, with who asked for it, why and when.
SELECT h.topic, h.partition, h.lets_time_go_on, d.facts ->> 'actor' AS actor, d.facts ->> 'why' AS why, d.recorded_at AS since
FROM holds h JOIN decisions d ON d.seq = h.decision_seq ORDER BY h.topic, h.partition

-- name: parked
-- Stopped wallets and jobs, oldest first, with the trigger that failed and how many wait behind it.
SELECT p.scope, p.key, p.since, p.error, d.topic, d.partition, d."offset", d.event_id,
       (SELECT count(*) FROM parked_triggers t WHERE t.scope = p.scope AND t.key = p.key) AS waiting
FROM parked p JOIN decisions d ON d.seq = p.decision_seq ORDER BY p.decision_seq

-- name: dead_letters
-- The last $1 letters, newest first.
SELECT decision_seq, topic, partition, "offset", timestamp_ms, error_code, error_detail, attempts, sent_at
FROM dead_letters ORDER BY decision_seq DESC LIMIT $1

-- name: dead_letters_by_cause
-- All letters, counted by topic and code; how many are not sent yet, and the last of each, by its decision.
SELECT topic, error_code, count(*) AS letters, count(*) FILTER (WHERE sent_at IS NULL) AS unsent, max(decision_seq) AS last_seq
FROM dead_letters GROUP BY topic, error_code ORDER BY letters DESC, topic, error_code LIMIT $1

-- name: parked_by_cause
-- What is stopped, counted by error; since when, and one of each to look at.
SELECT p.error, count(*) AS stopped, min(p.since) AS since, min(p.scope) AS scope, min(p.key) AS key
FROM parked p GROUP BY p.error, p.scope ORDER BY stopped DESC, p.error LIMIT $1

-- name: dead_letter
-- One letter, whole; by the decision that rejected it.
SELECT decision_seq, topic, partition, "offset", timestamp_ms, error_code, error_detail, attempts, sent_at, key, value, headers
FROM dead_letters WHERE decision_seq = $1

-- name: redriven
-- Of these letters ($1), those that a plan has added: the decision on the event, the plan, who asked for it, why and when, and whether
-- that was undone. A trigger that a redrive planned was found in its letter, and in no line.
SELECT l.seq AS letter, d.seq, p.plan, p.actor, p.why, d.recorded_at,
       EXISTS (SELECT FROM decisions u WHERE u.rule = 'correct.undo' AND u.follows = d.seq) AS is_undone
FROM unnest($1::bigint[]) AS l(seq)
JOIN replayed r ON r.source = 'dead letter ' || l.seq::text AND r.line = 0 AND r.decision_seq IS NOT NULL
JOIN decisions d ON d.seq = r.decision_seq JOIN replays p ON p.plan = r.plan ORDER BY d.seq

-- name: knows_wallet_updated
-- Whether the ledger made that version of a wallet.
SELECT EXISTS (SELECT FROM changes WHERE freelancer_id = $1 AND version = $2::text::bigint)

-- name: knows_membership_updated
SELECT EXISTS (SELECT FROM memberships WHERE freelancer_id = $1 AND version >= $2::text::bigint)

-- name: knows_membership_charge_requested
SELECT EXISTS (SELECT FROM charges WHERE freelancer_id = $1 AND charge_id = $2)

-- name: ask
-- A command for the one writer; once, if it is known already.
INSERT INTO commands (id, name, arguments, actor, why) VALUES ($1, $2, $3::json, $4, $5) ON CONFLICT (id) DO NOTHING

-- name: answer
SELECT answer FROM commands WHERE id = $1 AND answered_at IS NOT NULL

-- name: sampled
-- What a worker's metrics would pay too much for keeping count of: wallets below zero (only who owes can be), and what
-- the billing system owes an answer to, with the age in seconds of the oldest.
SELECT (SELECT count(*) FROM (SELECT DISTINCT freelancer_id FROM spends WHERE owing) AS owes
        CROSS JOIN LATERAL (SELECT balance_after FROM changes c WHERE c.freelancer_id = owes.freelancer_id
                            ORDER BY c.version DESC LIMIT 1) AS last WHERE last.balance_after < 0) AS overdrawn_wallets,
       (SELECT count(*) FROM charges WHERE status = 'asked') AS charges_unanswered,
       (SELECT greatest(coalesce(extract(epoch FROM clock_timestamp() - min(requested_at)), 0), 0)::float
        FROM charges WHERE status = 'asked') AS oldest_charge_seconds

-- name: applications
-- These proposals, with what came back of them.
SELECT proposal_id, freelancer_id, job_id, occurred_at AS spent_at, origin, base, boost, base_returned, boost_returned, withdrawn_at,
       decision_seq
FROM spends WHERE proposal_id = ANY($1::text[]) ORDER BY decision_seq

-- name: closings_of_jobs
-- Closings of these jobs, and whether they are settled.
SELECT job_id, closed_at, closure, settled, decision_seq FROM closures WHERE job_id = ANY($1::text[]) AND closure NOT LIKE '%//%' ORDER BY closed_at, decision_seq

-- name: hires_of_jobs
-- Hires on these jobs (keys `j:<job id>`), and who was hired. Found by their numbers: joined with the mentions of many jobs, all decisions
-- would be read.
SELECT d.job_id, d.freelancer_id, d.occurred_at FROM decisions d
WHERE d.seq = ANY(ARRAY(SELECT seq FROM mentions WHERE key = ANY($1::text[]))) AND d.topic = 'hire-made' AND d.outcome = 'recorded'
  AND NOT EXISTS (SELECT FROM voided v WHERE v.decision_seq = d.seq) ORDER BY d.occurred_at, d.seq

-- name: last_charge
-- The charge of a freelancer that was asked last.
SELECT charge_id, freelancer_id, kind, cycle_start, chosen_at, attempt, amount_cents, currency, source, promo_code,
       choice_promo, requested_at, decision_seq, status
FROM charges WHERE freelancer_id = $1 ORDER BY decision_seq DESC LIMIT 1

-- name: proposals_of_freelancer
-- The last $2 proposals of a freelancer that cost something (null: all), newest first.
-- The movements of a spend name its proposal, which spares reading its decision.
SELECT movements::json -> 0 ->> 1 AS proposal_id FROM changes
WHERE freelancer_id = $1 AND rule = 'spend.proposal' ORDER BY version DESC LIMIT $2::bigint

-- name: known_as
-- As what an id is known.
SELECT EXISTS (SELECT FROM spends WHERE proposal_id = $1) AS proposal,
       EXISTS (SELECT FROM spends WHERE job_id = $1)
       OR EXISTS (SELECT FROM closures WHERE job_id = $1) OR EXISTS (SELECT FROM hires WHERE job_id = $1)
       OR EXISTS (SELECT FROM voided WHERE job_id = $1 AND rule = 'spend.proposal') OR EXISTS (SELECT FROM mentions WHERE key = 'j:' || $1) AS job,
       EXISTS (SELECT FROM mentions WHERE key = 'f:' || $1) OR EXISTS (SELECT FROM changes WHERE freelancer_id = $1) AS freelancer

-- name: seqs_of_their_own_id
-- What was decided about a purchase, an adjustment or (of the freelancer $2) a charge of that id.
SELECT decision_seq FROM changes WHERE rule IN ('grant.purchase', 'adjust') AND natural_key = $1
UNION SELECT c.decision_seq FROM generate_series(1, (SELECT count(*) FROM voided v
          WHERE v.rule IN ('grant.purchase', 'adjust') AND v.natural_key = $1)) AS n
      JOIN changes c ON c.rule IN ('grant.purchase', 'adjust') AND c.natural_key = $1 || '//' || n
UNION SELECT decision_seq FROM charges WHERE freelancer_id = $2 AND charge_id = $1

-- name: sums_of_month
-- What the changes of a wallet come to, by rule and direction, from $2 on and before $3; what was before and later too.
SELECT CASE WHEN occurred_at < $2 THEN 'before' WHEN occurred_at >= $3 THEN 'later' ELSE rule END AS kind,
       sum(delta)::bigint AS connects, count(*) AS changes
FROM changes WHERE freelancer_id = $1 GROUP BY 1, delta > 0 ORDER BY 1, delta > 0 DESC

-- name: is_event
-- Whether something was decided on an id: of an event (its keys $2), of the clock or a command; or whether it is that of a
-- purchase, an adjustment, or a charge (of the freelancer $3).
SELECT EXISTS (SELECT FROM seen_events WHERE key = ANY($2::uuid[]))
       OR EXISTS (SELECT FROM mentions WHERE key = 'e:' || $1)
       OR EXISTS (SELECT FROM decisions WHERE kind IN ('clock', 'command') AND outcome <> 'parked' AND event_id = $1)
       OR EXISTS (SELECT FROM changes WHERE rule IN ('grant.purchase', 'adjust') AND natural_key = $1)
       OR EXISTS (SELECT FROM charges WHERE freelancer_id = $3 AND charge_id = $1)

-- name: changes_before
-- The $4 changes of a wallet before version $2 (null: the last ones), of rule $3 (null: of all), newest first, with causes.
SELECT c.version, c.occurred_at, c.recorded_at, c.delta, c.debt_delta, c.balance_after, c.rule, c.reason,
       c.policy_version, c.explanation, d.topic, d.incarnation, d.partition, d."offset", d.event_id, d.job_id, d.proposal_id,
       a.seq AS added, a.recorded_at AS added_at,
       a.actor AS added_by, a.why AS added_why, a.source, a.line,
       CASE WHEN d.kind = 'correction' THEN (SELECT ARRAY[k.actor, k.why] FROM corrections k WHERE k.seq = d.seq) END AS ordered_by
FROM changes c JOIN decisions d ON d.seq = c.decision_seq
LEFT JOIN additions a ON d."offset" IS NULL AND a.topic = d.topic AND a.event_id = d.event_id
WHERE c.freelancer_id = $1 AND c.version < coalesce($2::bigint, 9223372036854775807)
      AND ($3::text IS NULL OR c.rule = $3) ORDER BY c.version DESC LIMIT $4::bigint

-- name: sums_of_wallet
-- What all changes of a wallet come to, by rule and direction.
SELECT rule, sum(delta)::bigint AS connects, count(*) AS changes
FROM changes WHERE freelancer_id = $1 GROUP BY rule, delta > 0 ORDER BY rule, delta > 0 DESC

-- name: refusals_of_freelancer
-- The last $2 decisions that brought a freelancer nothing, newest first; those of a job's end are told with its proposals.
-- Of the last $3 decisions that name them, so that many refusals of jobs' ends cost little.
SELECT seq FROM decisions
WHERE seq = ANY(ARRAY(SELECT seq FROM mentions WHERE key = 'f:' || $1 ORDER BY seq DESC LIMIT $3))
      AND outcome IN ('declined', 'withheld') AND kind <> 'settlement' ORDER BY seq DESC LIMIT $2

-- name: charges_of_freelancer
-- The $2 charges of a freelancer that were asked last, newest first.
SELECT charge_id, kind, cycle_start, amount_cents, currency, source, promo_code, requested_at, status
FROM charges WHERE freelancer_id = $1 ORDER BY decision_seq DESC LIMIT $2
