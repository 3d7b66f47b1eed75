-- Events that never came and were added by a plan (`connects replay apply`), decided as the late events that they are. A decision
-- of kind `added` has topic and event id, and no place in a topic: no incarnation, partition or offset. NOT VALID: earlier rows
-- satisfy the conditions, and are not read for it.
ALTER TABLE decisions DROP CONSTRAINT decisions_kind_check;
ALTER TABLE decisions
    ADD CONSTRAINT decisions_kind_check
        CHECK (kind IN ('first', 'added', 'follow-up', 'settlement', 'clock', 'command', 'correction')) NOT VALID,
    ADD CONSTRAINT decisions_added_check
        CHECK (kind <> 'added' OR (topic IS NOT NULL AND event_id IS NOT NULL AND coalesce(incarnation, partition, "offset") IS NULL)) NOT VALID,
    ADD CONSTRAINT decisions_correction_check
        CHECK (kind <> 'correction' OR (topic IS NULL AND follows IS NOT NULL AND payload IS NOT NULL)) NOT VALID;
CREATE UNIQUE INDEX decisions_one_added ON decisions (topic, event_id) WHERE kind = 'added';
-- What plans brought is found without reading all decisions (`verify`).
CREATE INDEX decisions_of_plans ON decisions (seq) WHERE kind IN ('added', 'correction');

-- What a plan booked is undone once.
CREATE UNIQUE INDEX decisions_one_undo ON decisions (follows) WHERE rule = 'correct.undo';

-- A decision of kind `correction` corrects an earlier one, which it follows: its event id names the command of the plan, and payload is
-- the plan's trigger, from which it can be decided again.

-- A closure that came by an added event has no place either: it is known by its decision, its settlements by the event's id.
ALTER TABLE closures
    ALTER COLUMN incarnation DROP NOT NULL,
    ALTER COLUMN partition DROP NOT NULL,
    ALTER COLUMN "offset" DROP NOT NULL,
    ADD CONSTRAINT closures_place_check CHECK (num_nulls(incarnation, partition, "offset") IN (0, 3)) NOT VALID;
-- A proposal that was voided may come again, and is then settled by a closure that settled it before, at another instant.
DROP INDEX decisions_one_settlement;
CREATE UNIQUE INDEX decisions_one_settlement ON decisions (topic, incarnation, partition, "offset", proposal_id, business_time)
    WHERE kind = 'settlement';
CREATE UNIQUE INDEX decisions_one_settlement_added ON decisions (topic, event_id, proposal_id, business_time)
    WHERE kind = 'settlement' AND "offset" IS NULL;

-- A closure that was voided stays, and decides nothing: its kind is followed by `//` and its decision, so that the same closing may come
-- again. A job whose hires were all voided has none.
ALTER TABLE hires ALTER COLUMN first_hired_at DROP NOT NULL;

-- Every settlement with the closure that it settles, by index from either kind of closure.
CREATE VIEW settlements AS
SELECT c.job_id, c.decision_seq AS closure_seq, s.seq, s.proposal_id FROM closures c
JOIN decisions s ON s.kind = 'settlement' AND s.topic = c.topic AND s.incarnation = c.incarnation AND s.partition = c.partition
     AND s."offset" = c."offset"
UNION ALL
SELECT c.job_id, c.decision_seq, s.seq, s.proposal_id FROM closures c
JOIN decisions s ON s.kind = 'settlement' AND s.topic = c.topic AND s.event_id = c.event_id AND s."offset" IS NULL
WHERE c."offset" IS NULL;

-- Plans that were begun, by their hash; header as in the plan file. For good. state: a stopped plan goes on when it is applied
-- again, a closed one does not. decision_seq is the decision of the command that began it.
CREATE TABLE replays (
    plan            text        PRIMARY KEY,
    header          json        NOT NULL,
    triggers        int         NOT NULL CONSTRAINT replays_triggers_check CHECK (triggers >= 0),
    actor           text        NOT NULL,
    why             text        NOT NULL,
    begun_at        timestamptz NOT NULL,
    state           text        NOT NULL CONSTRAINT replays_state_check CHECK (state IN ('open', 'stopped', 'closed')),
    decision_seq    bigint      NOT NULL
);
-- What became of each of their triggers, written once, in the batch that books it; decision_seq is null unless it was booked, and
-- detail says what it would have brought, or why it was left out. kind: as in the plan. topic and event_id: of the event that it adds or
-- corrects. source and line: where that, or what selects it, was found (line 0: by no line). For good.
CREATE TABLE replayed (
    plan            text        NOT NULL,
    number          int         NOT NULL,
    kind            text        NOT NULL CONSTRAINT replayed_kind_check CHECK (kind IN ('add', 'settle', 'void', 'replace', 'decide', 'undo')),
    outcome         text        NOT NULL CONSTRAINT replayed_outcome_check CHECK (outcome IN ('booked', 'deviated', 'left-out')),
    reason          text        NOT NULL,
    detail          text,
    decision_seq    bigint,
    topic           text        NOT NULL,
    event_id        text        NOT NULL,
    freelancer_id   text,
    job_id          text,
    source          text        NOT NULL,
    line            int         NOT NULL,
    PRIMARY KEY (plan, number),
    CONSTRAINT replayed_booked_check CHECK ((outcome = 'booked') = (decision_seq IS NOT NULL))
);
CREATE UNIQUE INDEX replayed_decision ON replayed (decision_seq) WHERE decision_seq IS NOT NULL;
-- Finds what was booked of a dead letter that was redriven: its source is `dead letter` and the letter's decision.
CREATE INDEX replayed_found_in ON replayed (source) WHERE line = 0 AND decision_seq IS NOT NULL;
-- Every added event with the plan that added it.
CREATE VIEW additions AS
SELECT d.seq, d.topic, d.event_id, d.recorded_at, p.plan, p.actor, p.why, r.source, r.line
FROM decisions d JOIN replayed r ON r.decision_seq = d.seq JOIN replays p ON p.plan = r.plan WHERE d.kind = 'added';
-- Every correction with the plan that ordered it, and the decision that it corrects.
CREATE VIEW corrections AS
SELECT d.seq, d.follows AS corrected_seq, d.recorded_at, p.plan, p.actor, p.why, r.topic, r.event_id, r.source, r.line
FROM decisions d JOIN replayed r ON r.decision_seq = d.seq JOIN replays p ON p.plan = r.plan WHERE d.kind = 'correction';
CREATE INDEX replayed_not_booked ON replayed (plan, number) WHERE decision_seq IS NULL;

-- Decisions that were voided by a correction, by_seq: grants, purchases, adjustments, spends, closures and hires that should never have
-- been. Of a closure or hire freelancer_id is empty, and natural_key is its decision. For good,
-- unless that correction is undone: then the row goes, and the spend has its row again.
-- natural_key is free again: of a spend it is the proposal's id. The next grant under it has `//` and how many were voided before after
-- its natural key in `changes`, whose index so still refuses a second one that stands. A spend that is voided is no row of `spends`.
CREATE TABLE voided (
    decision_seq    bigint      PRIMARY KEY,
    by_seq          bigint      NOT NULL CONSTRAINT voided_by UNIQUE,
    rule            text        NOT NULL,
    natural_key     text        NOT NULL,
    freelancer_id   text        NOT NULL,
    job_id          text
);
CREATE INDEX voided_keys ON voided (rule, natural_key);
CREATE INDEX voided_of ON voided (freelancer_id);
CREATE INDEX voided_spends ON voided (job_id) WHERE rule = 'spend.proposal';

-- What stands for decisions that a correction amended, by_seq the last one: the Connects that its wallet should have got by it (negative:
-- lost), also where less was there to be taken. policy: the corrected version by which that was found, with its hash; null: the
-- ledger's own. not_taken: what its corrections should have taken and did not, because it had expired or was not there, less what later
-- corrections gave less for it. A decision that was never amended has no row: what it booked stands. For good.
CREATE TABLE amended (
    decision_seq    bigint      PRIMARY KEY,
    by_seq          bigint      NOT NULL CONSTRAINT amended_by UNIQUE,
    connects        int         NOT NULL,
    policy          text,
    not_taken       int         NOT NULL CONSTRAINT amended_not_taken_check CHECK (not_taken >= 0)
);
CREATE OR REPLACE VIEW grants AS
SELECT rule, split_part(natural_key, '//', 1) AS natural_key, freelancer_id, occurred_at, delta AS connects, decision_seq
FROM changes c WHERE natural_key IS NOT NULL AND NOT EXISTS (SELECT FROM voided v WHERE v.decision_seq = c.decision_seq);

-- The runs of `connects outputs republish`, which go on where they stopped: each command names the wallets of one part.
CREATE INDEX commands_republishing ON commands (asked_at) WHERE name = 'outputs-republish';

-- Messages that were published before the ledger was restored from a backup, as `connects relay adopt` found them in the output topics: one that
-- is made again is compared, and not published a second time. what: the version of the wallet or membership, or the charge's id. content: a
-- hash of each compared field, in their order. partition and offset: where the message is. command: of the adoption, which is in force once
-- that is answered. held_in: the batch that made it again. For good: `verify` asks which messages were booked a second time.
CREATE TABLE adopted (
    freelancer_id   text        NOT NULL,
    topic           text        NOT NULL,
    what            text        NOT NULL,
    content         bytea       NOT NULL,
    partition       int         NOT NULL,
    "offset"        bigint      NOT NULL,
    command         uuid        NOT NULL,
    held_in         bigint,
    PRIMARY KEY (freelancer_id, topic, what)
);
CREATE INDEX adopted_not_made_again ON adopted (freelancer_id, topic) WHERE held_in IS NULL;
