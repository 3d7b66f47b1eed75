-- name: held_of
SELECT decision_seq, freelancer_id FROM held WHERE freelancer_id = ANY(string_to_array($1, ','))

-- name: awaiting_of
SELECT proposal_id, decision_seq FROM awaiting WHERE proposal_id = ANY(string_to_array($1, ','))

-- name: due_of
SELECT due_at, kind, key FROM due WHERE key = ANY(string_to_array($1, ','))

-- name: parked_triggers_of
SELECT decision_seq, scope, key FROM parked_triggers WHERE decision_seq = ANY($1::bigint[])

-- name: wallets_after
-- The next $2 wallets by id after $1.
WITH RECURSIVE wallet AS (
    (SELECT freelancer_id FROM changes WHERE freelancer_id > $1::text ORDER BY freelancer_id LIMIT 1)
    UNION ALL
    SELECT (SELECT c.freelancer_id FROM changes c WHERE c.freelancer_id > wallet.freelancer_id
            ORDER BY c.freelancer_id LIMIT 1)
    FROM wallet WHERE wallet.freelancer_id IS NOT NULL
)
SELECT freelancer_id FROM wallet WHERE freelancer_id IS NOT NULL LIMIT $2

-- name: wallets_touched
-- Whose decisions or changes are after place $1 up to $2.
SELECT freelancer_id FROM decisions WHERE seq > $1 AND seq <= $2 AND freelancer_id IS NOT NULL
UNION SELECT freelancer_id FROM changes WHERE decision_seq > $1 AND decision_seq <= $2 ORDER BY 1

-- name: wallets_that_disagree
-- Of these wallets ($1, ids with commas between), in one statement and so of one instant: each lot, debt and wallet that is
-- not what the movements of all its changes make; what it is, and what it should be. Null: there is none.
WITH wanted AS (SELECT unnest(string_to_array($1, ',')) AS id),
moved AS MATERIALIZED (
    SELECT c.freelancer_id, m.parts ->> 0 AS lot_id, m.parts ->> 1 AS proposal_id, m.parts ->> 2 AS line,
           sum((m.parts ->> 3)::bigint)::bigint AS delta
    FROM wanted JOIN changes c ON c.freelancer_id = wanted.id CROSS JOIN LATERAL json_array_elements(c.movements) AS m(parts)
    GROUP BY 1, 2, 3, 4),
in_lots AS (SELECT freelancer_id, lot_id, sum(delta)::bigint AS remaining FROM moved WHERE lot_id IS NOT NULL GROUP BY 1, 2),
debts AS (SELECT freelancer_id, proposal_id, coalesce(-sum(delta) FILTER (WHERE line = 'base'), 0)::bigint AS base,
                 coalesce(-sum(delta) FILTER (WHERE line = 'boost'), 0)::bigint AS boost
          FROM moved WHERE lot_id IS NULL GROUP BY 1, 2),
lines AS (SELECT wanted.id, s.proposal_id, s.base_debt, s.boost_debt
          FROM wanted JOIN spends s ON s.freelancer_id = wanted.id AND s.owing
          UNION SELECT s.freelancer_id, s.proposal_id, s.base_debt, s.boost_debt
          FROM debts JOIN spends s ON s.proposal_id = debts.proposal_id AND s.freelancer_id = debts.freelancer_id),
sums AS (SELECT c.freelancer_id, count(*) AS changes, max(c.version) AS version, sum(c.delta)::bigint AS balance,
                (array_agg(c.balance_after ORDER BY c.version DESC))[1] AS stored
         FROM wanted JOIN changes c ON c.freelancer_id = wanted.id GROUP BY 1)
SELECT 'lots' AS "table", l.freelancer_id || ', ' || l.lot_id AS key, 'remaining' AS "column", l.remaining AS "is", in_lots.remaining AS should_be
FROM (SELECT lots.* FROM wanted JOIN lots ON lots.freelancer_id = wanted.id) l
LEFT JOIN in_lots USING (freelancer_id, lot_id) WHERE l.remaining IS DISTINCT FROM in_lots.remaining
UNION ALL
SELECT 'lots', in_lots.freelancer_id || ', ' || in_lots.lot_id, 'remaining', NULL, in_lots.remaining
FROM in_lots WHERE NOT EXISTS (SELECT FROM lots l WHERE l.freelancer_id = in_lots.freelancer_id AND l.lot_id = in_lots.lot_id)
UNION ALL
SELECT 'spends', coalesce(lines.proposal_id, debts.proposal_id), d.name, d.stored, d.moved
FROM lines FULL JOIN debts ON debts.freelancer_id = lines.id AND debts.proposal_id = lines.proposal_id
CROSS JOIN LATERAL (VALUES ('base_debt', lines.base_debt, coalesce(debts.base, 0)), ('boost_debt', lines.boost_debt, coalesce(debts.boost, 0)))
    AS d(name, stored, moved) WHERE coalesce(d.stored, 0) <> d.moved -- what was voided has no row, and no debt
UNION ALL
SELECT 'changes', freelancer_id, 'balance_after', stored, balance FROM sums WHERE stored <> balance
UNION ALL
SELECT 'changes', freelancer_id, 'version', version, changes FROM sums WHERE version <> changes
ORDER BY 1, 2, 3

-- name: touched_by_step
-- The wallets and jobs that the triggers $2 to $3 of plan $1 changed or name, of those that were booked: how many changes or
-- proposals each has (of proposals at most $4 are counted), and the first of these decisions.
WITH booked AS MATERIALIZED (
    SELECT freelancer_id, job_id, decision_seq FROM replayed WHERE plan = $1 AND number BETWEEN $2 AND $3 AND decision_seq IS NOT NULL),
wallets AS (
    SELECT id, min(decision_seq) AS first_seq FROM (
        SELECT freelancer_id AS id, decision_seq FROM booked
        UNION ALL SELECT c.freelancer_id, c.decision_seq FROM booked JOIN changes c USING (decision_seq)) named
    WHERE id IS NOT NULL GROUP BY id),
jobs AS (SELECT job_id AS id, min(decision_seq) AS first_seq FROM booked WHERE job_id IS NOT NULL GROUP BY job_id)
SELECT 'wallet' AS kind, id, coalesce((SELECT c.version FROM changes c WHERE c.freelancer_id = id ORDER BY c.version DESC LIMIT 1), 0) AS size, first_seq
FROM wallets
UNION ALL
SELECT 'job', id, (SELECT count(*) FROM (SELECT FROM spends s WHERE s.job_id = id LIMIT $4) counted), first_seq FROM jobs ORDER BY 1, 2

-- name: lots_page
-- Each page is one statement, of one instant. Decisions are never removed: a row without its decision is always wrong.
-- OFFSET 0, or LIMIT 1, has each row looked up, here and in the pages below: else a whole table may be read for each page.
-- The next lots after ($1, $2), $3 of them, and whether their freelancer has a wallet.
SELECT freelancer_id, lot_id, lot_id AS name,
       EXISTS (SELECT FROM changes c WHERE c.freelancer_id = l.freelancer_id OFFSET 0) AS known
FROM lots l WHERE (freelancer_id, lot_id) > ($1::text, $2::text) ORDER BY freelancer_id, lot_id LIMIT $3

-- name: spends_page
-- The next spends after $1, and whether the decision that they name submitted their proposal.
SELECT proposal_id, proposal_id AS name, EXISTS (
    SELECT FROM decisions d WHERE d.seq = s.decision_seq AND d.topic = 'proposal-submitted' AND d.proposal_id = s.proposal_id OFFSET 0
) AS known
FROM spends s WHERE proposal_id > $1::text ORDER BY proposal_id LIMIT $2

-- name: memberships_page
-- The next memberships after $1, and whether any decision is about their freelancer.
SELECT freelancer_id, freelancer_id AS name,
       EXISTS (SELECT FROM mentions m WHERE m.key = ('f:' || ms.freelancer_id) COLLATE "C" OFFSET 0)
       OR EXISTS (SELECT FROM changes c WHERE c.freelancer_id = ms.freelancer_id OFFSET 0) AS known
FROM memberships ms WHERE freelancer_id > $1::text ORDER BY freelancer_id LIMIT $2

-- name: charges_page
-- The next charges after ($1, $2), and whether the decision that they name is one about them.
SELECT freelancer_id, charge_id, freelancer_id || ', ' || charge_id AS name, EXISTS (
    SELECT FROM decisions d
    WHERE d.seq = c.decision_seq AND d.freelancer_id = c.freelancer_id AND d.facts ->> 'charge_id' = c.charge_id OFFSET 0
) AS known
FROM charges c WHERE (freelancer_id, charge_id) > ($1::text, $2::text) ORDER BY freelancer_id, charge_id LIMIT $3

-- name: closures_page
-- The next closures after decision $1, and whether that decision is on their job's closing.
SELECT decision_seq, job_id || ', decision ' || decision_seq AS name, EXISTS (
    SELECT FROM decisions d WHERE d.seq = c.decision_seq AND d.topic = 'job-closed' AND d.job_id = c.job_id OFFSET 0
) AS known
FROM closures c WHERE decision_seq > $1::bigint ORDER BY decision_seq LIMIT $2

-- name: hires_page
-- The next hires after job $1, and whether any decision names that job.
SELECT job_id, job_id AS name, EXISTS (SELECT FROM mentions m WHERE m.key = ('j:' || h.job_id) COLLATE "C" OFFSET 0) AS known
FROM hires h WHERE job_id > $1::text ORDER BY job_id LIMIT $2

-- name: held_page
-- The next events that cannot count yet after decision $1, and whether that decision is their freelancer's.
SELECT decision_seq, 'decision ' || decision_seq AS name, EXISTS (
    SELECT FROM decisions d WHERE d.seq = h.decision_seq AND d.freelancer_id = h.freelancer_id OFFSET 0
) AS known
FROM held h WHERE decision_seq > $1::bigint ORDER BY decision_seq LIMIT $2

-- name: awaiting_page
-- What waits for proposals after ($1, $2): whether its decision names the proposal, which did not come yet.
SELECT proposal_id, decision_seq, proposal_id || ', decision ' || decision_seq AS name, EXISTS (
    SELECT FROM decisions d WHERE d.seq = a.decision_seq AND d.proposal_id = a.proposal_id OFFSET 0
) AND NOT EXISTS (SELECT FROM spends s WHERE s.proposal_id = a.proposal_id OFFSET 0) AS known
FROM awaiting a WHERE (proposal_id, decision_seq) > ($1::text, $2::bigint) ORDER BY proposal_id, decision_seq LIMIT $3

-- name: due_page
-- The next work of the schedule after ($1, $2), and whether its closure is there, which is found by its number; it is due when that says.
SELECT kind, key, kind || ' ' || key AS name, EXISTS (
    SELECT FROM closures c WHERE c.decision_seq = CASE WHEN d.key ~ '^[0-9]{1,18}(/|$)' THEN split_part(d.key, '/', 1)::bigint END
    AND CASE d.kind WHEN 'settlement' THEN c.due_at = d.due_at AND d.key = c.decision_seq::text
                    WHEN 'late-settlement' THEN d.key LIKE '%/%' ELSE false END OFFSET 0
) AS known
FROM due d WHERE (kind, key) > ($1::text, $2::text) ORDER BY kind, key LIMIT $3

-- name: parked_page
-- The next wallets and jobs that are stopped after ($1, $2), and whether the decision that they name stopped them, and no command
-- has released them since.
SELECT scope, key, scope || ' ' || key AS name, EXISTS (
    SELECT FROM decisions d WHERE d.seq = p.decision_seq AND d.outcome = 'parked' AND d.reason <> 'waits-behind'
    AND d.facts ->> 'scope' = p.scope AND d.facts ->> 'key' = p.key OFFSET 0
) AND NOT EXISTS (
    SELECT FROM commands c JOIN decisions d ON d.event_id = 'command:' || c.id AND d.kind IN ('clock', 'command') AND d.outcome <> 'parked'
    WHERE c.name = 'parked-release' AND d.reason = 'released' AND d.seq > p.decision_seq
    AND d.facts ->> 'scope' = p.scope AND d.facts ->> 'key' = p.key
) AS known
FROM parked p WHERE (scope, key) > ($1::text, $2::text) ORDER BY scope, key LIMIT $3

-- name: parked_triggers_page
-- The next triggers that wait after decision $1, and whether that decision parked them.
SELECT decision_seq, 'decision ' || decision_seq AS name, EXISTS (
    SELECT FROM decisions d WHERE d.seq = t.decision_seq AND d.outcome = 'parked' OFFSET 0
) AND EXISTS (SELECT FROM parked p WHERE p.scope = t.scope AND p.key = t.key OFFSET 0) AS known
FROM parked_triggers t WHERE decision_seq > $1::bigint ORDER BY decision_seq LIMIT $2

-- name: dead_letters_page
-- The next dead letters after decision $1, and whether that decision rejected their record, for that reason, with what it kept of it.
SELECT decision_seq, 'decision ' || decision_seq AS name, EXISTS (
    SELECT FROM decisions d WHERE d.seq = l.decision_seq AND d.outcome = 'rejected' AND d.reason = l.error_code
    AND (d.topic, d.incarnation, d.partition, d."offset") = (l.topic, l.incarnation, l.partition, l."offset")
    AND coalesce(d.facts ->> 'detail', l.error_detail) = l.error_detail AND (d.payload IS NULL OR d.payload IS NOT DISTINCT FROM l.value) OFFSET 0
) AS known
FROM dead_letters l WHERE decision_seq > $1::bigint ORDER BY decision_seq LIMIT $2

-- name: seen_events_page
-- The next event ids after key $1, with the decision that was first to use each, if it is there.
SELECT s.key, s.key::text AS name, replace(s.key::text, '-', '') AS hex, d.topic, d.event_id
FROM (SELECT key, seq FROM seen_events WHERE key > $1::uuid ORDER BY key LIMIT $2) s
LEFT JOIN LATERAL (SELECT topic, event_id FROM decisions WHERE seq = s.seq AND kind IN ('first', 'added') LIMIT 1) d ON true
ORDER BY s.key

-- name: decided_of_partitions
-- Of each partition and incarnation the last offset that was decided after place $1 up to $2, and the largest time that counts;
-- and the decisions that rejected a record and have no dead letter.
SELECT topic, partition, incarnation, max("offset") AS last_offset,
       max(occurred_at) FILTER (WHERE outcome <> 'rejected' OR reason = 'event-id-conflict') AS running_max,
       array_agg(seq) FILTER (WHERE outcome = 'rejected' AND NOT EXISTS (SELECT FROM dead_letters l WHERE l.decision_seq = d.seq)) AS without_letter
FROM decisions d WHERE seq > $1 AND seq <= $2 AND kind = 'first' AND num_nulls(topic, partition, incarnation, "offset") = 0
GROUP BY topic, partition, incarnation

-- name: positions
SELECT topic, partition, incarnation, next_offset, last_offset, running_max FROM positions ORDER BY topic, partition

-- name: decided_between
-- The first decisions on the offsets $4 to $5 of a partition, by index, with the content that was decided; a value that is too large to
-- be kept beside its decision is in its dead letter.
SELECT d."offset", d.seq, d.outcome, d.reason, d.payload, l.value AS letter_value, l.decision_seq IS NOT NULL AS has_letter,
       CASE WHEN d.reason = 'batch-too-large' THEN (d.facts ->> 'last_offset')::bigint END AS last_offset
FROM decisions d LEFT JOIN dead_letters l ON l.decision_seq = d.seq
WHERE d.kind = 'first' AND d.topic = $1 AND d.incarnation = $2 AND d.partition = $3 AND d."offset" BETWEEN $4 AND $5
ORDER BY d."offset"

-- name: count_decided
-- How many of the next $5 first decisions on a partition's records there are, from offset $4 on, and the offset after them.
SELECT count(*) AS decided, max("offset") + 1 AS next FROM (
    SELECT "offset" FROM decisions
    WHERE kind = 'first' AND topic = $1 AND incarnation = $2 AND partition = $3 AND "offset" >= $4 AND "offset" < $6
    ORDER BY "offset" LIMIT $5) AS found

-- name: skips
-- Which offsets operators had skipped, from the first up to the second, by partition and incarnation.
SELECT d.facts ->> 'topic' AS topic, (d.facts ->> 'partition')::int AS partition, (d.facts ->> 'incarnation')::int AS incarnation,
       coalesce((d.facts ->> 'before')::bigint, 0) AS first, (d.facts ->> 'offset')::bigint AS next
FROM commands c JOIN decisions d ON d.event_id = 'command:' || c.id AND d.kind IN ('clock', 'command') AND d.outcome <> 'parked'
WHERE c.name = 'positions-set' AND d.reason = 'position-set' AND (d.facts ->> 'offset')::bigint > coalesce((d.facts ->> 'before')::bigint, 0)

-- name: changes_by_version
-- These changes, with what their messages show of the decisions.
SELECT c.freelancer_id, c.version, c.decision_seq, c.occurred_at, c.recorded_at, c.delta, c.debt_delta, c.balance_after, c.rule, c.reason,
       c.policy_version, c.explanation, c.movements, d.topic, d.incarnation, d.partition, d."offset", d.event_id, a.seq AS added,
       CASE WHEN d.kind = 'correction' THEN d.payload END AS trigger
FROM unnest($1::text[], $2::bigint[]) AS wanted(id, version)
JOIN changes c ON c.freelancer_id = wanted.id AND c.version = wanted.version
JOIN decisions d ON d.seq = c.decision_seq
LEFT JOIN additions a ON d."offset" IS NULL AND a.topic = d.topic AND a.event_id = d.event_id

-- name: changes_after_versions
-- The changes of these wallets after these versions, of decisions up to $3, and the outbox row that published them.
SELECT c.freelancer_id, c.version, c.decision_seq, b.outbox_seq
FROM unnest($1::text[], $2::bigint[]) AS seen(id, version)
JOIN changes c ON c.freelancer_id = seen.id AND c.version > seen.version AND c.decision_seq <= $3
JOIN decisions d ON d.seq = c.decision_seq JOIN batches b ON b.batch_no = d.batch_no
ORDER BY c.freelancer_id, c.version

-- name: published_through
SELECT coalesce((SELECT max(last_seq) FROM batches), 0)::bigint AS seq, coalesce((SELECT dropped_through FROM relay_state), 0) AS dropped

-- name: positions_set
-- Each time an operator set the position of a partition, in order.
SELECT d.seq, d.facts ->> 'topic' AS topic, (d.facts ->> 'partition')::int AS partition,
       (d.facts ->> 'incarnation')::int AS incarnation, (d.facts ->> 'offset')::bigint AS next_offset
FROM commands c JOIN decisions d ON d.event_id = 'command:' || c.id AND d.kind IN ('clock', 'command') AND d.outcome <> 'parked'
WHERE c.name = 'positions-set' AND d.reason = 'position-set' ORDER BY d.seq

-- name: holds_commanded
-- Each time an operator put a topic or a partition on hold, or resumed it, in order.
SELECT d.seq, d.reason, d.facts ->> 'topic' AS topic, (d.facts ->> 'partition')::int AS partition,
       (d.facts ->> 'let_time_go_on')::boolean AS lets_time_go_on
FROM commands c JOIN decisions d ON d.event_id = 'command:' || c.id AND d.kind IN ('clock', 'command') AND d.outcome <> 'parked'
WHERE c.name IN ('positions-hold', 'positions-resume') AND d.reason IN ('on-hold', 'resumed') ORDER BY d.seq

-- name: holds
SELECT topic, partition, lets_time_go_on, decision_seq FROM holds ORDER BY topic, partition

-- name: replayed_without_decision
-- The booked triggers of plans that have no decision: on an added event of their id, or that corrects one on that event.
SELECT r.plan, r.number, r.decision_seq FROM replayed r
LEFT JOIN decisions d ON d.seq = r.decision_seq AND CASE r.kind
    WHEN 'add' THEN d.kind = 'added' AND d.topic = r.topic AND d.event_id = r.event_id
    WHEN 'undo' THEN d.rule = 'correct.undo' AND EXISTS (
        SELECT FROM decisions c LEFT JOIN decisions o ON o.seq = c.follows AND c.kind = 'correction' WHERE c.seq = d.follows
        AND (coalesce(o.topic, c.topic, ''), coalesce(o.event_id, c.event_id)) = (r.topic, r.event_id))
    ELSE d.kind = 'correction' AND EXISTS (
        SELECT FROM decisions c WHERE c.seq = d.follows AND coalesce(c.topic, '') = r.topic AND c.event_id = r.event_id)
END
WHERE r.decision_seq IS NOT NULL AND d.seq IS NULL ORDER BY r.plan, r.number

-- name: events_replaced
-- How many events got other content by plans, and have it still.
SELECT count(DISTINCT (topic, event_id)) FROM replayed r WHERE kind = 'replace' AND outcome = 'booked'
AND NOT EXISTS (SELECT FROM decisions u WHERE u.rule = 'correct.undo' AND u.follows = r.decision_seq)

-- name: added_without_replayed
-- Decisions on added events, and corrections, that no booked trigger of a plan brought.
SELECT d.seq FROM decisions d WHERE d.kind IN ('added', 'correction') AND NOT EXISTS (SELECT FROM replayed r WHERE r.decision_seq = d.seq) ORDER BY d.seq

-- name: voided_wrong
-- Rows of voided that are not what a correction made of the decision that they name; and corrections that have no row. A void that
-- was undone has none; an undo of an event that was added voids its decision.
SELECT v.decision_seq, true AS is_there FROM voided v
LEFT JOIN decisions d ON d.seq = v.by_seq AND d.kind = 'correction' AND d.rule IN ('correct.void', 'correct.undo') AND d.outcome = 'applied'
     AND d.follows = v.decision_seq AND NOT EXISTS (SELECT FROM decisions u WHERE u.rule = 'correct.undo' AND u.follows = d.seq)
LEFT JOIN decisions o ON o.seq = v.decision_seq
WHERE d.seq IS NULL OR o.rule IS DISTINCT FROM v.rule OR o.job_id IS DISTINCT FROM v.job_id
   OR CASE WHEN o.topic IN ('job-closed', 'hire-made') THEN (v.natural_key, v.freelancer_id) = (o.seq::text, '')
           WHEN o.freelancer_id IS DISTINCT FROM v.freelancer_id THEN false
           WHEN o.topic IN ('proposal-withdrawn', 'boost-outbid') THEN v.natural_key = o.seq::text
           WHEN v.rule = 'spend.proposal' THEN o.proposal_id = v.natural_key
           ELSE EXISTS (SELECT FROM changes c WHERE c.decision_seq = o.seq AND c.rule = v.rule AND split_part(c.natural_key, '//', 1) = v.natural_key)
      END IS NOT TRUE
UNION ALL
SELECT d.follows, false FROM decisions d
WHERE d.kind = 'correction' AND d.outcome = 'applied'
  AND (d.rule = 'correct.void' OR (d.rule = 'correct.undo' AND EXISTS (SELECT FROM decisions o WHERE o.seq = d.follows AND o.kind = 'added')))
  AND NOT EXISTS (SELECT FROM decisions u WHERE u.rule = 'correct.undo' AND u.follows = d.seq)
  AND NOT EXISTS (SELECT FROM voided v WHERE v.by_seq = d.seq AND v.decision_seq = d.follows)
ORDER BY 1

-- name: amended_wrong
-- Rows of amended that are not what the last correction of the decision that they name made; and corrections that have no row.
-- One whose last correction was undone has what stood before that.
WITH made AS (
    SELECT d.follows, d.seq, d.facts, t.what ->> 'verdict' AS connects, t.what ->> 'policy' AS policy,
           t.standing ->> 'not_taken' AS not_taken
    FROM decisions d
    CROSS JOIN LATERAL (SELECT convert_from(d.payload, 'UTF8')::json -> 'what' AS what,
                               convert_from(d.payload, 'UTF8')::json -> 'standing' AS standing) t
    WHERE d.kind = 'correction' AND d.rule = 'correct.decide' AND d.outcome = 'applied'
    UNION ALL
    SELECT o.follows, d.seq, d.facts, t.what ->> 'stood', t.what ->> 'policy', t.what ->> 'not_taken'
    FROM decisions d JOIN decisions o ON o.seq = d.follows AND o.rule = 'correct.decide'
    CROSS JOIN LATERAL (SELECT convert_from(d.payload, 'UTF8')::json -> 'found' -> 'what' AS what) t
    WHERE d.kind = 'correction' AND d.rule = 'correct.undo' AND d.outcome = 'applied'),
last AS (SELECT DISTINCT ON (follows) * FROM made ORDER BY follows, seq DESC)
SELECT coalesce(a.decision_seq, last.follows) AS decision_seq, a.decision_seq IS NOT NULL AS is_there
FROM last FULL JOIN amended a ON a.decision_seq = last.follows
WHERE a.decision_seq IS NULL OR last.seq IS NULL OR a.by_seq <> last.seq OR a.connects <> last.connects::int
   OR a.policy IS DISTINCT FROM last.policy
   OR a.not_taken <> last.not_taken::int + coalesce((last.facts ->> 'gone')::int, 0)
                     + coalesce((last.facts ->> 'shortfall')::int, 0) - coalesce((last.facts ->> 'set_off')::int, 0)
ORDER BY 1

-- name: replayed_out_of_plan
-- Answers to triggers that their plan does not have.
SELECT r.plan, r.number FROM replayed r LEFT JOIN replays p ON p.plan = r.plan
WHERE p.plan IS NULL OR r.number NOT BETWEEN 1 AND p.triggers ORDER BY r.plan, r.number

-- name: replays_commanded
-- Each time an operator began, stopped or closed a plan, in order.
SELECT d.seq, d.reason, d.facts ->> 'plan' AS plan, d.facts ->> 'actor' AS actor, d.facts ->> 'why' AS why,
       (d.facts ->> 'triggers')::int AS triggers
FROM commands c JOIN decisions d ON d.event_id = 'command:' || c.id AND d.kind IN ('clock', 'command') AND d.outcome <> 'parked'
WHERE c.name IN ('replay-begin', 'replay-stop') AND d.reason IN ('plan-begun', 'plan-stopped', 'plan-closed') ORDER BY d.seq

-- name: replays
SELECT plan, triggers, actor, why, state, decision_seq FROM replays ORDER BY plan

-- name: made_again
-- Which of these versions were published before the database was restored and then made again.
SELECT a.freelancer_id, wanted.version FROM unnest($1::text[], $2::bigint[]) AS wanted (freelancer_id, version)
JOIN adopted a ON a.freelancer_id = wanted.freelancer_id AND a.topic = 'wallet-updated' AND a.what = wanted.version::text
WHERE a.held_in IS NOT NULL
