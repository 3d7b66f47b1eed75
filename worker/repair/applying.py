"""Applying a plan: its triggers go to the active worker in chunks, few at first, and what became of them is counted."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from worker.engine.replay_commands import MOST_IN_A_CHUNK
from worker.errors import OperatorNeeded, UsageError
from worker.queries.commands import Answered
from worker.repair.plan import MOST_TRIGGERS, Trigger
from worker.repair.plan_file import Plan

Ask = Callable[[str, dict[str, object]], Awaitable[Answered]]
"""Asks the active worker to carry out the command of this name, and waits for its reply."""

_STEPS: Final = (1, 10, 100, 1_000)
"""How many triggers are decided before what became of them is shown; then a chunk at a time."""
_MOST_BYTES: Final = 1024 * 1024
"""How large the triggers of a command may be together, as JSON; one that is larger goes alone."""
_encode: Final = msgspec.json.Encoder().encode


class Applied(msgspec.Struct):
    """What became of the triggers that were asked for; `stopped` says why the rest of them was not."""

    plan: str
    triggers: int
    answered_before: int = 0
    not_booked_before: int = 0
    """How many of those that were answered before were not booked."""
    asked: int = 0
    booked: int = 0
    deviated: int = 0
    left_out: int = 0
    left: int = 0
    """How many have no answer yet."""
    through: int = 0
    """The last trigger that was asked for, by its number."""
    stopped: str | None = None
    wrong: list[str] = []
    """What is wrong with what the last step touched: then it is stopped."""

    @property
    def is_as_planned(self) -> bool:
        """Whether each of the plan's triggers was booked, and nothing is wrong with what they touched."""
        return not (self.left or self.deviated or self.left_out or self.not_booked_before or self.wrong)


class Way(msgspec.Struct, frozen=True):
    """How a plan is applied: without what takes Connects, at most so many triggers a second, until so many deviate."""

    give_only: bool
    most_deviations: float
    """The largest share of the triggers asked for that may deviate, 0 to 1."""
    rate: float | None = None


def triggers_of(plan: Plan) -> int:
    """How many triggers a plan has.

    Raises:
        UsageError: there are more than one plan may have.
    """
    triggers = sum(plan.summary.triggers.values())
    if triggers > MOST_TRIGGERS:
        raise UsageError(
            f"the plan has {triggers} triggers, and a plan may have {MOST_TRIGGERS}: plan the events in several parts"
        )
    return triggers


def takes_of(plan: Plan) -> int:
    """How many of a plan's triggers take Connects on balance."""
    return sum(trigger.expected.takes for trigger in plan.triggers())


def in_chunks(triggers: Iterable[Trigger], most: int = MOST_IN_A_CHUNK) -> Iterator[tuple[list[Trigger], bool]]:
    """Triggers in their order, in chunks for a command each, and whether a step ends with the chunk."""
    chunk: list[Trigger] = []
    size, of_step, steps = 0, 0, iter(_STEPS)
    step = next(steps)
    for trigger in triggers:
        length = len(_encode(trigger))
        if chunk and (len(chunk) == most or size + length > _MOST_BYTES):
            yield chunk, False
            chunk, size = [], 0
        chunk.append(trigger)
        size, of_step = size + length, of_step + 1
        if of_step == step:
            yield chunk, True
            chunk, size, of_step, step = [], 0, 0, next(steps, MOST_IN_A_CHUNK)
    if chunk:
        yield chunk, True


async def begin(plan: Plan, ask: Ask) -> None:
    """Begin a plan; one that is open already goes on.

    Raises:
        OperatorNeeded: it may not be applied here and now: the text says why.
    """
    arguments: dict[str, object] = {"plan": plan.hash, "header": plan.header, "triggers": triggers_of(plan)}
    answered = await ask("replay-begin", arguments)
    if not answered.done and answered.reason != "plan-is-open":
        raise OperatorNeeded(answered.explanation)


async def apply(
    plan: Plan, answered_before: Mapping[int, bool], way: Way, ask: Ask, stopping: asyncio.Event
) -> AsyncGenerator[Applied]:
    """Have the triggers that have no answer decided, in order; yields what became of them after each step.

    Whoever is not content with a step asks for no further one.

    `answered_before` has those that have one, each with whether it was booked.

    It ends early when it is stopped between two chunks, or when more deviate than may.

    Raises:
        OperatorNeeded: the worker does not go on with the plan.
        Transient: nobody answered in time.
    """
    triggers, before = triggers_of(plan), len(answered_before)
    not_booked = before - sum(answered_before.values())
    applied = Applied(plan.hash, triggers, before, not_booked, left=triggers - before)
    left = (trigger for trigger in plan.triggers() if trigger.number not in answered_before)
    begun, is_shown = time.monotonic(), False
    for chunk, ends_step in in_chunks(left, _most_at_once(way.rate)):
        if stopping.is_set():
            applied.stopped = "interrupted"
            break
        await _decide(plan.hash, chunk, way, ask, applied)
        if applied.left and applied.deviated > way.most_deviations * applied.asked:
            applied.stopped = "too-many-deviations"
            break
        if is_shown := ends_step:
            yield applied
        if way.rate is not None:
            await _until(begun + applied.asked / way.rate, stopping)
    if applied.stopped or not is_shown:
        yield applied


async def _decide(plan: str, chunk: Sequence[Trigger], way: Way, ask: Ask, applied: Applied) -> None:
    """Have one chunk decided; one that a worker did not finish, because it was to end, by the next one."""
    while True:
        reply = await ask("replay-decide", {"plan": plan, "give_only": way.give_only, "triggers": chunk})
        if reply.reason == "plan-interrupted":
            continue
        if not reply.done:
            raise OperatorNeeded(reply.explanation)
        applied.asked += len(chunk)
        applied.through = chunk[-1].number
        applied.left -= len(chunk)
        applied.booked += int(reply.told["booked"] or 0)
        applied.deviated += int(reply.told["deviated"] or 0)
        applied.left_out += int(reply.told["left_out"] or 0)
        return


def _most_at_once(rate: float | None) -> int:
    """How many triggers a command has: at a rate no more than come in a second."""
    return MOST_IN_A_CHUNK if rate is None else max(1, min(MOST_IN_A_CHUNK, int(rate)))


async def _until(at: float, stopping: asyncio.Event) -> None:
    """Wait for a monotonic time, or until it is to stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, at - time.monotonic())):
            await stopping.wait()
