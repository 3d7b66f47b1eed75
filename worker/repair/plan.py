"""A plan: the triggers that operators want decided, each with what it brought when it was planned.

Applying books exactly that or nothing: where the ledger went on meanwhile and a trigger would bring something else, it
is left out and listed, to be planned again.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

import msgspec

from worker.domain.decisions import Outcome
from worker.domain.rules.decides import Standing, ToAmend
from worker.domain.rules.replaces import ToReplace
from worker.domain.rules.undone import ToUndo
from worker.domain.rules.voids import ToVoid

MOST_TRIGGERS: Final = 200_000
"""How many triggers a plan may have."""
FORMAT: Final = 1
"""The format of plans that this release writes and reads."""


Kind = Literal["add", "settle", "void", "replace", "decide", "undo"]


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plan was made on: a ledger as it was after the decision `through_seq`, decided by one release."""

    format: int
    ledger_id: str
    release: str
    policy_versions: list[str]
    """The versions that were known, with the hash of what each means: `2026-07 4be1...`."""
    through_seq: int
    business_time: datetime | None
    made_at: datetime


class Expected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be the same when it is applied: the decision, and what it and those that waited for it book."""

    outcome: Outcome
    reason: str
    wallets: dict[str, int]
    """The change of each wallet's balance in Connects, by freelancer; only wallets that change."""
    shortfall: dict[str, int] = {}
    """Connects that should be taken from a wallet and are not there, by freelancer; only where some are missing."""

    @property
    def takes(self) -> bool:
        """Whether on balance it takes Connects away, or would if they were there."""
        return sum(self.wallets.values()) < 0 or bool(self.shortfall)


NOTHING: Final = Expected("declined", "nothing-to-do", {})
"""What a correction brings as long as it was not tried."""


class Added(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="add"):
    """An event that never came, to be decided as the late event that it is.

    `number` counts the plan's triggers, from 1. `event` is the record's value as it was found, in line `line` of
    `source`.
    """

    number: int
    topic: str
    event_id: str
    event: str
    source: str
    line: int
    expected: Expected


class Settle(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="settle"):
    """The closures of a job are settled again for one of its spends, by what is known now; the difference is booked.

    `topic` and `corrects` name the event whose decision is corrected: a closure, or the proposal itself. With
    `late_hires` also what only a late hire or withdrawal makes undue is taken back. `source` names the selection, and
    `line` its line there, 0 if no line names it.
    """

    number: int
    freelancer_id: str
    job_id: str
    proposal_id: str
    late_hires: bool
    topic: str
    corrects: list[str]
    source: str
    line: int
    expected: Expected


class _OfDecision(msgspec.Struct, frozen=True):
    """A correction of the decision `seq`; `topic` and `corrects` name the event that it is on."""

    number: int
    seq: int
    freelancer_id: str
    job_id: str | None
    proposal_id: str | None
    topic: str
    corrects: list[str]


class Void(_OfDecision, frozen=True, forbid_unknown_fields=True, tag="void"):
    """A decision should never have been: what it still does to a wallet is taken back.

    `seq` is the decision, `topic` and `corrects` name the event that it is on; `source` and `line` as of a `Settle`.
    `found` is what the ledger says of it when it is voided; a plan has None there.
    """

    source: str
    line: int
    expected: Expected
    found: ToVoid | None = None


class Undo(_OfDecision, frozen=True, forbid_unknown_fields=True, tag="undo"):
    """What another plan booked is reversed: the decision `seq`, a correction, or on an event that it added.

    `topic` and `corrects` name the event that was added or corrected. `source` names the other plan, and `line` is the
    number of its trigger. `found` is as of a `Void`.
    """

    source: str
    line: int
    expected: Expected
    found: ToUndo | None = None


class Replace(_OfDecision, frozen=True, forbid_unknown_fields=True, tag="replace"):
    """An event came with wrong content: what differs by the right one is booked, and its id answers with that.

    `event` is the right content as it was found; everything else is as of a `Void`. `closings` are those of the job
    that were due to be settled when it was planned, if the plan settles the proposal again because of it; else None.
    """

    event: str
    source: str
    line: int
    expected: Expected
    found: ToReplace | None = None
    closings: int | None = None


class Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="decide"):
    """A decision gave another amount than it should have: what its verdict differs from what stands is booked.

    `what` is the decision with its verdict; `topic` and `corrects` name what it is on, the topic of an instant of the
    clock being empty; `source` and `line` as of a `Settle`. `standing` is what the ledger says of it when it is
    decided; a plan has None there.
    """

    number: int
    what: ToAmend
    topic: str
    corrects: list[str]
    source: str
    line: int
    expected: Expected
    standing: Standing | None = None

    @property
    def freelancer_id(self) -> str:
        """Whose decision it is."""
        return self.what.freelancer_id

    @property
    def job_id(self) -> str | None:
        """The job that it names."""
        return self.what.job_id

    @property
    def proposal_id(self) -> str | None:
        """The proposal that it names."""
        return self.what.proposal_id


OfADecision = Void | Replace | Undo
"""Corrections of one decision: each reads what the ledger says of it."""
Correction = Settle | Void | Replace | Decide | Undo
Trigger = Added | Settle | Void | Replace | Decide | Undo
_KINDS: Final[Mapping[type[Trigger], Kind]] = {
    Added: "add",
    Settle: "settle",
    Void: "void",
    Replace: "replace",
    Decide: "decide",
    Undo: "undo",
}


def kind_of(trigger: Trigger) -> Kind:
    """What a trigger is called in plans, summaries and tables."""
    return _KINDS[type(trigger)]


def correction_in(payload: bytes) -> Correction:
    """The trigger that a decision of kind `correction` keeps."""
    correction: Correction = _read(payload)
    return correction


_read: Final = msgspec.json.Decoder(Correction).decode
