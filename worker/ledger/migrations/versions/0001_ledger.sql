-- The ledger. One writer; every table says how long its rows live.

-- Who may write. One row for good. Every ledger transaction begins by locking it FOR KEY SHARE at its own epoch.
CREATE TABLE leader (
    singleton       boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    ledger_id       uuid        NOT NULL DEFAULT gen_random_uuid(),
    epoch           bigint      NOT NULL UNIQUE,
    holder          text        NOT NULL,
    lease_until     timestamptz NOT NULL
);
INSERT INTO leader (epoch, holder, lease_until) VALUES (0, 'nobody', '-infinity');

-- One row per committed batch, for good: the hash chain's head, business time, and what the relay needs to prove itself.
CREATE TABLE batches (
    batch_no        bigint      PRIMARY KEY,
    epoch           bigint      NOT NULL,
    last_seq        bigint      NOT NULL,
    chain_head      bytea       NOT NULL,
    business_time   timestamptz,
    recorded_at     timestamptz NOT NULL,
    outbox_seq      bigint      UNIQUE,
    batch_uid       uuid
);

-- The next offset to decide, per input partition; never pruned.
CREATE TABLE positions (
    topic           text        NOT NULL,
    partition       int         NOT NULL,
    incarnation     int         NOT NULL DEFAULT 0,
    next_offset     bigint      NOT NULL,
    last_offset     bigint,
    last_timestamp  bigint,
    last_hash       bytea,
    running_max     timestamptz,
    PRIMARY KEY (topic, partition)
);

-- One answer per trigger, in ledger order, for good, never updated.
CREATE TABLE decisions (
    seq             bigint      PRIMARY KEY,
    batch_no        bigint      NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('first', 'follow-up', 'settlement', 'clock', 'command')),
    follows         bigint,
    topic           text,
    incarnation     int,
    partition       int,
    "offset"        bigint,
    event_id        text,
    occurred_at     timestamptz,
    freelancer_id   text,
    job_id          text,
    proposal_id     text,
    outcome         text        NOT NULL CHECK (outcome IN
                    ('applied', 'duplicate', 'declined', 'withheld', 'recorded', 'parked', 'rejected')),
    reason          text        NOT NULL,
    rule            text,
    policy_version  text,
    facts           json        NOT NULL,
    late_by_seconds double precision,
    business_time   timestamptz,
    recorded_at     timestamptz NOT NULL,
    payload         bytea
);
CREATE UNIQUE INDEX decisions_one_first ON decisions (topic, incarnation, partition, "offset") WHERE kind = 'first';
CREATE UNIQUE INDEX decisions_one_settlement ON decisions (topic, incarnation, partition, "offset", proposal_id)
    WHERE kind = 'settlement';
CREATE UNIQUE INDEX decisions_of_our_own ON decisions (event_id) WHERE kind IN ('clock', 'command') AND outcome <> 'parked';

-- By whom and what decisions are found, where no other table leads to them: f:<freelancer>, j:<job>, p:<proposal>,
-- e:<event id that another index does not find>, s:<seq that is followed>, operators. For good. See worker/ledger/mentions.py.
CREATE TABLE mentions (
    key             text        COLLATE "C" NOT NULL,
    seq             bigint      NOT NULL,
    PRIMARY KEY (key, seq)
);

-- Which event ids of which topic were decided: 16 bytes of a hash of topic and id. Never pruned.
CREATE TABLE seen_events (
    key             uuid        PRIMARY KEY,
    seq             bigint      NOT NULL
);

-- One effect of one trigger on one wallet = one wallet-updated. For good, never updated.
CREATE TABLE changes (
    freelancer_id   text        NOT NULL,
    version         bigint      NOT NULL,
    decision_seq    bigint      NOT NULL,
    ordinal         int         NOT NULL,
    occurred_at     timestamptz NOT NULL,
    recorded_at     timestamptz NOT NULL,
    rule            text        NOT NULL,
    reason          text        NOT NULL,
    policy_version  text        NOT NULL,
    delta           bigint      NOT NULL CHECK (delta <> 0),
    debt_delta      bigint      NOT NULL,
    balance_after   bigint      NOT NULL,
    explanation     text        NOT NULL,
    natural_key     text,
    movements       json        NOT NULL,
    PRIMARY KEY (freelancer_id, version)
);
CREATE UNIQUE INDEX changes_by_decision ON changes (decision_seq, ordinal);
-- One grant per natural key, whatever the event ids say.
CREATE UNIQUE INDEX changes_one_grant ON changes (rule, natural_key) WHERE natural_key IS NOT NULL;
CREATE INDEX changes_of_interviews ON changes (freelancer_id) WHERE rule = 'grant.interview';

-- What follows from changes is not written a second time: it could not agree less, and cost as much as they do.
-- A change's effect on one lot, or on one line's debt (then lot_id is null); in the change as [lot, proposal, line, delta].
CREATE VIEW movements AS
SELECT c.decision_seq, c.ordinal, (m.place - 1)::int AS line_no, m.parts ->> 0 AS lot_id, m.parts ->> 1 AS proposal_id,
       m.parts ->> 2 AS spend_line, (m.parts ->> 3)::bigint AS delta
FROM changes c CROSS JOIN LATERAL json_array_elements(c.movements) WITH ORDINALITY AS m(parts, place);
-- Each wallet that was ever changed, as its last change left it.
CREATE VIEW wallets AS
SELECT DISTINCT ON (freelancer_id) freelancer_id, balance_after AS balance, version
FROM changes ORDER BY freelancer_id, version DESC;
CREATE VIEW grants AS
SELECT rule, natural_key, freelancer_id, occurred_at, delta AS connects, decision_seq
FROM changes WHERE natural_key IS NOT NULL;

-- Current state, derivable from the changes' movements.
CREATE TABLE lots (
    lot_id          text        NOT NULL,
    freelancer_id   text        NOT NULL,
    source          text        NOT NULL,
    issued_at       timestamptz NOT NULL,
    expires_at      timestamptz NOT NULL,
    original        bigint      NOT NULL CHECK (original > 0),
    remaining       bigint      NOT NULL CHECK (remaining BETWEEN 0 AND original),
    open            boolean     NOT NULL CHECK (open = (remaining > 0)),
    linked_to       text,
    PRIMARY KEY (freelancer_id, lot_id)
) WITH (fillfactor = 80);
CREATE INDEX lots_expiring ON lots (expires_at, lot_id) WHERE open;

-- What each proposal cost, the lots each line drew, what is still owed, and what came back.
CREATE TABLE spends (
    proposal_id     text        PRIMARY KEY,
    freelancer_id   text        NOT NULL,
    job_id          text        NOT NULL,
    decision_seq    bigint      NOT NULL,
    occurred_at     timestamptz NOT NULL,
    origin          text        NOT NULL,
    base            bigint      NOT NULL,
    boost           bigint      NOT NULL,
    base_debt       bigint      NOT NULL CHECK (base_debt BETWEEN 0 AND base),
    boost_debt      bigint      NOT NULL CHECK (boost_debt BETWEEN 0 AND boost),
    base_returned   boolean     NOT NULL,
    boost_returned  boolean     NOT NULL,
    boost_outbid    boolean     NOT NULL,
    refunded_closing_at timestamptz,
    draws           json        NOT NULL,
    withdrawn_at    timestamptz,
    owing           boolean     NOT NULL CHECK (owing = (base_debt + boost_debt > 0))
) WITH (fillfactor = 80);
CREATE INDEX spends_by_job ON spends (job_id, decision_seq);
CREATE INDEX spends_owing ON spends (freelancer_id) WHERE owing;

CREATE TABLE closures (
    job_id          text        NOT NULL,
    closed_at       timestamptz NOT NULL,
    closure         text        NOT NULL,
    decision_seq    bigint      NOT NULL UNIQUE,
    topic           text        NOT NULL,
    incarnation     int         NOT NULL,
    partition       int         NOT NULL,
    "offset"        bigint      NOT NULL,
    event_id        text        NOT NULL,
    due_at          timestamptz NOT NULL,
    settled_through bigint      NOT NULL,
    settled         boolean     NOT NULL,
    returned_any    boolean     NOT NULL,
    PRIMARY KEY (job_id, closed_at, closure)
);

CREATE TABLE hires (
    job_id          text        PRIMARY KEY,
    first_hired_at  timestamptz NOT NULL
);

-- A withdrawal or outbid read before its proposal; it counts when the proposal arrives.
CREATE TABLE awaiting (
    proposal_id     text        NOT NULL,
    decision_seq    bigint      NOT NULL,
    PRIMARY KEY (proposal_id, decision_seq)
);

-- What the clock has to do, besides the expiry of lots (lots_expiring). Deleted when done.
CREATE TABLE due (
    due_at          timestamptz NOT NULL,
    kind            text        NOT NULL,
    key             text        NOT NULL,
    PRIMARY KEY (kind, key)
);
CREATE INDEX due_next ON due (due_at, kind, key);

-- Wallets and jobs stopped by a failure inside a rule, and the triggers waiting behind it. Deleted on release.
CREATE TABLE parked (
    scope           text        NOT NULL CHECK (scope IN ('wallet', 'job')),
    key             text        NOT NULL,
    decision_seq    bigint      NOT NULL,
    error           text        NOT NULL,
    since           timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);
CREATE TABLE parked_triggers (
    decision_seq    bigint      PRIMARY KEY,
    scope           text        NOT NULL,
    key             text        NOT NULL
);
CREATE INDEX parked_triggers_by_key ON parked_triggers (scope, key, decision_seq);

-- One row per batch that publishes: its messages, packed, in order. Dropped once the relay's marker is past it.
CREATE TABLE outbox (
    outbox_seq      bigint      PRIMARY KEY,
    batch_uid       uuid        NOT NULL,
    recorded_at     timestamptz NOT NULL,
    messages        bytea       NOT NULL
);
ALTER TABLE outbox ALTER COLUMN messages SET STORAGE EXTERNAL;
CREATE TABLE relay_state (
    singleton       boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
    dropped_through bigint      NOT NULL
);
INSERT INTO relay_state (dropped_through) VALUES (0);

-- Records that can never be decided. Kept for good; sent_at is set when the letter was acknowledged.
CREATE TABLE dead_letters (
    decision_seq    bigint      PRIMARY KEY,
    topic           text        NOT NULL,
    incarnation     int         NOT NULL,
    partition       int         NOT NULL,
    "offset"        bigint      NOT NULL,
    timestamp_ms    bigint      NOT NULL,
    key             bytea,
    value           bytea,
    headers         bytea       NOT NULL,
    error_code      text        NOT NULL,
    error_detail    text        NOT NULL,
    attempts        int         NOT NULL DEFAULT 0,
    sent_at         timestamptz
);
CREATE INDEX dead_letters_unsent ON dead_letters (decision_seq) WHERE sent_at IS NULL;

-- What operators ask of the one writer. Kept for good.
CREATE TABLE commands (
    id              uuid        PRIMARY KEY,
    name            text        NOT NULL,
    arguments       json        NOT NULL,
    actor           text        NOT NULL,
    why             text        NOT NULL,
    asked_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    answered_at     timestamptz,
    answer          json
);
CREATE INDEX commands_open ON commands (asked_at) WHERE answered_at IS NULL;

-- Every policy version that ever decided anything, immutable.
CREATE TABLE policies (
    version         text        PRIMARY KEY,
    effective_from  timestamptz NOT NULL,
    hash            bytea       NOT NULL,
    document        json        NOT NULL,
    stored_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE FUNCTION refuse_rewriting_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the ledger is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER decisions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON decisions EXECUTE FUNCTION refuse_rewriting_history();
CREATE TRIGGER changes_append_only   BEFORE UPDATE OR DELETE OR TRUNCATE ON changes   EXECUTE FUNCTION refuse_rewriting_history();
CREATE TRIGGER mentions_append_only  BEFORE UPDATE OR DELETE OR TRUNCATE ON mentions  EXECUTE FUNCTION refuse_rewriting_history();
