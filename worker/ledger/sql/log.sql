-- name: find
-- The decisions after seq $1 up to seq $2, or of the seqs $3, that match, in ledger order, $4 at most; null: whatever it is.
-- A rule, a reason and an amount may be the decision's or those of one of its changes; 0 is the amount of no change.
-- Without the payload. The amount is the sum of its changes. These are looked for between $1 and $2: else all of them would be read each time.
SELECT d.seq, d.kind, d.follows, d.topic, d.incarnation, d.partition, d."offset", d.event_id, d.occurred_at, d.recorded_at,
       d.freelancer_id, d.job_id, d.proposal_id, d.outcome, d.reason, d.rule, d.policy_version, d.late_by_seconds,
       (SELECT coalesce(sum(c.delta), 0) FROM changes c WHERE c.decision_seq = d.seq)::bigint AS amount, d.facts
FROM decisions d
WHERE d.seq > $1 AND d.seq <= $2 AND ($3::bigint[] IS NULL OR d.seq = ANY($3))
  AND ($5::text[] IS NULL OR d.outcome = ANY($5))
  AND ($6::text[] IS NULL OR d.kind = ANY($6))
  AND ($7::text[] IS NULL OR d.topic = ANY($7))
  AND ($8::int IS NULL OR d.partition = $8)
  AND ($9::bigint IS NULL OR d."offset" >= $9) AND ($10::bigint IS NULL OR d."offset" <= $10)
  AND ($11::timestamptz IS NULL OR d.occurred_at >= $11) AND ($12::timestamptz IS NULL OR d.occurred_at < $12)
  AND ($13::timestamptz IS NULL OR d.recorded_at >= $13) AND ($14::timestamptz IS NULL OR d.recorded_at < $14)
  AND ($15::text[] IS NULL OR d.rule = ANY($15)
       OR EXISTS (SELECT FROM changes c WHERE c.decision_seq = d.seq AND c.decision_seq > $1 AND c.decision_seq <= $2 AND c.rule = ANY($15)))
  AND ($16::text[] IS NULL OR d.reason = ANY($16)
       OR EXISTS (SELECT FROM changes c WHERE c.decision_seq = d.seq AND c.decision_seq > $1 AND c.decision_seq <= $2 AND c.reason = ANY($16)))
  AND ($17::bigint IS NULL
       OR EXISTS (SELECT FROM changes c WHERE c.decision_seq = d.seq AND c.decision_seq > $1 AND c.decision_seq <= $2 AND c.delta BETWEEN $17 AND $18::bigint
                                          AND ($19::text IS NULL OR c.freelancer_id = $19))
       OR (0 BETWEEN $17 AND $18 AND NOT EXISTS (SELECT FROM changes c WHERE c.decision_seq = d.seq AND c.decision_seq > $1 AND c.decision_seq <= $2)))
  AND ($20::text[] IS NULL
       OR (SELECT coalesce(b.release, 'before 0.2.0') FROM batches b WHERE b.batch_no = d.batch_no) = ANY($20))
ORDER BY d.seq LIMIT $4

-- name: recorded_between
-- The first of the batches that were recorded from $1 on and before $2 (null: no limit), and the last decision of them. The
-- wall clocks of workers differ, so between the two there may be others.
SELECT min(batch_no) AS first_batch, max(last_seq) AS last_seq FROM batches
WHERE recorded_at >= coalesce($1::timestamptz, '-infinity') AND recorded_at < coalesce($2::timestamptz, 'infinity')

-- name: batches_of_releases
-- The first of the batches that these releases wrote, and the last decision of them; others may be between the two.
SELECT min(batch_no) AS first_batch, max(last_seq) AS last_seq FROM batches WHERE coalesce(release, 'before 0.2.0') = ANY($1::text[])

-- name: last_seq_of_batch
SELECT last_seq FROM batches WHERE batch_no = $1

-- name: first_of_offsets
-- The first decision on the records of a topic ($1), partition ($2, null: all) and offsets ($3 to $4), and how many there are up to $5;
-- every other decision on one of these records comes later.
SELECT min(seq) AS seq, count(*) AS decisions FROM (
    SELECT d.seq FROM positions p CROSS JOIN generate_series(0, p.incarnation) AS i(incarnation)
    JOIN decisions d ON d.kind = 'first' AND d.topic = p.topic AND d.incarnation = i.incarnation AND d.partition = p.partition
    WHERE p.topic = $1 AND ($2::int IS NULL OR p.partition = $2) AND d."offset" BETWEEN $3 AND $4 LIMIT $5
) AS found

-- name: letters_between
-- The dead letters after seq $1 up to seq $2 of these causes ($3) and topics ($4; null: all) that were rejected from $5 on and before $6
-- (null: no limit), or of these seqs ($8), $7 at most, by how many bytes their values have.
SELECT l.decision_seq AS seq, coalesce(octet_length(l.value), 0) AS bytes
FROM dead_letters l JOIN LATERAL (SELECT recorded_at FROM decisions WHERE seq = l.decision_seq LIMIT 1) d ON true
WHERE l.decision_seq > $1 AND l.decision_seq <= $2
  AND ($3::text[] IS NULL OR l.error_code = ANY($3)) AND ($4::text[] IS NULL OR l.topic = ANY($4))
  AND ($5::timestamptz IS NULL OR d.recorded_at >= $5) AND ($6::timestamptz IS NULL OR d.recorded_at < $6)
  AND ($8::bigint[] IS NULL OR l.decision_seq = ANY($8))
ORDER BY l.decision_seq LIMIT $7

-- name: letters
-- These dead letters, with what they held and when they were rejected.
SELECT l.decision_seq, l.topic, l.partition, l."offset", l.timestamp_ms, l.error_code, l.error_detail, d.recorded_at, l.value
FROM dead_letters l JOIN LATERAL (SELECT recorded_at FROM decisions WHERE seq = l.decision_seq LIMIT 1) d ON true
WHERE l.decision_seq = ANY($1::bigint[]) ORDER BY l.decision_seq
