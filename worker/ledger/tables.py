"""One row of each table that a batch writes: its columns by name, in the table's order.

A type with `None` in it is a column that may be null. Instants are aware datetimes in UTC; documents are JSON text.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal, NamedTuple
from uuid import UUID

from schemas.fields import ChargeSource, Plan
from worker.domain.decisions import Kind, Outcome
from worker.domain.model import ChargeId, ChargeKind, ChargeStatus, FreelancerId, JobId, LotId, ProposalId


class BatchRow(NamedTuple):
    """One committed batch: where it ends, and what it was decided under (None in a batch of a release before 0.2.0).

    `closures_worked` has (closure, next seq, settled through, 1 if it is done) of each part of a closure that was
    worked off, `released_void` (seq, next seq) of each parked trigger that was released and had no effect any more: a
    closure and a trigger by their decision's seq, and the seq that the next decision got then. None: there are none.

    `chain_head` is the root of the Merkle log after the batch, whose size and peaks are stored too, with marks that say
    which row is not what it was (see `Leaves`). Without them it is the head of the hash chain that was kept before.
    """

    batch_no: int
    epoch: int
    last_seq: int
    chain_head: bytes
    business_time: datetime | None
    recorded_at: datetime
    outbox_seq: int | None
    batch_uid: UUID | None
    release: str | None
    grace_seconds: float | None
    skew_seconds: float | None
    policy_versions: Sequence[str] | None
    time_before: datetime | None
    salt: bytes | None
    closures_worked: Sequence[Sequence[int]] | None
    released_void: Sequence[Sequence[int]] | None
    log_size: int | None
    log_peaks: bytes | None
    leaf_marks: bytes | None


class DecisionRow(NamedTuple):
    """One decision; `business_time` of clock work is its due instant.

    `running_time` is the business time at which it was decided; None: that is `business_time`. `previous_seq` is the
    decision before it that names the same freelancer, 0 for none; None: it names nobody, or is of a release before
    0.2.0. `membership_updated` is what that message shows, as a JSON array in the order of `MembershipUpdate`.
    """

    seq: int
    batch_no: int
    kind: Kind
    follows: int | None
    topic: str | None
    incarnation: int | None
    partition: int | None
    offset: int | None
    event_id: str | None
    occurred_at: datetime | None
    freelancer_id: FreelancerId | None
    job_id: JobId | None
    proposal_id: ProposalId | None
    outcome: Outcome
    reason: str
    rule: str | None
    policy_version: str | None
    facts: str
    late_by_seconds: float | None
    business_time: datetime | None
    recorded_at: datetime
    payload: bytes | None
    previous_seq: int | None
    running_time: datetime | None
    membership_updated: str | None


class ChangeRow(NamedTuple):
    """One effect on one wallet; movements as [[lot, proposal, line, delta], ...]."""

    freelancer_id: FreelancerId
    version: int
    decision_seq: int
    ordinal: int
    occurred_at: datetime
    recorded_at: datetime
    rule: str
    reason: str
    policy_version: str
    delta: int
    debt_delta: int
    balance_after: int
    explanation: str
    natural_key: str | None
    movements: str


class MentionRow(NamedTuple):
    """A name under which a decision is found."""

    key: str
    seq: int


class SeenRow(NamedTuple):
    """The first decision on an event id; `key` is 16 bytes as hexadecimal (see `seen_key`)."""

    key: str
    seq: int


class LotRow(NamedTuple):
    """One lot as it is now."""

    lot_id: LotId
    freelancer_id: FreelancerId
    source: str
    issued_at: datetime
    expires_at: datetime
    original: int
    remaining: int
    open: bool
    linked_to: LotId | None


class SpendRow(NamedTuple):
    """One proposal's spend as it is now; draws as [[line, lot, connects, issued at, expires at], ...]."""

    proposal_id: ProposalId
    freelancer_id: FreelancerId
    job_id: JobId
    decision_seq: int
    occurred_at: datetime
    origin: str
    base: int
    boost: int
    base_debt: int
    boost_debt: int
    base_returned: bool
    boost_returned: bool
    boost_outbid: bool
    refunded_closing_at: datetime | None
    draws: str
    withdrawn_at: datetime | None
    owing: bool


class ClosureRow(NamedTuple):
    """One closing of one job, and how far it is settled; the place of its record is None if its event was added.

    `closure` is its kind; of one that was voided, `//` and its decision follow: the same closing may come again.
    """

    job_id: JobId
    closed_at: datetime
    closure: str
    decision_seq: int
    topic: str
    incarnation: int | None
    partition: int | None
    offset: int | None
    event_id: str
    due_at: datetime
    settled_through: int
    settled: bool
    returned_any: bool


class HireRow(NamedTuple):
    """The first hire of a job; None: those that were known were voided."""

    job_id: JobId
    first_hired_at: datetime | None


class AwaitingRow(NamedTuple):
    """A withdrawal or outbid that came before its proposal, by the decision that recorded it."""

    proposal_id: ProposalId
    decision_seq: int


class DueKey(NamedTuple):
    """Which clock work is done: the kind and key of a `worker.domain.state.Due`, which is a row of that table."""

    kind: str
    key: str


class MembershipRow(NamedTuple):
    """One membership as it is now."""

    freelancer_id: FreelancerId
    version: int
    plan: Plan
    cycle_start: date | None
    next_renewal: date | None
    downgrade_chosen_at: datetime | None
    upgrade_charge: ChargeId | None
    renewal_charge: ChargeId | None
    suspensions: str
    earnings_at: datetime | None
    earnings_cents: int | None
    promos: str


class ChargeRow(NamedTuple):
    """One charge, and what became of it."""

    charge_id: ChargeId
    freelancer_id: FreelancerId
    kind: ChargeKind
    cycle_start: date
    chosen_at: datetime | None
    attempt: int
    amount_cents: int
    currency: str
    source: ChargeSource
    promo_code: str | None
    choice_promo: bool
    requested_at: datetime
    decision_seq: int
    status: ChargeStatus


class HeldRow(NamedTuple):
    """A membership event that cannot count yet, by the decision that recorded it."""

    decision_seq: int
    freelancer_id: FreelancerId


class HoldRow(NamedTuple):
    """A partition that is on hold, or with -1 a whole topic; `decision_seq` is the command's, which has who and why."""

    topic: str
    partition: int
    lets_time_go_on: bool
    decision_seq: int


class ReplayRow(NamedTuple):
    """A plan that was begun: its hash, and its header as JSON. A stopped plan goes on when it is applied again.

    `decision_seq` is the decision of the command that began it.
    """

    plan: str
    header: str
    triggers: int
    actor: str
    why: str
    begun_at: datetime
    state: Literal["open", "stopped", "closed"]
    decision_seq: int


class ReplayedRow(NamedTuple):
    """What became of one trigger of a plan, with the place where its event, or what selects it, was found.

    `decision_seq` is None unless it was booked; then `reason` says why it was not, and `detail` more in words. `topic`
    and `event_id` are those of the event that it adds or corrects. Line 0: no line of the source names it.
    """

    plan: str
    number: int
    kind: Literal["add", "settle", "void", "replace", "decide", "undo"]
    outcome: Literal["booked", "deviated", "left-out"]
    reason: str
    detail: str | None
    decision_seq: int | None
    topic: str
    event_id: str
    freelancer_id: FreelancerId | None
    job_id: JobId | None
    source: str
    line: int


class ParkedRow(NamedTuple):
    """A stopped wallet or job, and the failure of the decision that stopped it."""

    scope: str
    key: str
    decision_seq: int
    error: str
    since: datetime


class ParkedTriggerRow(NamedTuple):
    """A decision that waits behind a stopped wallet or job."""

    decision_seq: int
    scope: str
    key: str


class DeadLetterRow(NamedTuple):
    """A record that can never be decided, as it came (`headers` packed), and why."""

    decision_seq: int
    topic: str
    incarnation: int
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: bytes
    error_code: str
    error_detail: str


class PolicyRow(NamedTuple):
    """A policy version, stored for good; `batch_no` is the batch that stored it, 0 for one before the Merkle log."""

    version: str
    effective_from: datetime
    hash: bytes
    document: str
    batch_no: int


class AnswerRow(NamedTuple):
    """The reply to a command, as JSON, and the command; its arguments as `as_text` writes them."""

    command_id: UUID
    answer: str
    name: str
    arguments: str
    actor: str
    why: str
    asked_at: datetime | None
