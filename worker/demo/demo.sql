-- name: i1_effects
-- More than one effect of an event on a wallet under one rule. A closure has one for each proposal.
SELECT format('event %s of %s changed the wallet of %s %s times under %s',
              d.event_id, d.topic, c.freelancer_id, count(*), c.rule)
FROM changes c JOIN decisions d ON d.seq = c.decision_seq
WHERE d.kind IN ('first', 'follow-up', 'settlement')
GROUP BY d.topic, d.incarnation, d.event_id, d.kind = 'settlement', d.proposal_id, c.freelancer_id, c.rule
HAVING count(*) > 1

-- name: i1_natural_keys
-- More than one effect of what may happen once, whatever the event ids were; one that was voided does not count. `natural_key` is an expression over the
-- change and its decision, made of the cards of the rules (natural_keys.py).
SELECT format('%s was booked %s times for %s', rule, count(*), natural_key)
FROM (SELECT c.rule, {natural_key} AS natural_key
      FROM changes c JOIN decisions d ON d.seq = c.decision_seq
      WHERE d.outcome = 'applied' AND NOT EXISTS (SELECT FROM voided v WHERE v.decision_seq = d.seq)) AS booked
WHERE natural_key IS NOT NULL GROUP BY rule, natural_key HAVING count(*) > 1

-- name: i2_decided
-- How many first decisions each partition has, about how many records.
SELECT topic, partition, count(*) AS decisions, count(DISTINCT "offset") AS records
FROM decisions WHERE kind = 'first' GROUP BY 1, 2

-- name: i3_lots
SELECT format('the wallet of %s says %s, its lots and debts say %s', freelancer_id, coalesce(w.balance, 0),
              coalesce(l.remaining, 0) - coalesce(s.debt, 0))
FROM wallets w
FULL JOIN (SELECT freelancer_id, sum(remaining) AS remaining FROM lots GROUP BY 1) AS l USING (freelancer_id)
FULL JOIN (SELECT freelancer_id, sum(base_debt + boost_debt) AS debt FROM spends GROUP BY 1) AS s USING (freelancer_id)
WHERE coalesce(w.balance, 0) <> coalesce(l.remaining, 0) - coalesce(s.debt, 0)

-- name: i3_movements
SELECT format('change %s of %s is %s, its movements say %s', c.version, c.freelancer_id, c.delta, coalesce(m.total, 0))
FROM changes c
LEFT JOIN (SELECT decision_seq, ordinal, sum(delta) AS total FROM movements GROUP BY 1, 2) AS m
     USING (decision_seq, ordinal)
WHERE c.delta <> coalesce(m.total, 0)

-- name: i3_balances
SELECT format('change %s of %s ends at %s, which is not the balance before and its %s',
              version, freelancer_id, balance_after, delta)
FROM (SELECT version, freelancer_id, balance_after, delta,
             coalesce(lag(balance_after) OVER (PARTITION BY freelancer_id ORDER BY version), 0) AS balance_before
      FROM changes) AS c
WHERE balance_after <> balance_before + delta

-- name: i4_lots
SELECT format('lot %s holds %s of %s', lot_id, remaining, original)
FROM lots WHERE remaining NOT BETWEEN 0 AND original

-- name: i4_overdrawn
SELECT format('the wallet of %s is at %s and owes nothing', w.freelancer_id, w.balance)
FROM wallets w
WHERE w.balance < 0 AND NOT EXISTS (SELECT FROM spends s WHERE s.freelancer_id = w.freelancer_id AND s.owing)

-- name: i5_proposals
-- Debts that a refund pays for another proposal cancel out in their movements.
SELECT format('proposal %s cost %s and got %s back', s.proposal_id, s.base + s.boost, r.total)
FROM spends s JOIN (
    SELECT m.proposal_id, sum(m.delta) AS total FROM movements m JOIN changes c USING (decision_seq, ordinal)
    WHERE c.rule LIKE 'refund.%' GROUP BY 1) AS r USING (proposal_id)
WHERE r.total > s.base + s.boost

-- name: i5_boosts
SELECT format('the boost of proposal %s cost %s and got %s back', s.proposal_id, s.boost, c.delta)
FROM changes c JOIN decisions d ON d.seq = c.decision_seq JOIN spends s ON s.proposal_id = d.proposal_id
WHERE c.rule = 'refund.boost-outbid' AND c.delta > s.boost

-- name: cycles_twice
-- Basic's Connects for one cycle more than once: by the clock, or with the failed charge of that cycle.
SELECT format('%s was granted Basic''s cycle of %s %s times', freelancer_id, cycle_start, count(*))
FROM (SELECT c.freelancer_id, d.facts ->> 'cycle_start' AS cycle_start
      FROM changes c JOIN decisions d ON d.seq = c.decision_seq
      WHERE c.rule = 'grant.monthly' AND d.reason IN ('cycle-started', 'charge-failed')) AS basic
GROUP BY freelancer_id, cycle_start HAVING count(*) > 1

-- name: cycles_of_both
-- Basic's and Plus's Connects for one cycle; only a charge that is paid after it has lapsed may bring that about.
SELECT format('%s was granted the cycle of %s both as Basic and as Plus', plus.freelancer_id, plus.cycle_start)
FROM (SELECT c.freelancer_id, d.facts ->> 'cycle_start' AS cycle_start, d.reason
      FROM changes c JOIN decisions d ON d.seq = c.decision_seq WHERE c.rule = 'grant.monthly') AS plus
JOIN (SELECT c.freelancer_id, d.facts ->> 'cycle_start' AS cycle_start
      FROM changes c JOIN decisions d ON d.seq = c.decision_seq
      WHERE c.rule = 'grant.monthly' AND d.reason IN ('cycle-started', 'charge-failed')) AS basic
     USING (freelancer_id, cycle_start)
WHERE plus.reason = 'renewed'

-- name: grants_of_charges
-- Plus is granted for each paid charge once, and for no other.
SELECT format('charge %s of %s is %s and was granted for %s times', charge_id, freelancer_id,
              coalesce(c.status, 'unknown'), coalesce(g.grants, 0))
FROM charges c FULL JOIN (
    SELECT c.freelancer_id, d.facts ->> 'charge_id' AS charge_id, count(*) AS grants
    FROM changes c JOIN decisions d ON d.seq = c.decision_seq
    WHERE c.rule IN ('grant.monthly', 'grant.upgrade') AND d.reason IN ('upgraded', 'renewed', 'paid-after-lapse')
    GROUP BY 1, 2) AS g USING (freelancer_id, charge_id)
WHERE coalesce(g.grants, 0) <> CASE c.status WHEN 'paid' THEN 1 ELSE 0 END

-- name: charges_asked
-- What membership-charge-requested has to have told, each once. What costs nothing is not asked for.
SELECT c.freelancer_id, c.charge_id, c.status, c.amount_cents
FROM charges c JOIN decisions d ON d.seq = c.decision_seq WHERE d.reason IN ('charge-requested', 'charge-retried')

-- name: memberships_told
-- How many versions membership-updated has to have told of each.
SELECT freelancer_id, version FROM memberships WHERE version > 0

-- name: i9_changes
-- What wallet-updated has to have told.
SELECT freelancer_id, version, delta, balance_after FROM changes ORDER BY freelancer_id, version

-- name: settlements_waiting
SELECT count(*) FROM due WHERE kind LIKE '%settlement'

-- name: batches_unpublished
SELECT coalesce(max(outbox_seq), 0) - (SELECT dropped_through FROM relay_state) FROM batches

-- name: read_through
SELECT topic, partition, next_offset FROM positions

-- name: last_batch
SELECT last_seq, business_time FROM batches ORDER BY batch_no DESC LIMIT 1

-- name: decisions_between
-- Decisions after $1 up to $2, counted.
SELECT kind, outcome, reason, count(*) AS decisions, count(late_by_seconds) AS late
FROM decisions WHERE seq > $1 AND seq <= $2 GROUP BY 1, 2, 3

-- name: figures
-- How the ledger stands. `lapsed` are charges that were not paid after it either: those count as paid.
SELECT (SELECT count(*) FROM wallets) AS wallets,
       (SELECT count(*) FROM wallets WHERE balance < 0) AS overdrawn,
       (SELECT count(*) FROM parked) AS parked,
       (SELECT count(*) FROM dead_letters) AS dead_letters,
       (SELECT count(*) FROM due WHERE kind LIKE '%settlement') AS pending,
       m.on_plus, m.next_cycle, c.unanswered, c.paid, c.failed, c.lapsed,
       (SELECT count(*) FROM memberships WHERE next_renewal = m.next_cycle) AS next_cycles
FROM (SELECT count(*) FILTER (WHERE plan = 'plus') AS on_plus, min(next_renewal) AS next_cycle
      FROM memberships) AS m,
     (SELECT count(*) FILTER (WHERE status = 'asked') AS unanswered,
             count(*) FILTER (WHERE status = 'paid') AS paid,
             count(*) FILTER (WHERE status = 'failed') AS failed,
             count(*) FILTER (WHERE status = 'lapsed') AS lapsed FROM charges) AS c

-- name: cycles_waiting
-- Memberships with a cycle start up to $1 that is not booked.
SELECT count(*) FROM memberships WHERE next_renewal <= $1
