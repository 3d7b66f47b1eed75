"""Commands are triggers: the one writer takes them between batches, decides them, and answers.

A command is a row that says who asks for what and why. Its decision is of kind `command` and stands right after what it
set in motion, in the same batch.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec

from schemas.fields import LARGEST_BIGINT
from worker.domain.decide import RULES
from worker.domain.decisions import Decision, Fact, Outcome, Subject
from worker.domain.model import Cause
from worker.ledger.store import ParkedKey
from worker.stream.records import Position, TopicPartition


@dataclass(frozen=True, slots=True)
class Command:
    """What an operator asks: `name` with its arguments, by `actor`, for the reason `why`."""

    id: UUID
    name: str
    arguments: dict[str, Any]
    actor: str
    why: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it, in words; `reread` says that positions changed, so that reading has to begin anew."""

    outcome: Outcome
    reason: str
    told: dict[str, Fact]
    reread: bool = False


class CommandableWriter(Protocol):
    """What commands ask of the writer."""

    positions: dict[TopicPartition, Position]
    parked: dict[ParkedKey, set[str]]

    def set_position(self, position: Position) -> None:
        """Have the next batch store this position."""
        ...

    async def release(self, key: ParkedKey) -> tuple[int, int, str | None]:
        """Decide what waits behind a stopped wallet or job: how many were, how many still wait, and why they do."""
        ...

    async def answer(self, command: Command, answer: Answer) -> bool:
        """Commit the command's decision and answer, with what it set in motion; False: carry it out again."""
        ...


class CommandRunner:
    """Carries commands out for the writer that owns the ledger."""

    def __init__(self, writer: CommandableWriter) -> None:
        self._writer = writer

    async def run(self, command: Command) -> Answer:
        """Carry one command out, in a batch of its own, with its answer."""
        while True:
            answer = await self._carry_out(command)
            if await self._writer.answer(command, answer):
                return answer

    async def _carry_out(self, command: Command) -> Answer:
        handler = _HANDLERS.get(command.name)
        if handler is None:
            return Answer("declined", "unknown-command", {"name": command.name})
        try:
            return await handler(self._writer, command)
        except (KeyError, ValueError, TypeError) as error:
            return Answer("declined", "wrong-arguments", {"detail": f"{type(error).__name__}: {error}"})


_LARGEST_INT: Final = 2**31 - 1


async def _set_position(writer: CommandableWriter, command: Command) -> Answer:
    source = TopicPartition(str(command.arguments["topic"]), int(command.arguments["partition"]))
    if not 0 <= source.partition <= _LARGEST_INT:
        return Answer("declined", "wrong-arguments", {"detail": f"a partition is 0 to {_LARGEST_INT}"})
    if source.topic not in RULES:
        return Answer("declined", "wrong-arguments", {"detail": f"the worker reads no topic {source.topic}"})
    known = writer.positions.get(source)
    incarnation = 0 if known is None else known.incarnation
    told: dict[str, Fact] = {"topic": source.topic, "partition": source.partition}
    if command.arguments.get("recreated"):
        # What the new topic holds are other records: they are numbered apart from those of the topic before it.
        moved = Position(source, incarnation + 1, 0, None, None, None, known.running_max if known else None)
        told |= {"incarnation": moved.incarnation, "offset": 0}
    else:
        offset = int(command.arguments["offset"])
        if not 0 <= offset <= LARGEST_BIGINT:
            return Answer("declined", "wrong-arguments", {"detail": f"an offset is 0 to {LARGEST_BIGINT}"})
        moved = Position(source, incarnation, offset, None, None, None, known.running_max if known else None)
        told |= {"incarnation": incarnation, "offset": offset, "before": known.next_offset if known else None}
    writer.set_position(moved)
    return Answer("applied", "position-set", told, reread=True)


async def _release(writer: CommandableWriter, command: Command) -> Answer:
    key = ParkedKey(str(command.arguments["scope"]), str(command.arguments["key"]))
    if key not in writer.parked:
        return Answer("declined", "not-parked", {"scope": key.scope, "key": key.key})
    released, left, error = await writer.release(key)
    told: dict[str, Fact] = {"scope": key.scope, "key": key.key, "released": released, "left": left}
    if error is not None:
        return Answer("declined", "fails-again", {**told, "error": error})
    if left:
        return Answer("declined", "worker-stopping", told)
    return Answer("applied", "released", told)


_HANDLERS: Final[dict[str, Callable[[CommandableWriter, Command], Awaitable[Answer]]]] = {
    "positions-set": _set_position,
    "parked-release": _release,
}


def command_decision(command: Command, answer: Answer, seq: int) -> Decision:
    """The recorded answer to a command."""
    facts: dict[str, Fact] = {"name": command.name, "actor": command.actor, "why": command.why, **answer.told}
    cause = Cause(None, f"command:{command.id}")
    payload = msgspec.json.encode(command.arguments)
    decision = Decision(seq, "command", cause, None, Subject(), answer.outcome, answer.reason, None, None, facts, None)
    decision.payload = payload
    return decision
