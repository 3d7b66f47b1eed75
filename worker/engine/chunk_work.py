"""Working a chunk of a plan's triggers off: some at a time, so that live events come in between."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from worker.engine.batches import Batches
from worker.engine.correcting import may_concern
from worker.engine.decide_loop import DecideLoop
from worker.engine.replaying import Chunk, Deviates, Replaying
from worker.engine.sharing import Taken, first_apart, touched_by
from worker.kafka.records import InputRecord
from worker.repair.plan import Added, Correction, Decide, OfADecision, Trigger

_AT_ONCE: Final = 200
"""How many triggers are loaded together."""
_MOST_TOGETHER: Final = 32
"""How many corrections of decisions are looked up and decided together: live events wait meanwhile."""
_MOST_MOVEMENTS: Final = 2_000
"""Once they moved so many lots and debts, the rest waits for the next batch."""

Left = tuple[Trigger, InputRecord | None]
Ended = Literal["done", "more", "later", "stopping"]
"""Why it ended: all have an answer, or all that were loaded, or time is up, or the worker is to end."""


@dataclass(frozen=True, slots=True)
class ChunkWork:
    """Decides the triggers of one chunk, in one state; see `Replaying`."""

    batches: Batches
    replaying: Replaying
    chunk: Chunk
    loop: DecideLoop

    async def go_on(self, until: float | None) -> Ended:
        """Decide triggers that have no answer yet, in order, until a monotonic time; at least the first ones.

        All that was decided before is in the ledger. What this decided may be in the open batch.

        Raises:
            Deviates: the state is to be thrown away: then begin again with the same chunk.
            BatchRefused, LeadershipLost, Transient: of what was cut.
        """
        left = await self.replaying.prepare(_AT_ONCE)
        self.loop.freshen()
        for are_of_decisions, group in groupby(left, lambda one: isinstance(one[0], OfADecision)):
            some = list(group)
            decide = self._together(some, until) if are_of_decisions else self._in_turn(some, until)
            if (ended := await decide) != "done":
                return ended
        return "more" if self.replaying.has_more else "done"

    async def _in_turn(self, left: Sequence[Left], until: float | None) -> Ended:
        before = list[Correction]()
        for number, (trigger, record) in enumerate(left):
            if self._is_to_stop:
                return "stopping"
            if number and _is_over(until):
                return "later"
            # What is before it is not decided a third time when a later one deviates as well.
            if self.loop.batch_is_full or self.replaying.is_known_to_deviate(trigger) or self._is_apart(left, number):
                await self.batches.cut()
            if isinstance(trigger, Decide) and may_concern(trigger, before):
                await self.batches.commit_all()
                before.clear()
            if not isinstance(trigger, Added):
                before.append(trigger)
            await self.replaying.run(trigger, record)
            await asyncio.sleep(0)  # the lease is renewed meanwhile
        return "later" if _is_over(until) else "done"

    async def _together(self, left: Sequence[Left], until: float | None) -> Ended:
        """Decide corrections of decisions: those together that have nothing to do with each other."""
        waiting = list(_of_decisions(left))
        while waiting:
            await self.batches.commit_all()
            if self._is_to_stop:
                return "stopping"
            self.loop.freshen()
            chosen = first_apart(waiting, min(_MOST_TOGETHER, self.loop.most_decisions), self.chunk.doubtful)
            decided = await self._decide_together(chosen)
            waiting = [one for one in waiting if one.number not in decided]
            if _is_over(until):
                return "later"
        await self.batches.commit_all()
        return "done"

    async def _decide_together(self, chosen: Sequence[OfADecision]) -> set[int]:
        """Decide those of these that can be decided together; returns the numbers of those that were.

        Raises:
            Deviates: one deviates; if others were decided before it, it is the doubtful one from now on.
        """
        taken, decided = Taken(), set[int]()
        for one, found in zip(chosen, await self.replaying.look_up(chosen), strict=True):
            if isinstance(found, OfADecision):
                if not taken.takes(touched_by(found)):
                    continue
            elif decided or taken.waits:
                break  # it may be refused for what was decided since it was looked up, or for what comes before it
            try:
                await self.replaying.run(one, None)
            except Deviates as deviates:
                if decided or taken.waits:
                    self.chunk.doubt(deviates.number)
                raise
            decided.add(one.number)
            if self.loop.batch_is_full or self.loop.builder.open_batch.movements >= _MOST_MOVEMENTS:
                break
            await asyncio.sleep(0)  # the lease is renewed meanwhile
        return decided

    def _is_apart(self, left: Sequence[Left], number: int) -> bool:
        """Whether a trigger, or the one before it, is to have a batch of its own."""
        return any(trigger.number in self.chunk.doubtful for trigger, _ in left[max(0, number - 1) : number + 1])

    @property
    def _is_to_stop(self) -> bool:
        return self.batches.is_stopping and not len(self.loop.builder.open_batch)


def _of_decisions(left: Sequence[Left]) -> Iterator[OfADecision]:
    for trigger, _ in left:
        if isinstance(trigger, OfADecision):
            yield trigger


def _is_over(until: float | None) -> bool:
    return until is not None and time.monotonic() >= until
