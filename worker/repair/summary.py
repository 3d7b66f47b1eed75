"""What a plan would change, in numbers and by wallet: what operators read before they apply it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

KINDS: Final = ("add", "void", "replace", "settle", "decide", "undo")
"""The kinds of triggers."""
_MOST_LISTED: Final = 10


class Booked(msgspec.Struct, forbid_unknown_fields=True):
    """The changes under one rule for one reason: how many, and the Connects given and taken away (both positive)."""

    rule: str
    reason: str
    changes: int = 0
    given: int = 0
    taken: int = 0


class Decided(msgspec.Struct, forbid_unknown_fields=True):
    """How many decisions have one outcome for one reason under one rule."""

    outcome: str
    reason: str
    rule: str | None
    decisions: int = 0


class Balance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wallet whose balance changes, in Connects."""

    freelancer_id: str
    before: int
    after: int

    @property
    def difference(self) -> int:
        """What it gains; negative: what it loses."""
        return self.after - self.before


def gain_and_lose_most(balances: Sequence[Balance]) -> tuple[list[Balance], list[Balance]]:
    """The ten wallets that gain most, and the ten that lose most; those that are alike in the order of `balances`."""
    gaining = sorted((one for one in balances if one.difference > 0), key=lambda one: -one.difference)
    losing = sorted((one for one in balances if one.difference < 0), key=lambda one: one.difference)
    return gaining[:_MOST_LISTED], losing[:_MOST_LISTED]


class Left(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events, or spends to settle again, that the plan leaves out, why, and what a person has to do first."""

    what: str
    events: int
    why: str
    next: str


class Summary(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A plan in numbers. `given` and `taken` are Connects, both positive; without what the clock does afterwards.

    `will_follow` is what the clock does afterwards: settlements, expiries and grants that are due already.
    """

    triggers: dict[str, int]
    """How many there are of each kind: add, void, replace, settle, decide, undo."""
    wallets: int = 0
    """How many change."""
    wallet_updated: int = 0
    """How many messages of that topic the triggers bring."""
    given: int = 0
    taken: int = 0
    shortfall: int = 0
    """Connects that would be taken away and are not there."""
    decided: list[Decided] = []
    booked: list[Booked] = []
    gain_most: list[Balance] = []
    lose_most: list[Balance] = []
    inert: int = 0
    """Events that were decided before, with the same content."""
    conflicts: int = 0
    """Events whose id was decided before, with other content."""
    conflicting: list[str] = []
    """The first of these: where it was found, and how it conflicts."""
    bad_lines: int = 0
    """Lines that were skipped because they are no event of their topic."""
    replaced: int = 0
    """Events that were given other content before: what is found says that, or what they said first."""
    nothing_to_do: int = 0
    """Spends of the jobs to settle again for which nothing is booked."""
    nothing_to_void: int = 0
    """Selected decisions that changed nothing, or were voided before."""
    nothing_to_undo: int = 0
    """Decisions of the plan to undo that changed nothing, or were undone before."""
    nothing_to_amend: int = 0
    """Decisions to decide again whose amount stands as the right rules give it."""
    will_follow: list[Booked] = []
    charges_requested: int = 0
    """Charges that triggers and what follows request from billing."""
    left_for_a_person: list[Left] = []


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One decision about a wallet, in words. `number` is its trigger's; None: the clock does it afterwards."""

    number: int | None
    occurred_at: datetime | None
    outcome: str
    reason: str
    delta: int
    """In Connects; 0: it books nothing."""
    balance_after: int
    sentence: str


class Wallet(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="wallet"):
    """A wallet that the plan's decisions name: its balance in Connects, and each decision about it.

    Before the plan's triggers, after them, and later: when the clock has done what follows from them.
    """

    freelancer_id: str
    before: int
    after: int
    later: int
    steps: list[Step]
