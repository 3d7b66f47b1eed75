-- name: look
-- Who holds the ledger, and whether the lease has run out. Takes no lock.
SELECT epoch, holder, lease_until < clock_timestamp() AS expired
FROM leader

-- name: take_over
-- A new epoch, for whoever finds the lease run out first. `epoch` has a unique index, so this takes the row's strongest lock:
-- it waits for every transaction that holds the row FOR KEY SHARE, and looks at epoch and lease again after the wait.
UPDATE leader
SET epoch = epoch + 1, holder = $2, lease_until = clock_timestamp() + make_interval(secs => $3)
WHERE epoch = $1 AND lease_until < clock_timestamp()
RETURNING epoch, ledger_id

-- name: retake
-- The same for our own epoch, whatever is left of the lease: afterwards nothing of the old epoch can commit any more.
UPDATE leader
SET epoch = epoch + 1, holder = $2, lease_until = clock_timestamp() + make_interval(secs => $3)
WHERE epoch = $1
RETURNING epoch, ledger_id

-- name: renew
-- More time. No unique index covers lease_until, so this does not wait for FOR KEY SHARE: batches do not block it.
UPDATE leader
SET lease_until = clock_timestamp() + make_interval(secs => $2)
WHERE epoch = $1
RETURNING epoch

-- name: hand_back
-- A graceful stop: the next standby need not wait for the lease to run out.
UPDATE leader
SET lease_until = '-infinity'
WHERE epoch = $1

-- name: guard
-- The first statement of every ledger transaction: proves the epoch, and holds it until COMMIT; the ledger's last batch.
SELECT (SELECT coalesce(max(batch_no), 0) FROM batches) AS last_batch
FROM leader
WHERE epoch = $1
FOR KEY SHARE

-- name: report
-- What this worker says of itself. Rows of workers that ended long ago go with it.
WITH gone AS (DELETE FROM workers WHERE reported_at < clock_timestamp() - interval '1 day')
INSERT INTO workers (holder, reported_at, report) VALUES ($1, clock_timestamp(), $2)
ON CONFLICT (holder) DO UPDATE SET reported_at = excluded.reported_at, report = excluded.report

-- name: report_no_more
DELETE FROM workers WHERE holder = $1

-- name: backend
SELECT pg_backend_pid()

-- name: end_blockers
-- Ends the backends that keep the takeover statement of backend $1 waiting. Another standby that waits in the same queue is
-- spared: it holds nothing.
SELECT blocker.pid, pg_terminate_backend(blocker.pid) AS ended
FROM unnest(pg_blocking_pids($1)) AS blocker (pid)
LEFT JOIN pg_stat_activity AS activity USING (pid)
WHERE blocker.pid > 0
  AND (activity.application_name LIKE 'connects-lease:%' AND activity.wait_event_type = 'Lock') IS NOT TRUE
