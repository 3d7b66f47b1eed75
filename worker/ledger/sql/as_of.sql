-- name: known_through
-- The last decision of the batches that were recorded up to $1 and after $2; null: there are none.
SELECT max(last_seq) FROM batches WHERE recorded_at <= $1 AND recorded_at > coalesce($2::timestamptz, '-infinity')

-- name: recorded_after
-- Whether anything was recorded later, so that what is known at $1 stays as it is.
SELECT coalesce((SELECT recorded_at FROM batches ORDER BY batch_no DESC LIMIT 1) > $1, false)

-- name: known_wallet
-- One wallet as the decisions up to $2 left it; at 0 if one of them named the freelancer and none changed the wallet.
SELECT coalesce(last.balance_after, 0) AS balance, coalesce(last.version, 0) AS version
FROM (VALUES ($1)) AS asked(id)
LEFT JOIN LATERAL (SELECT * FROM changes c WHERE c.freelancer_id = asked.id AND c.decision_seq <= $2
                   ORDER BY c.version DESC LIMIT 1) last ON true
WHERE last.version IS NOT NULL OR EXISTS (SELECT FROM mentions WHERE key = 'f:' || asked.id AND seq <= $2)

-- name: known_lots
-- What a wallet held after the decisions up to $2, by its movements, in the order in which it was to be spent.
SELECT l.lot_id, l.source, l.issued_at, l.expires_at, sum((m.parts ->> 3)::bigint)::bigint AS remaining
FROM changes c CROSS JOIN LATERAL json_array_elements(c.movements) AS m(parts)
JOIN lots l ON l.freelancer_id = c.freelancer_id AND l.lot_id = m.parts ->> 0
WHERE c.freelancer_id = $1 AND c.decision_seq <= $2
GROUP BY l.lot_id, l.source, l.issued_at, l.expires_at HAVING sum((m.parts ->> 3)::bigint) > 0
ORDER BY l.expires_at, l.issued_at, l.lot_id COLLATE "C"

-- name: known_changes
-- The last $3 changes of a wallet (null: all) by the decisions up to $2, newest first, each with what caused it.
SELECT c.version, c.occurred_at, c.recorded_at, c.delta, c.debt_delta, c.balance_after, c.rule, c.reason,
       c.policy_version, c.explanation, d.topic, d.incarnation, d.partition, d."offset", d.event_id, d.job_id, d.proposal_id,
       a.seq AS added, a.recorded_at AS added_at,
       a.actor AS added_by, a.why AS added_why, a.source, a.line,
       CASE WHEN d.kind = 'correction' THEN (SELECT ARRAY[k.actor, k.why] FROM corrections k WHERE k.seq = d.seq) END AS ordered_by
FROM changes c JOIN decisions d ON d.seq = c.decision_seq
LEFT JOIN additions a ON d."offset" IS NULL AND a.topic = d.topic AND a.event_id = d.event_id
WHERE c.freelancer_id = $1 AND c.decision_seq <= $2 ORDER BY c.version DESC LIMIT $3::bigint

-- name: known_membership
-- The last membership-updated of a freelancer by the decisions up to $2, and how many there were later; each is in the
-- decision that brought it. Null: none, or the release of then did not store it.
WITH named AS (
    SELECT decision_seq AS seq FROM changes WHERE freelancer_id = $1
    UNION SELECT seq FROM mentions WHERE key = 'f:' || $1
), updates AS (
    SELECT d.seq, d.membership_updated FROM named JOIN decisions d ON d.seq = named.seq
    WHERE d.membership_updated IS NOT NULL AND d.freelancer_id = $1
)
SELECT (SELECT membership_updated FROM updates WHERE seq <= $2 ORDER BY seq DESC LIMIT 1) AS update,
       (SELECT count(*) FROM updates WHERE seq > $2) AS later,
       coalesce((SELECT version FROM memberships WHERE freelancer_id = $1), 0) AS version

-- name: changes_by_then
-- The last $3 changes of a wallet (null: all) that took effect up to $2, latest first, each with what caused it and the
-- balance that all that took effect up to it make.
SELECT c.version, c.occurred_at, c.recorded_at, c.delta, c.debt_delta, c.balance_after, c.rule, c.reason,
       c.policy_version, c.explanation, d.topic, d.incarnation, d.partition, d."offset", d.event_id, d.job_id, d.proposal_id,
       a.seq AS added, a.recorded_at AS added_at,
       a.actor AS added_by, a.why AS added_why, a.source, a.line,
       CASE WHEN d.kind = 'correction' THEN (SELECT ARRAY[k.actor, k.why] FROM corrections k WHERE k.seq = d.seq) END AS ordered_by,
       c.balance_by_then, c.changes
FROM (SELECT *, sum(delta) OVER (ORDER BY occurred_at, version)::bigint AS balance_by_then, count(*) OVER () AS changes
      FROM changes WHERE freelancer_id = $1 AND occurred_at <= $2 ORDER BY occurred_at DESC, version DESC LIMIT $3::bigint) c
JOIN decisions d ON d.seq = c.decision_seq
LEFT JOIN additions a ON d."offset" IS NULL AND a.topic = d.topic AND a.event_id = d.event_id
ORDER BY c.occurred_at DESC, c.version DESC

-- name: outstanding_by_movements
-- What the decisions after $1 up to $2 moved, by source and month of end of the lots; debts have neither.
SELECT l.source, date_trunc('month', l.expires_at AT TIME ZONE 'UTC')::date AS month, sum((m.parts ->> 3)::bigint)::bigint AS connects
FROM changes c CROSS JOIN LATERAL json_array_elements(c.movements) AS m(parts)
LEFT JOIN lots l ON l.freelancer_id = c.freelancer_id AND l.lot_id = m.parts ->> 0
WHERE c.decision_seq > $1 AND c.decision_seq <= $2
GROUP BY l.source, month

-- name: outstanding_now
-- What all lots hold now, by source and month of end; and all debts, which have neither.
SELECT source, date_trunc('month', expires_at AT TIME ZONE 'UTC')::date AS month, sum(remaining)::bigint AS connects
FROM lots WHERE open GROUP BY source, month
UNION ALL
SELECT NULL, NULL, -sum(base_debt + boost_debt)::bigint FROM spends WHERE owing HAVING count(*) > 0

-- name: balances_after
-- The next $3 wallets by id after $1, with their balance by the decisions up to $2 (null: that nothing had changed it).
WITH RECURSIVE wallet AS (
    (SELECT freelancer_id FROM changes WHERE freelancer_id > $1 ORDER BY freelancer_id LIMIT 1)
    UNION ALL
    SELECT (SELECT c.freelancer_id FROM changes c WHERE c.freelancer_id > wallet.freelancer_id
            ORDER BY c.freelancer_id LIMIT 1)
    FROM wallet WHERE wallet.freelancer_id IS NOT NULL
)
SELECT freelancer_id, (SELECT c.balance_after FROM changes c WHERE c.freelancer_id = wallet.freelancer_id
                       AND c.decision_seq <= $2 ORDER BY c.version DESC LIMIT 1) AS balance
FROM wallet WHERE freelancer_id IS NOT NULL LIMIT $3
