"""What `connects explain` finds, as values: recorded decisions with their changes, and what has no decision yet."""

from datetime import datetime
from typing import Literal

import msgspec

from worker.replies.recorded import DecisionRecord


class OpenSpend(msgspec.Struct, frozen=True):
    """Connects spent on a job about which nothing is decided yet."""

    subject: dict[str, str]
    spent_at: datetime
    connects: int
    explanation: str
    reason: str = "job-not-closed"


class Awaited(msgspec.Struct, frozen=True):
    """What a membership waits for: `charge-unanswered`, or `cycle-start-due`: it is time, and it is not booked yet."""

    subject: dict[str, str]
    reason: str
    since: datetime
    explanation: str


class Differs(msgspec.Struct, frozen=True):
    """One thing that would be decided otherwise today, both values as text."""

    field: str
    recorded: str | None
    today: str | None


class DecidedAgain(msgspec.Struct, frozen=True):
    """A decision taken again by this release: `same`, `differs`, or why it is not decided again.

    `amended`: it is decided otherwise, and a correction has amended the amount to that. `input`: a rejection, a parked
    event or a command, which depends on more than the record. `not-executable`: an earlier decision of the freelancer
    could not be followed. `decided_by` is the release that took it, if that is
    stored; where this `release` decides otherwise, the rules were changed after that one. `since` is then the next
    release that decided anything in this ledger: the earliest that can decide otherwise, as far as the ledger knows.
    """

    seq: int
    verdict: Literal["same", "amended", "differs", "input", "not-executable"]
    decided_by: str | None
    release: str
    explanation: str
    differences: list[Differs]
    since: str | None = None


class Explanation(msgspec.Struct, frozen=True, omit_defaults=True):
    """Decisions in ledger order; `open`, `awaited` and `again` where they apply."""

    decisions: list[DecisionRecord]
    open: list[OpenSpend] | None = None
    awaited: list[Awaited] | None = None
    again: list[DecidedAgain] | None = None
