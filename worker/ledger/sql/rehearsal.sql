-- name: seen
-- Who holds the ledger, its last decision, whether the server is a standby, and whether this role may take the ledger.
SELECT holder, (SELECT coalesce(max(last_seq), 0) FROM batches)::bigint AS last_seq, pg_is_in_recovery() AS is_standby,
       has_table_privilege('leader', 'UPDATE') AS may_write
FROM leader

-- name: lock
-- A number that nobody else takes; until the transaction ends.
SELECT pg_advisory_xact_lock($1::bigint)

-- name: is_free
-- Whether nobody in this database has that number.
SELECT pg_try_advisory_xact_lock($1::bigint)

-- name: take_for_good
-- A new epoch for a rehearsal, on a copy that no worker leads ($2: or that was rehearsed on before). The lease never ends, so no worker
-- ever takes the copy over and publishes what it holds.
UPDATE leader SET epoch = epoch + 1, holder = $1, lease_until = 'infinity'
WHERE lease_until < clock_timestamp() OR holder LIKE $2
RETURNING epoch

-- name: booked_by_the_clock
-- What the clock booked after the decision $1, by rule and reason: how many changes, and the Connects given and taken.
SELECT c.rule, c.reason, count(*) AS changes, sum(greatest(c.delta, 0))::bigint AS given, -sum(least(c.delta, 0))::bigint AS taken
FROM decisions d JOIN changes c ON c.decision_seq = d.seq WHERE d.seq > $1 AND d.kind IN ('settlement', 'clock')
GROUP BY c.rule, c.reason ORDER BY count(*) DESC, c.rule, c.reason
