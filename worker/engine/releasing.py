"""Releasing a stopped wallet or job: what waited behind it is decided, page by page, into the writer's batches."""

import asyncio
from collections.abc import MutableMapping

from worker.domain.policy import PolicyBook
from worker.engine.batches import Batches
from worker.engine.decide_loop import DecideLoop
from worker.engine.unpark import Unpark
from worker.ledger.parked import ParkedKey, ParkedTrigger
from worker.ledger.store import Store
from worker.words.explanations import worded


class Releasing:
    """Decides what waits, in ledger order, on the state of one `DecideLoop`; `failing`: what failed before, and why."""

    def __init__(
        self,
        batches: Batches,
        loop: DecideLoop,
        store: Store,
        policies: PolicyBook,
        failing: MutableMapping[object, str],
    ) -> None:
        self._batches, self._loop, self._store = batches, loop, store
        self._policies, self._failing = policies, failing

    async def release(self, key: ParkedKey) -> str | None:
        """Decide all that waits behind it. It ends early for a stop, between two batches, or for a failure: why.

        Raises:
            Bug: the rule of something that waits failed.
            BatchRefused, Transient: of the batch before.
        """
        unpark = Unpark(self._loop.cache, self._policies, self._loop.business_time)
        last = 0
        self._loop.freshen()
        while page := await self._store.parked_triggers(key, last):
            await self._loop.cache.make_room()
            await unpark.prepare(page)
            for waiting in page:
                if self._batches.is_stopping and not len(self._loop.builder.open_batch):
                    return None
                if (failure := self._failing.pop(_released(waiting.seq), None)) is not None:
                    return failure
                await self._release_one(unpark, waiting, key)
                last = waiting.seq
        del self._loop.parked[key]
        self._loop.builder.open_batch.batch.unparked.append(key)
        return None

    async def _release_one(self, unpark: Unpark, waiting: ParkedTrigger, key: ParkedKey) -> None:
        builder = self._loop.builder
        try:
            decisions = worded(await unpark.decide(waiting, key, builder.open_batch.next_seq))
        except Exception as error:
            where = f"{key.scope} {key.key}, waiting trigger {waiting.seq}"
            raise builder.fails(_released(waiting.seq), where, error) from error
        open_batch = builder.open_batch
        if decisions:
            open_batch.triggers.append(_released(waiting.seq))
            builder.book(decisions)
        else:
            open_batch.batch.released_void.append((waiting.seq, open_batch.next_seq))
        open_batch.batch.triggers_released.append(waiting.seq)
        if self._loop.batch_is_full:
            await self._batches.cut()
        await asyncio.sleep(0)  # the lease is renewed meanwhile


def _released(seq: int) -> tuple[str, int]:
    """How a waiting trigger is named among those that fail."""
    return "release", seq
