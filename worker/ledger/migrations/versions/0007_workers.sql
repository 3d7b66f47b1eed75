-- What each worker last said of itself: its role, for how long input waits, and what is wrong, for `connects status`, which
-- is another process. Written every few seconds on the connection of the lease, not by batches. Rows of workers that ended
-- go after a day.
CREATE TABLE workers (
    holder          text        PRIMARY KEY,
    reported_at     timestamptz NOT NULL,
    report          json        NOT NULL
) WITH (fillfactor = 10);
