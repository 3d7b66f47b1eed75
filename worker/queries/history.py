"""`connects history`: what a wallet holds, every change of it, its membership, and what is coming up."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Final

import asyncpg
import msgspec

from worker.domain.policy import PolicyBook
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.queries.memberships import MembershipRecord, standing
from worker.replies.recorded import LotHeld
from worker.words.phrases import agreeing, day
from worker.words.phrases import connects as in_words
from worker.words.plans import added_later, ordered_by
from worker.words.upcoming import Upcoming as Ahead

_SQL: Final = load("asking.sql")
EVERY: Final = 1 << 62


class InputCause(msgspec.Struct, frozen=True):
    """The input record that caused something."""

    topic: str
    incarnation: int
    partition: int
    offset: int
    event_id: str | None


class AddedCause(msgspec.Struct, frozen=True):
    """An event that a plan added; `added` is the decision on it."""

    topic: str
    event_id: str
    added: int


class OtherCause(msgspec.Struct, frozen=True):
    """An instant of the clock, or a command."""

    event_id: str
    topic: None = None


Cause = InputCause | AddedCause | OtherCause


class ChangeRecord(msgspec.Struct, frozen=True):
    """One change of a wallet, in words and numbers."""

    version: int
    occurred_at: datetime
    recorded_at: datetime
    delta: int
    debt_delta: int
    balance_after: int
    rule: str
    reason: str
    policy_version: str
    explanation: str
    cause: Cause
    subject: dict[str, str]


class History(msgspec.Struct, frozen=True):
    """A wallet and its changes, oldest first; `membership` is None until one begins."""

    freelancer_id: str
    balance: int
    version: int
    overdrawn: bool
    lots: list[LotHeld]
    changes: list[ChangeRecord]
    membership: MembershipRecord | None = None


class Expected(msgspec.Struct, frozen=True):
    """Something that the calendar will bring."""

    on: date
    kind: str
    connects: int
    explanation: str


class Upcoming(msgspec.Struct, frozen=True):
    """What a freelancer has to expect, in time order."""

    upcoming: list[Expected]


async def history(
    connection: Connection, freelancer_id: str, *, last: int | None = None, policies: PolicyBook | None = None
) -> History | None:
    """The wallet with its `last` changes (None: all), with policies its membership; None if nobody ever named it."""
    wallet = await connection.fetchrow(_SQL["wallet"], freelancer_id)
    if wallet is None:
        return None
    changes = await connection.fetch(_SQL["changes_of_wallet"], freelancer_id, last)
    stands = None if policies is None else await standing(connection, freelancer_id, policies)
    return History(
        freelancer_id,
        wallet["balance"],
        wallet["version"],
        wallet["balance"] < 0,
        await open_lots(connection, freelancer_id),
        [change_record(row) for row in reversed(changes)],
        None if stands is None else stands.told,
    )


async def upcoming(connection: Connection, freelancer_id: str, policies: PolicyBook) -> Upcoming | None:
    """What the membership has ahead, and what expires when; None if nobody ever named this freelancer.

    It tells what comes if nothing else happens: nothing is spent, chosen or suspended before.
    """
    if await connection.fetchrow(_SQL["wallet"], freelancer_id) is None:
        return None
    stands = await standing(connection, freelancer_id, policies)
    return Upcoming(coming([] if stands is None else stands.ahead, await open_lots(connection, freelancer_id)))


def coming(ahead: Sequence[Ahead], lots: Sequence[LotHeld]) -> list[Expected]:
    """What a membership has ahead, and what expires when, in time order."""
    expected = [*(Expected(*one) for one in ahead), *expiries(lots)]
    return sorted(expected, key=lambda one: one.on)


def expiries(lots: Sequence[LotHeld]) -> list[Expected]:
    """One entry for each lot, by its expiry."""
    return [
        Expected(
            lot.expires_at.date(),
            "expiry",
            lot.remaining,
            f"{in_words(lot.remaining)} of {day(lot.issued_at)} ({lot.source}) "
            f"{agreeing(lot.remaining, 'expires', 'expire')} on {day(lot.expires_at)}, "
            f"unless {agreeing(lot.remaining, 'it is', 'they are')} spent before.",
        )
        for lot in lots
    ]


def cause_of(row: asyncpg.Record) -> Cause:
    """What a decision's row answers."""
    if row["topic"] is None:
        return OtherCause(row["event_id"])
    if row["added"] is not None:
        return AddedCause(row["topic"], row["event_id"], row["added"])
    return InputCause(row["topic"], row["incarnation"], row["partition"], row["offset"], row["event_id"])


def and_who_added_it(words: str, row: asyncpg.Record) -> str:
    """A sentence about a decision, and a second one if a plan ordered it, or added the event that it answers."""
    if row["ordered_by"] is not None:
        return f"{words} {ordered_by(*row['ordered_by'])}"
    if row["added"] is None:
        return words
    added = added_later(row["added_at"], row["added_by"], row["added_why"], row["source"], row["line"])
    return f"{words} {added}"


def named(row: asyncpg.Record, *names: str) -> dict[str, str]:
    """Those of the columns that hold something."""
    return {name: row[name] for name in names if row[name] is not None}


async def open_lots(connection: Connection, freelancer_id: str, most: int = EVERY) -> list[LotHeld]:
    """What a wallet holds, in the order in which it will be spent: the first lots, whole days of them."""
    return [LotHeld(*row) for row in await connection.fetch(_SQL["open_lots"], freelancer_id, most)]


def change_record(row: asyncpg.Record) -> ChangeRecord:
    """A change, of a row that also has what caused it."""
    return ChangeRecord(
        row["version"],
        row["occurred_at"],
        row["recorded_at"],
        row["delta"],
        row["debt_delta"],
        row["balance_after"],
        row["rule"],
        row["reason"],
        row["policy_version"],
        and_who_added_it(row["explanation"], row),
        cause_of(row),
        named(row, "job_id", "proposal_id"),
    )
