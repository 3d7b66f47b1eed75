"""`connects history --as-of` and `--known-at`: a wallet at another time, by effect or by record."""

from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from worker.domain.decisions import MembershipUpdate
from worker.domain.model import midnight
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.queries.history import ChangeRecord, change_record
from worker.replies.recorded import LotHeld
from worker.words.phrases import day, moment

_SQL: Final = load("as_of.sql")
_ASKING: Final = load("asking.sql")
_WINDOWS: Final = (timedelta(hours=1), timedelta(days=1), timedelta(days=31), None)
"""How far back the last batch before an instant is looked for, step by step; None: to the beginning."""


class ChangeByThen(ChangeRecord, frozen=True):
    """A change, and the balance that all changes make that took effect up to it."""

    balance_by_then: int


class HistoryAsOf(msgspec.Struct, frozen=True):
    """A wallet by when its changes took effect: those up to `as_of`, in that order; `of_all` is how many there are.

    `read_through` is business time: up to there the input is read. What arrives late may still change what was before.
    """

    freelancer_id: str
    as_of: datetime
    balance: int
    overdrawn: bool
    may_still_change: bool
    read_through: datetime | None
    explanation: str
    of_all: int
    changes: list[ChangeByThen]


class KnownMembership(msgspec.Struct, frozen=True):
    """A membership as the membership-updated of then showed it."""

    plan: str
    cycle_start: date
    next_renewal_on: date
    scheduled_plan: str | None
    suspended: bool
    version: int
    explanation: str


class HistoryKnownAt(msgspec.Struct, frozen=True):
    """A wallet as it could be read at `known_at`: by the decisions up to `through_seq`.

    `final`: something was recorded later, so it will be the same for good. `membership` is None until one had begun,
    and where the release of then did not store it: then `membership_stored` is false.
    """

    freelancer_id: str
    known_at: datetime
    through_seq: int
    final: bool
    balance: int
    version: int
    overdrawn: bool
    lots: list[LotHeld]
    changes: list[ChangeRecord]
    membership: KnownMembership | None
    membership_stored: bool


_read_update = msgspec.json.Decoder(MembershipUpdate)


async def known_through(connection: Connection, at: datetime) -> int:
    """The last decision that could be read at an instant of the wall clock; 0: none could.

    Where a wall clock was set back, an instant came twice, and the later time counts.
    """
    for window in _WINDOWS:
        since = None if window is None else _before(at, window)
        found = await connection.fetchval(_SQL["known_through"], at, since)
        if found is not None:
            return int(found)
    return 0


async def is_final(connection: Connection, at: datetime) -> bool:
    """Whether something was recorded after that instant."""
    return bool(await connection.fetchval(_SQL["recorded_after"], at))


async def history_known_at(
    connection: Connection, freelancer_id: str, at: datetime, *, last: int | None = None
) -> HistoryKnownAt | None:
    """The wallet with its `last` changes (None: all) as it could be read then; None if nobody had named it."""
    through = await known_through(connection, at)
    wallet = await connection.fetchrow(_SQL["known_wallet"], freelancer_id, through)
    if wallet is None:
        return None
    changes = await connection.fetch(_SQL["known_changes"], freelancer_id, through, last)
    lots = await connection.fetch(_SQL["known_lots"], freelancer_id, through)
    membership, stored = await _membership(connection, freelancer_id, through)
    return HistoryKnownAt(
        freelancer_id,
        at,
        through,
        await is_final(connection, at),
        wallet["balance"],
        wallet["version"],
        wallet["balance"] < 0,
        [LotHeld(*row) for row in lots],
        [change_record(row) for row in reversed(changes)],
        membership,
        stored,
    )


async def history_as_of(
    connection: Connection, freelancer_id: str, at: datetime, earliest: datetime, *, last: int | None = None
) -> HistoryAsOf | None:
    """The changes that took effect up to then, the `last` of them (None: all); None if nobody ever named the wallet.

    An event dated before `earliest` is rejected.
    """
    if await connection.fetchrow(_ASKING["wallet"], freelancer_id) is None:
        return None
    rows = await connection.fetch(_SQL["changes_by_then"], freelancer_id, at, last)
    batch = await connection.fetchrow(_ASKING["last_batch"])
    read_through = None if batch is None else batch["business_time"]
    balance = rows[0]["balance_by_then"] if rows else 0
    return HistoryAsOf(
        freelancer_id,
        at,
        balance,
        balance < 0,
        may_still_change=at >= earliest,
        read_through=read_through,
        explanation=_what_may_change(at, read_through, earliest),
        of_all=rows[0]["changes"] if rows else 0,
        changes=[
            ChangeByThen(**msgspec.structs.asdict(change_record(row)), balance_by_then=row["balance_by_then"])
            for row in reversed(rows)
        ],
    )


async def _membership(connection: Connection, freelancer_id: str, through: int) -> tuple[KnownMembership | None, bool]:
    """The membership as it was shown, and whether it is known what was shown."""
    row = await connection.fetchrow(_SQL["known_membership"], freelancer_id, through)
    if row is None or row["update"] is None:
        return None, row is None or row["version"] == row["later"]
    update = _read_update.decode(row["update"])
    start, end = day(midnight(update.cycle_start)), day(midnight(update.next_renewal_on))
    words = f"The plan was {update.plan.capitalize()}. Its cycle began on {start}; the next was to begin on {end}."
    fields = (update.plan, update.cycle_start, update.next_renewal_on, update.scheduled_plan, update.suspended)
    return KnownMembership(*fields, update.version, words), True


def _what_may_change(at: datetime, read_through: datetime | None, earliest: datetime) -> str:
    if at < earliest:
        return f"It will not change: an event dated before {moment(earliest)} does not count."
    if read_through is None or at > read_through:
        reached = "nothing is read yet" if read_through is None else f"the input is read up to {moment(read_through)}"
        return f"It may still change: {reached}."
    return "All input up to then is read. It may still change: an event that arrives late counts from its own time."


def _before(at: datetime, window: timedelta) -> datetime | None:
    try:
        return at - window
    except OverflowError:
        return None
