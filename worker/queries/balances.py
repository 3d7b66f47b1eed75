"""`connects balances`: what all wallets hold together, by where it came from and when it ends; now, or as it was known.

At another time it is added up from the movements of all changes up to then, some decisions at a time: history stays, so
the result is the same for good. Debts have no source and no end: they are a row of their own, below zero.
"""

import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Final, Literal

import msgspec

from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.queries.as_of import is_final, known_through

By = Literal["source", "expiry-month"]
DEBT: Final = "debt"
"""The source of the row that has the debts."""

_SQL: Final = load("as_of.sql")
_AGAIN: Final = load("again.sql")
_ASKING: Final = load("asking.sql")
_LEAST_STEP, _FIRST_STEP, _MOST_STEP = 1_000, 20_000, 500_000
"""How many decisions one statement adds up; as many as take about `_SECONDS`."""
_SECONDS: Final = 0.5
_WALLETS: Final = 2_000


class Outstanding(msgspec.Struct, frozen=True):
    """Connects of one source that end in one month, named by its first day; None: not told apart, or a debt."""

    source: str | None
    ends_in: date | None
    connects: int


class Balances(msgspec.Struct, frozen=True):
    """What all wallets hold: the rows, and their sum, which is the sum of all balances.

    By the decisions up to `through_seq`. `known_at` None: now. `final`: it will be the same for good.
    """

    known_at: datetime | None
    through_seq: int
    final: bool
    total: int
    rows: list[Outstanding]


class Summing:
    """Adds up what is outstanding. `through` is the decision up to which it is done, `end` the one that it ends at."""

    def __init__(self, end: int) -> None:
        self.through, self.end = 0, end
        self._sums: Counter[tuple[str | None, date | None]] = Counter()

    def add(self, source: str | None, month: date | None, connects: int) -> None:
        """Count what moved."""
        self._sums[source, month] += connects

    @property
    def total(self) -> int:
        """The sum of all."""
        return sum(self._sums.values())

    def rows(self, by: By | None) -> list[Outstanding]:
        """By source and month of end, or by one of them; sums of 0 are left out."""
        sums: Counter[tuple[str | None, date | None]] = Counter()
        for (source, month), connects in self._sums.items():
            is_debt = month is None
            name = DEBT if is_debt else source
            sums[name if is_debt or by != "expiry-month" else None, None if by == "source" else month] += connects
        found = [Outstanding(source, month, connects) for (source, month), connects in sums.items() if connects]
        return sorted(found, key=_in_order)


async def outstanding(connection: Connection, at: datetime | None) -> AsyncIterator[Summing]:
    """What is outstanding now, or what was known to be; as it is added up, the last time complete.

    Now: of one instant, if the connection is in a transaction.
    """
    if at is None:
        batch = await connection.fetchrow(_ASKING["last_batch"])
        summing = Summing(0 if batch is None else batch["last_seq"])
        for row in await connection.fetch(_SQL["outstanding_now"]):
            summing.add(*row)
        summing.through = summing.end
        yield summing
        return
    async for summing in outstanding_through(connection, await known_through(connection, at)):
        yield summing


async def outstanding_through(connection: Connection, end: int) -> AsyncIterator[Summing]:
    """What the movements of all decisions up to a seq make, as it is added up; the last time complete."""
    summing, step = Summing(end), _FIRST_STEP
    while summing.through < end:
        through = min(end, summing.through + step)
        started = time.monotonic()
        for row in await connection.fetch(_SQL["outstanding_by_movements"], summing.through, through):
            summing.add(*row)
        summing.through = through
        seconds = time.monotonic() - started
        if seconds < _SECONDS / 2:
            step = min(step * 2, _MOST_STEP)
        elif seconds > _SECONDS * 2:
            step = max(step // 2, _LEAST_STEP)
        yield summing
    if not end:
        yield summing


async def balances(connection: Connection, at: datetime | None, summing: Summing, by: By | None) -> Balances:
    """What was added up, to be shown."""
    final = at is not None and await is_final(connection, at)
    return Balances(at, summing.end, final, summing.total, summing.rows(by))


async def sum_of_balances(connection: Connection, through: int) -> int:
    """The sum of all wallets' balances by the decisions up to a seq, some wallets at a time."""
    total, last = 0, ""
    while rows := await connection.fetch(_SQL["balances_after"], last, through, _WALLETS):
        total += sum(row["balance"] or 0 for row in rows)
        last = rows[-1]["freelancer_id"]
    return total


async def totals_that_disagree(connection: Connection) -> AsyncIterator[str]:
    """A check of the whole ledger: lots, debts, movements and balances have one sum. What disagrees, in words."""
    through: int = await connection.fetchval(_AGAIN["last_seq"])
    moved = 0
    async for summing in outstanding_through(connection, through):
        moved = summing.total
    held = await sum_of_balances(connection, through)
    if moved != held:
        yield (
            f"The movements of all changes up to decision {through} make {moved} Connects, and the balances of all "
            f"wallets {held}."
        )
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        later: int = await connection.fetchval(_AGAIN["last_seq"])
        current = sum(row["connects"] for row in await connection.fetch(_SQL["outstanding_now"]))
    for row in await connection.fetch(_SQL["outstanding_by_movements"], through, later):
        moved += row["connects"]
    if current != moved:
        yield (
            f"All lots less all debts make {current} Connects, and the movements of all changes up to decision {later} "
            f"{moved}."
        )


def _in_order(row: Outstanding) -> tuple[bool, str, date]:
    """Debts last; else by source, then by month."""
    return (row.source == DEBT, row.source or "", row.ends_in or date.min)
