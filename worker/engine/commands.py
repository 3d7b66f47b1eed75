"""Commands are triggers: the one writer takes them between batches, decides them, and answers.

A command is a row that says who asks for what and why. Its decision is of kind `command` and stands right after what it
set in motion, in the same batch.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
import structlog

from schemas.fields import LARGEST_BIGINT
from worker.domain.decisions import Decision, Fact, Outcome, Subject
from worker.domain.model import Cause
from worker.domain.rule_catalogue import RULES
from worker.engine import replay_commands
from worker.engine.command_arguments import WrongArguments, read_arguments
from worker.engine.replay_commands import ReplayingWriter
from worker.engine.republishing import RepublishingWriter, republish
from worker.errors import WorkerError
from worker.kafka.holds import Hold, Holds, hold_of, place_of, whole
from worker.kafka.records import LARGEST_PARTITION, Position, TopicPartition
from worker.ledger.parked import ParkedKey
from worker.ledger.store import OpenCommand

_log: Final = structlog.get_logger(__name__)
_REPLAY_DECIDE: Final = "replay-decide"
"""The one command that may take long, and lets live events come in between."""


@dataclass(frozen=True, slots=True)
class Command:
    """What an operator asks: `name` with its arguments, by `actor`, for the reason `why`."""

    id: UUID
    name: str
    arguments: dict[str, Any]
    actor: str
    why: str
    asked_at: datetime | None = None


def read_command(asked: OpenCommand) -> Command:
    """A command as the ledger keeps it."""
    return Command(asked.id, asked.name, msgspec.json.decode(asked.arguments), *asked[3:])


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it, in words; `reread` says that positions changed, so that reading has to begin anew."""

    outcome: Outcome
    reason: str
    told: dict[str, Fact]
    reread: bool = False


class CommandableWriter(ReplayingWriter, RepublishingWriter, Protocol):
    """What commands ask of the writer."""

    @property
    def positions(self) -> dict[TopicPartition, Position]:
        """Where reading of each partition goes on."""
        ...

    @property
    def parked(self) -> dict[ParkedKey, set[str]]:
        """Stopped wallets and jobs."""
        ...

    @property
    def holds(self) -> dict[TopicPartition, Hold]:
        """What is on hold, by place."""
        ...

    def set_position(self, position: Position) -> None:
        """Have the next batch store this position."""
        ...

    def hold(self, place: TopicPartition, *, lets_time_go_on: bool, actor: str, why: str) -> None:
        """Have the next batch store a hold, which the next decision is about."""
        ...

    def resume(self, place: TopicPartition) -> None:
        """Have the next batch end a hold."""
        ...

    async def release(self, key: ParkedKey) -> tuple[int, int, str | None]:
        """Decide what waits behind a stopped wallet or job: how many were, how many still wait, and why they do."""
        ...

    async def forget(self) -> None:
        """Throw away what a command that failed left behind; what was decided before it is decided again."""
        ...

    async def answer(self, command: Command, answer: Answer) -> bool:
        """Commit the command's decision and answer, with what it set in motion; False: carry it out again."""
        ...


class _SetPosition(msgspec.Struct, frozen=True):
    topic: str
    partition: int
    offset: int | None = None
    recreated: bool = False


class _Place(msgspec.Struct, frozen=True):
    topic: str
    partition: int | None = None
    let_time_go_on: bool = False


class _Release(msgspec.Struct, frozen=True):
    scope: str
    key: str


class CommandRunner:
    """Carries commands out for the writer that owns the ledger."""

    def __init__(self, writer: CommandableWriter) -> None:
        self._writer = writer

    async def run(self, command: Command) -> Answer:
        """Carry one command out to its end, with its answer in the batch of the last thing that it set in motion.

        One that fails here is answered as well: every worker would end with it, one after the other.
        """
        while (answer := await self.go_on(command, None)) is None:
            pass
        return answer

    async def go_on(self, command: Command, seconds: float | None) -> Answer | None:
        """Carry a command out, as `run` does; one that takes long for about so many seconds.

        None: it is not done yet, and goes on when it is asked for again.
        """
        while True:
            try:
                answer = await self._carry_out(command, seconds)
            except WorkerError:
                raise
            except Exception as failure:  # noqa: BLE001 - whatever it is
                _log.exception("command.failed", command=command.name, id=str(command.id))
                await self._writer.forget()
                answer = Answer("declined", "command-failed", {"error": f"{type(failure).__name__}: {failure}"})
            if answer is None or await self._writer.answer(command, answer):
                return answer

    async def _carry_out(self, command: Command, seconds: float | None) -> Answer | None:
        handler = _HANDLERS.get(command.name)
        try:
            if command.name == _REPLAY_DECIDE:
                return await _replay_decide(self._writer, command, seconds)
            if handler is None:
                return Answer("declined", "unknown-command", {"name": command.name})
            return await handler(self._writer, command)
        except WrongArguments as wrong:
            return Answer("declined", "wrong-arguments", {"detail": str(wrong)})


async def _set_position(writer: CommandableWriter, command: Command) -> Answer:
    asked = read_arguments(command.arguments, _SetPosition)
    source = TopicPartition(asked.topic, asked.partition)
    _require_place(source.topic, source.partition)
    known = writer.positions.get(source)
    incarnation = 0 if known is None else known.incarnation
    told: dict[str, Fact] = {"topic": source.topic, "partition": source.partition}
    if asked.recreated:
        # What the new topic holds are other records: they are numbered apart from those of the topic before it.
        moved = Position(source, incarnation + 1, 0, None, None, None, known.running_max if known else None)
        told |= {"incarnation": moved.incarnation, "offset": 0}
    else:
        offset = asked.offset
        if offset is None or not 0 <= offset <= LARGEST_BIGINT:
            raise WrongArguments(f"an offset is 0 to {LARGEST_BIGINT}")
        moved = Position(source, incarnation, offset, None, None, None, known.running_max if known else None)
        told |= {"incarnation": incarnation, "offset": offset, "before": known.next_offset if known else None}
    writer.set_position(moved)
    return Answer("applied", "position-set", told, reread=True)


def _require_place(topic: str, partition: int | None) -> None:
    """Refuse what no partition of an input topic can be.

    Raises:
        WrongArguments: with what is wrong.
    """
    if partition is not None and not 0 <= partition <= LARGEST_PARTITION:
        raise WrongArguments(f"a partition is 0 to {LARGEST_PARTITION}")
    if topic not in RULES:
        raise WrongArguments(f"the worker reads no topic {topic}")


def _place(asked: _Place) -> tuple[TopicPartition, dict[str, Fact]]:
    """What is to be put on hold or resumed, and how the decision names it: a partition, or a whole topic."""
    _require_place(asked.topic, asked.partition)
    return place_of(asked.topic, asked.partition), {"topic": asked.topic, "partition": asked.partition}


async def _hold(writer: CommandableWriter, command: Command) -> Answer:
    asked = read_arguments(command.arguments, _Place)
    place, told = _place(asked)
    lets_time_go_on = asked.let_time_go_on
    known = hold_of(writer.holds, place)
    if known is not None and (known.place != place or known.lets_time_go_on == lets_time_go_on):
        return Answer("declined", "already-on-hold", {**told, **_of_known(known)})
    for other in _within(place, writer.holds):
        if other != place:
            writer.resume(other)  # the hold of the whole topic is in its place
    writer.hold(place, lets_time_go_on=lets_time_go_on, actor=command.actor, why=command.why)
    return Answer("applied", "on-hold", {**told, "let_time_go_on": lets_time_go_on})


async def _resume(writer: CommandableWriter, command: Command) -> Answer:
    place, told = _place(read_arguments(command.arguments, _Place))
    known = hold_of(writer.holds, place)
    if known is not None and known.place != place:
        return Answer("declined", "topic-on-hold", {**told, **_of_known(known)})
    ended = _within(place, writer.holds)
    if not ended:
        return Answer("declined", "not-on-hold", told)
    for one in ended:
        writer.resume(one)
    return Answer("applied", "resumed", told)


def _within(place: TopicPartition, holds: Holds) -> list[TopicPartition]:
    """What is on hold of a place: itself, and of a whole topic its partitions."""
    return [known for known in holds if known == place or (place == whole(place.topic) and known.topic == place.topic)]


def _of_known(hold: Hold) -> dict[str, Fact]:
    """Who put it on hold, when, why and how, for an answer that refuses to do so again."""
    return {
        "by": hold.actor,
        "since": hold.since.isoformat(timespec="seconds"),
        "because": hold.why,
        "whole_topic": hold.partition is None,
        "let_time_go_on": hold.lets_time_go_on,
    }


async def _release(writer: CommandableWriter, command: Command) -> Answer:
    asked = read_arguments(command.arguments, _Release)
    key = ParkedKey(asked.scope, asked.key)
    if key not in writer.parked:
        return Answer("declined", "not-parked", {"scope": key.scope, "key": key.key})
    released, left, error = await writer.release(key)
    told: dict[str, Fact] = {"scope": key.scope, "key": key.key, "released": released, "left": left}
    if error is not None:
        return Answer("declined", "fails-again", {**told, "error": error})
    if left:
        return Answer("declined", "worker-stopping", told)
    return Answer("applied", "released", told)


async def _replay_begin(writer: CommandableWriter, command: Command) -> Answer:
    return Answer(*await replay_commands.begin(writer, command.arguments, command.actor, command.why))


async def _replay_decide(writer: CommandableWriter, command: Command, seconds: float | None) -> Answer | None:
    replied = await replay_commands.decide(writer, command.arguments, command_cause(command.id), seconds)
    return None if replied is None else Answer(*replied)


async def _replay_stop(writer: CommandableWriter, command: Command) -> Answer:
    return Answer(*await replay_commands.stop(writer, command.arguments))


async def _republish(writer: CommandableWriter, command: Command) -> Answer:
    return Answer(*await republish(writer, command.arguments, command_name(command.id)))


async def _adopt(_writer: CommandableWriter, _command: Command) -> Answer:
    """Answer an adoption that ended before its own process did: what it found is not in force."""
    return Answer("declined", "adoption-interrupted", {})


_HANDLERS: Final[dict[str, Callable[[CommandableWriter, Command], Awaitable[Answer]]]] = {
    "positions-set": _set_position,
    "positions-hold": _hold,
    "positions-resume": _resume,
    "outputs-republish": _republish,
    "parked-release": _release,
    "relay-adopt": _adopt,
    "replay-begin": _replay_begin,
    "replay-stop": _replay_stop,
}


def command_cause(command_id: UUID) -> Cause:
    """The cause of what a command decides."""
    return Cause(None, command_name(command_id))


def command_name(command_id: UUID) -> str:
    """How a command is named in decisions and messages."""
    return f"command:{command_id}"


def command_decision(command: Command, answer: Answer, seq: int) -> Decision:
    """The recorded answer to a command."""
    facts: dict[str, Fact] = {"name": command.name, "actor": command.actor, "why": command.why, **answer.told}
    cause = command_cause(command.id)
    payload = msgspec.json.encode(command.arguments)
    decision = Decision(seq, "command", cause, None, Subject(), answer.outcome, answer.reason, None, None, facts, None)
    decision.payload = payload
    return decision
