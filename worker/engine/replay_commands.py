"""The commands of `connects replay`: begin a plan, decide a chunk of its triggers, stop it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from worker.domain.decisions import Fact, Outcome
from worker.domain.model import Cause
from worker.domain.policy import PolicyBook
from worker.domain.rule_catalogue import RULES
from worker.engine.command_arguments import WrongArguments, read_arguments
from worker.ledger.tables import ReplayedRow, ReplayRow
from worker.release import release
from worker.repair.brought import versions_in
from worker.repair.plan import FORMAT, MOST_TRIGGERS, Added, Decide, Header, Trigger, Undo

MOST_IN_A_CHUNK: Final = 500
"""How many triggers one command may carry."""


class ReplayingWriter(Protocol):
    """What these commands ask of the writer."""

    @property
    def policies(self) -> PolicyBook:
        """The policy versions that it decides by."""
        ...

    async def ledger_id(self) -> str:
        """Which ledger it is."""
        ...

    async def replay_of(self, plan: str) -> ReplayRow | None:
        """The plan of this hash, if it was begun."""
        ...

    def keep_replay(self, plan: str, header: str, triggers: int, actor: str, why: str) -> None:
        """Have the next batch store a plan that begins with the next decision, the command's."""
        ...

    def change_replay(self, replay: ReplayRow) -> None:
        """Have the next batch store another state of a plan."""
        ...

    async def replay(
        self, plan: str, triggers: Sequence[Trigger], cause: Cause, *, give_only: bool, seconds: float | None = None
    ) -> list[ReplayedRow] | None:
        """Decide triggers of a plan in their order, and commit them; returns what became of each.

        `cause` is the command, which is the cause of corrections. None: the `seconds` are over, and some are left.
        """
        ...


class Replied(NamedTuple):
    """The reply to such a command, as `Answer` has it."""

    outcome: Outcome
    reason: str
    facts: dict[str, Fact]


class _Begin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    plan: str
    header: Header
    triggers: int


class _Decide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    plan: str
    give_only: bool
    triggers: list[Trigger]


class _Stop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    plan: str
    close: bool


async def begin(writer: ReplayingWriter, arguments: dict[str, Any], actor: str, why: str) -> Replied:
    """Begin a plan, or go on with one that was stopped. A plan that is open is left as it is: its chunks are taken.

    Raises:
        WrongArguments: the arguments are wrong.
        Transient: the database is away, here and below.
    """
    asked = read_arguments(arguments, _Begin)
    if not (len(asked.plan) == _HASH_LENGTH and 1 <= asked.triggers <= MOST_TRIGGERS):
        raise WrongArguments(f"a plan has a hash of {_HASH_LENGTH} characters and 1 to {MOST_TRIGGERS} triggers")
    facts: dict[str, Fact] = {"plan": asked.plan, "triggers": asked.triggers}
    if (refusal := await _refusal(writer, asked.header)) is not None:
        return Replied("declined", "plan-refused", {**facts, "detail": refusal})
    known = await writer.replay_of(asked.plan)
    if known is None:
        writer.keep_replay(asked.plan, msgspec.json.encode(asked.header).decode(), asked.triggers, actor, why)
    elif known.state == "closed":
        return Replied("declined", "plan-refused", {**facts, "detail": _CLOSED})
    elif known.state == "open":
        begun = known.begun_at.isoformat(timespec="seconds")
        return Replied("declined", "plan-is-open", {**facts, "by": known.actor, "since": begun})
    else:
        writer.change_replay(known._replace(state="open"))
    return Replied("applied", "plan-begun", facts)


async def decide(
    writer: ReplayingWriter, arguments: dict[str, Any], cause: Cause, seconds: float | None = None
) -> Replied | None:
    """Decide a chunk of a plan's triggers; what was answered before keeps its first answer.

    With `seconds` for about so long; None: it goes on when it is asked again.
    """
    asked = read_arguments(arguments, _Decide)
    if not 1 <= len(asked.triggers) <= MOST_IN_A_CHUNK:
        raise WrongArguments(f"a command carries 1 to {MOST_IN_A_CHUNK} triggers, not {len(asked.triggers)}")
    numbers = [trigger.number for trigger in asked.triggers]
    facts: dict[str, Fact] = {"plan": asked.plan, "first": numbers[0], "last": numbers[-1]}
    known = await writer.replay_of(asked.plan)
    if known is None:
        return Replied("declined", "plan-refused", {**facts, "detail": "it was not begun in this ledger"})
    if known.state != "open":
        return Replied(
            "declined", "plan-refused", {**facts, "detail": _CLOSED if known.state == "closed" else _STOPPED}
        )
    if (refusal := await _refusal(writer, msgspec.json.decode(known.header, type=Header))) is not None:
        return Replied("declined", "plan-refused", {**facts, "detail": refusal})
    if any(number > known.triggers or number < 1 for number in numbers) or numbers != sorted(set(numbers)):
        raise WrongArguments(f"the triggers of the plan are numbered from 1 to {known.triggers}, in this order")
    if unknown := sorted({trigger.topic for trigger in asked.triggers if not _is_of_the_clock(trigger)} - RULES.keys()):
        raise WrongArguments(f"the worker reads no topic {unknown[0]}")
    if not all(isinstance(trigger, Added) or trigger.corrects for trigger in asked.triggers):
        raise WrongArguments("a correction names the events that it corrects")
    answered = await writer.replay(asked.plan, asked.triggers, cause, give_only=asked.give_only, seconds=seconds)
    if answered is None:
        return None
    outcomes = Counter(row.outcome for row in answered)
    facts |= {"booked": outcomes["booked"], "deviated": outcomes["deviated"], "left_out": outcomes["left-out"]}
    if len(answered) < len(numbers):
        return Replied("declined", "plan-interrupted", {**facts, "left": len(numbers) - len(answered)})
    return Replied("applied", "plan-applied", facts)


def _is_of_the_clock(trigger: Trigger) -> bool:
    """Whether it corrects work of the clock, which has no topic."""
    return isinstance(trigger, Decide | Undo) and not trigger.topic


async def stop(writer: ReplayingWriter, arguments: dict[str, Any]) -> Replied:
    """Take no further chunk of a plan: until it is applied again, or, closed, ever."""
    asked = read_arguments(arguments, _Stop)
    known = await writer.replay_of(asked.plan)
    facts: dict[str, Fact] = {"plan": asked.plan}
    if known is None:
        return Replied("declined", "plan-refused", {**facts, "detail": "it was not begun in this ledger"})
    if known.state == "closed":
        return Replied("declined", "plan-refused", {**facts, "detail": _CLOSED})
    if known.state == "stopped" and not asked.close:
        return Replied("declined", "plan-refused", {**facts, "detail": "it is stopped already"})
    writer.change_replay(known._replace(state="closed" if asked.close else "stopped"))
    return Replied("applied", "plan-closed" if asked.close else "plan-stopped", facts)


_HASH_LENGTH: Final = 64
_CLOSED: Final = "it was closed for good; make a new plan of what is left"
_STOPPED: Final = "it was stopped; `connects replay apply` goes on with it"


async def _refusal(writer: ReplayingWriter, header: Header) -> str | None:
    """Why a plan of this header may not be applied here and now; None: it may."""
    if header.format != FORMAT:
        return f"it has format {header.format}, and this release reads format {FORMAT}; make the plan again"
    if header.ledger_id != await writer.ledger_id():
        return f"it was made for another ledger, {header.ledger_id}; make one for this ledger"
    if header.release != release():
        return f"release {header.release} made it, and release {release()} is active; make the plan again"
    if header.policy_versions != versions_in(writer.policies):
        return "it was made under other policy versions than the active worker has; make the plan again"
    return None
