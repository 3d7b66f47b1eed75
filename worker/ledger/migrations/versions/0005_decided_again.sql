-- What deciding the recorded history again needs, from this release on. In rows of earlier releases all of it is null.

-- What a batch was decided under: which release, the settings, the policy versions known (by effective_from), business time
-- before it. 16 random bytes. Each part of a closure that was worked off: [closure, next seq, settled through, 1 if it is
-- done]; each parked trigger that was released and had no effect any more: [trigger, next seq]. A closure and a trigger are
-- named by their decision's seq; next seq is the one that the next decision got then. Null: there are none.
-- chain_head is the root of a Merkle log from now on, of that size, in leaves, and with these peaks, 32 bytes each: see
-- worker/ledger/merkle.py and leaves.py. The last head of the hash chain before it is its first leaf. leaf_marks say which row
-- is not what it was: CRC-32 of each decision and of its changes, then of the batch's header, policies and replies to commands.
ALTER TABLE batches
    ADD COLUMN release          text,
    ADD COLUMN grace_seconds    double precision,
    ADD COLUMN skew_seconds     double precision,
    ADD COLUMN policy_versions  text[],
    ADD COLUMN time_before      timestamptz,
    ADD COLUMN salt             bytea,
    ADD COLUMN closures_worked  bigint[],
    ADD COLUMN released_void    bigint[],
    ADD COLUMN log_size         bigint,
    ADD COLUMN log_peaks        bytea,
    ADD COLUMN leaf_marks       bytea;
ALTER TABLE batches ALTER COLUMN leaf_marks SET STORAGE EXTERNAL;

-- The decision before it that names the same freelancer (0: none; null: it names nobody). Business time when it was decided,
-- if that is not its business_time. The membership-updated that it brought: [version, plan, cycle_start, next_renewal_on,
-- scheduled_plan, suspended, reason].
ALTER TABLE decisions
    ADD COLUMN previous_seq       bigint,
    ADD COLUMN running_time       timestamptz,
    ADD COLUMN membership_updated json;

-- The batch that stored it; 0: one before the log, whose first leaf these are in.
ALTER TABLE policies ADD COLUMN batch_no bigint NOT NULL DEFAULT 0;
ALTER TABLE policies ALTER COLUMN batch_no DROP DEFAULT;

-- A worker of an earlier release would go on with the hash chain. It is refused, in the one line that it ends with.
CREATE FUNCTION refuse_earlier_releases() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a worker of an earlier release may not write this ledger' USING ERRCODE = 'check_violation',
        TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME,
        DETAIL = 'This ledger was migrated for a later release of the worker: run that release.';
END $$;
CREATE TRIGGER batches_with_a_log BEFORE INSERT ON batches FOR EACH ROW WHEN (NEW.log_size IS NULL)
    EXECUTE FUNCTION refuse_earlier_releases();
