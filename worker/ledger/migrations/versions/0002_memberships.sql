-- Memberships: what the rules of decision 8 keep from one event to the next. Every table says how long its rows live.

-- One row for each freelancer of whom a membership event was decided, begun or not. Kept for good; derivable from decisions.
-- Suspensions are [at, scope, suspended], promos [code, percent off, cents off, charges left].
CREATE TABLE memberships (
    freelancer_id   text        PRIMARY KEY,
    version         bigint      NOT NULL,
    plan            text        NOT NULL CHECK (plan IN ('basic', 'plus')),
    cycle_start     date,
    next_renewal    date        CHECK (next_renewal > cycle_start),
    downgrade_chosen_at timestamptz,
    upgrade_charge  text,
    renewal_charge  text,
    suspensions     json        NOT NULL,
    earnings_at     timestamptz,
    earnings_cents  bigint,
    promos          json        NOT NULL,
    CHECK ((cycle_start IS NULL) = (next_renewal IS NULL)),
    CHECK ((earnings_at IS NULL) = (earnings_cents IS NULL))
) WITH (fillfactor = 80);
-- The clock's way to them. Ids in byte order, which is the order of Python's strings: the clock work of one instant has one order.
CREATE INDEX memberships_renewing ON memberships (next_renewal, freelancer_id COLLATE "C") WHERE next_renewal IS NOT NULL;

-- Every charge that was ever asked of the billing system, and what became of it. Kept for good: an answer may come years late.
-- An id is unique among a freelancer's charges; made of ids that may have colons, it may be that of another's charge as well.
CREATE TABLE charges (
    charge_id       text        NOT NULL,
    freelancer_id   text        NOT NULL,
    kind            text        NOT NULL CHECK (kind IN ('upgrade', 'renewal')),
    cycle_start     date        NOT NULL,
    chosen_at       timestamptz,
    attempt         int         NOT NULL CHECK (attempt >= 1),
    amount_cents    bigint      NOT NULL CHECK (amount_cents >= 0),
    currency        text        NOT NULL,
    source          text        NOT NULL CHECK (source IN ('earnings-balance', 'payment-method')),
    promo_code      text,
    choice_promo    boolean     NOT NULL,
    requested_at    timestamptz NOT NULL,
    decision_seq    bigint      NOT NULL,
    status          text        NOT NULL CHECK (status IN ('asked', 'paid', 'failed', 'lapsed')),
    PRIMARY KEY (freelancer_id, charge_id)
) WITH (fillfactor = 80);
-- What the billing system owes an answer to, oldest first; `connects status` counts it.
CREATE INDEX charges_unanswered ON charges (requested_at) WHERE status = 'asked';

-- Membership events that cannot count yet, by the decision that recorded them. Deleted when they get their follow-up.
CREATE TABLE held (
    decision_seq    bigint      PRIMARY KEY,
    freelancer_id   text        NOT NULL
);
CREATE INDEX held_by_freelancer ON held (freelancer_id);
