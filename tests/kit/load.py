"""A steady load: events come while workers, brokers and databases are exchanged or fall."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Final

from tests.kit.histories import History, Record
from tests.kit.produce import by_key
from tests.kit.world import PARTITIONS, World

_PAUSE_SECONDS: Final = 0.5


class Load:
    """Sends a history at a steady rate. `sent` is what Kafka has accepted, which is kept outside of the ledger."""

    def __init__(self, world: World, history: History, events_a_second: float) -> None:
        self.sent: list[Record] = []
        self._world, self._events = world, iter(history)
        self._at_once = max(1, round(events_a_second * _PAUSE_SECONDS))
        self._ending = asyncio.Event()

    async def run(self) -> None:
        while not self._ending.is_set():
            records = self._next()
            assert records, "the history is too short for this test"
            await self._world.produce(records, by_key(PARTITIONS))
            self.sent += records
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), _PAUSE_SECONDS)

    def end(self) -> None:
        self._ending.set()

    def _next(self) -> list[Record]:
        events: Iterator[Record] = self._events
        return list(islice(events, self._at_once))

    async def lost(self) -> list[bytes]:
        """What Kafka accepted and no decision has, as the bytes that were sent."""
        return await not_decided(self._world, self.sent)


async def not_decided(world: World, sent: Iterable[Record]) -> list[bytes]:
    """Of these records, those that no decision has, as the bytes that were sent."""
    decided = {bytes(row[0]) for row in await world.rows("SELECT DISTINCT payload FROM decisions WHERE kind = 'first'")}
    return [value for _, _, value, _ in sent if value is not None and value not in decided]


@asynccontextmanager
async def steady_load(world: World, history: History, events_a_second: float) -> AsyncIterator[Load]:
    """Load while the block runs; what was sent last is acknowledged when it ends."""
    load = Load(world, history, events_a_second)
    sending = asyncio.create_task(load.run())
    try:
        yield load
        load.end()
        await sending
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def longest_pause(world: World) -> float:
    """The longest time between two batches that decided something, in seconds."""
    return float(
        await world.value(
            "WITH grown AS (SELECT batch_no, recorded_at, last_seq - lag(last_seq) OVER (ORDER BY batch_no) AS more"
            "               FROM batches),"
            " pauses AS (SELECT recorded_at - lag(recorded_at) OVER (ORDER BY batch_no) AS pause FROM grown"
            "            WHERE more > 0)"
            " SELECT coalesce(extract(epoch FROM max(pause)), 0) FROM pauses"
        )
    )
