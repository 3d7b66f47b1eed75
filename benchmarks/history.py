"""A ledger to measure commands on: made by a real catch-up, with one freelancer who is busier than all others.

Part of the events may be held back, as if they had been lost; the rest of the stream goes on as if they had not.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Final

import asyncpg

from benchmarks.catch_up import until_done
from benchmarks.events import Produced, events
from benchmarks.load import preload
from benchmarks.subject import Ground, running_worker

BUSY: Final = "f-busy"
_DECISIONS_OF_AN_EVENT: Final = 1.48
_DAYS: Final = 29
_MOST_OF_BUSY: Final = 5
"""At most one in that many events is about the busy freelancer."""
_LATER: Final = 5
"""That many jobs after it was proposed for, a job of the busy freelancer closes."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The making of a ledger: about `decisions`, of them about `busy` of one freelancer; `lost` messages do not come.

    `lost` is a range of places in the stream.
    """

    decisions: int
    seed: int
    partitions: int
    start: datetime
    busy: int = 0
    lost: range = range(0)

    @property
    def events(self) -> int:
        """How many events of the marketplace that takes."""
        return max(1, int(self.decisions / _DECISIONS_OF_AN_EVENT))

    def stream(self) -> Iterator[Produced]:
        """All messages in order of time, those that are lost included: the same each time."""
        span = timedelta(days=_DAYS)
        market = events(self.events, self.seed, start=self.start, span=span)
        if not self.busy:
            return market
        busy = min(self.busy, self.events // _MOST_OF_BUSY)
        return _woven(market, busy_events(busy, start=self.start, span=span), self.events // busy)

    def came(self) -> Iterator[Produced]:
        """The messages that were not lost."""
        stream = self.stream()
        before = islice(stream, self.lost.start)
        return chain(before, islice(stream, len(self.lost), None))

    @property
    def next_number(self) -> int:
        """The number that events may have which come afterwards."""
        return self.events + 1_000_000


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger that has caught up."""

    ground: Ground
    recipe: Recipe
    messages: int
    decisions: int


def recipe(decisions: int, seed: int, partitions: int, busy: int = 0, lost: range = range(0)) -> Recipe:
    """A recipe whose events ended yesterday."""
    start = datetime.now(UTC) - timedelta(days=_DAYS + 1)
    return Recipe(decisions, seed, partitions, start, busy, lost)


async def make_ledger(ground: Ground, folder: Path, of: Recipe) -> Ledger:
    """Preload the events of a recipe, and let a worker catch up with them."""
    print(f"making a ledger of about {of.decisions:,} decisions ...", flush=True)
    produced = await preload(ground.kafka, ground.prefix, of.came(), of.partitions)
    with running_worker(ground, folder / "worker.log") as worker:
        await until_done(ground, worker, produced, time.monotonic())
    connection = await asyncpg.connect(ground.database_url)
    try:
        await connection.execute("ANALYZE")  # which autovacuum would do within minutes
        decisions = await connection.fetchval("SELECT count(*) FROM decisions")
    finally:
        await connection.close()
    print(f"  {decisions:,} decisions on {produced:,} messages", flush=True)
    return Ledger(ground, of, produced, decisions)


def busy_events(count: int, *, start: datetime, span: timedelta) -> Iterator[Produced]:
    """`count` events about one freelancer, each of which becomes about one decision on the wallet.

    Of five, two are proposals to jobs of their own, two closings of earlier ones, which settle, and one is a purchase.
    """
    step = span / max(count, 1)
    for number in range(count):
        at = (start + step * number).astimezone(UTC).isoformat()
        topic, key, fields = _busy(number)
        value = f'{{"event_id":"busy-{number}","occurred_at":"{at}",{fields}}}'
        yield topic, key.encode(), value.encode()


def _busy(number: int) -> tuple[str, str, str]:
    own = f'"freelancer_id":"{BUSY}"'
    if number == 0:
        return "freelancer-registered", BUSY, own
    turn, kind = divmod(number, 5)
    job = f"j-busy-{turn * 2 + kind % 2}"
    match kind:
        case 1 | 2:
            spent = f'"connects":{(8, 12, 16)[turn % 3]},"boost_connects":{(0, 5)[turn % 2]},"origin":"proposal"'
            return "proposal-submitted", BUSY, f'{own},"job_id":"{job}","proposal_id":"p-busy-{number}",{spent}'
        case 3 | 4:
            closed = f"j-busy-{max(turn - _LATER, 0) * 2 + kind % 2}"
            return "job-closed", closed, f'"job_id":"{closed}","client_id":"c-busy","closure":"expired"'
        case _:
            return "connects-purchased", BUSY, f'{own},"purchase_id":"b-busy-{number}","connects":40'


def _woven(market: Iterator[Produced], busy: Iterator[Produced], every: int) -> Iterator[Produced]:
    """The events of the market, after each `every` of them one of the others."""
    for number, produced in enumerate(market, 1):
        yield produced
        if number % every == 0 and (one := next(busy, None)) is not None:
            yield one
