"""The check of current state that needs no rule: no row is without its decision, and positions are where decisions end.

What each row should be is compared where the history is decided again: see `passes.py` and `current_state.py`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from worker.kafka.records import TopicPartition
from worker.ledger.connections import Connection
from worker.ledger.event_key import seen_key
from worker.ledger.sql import load
from worker.proof.checks import Check, Finding, Ground
from worker.proof.holds_check import wrong_holds
from worker.proof.reading import UNREADABLE, reading
from worker.proof.replays_check import Wrong, wrong_replays
from worker.proof.unreadable import in_words

CURRENT_STATE: Final = "current-state"
_SQL: Final = load("state.sql")
_PAGE: Final = 2_000
_STEP: Final = 20_000
"""How many decisions one statement adds up."""
_NEAR: Final = 2_000
"""So many decisions at most are read within the transaction that reads the positions."""
_BEGINNING: Final[Mapping[str, Sequence[object]]] = {
    "lots": ("", ""),
    "spends": ("",),
    "memberships": ("",),
    "charges": ("", ""),
    "closures": (0,),
    "hires": ("",),
    "held": (0,),
    "awaiting": ("", 0),
    "due": ("", ""),
    "parked": ("", ""),
    "parked_triggers": (0,),
    "dead_letters": (0,),
    "seen_events": (UUID(int=0),),
}
"""The tables, and a key before all of theirs."""
_NOT_KNOWN: Final = {"dead_letters": "the letter is not what that decision says of its record"}
"""What is wrong with rows that are not as their decision made them, where it may be more than that they are there."""


def state_check() -> Check:
    """The check that rows of current state have their decisions, positions are where these end; holds and plans."""

    async def run(ground: Ground) -> AsyncIterator[Finding]:
        ground.progress.begin(CURRENT_STATE, 0, "rows")
        async with reading(ground.database_url) as connection:
            for table in _BEGINNING:
                async for name in _without_a_decision(connection, table, ground):
                    words = f"{name}: {_NOT_KNOWN.get(table, 'the row should not be there: no decision made it')}"
                    yield Finding(CURRENT_STATE, "inconsistent", words, table)
            for table, compare in (("positions", _positions), ("holds", _holds), ("replays", wrong_replays)):
                try:
                    found = await compare(connection)
                except UNREADABLE as error:
                    words = f"they cannot be compared with their decisions: {in_words(error)}"
                    yield Finding(CURRENT_STATE, "not-executable", words, table)
                else:
                    for wrong in found:
                        yield Finding(CURRENT_STATE, "inconsistent", wrong.words, wrong.table)

    return Check(CURRENT_STATE, run)


async def _without_a_decision(connection: Connection, table: str, ground: Ground) -> AsyncIterator[str]:
    """The names of a table's rows that no decision made, read in pages by its key."""
    after = _BEGINNING[table]
    while page := await connection.fetch(_SQL[f"{table}_page"], *after, _PAGE):
        for row in page:
            if not _is_known(table, row):
                yield row["name"]
        after = tuple(page[-1])[: len(after)]
        ground.progress.advance(len(page))


def _is_known(table: str, row: Any) -> bool:  # noqa: ANN401
    if table != "seen_events":
        return bool(row["known"])
    topic, event_id = row["topic"], row["event_id"]
    return topic is not None and event_id is not None and seen_key(topic, event_id) == row["hex"]


# Positions.


class StoredPosition(NamedTuple):
    """Where reading goes on, as the ledger has it."""

    incarnation: int
    next_offset: int
    last_offset: int | None
    running_max: datetime | None


class Decided(msgspec.Struct):
    """What the decisions say of a partition."""

    last_offsets: dict[int, int] = msgspec.field(default_factory=dict)
    """The last offset that was decided, by incarnation."""
    running_max: datetime | None = None
    set_to: StoredPosition | None = None
    """Where an operator set the position last."""
    without_letter: list[int] = msgspec.field(default_factory=list)
    """The decisions that rejected a record of it and have no dead letter."""


async def _holds(connection: Connection) -> list[Wrong]:
    return [Wrong("holds", words) for words in await wrong_holds(connection)]


async def _positions(connection: Connection) -> list[Wrong]:
    """What is wrong with the positions, and which dead letters are missing, in words.

    Most decisions are read before; the last ones with the positions.
    """
    decided: dict[TopicPartition, Decided] = {}
    through = 0
    while (end := await _end(connection)) - through > _NEAR:
        while through < end:
            last = min(end, through + _STEP)
            await _add(connection, decided, through, last)
            through = last
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        await _add(connection, decided, through, await _end(connection))
        for row in await connection.fetch(_SQL["positions_set"]):
            moved = StoredPosition(row["incarnation"], row["next_offset"], None, None)
            decided.setdefault(TopicPartition(row["topic"], row["partition"]), Decided()).set_to = moved
        rows = await connection.fetch(_SQL["positions"])
    stored = {TopicPartition(row["topic"], row["partition"]): StoredPosition(*tuple(row)[2:]) for row in rows}
    return [
        Wrong("positions", f"{source.topic}/{source.partition}: {words}")
        for source in sorted({**stored, **decided})
        for words in wrong_position(stored.get(source), decided.get(source, Decided()))
    ] + [
        Wrong("dead_letters", f"decision {seq}: it rejected a record, and there is no dead letter of it")
        for of in decided.values()
        for seq in of.without_letter
    ]


async def _end(connection: Connection) -> int:
    end: int = await connection.fetchval(load("again.sql")["last_seq"])
    return end


async def _add(connection: Connection, decided: dict[TopicPartition, Decided], after: int, through: int) -> None:
    for row in await connection.fetch(_SQL["decided_of_partitions"], after, through):
        of = decided.setdefault(TopicPartition(row["topic"], row["partition"]), Decided())
        incarnation, last = row["incarnation"], row["last_offset"]
        of.last_offsets[incarnation] = max(of.last_offsets.get(incarnation, 0), last)
        times = [time for time in (of.running_max, row["running_max"]) if time is not None]
        of.running_max = max(times, default=None)
        of.without_letter += row["without_letter"] or ()


def wrong_position(stored: StoredPosition | None, decided: Decided) -> list[str]:
    """What is wrong with a stored position, by what was decided.

    That it is too far ahead only the topics can say: between two decisions there may be records of no account.
    """
    set_to = decided.set_to
    if stored is None:
        return ["the position is missing"]
    wrong = []
    incarnation = max([*decided.last_offsets, 0 if set_to is None else set_to.incarnation])
    if stored.incarnation != incarnation:
        return [f"incarnation is {stored.incarnation}, should be {incarnation}"]
    last = decided.last_offsets.get(incarnation)
    if set_to is not None and set_to.incarnation == incarnation:
        # Set back, it moves over what is decided already; set on, over what is not.
        if stored.next_offset < set_to.next_offset:
            wrong.append(f"next_offset is {stored.next_offset}, should be {set_to.next_offset} or more")
    elif stored.last_offset != last:
        wrong.append(f"last_offset is {_text(stored.last_offset)}, should be {_text(last)}")
    elif last is not None and stored.next_offset <= last:
        wrong.append(f"next_offset is {stored.next_offset}, should be {last + 1} or more")
    if stored.running_max != decided.running_max:
        wrong.append(f"running_max is {_text(stored.running_max)}, should be {_text(decided.running_max)}")
    return wrong


def _text(value: datetime | int | None) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "nothing" if value is None else str(value)
