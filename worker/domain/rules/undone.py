"""What a plan did that is to be undone, with what the ledger says became of it: one kind for each that a plan does."""

from datetime import date, datetime
from typing import Literal

import msgspec

from worker.domain.decisions import Subject
from worker.domain.model import FreelancerId, JobId, LineName, LotId, ProposalId
from worker.domain.rules.decides import ToAmend
from worker.domain.rules.voids import ToVoid
from worker.domain.state import Awaited


class UndoneAdd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="add"):
    """An event that was added: what it still does is taken back, as a void does."""

    what: ToVoid


class UndoneVoid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="void"):
    """A grant, a purchase or an adjustment that was voided, and counts again.

    `connects` are as decision `decision_seq` booked it at `granted_at`; `voided` counts the grants under its natural
    key that were voided before. The void gave `given` Connects, or took `taken`. `lot_id` is the lot that the grant
    opened, which ends at `expires_at`. Of a debit, which opened none, `lots` are those that the void gave into. Of a
    registration `cycle` is the first of its membership, with the day of the next one.
    """

    decision_seq: int
    rule: str
    natural_key: str
    voided: int
    connects: int
    granted_at: datetime
    given: int
    taken: int
    lot_id: LotId | None
    expires_at: datetime | None
    lots: list[LotId]
    cycle: tuple[date, date] | None = None


class UndoneSpendVoid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="spend"):
    """A spend that was voided, and counts again: the lines that the void returned are charged again.

    `decision_seq` is the decision on the proposal, `place` how many earlier ones its job has. `lots` are those that the
    void gave into, `settled_by` the closures, by their decision, that settled the spend before the void.
    """

    decision_seq: int
    base: int
    boost: int
    origin: str
    charge: list[LineName]
    refunded_closing_at: datetime | None
    place: int
    lots: list[LotId]
    settled_by: list[int]


class UndoneForgetting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="fact"):
    """A closure or a hire that was voided, and counts again: see `ToVoid`; `hired_at` is its own."""

    decision_seq: int
    topic: Literal["job-closed", "hire-made"]
    closure_seq: int | None
    hired_at: datetime | None


class UndoneTold(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="told"):
    """A withdrawal or an outbid that was voided: it counts again, or waits for its proposal as `awaited`.

    `is_mismatch`: the proposal is another freelancer's, so it is without effect.
    """

    awaited: Awaited
    is_mismatch: bool


class UndoneSettle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="settle"):
    """A spend that was settled again: `charge` are the lines that came back then, `give` those that were taken back.

    `lots` are those that it gave into. `refunded_closing_at` is the spend's before it.
    """

    charge: list[LineName]
    give: list[LineName]
    refunded_closing_at: datetime | None
    lots: list[LotId]


class UndoneAmount(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="decide"):
    """A decision whose amount was corrected by `amended`: the `stood` Connects that stood before stand again.

    `policy` is the corrected version that had said so; None: the one that the ledger has. The correction gave `given`
    Connects into `lots`, of which `expired` expired since, or took `taken`. `not_taken` is what other corrections of
    the decision should have taken and did not.
    """

    amended: ToAmend
    stood: int
    policy: str | None
    not_taken: int
    given: int
    taken: int
    expired: int
    lots: list[LotId]


class UndoneReplacement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="replace"):
    """An event of a grant, a purchase or an adjustment that was given other content, and says again what it said.

    `event` is that, by which it brought `connects`. The correction gave `given` Connects into `lots`, of which
    `expired` expired since, or took `taken`. `lot_id` is the lot that the grant opened, which ends at `expires_at`.
    """

    event: str
    connects: int
    given: int
    taken: int
    expired: int
    lots: list[LotId]
    lot_id: LotId | None
    expires_at: datetime | None


class ToUndo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A decision of a plan that is to be undone, with what the ledger says became of it.

    `event_id`, `rule`, `occurred_at` and `about` are of what it added or corrected, `ordered_at` is when it was booked.
    """

    seq: int
    event_id: str
    rule: str
    occurred_at: datetime
    ordered_at: datetime
    freelancer_id: FreelancerId
    job_id: JobId | None
    proposal_id: ProposalId | None
    about: dict[str, str]
    what: (
        UndoneAdd
        | UndoneVoid
        | UndoneSpendVoid
        | UndoneForgetting
        | UndoneTold
        | UndoneSettle
        | UndoneAmount
        | UndoneReplacement
    )

    @property
    def subject(self) -> Subject:
        """Whom and what it is about."""
        return Subject(self.freelancer_id or None, self.job_id, self.proposal_id)
