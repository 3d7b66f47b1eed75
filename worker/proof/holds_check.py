"""The check that on hold is what operators have put on hold and not resumed, by the decisions on their commands."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from worker.kafka.holds import named, place_of, whole
from worker.kafka.records import TopicPartition
from worker.ledger.connections import Connection
from worker.ledger.sql import load

_SQL: Final = load("state.sql")


class HoldCommand(NamedTuple):
    """A decision that put a place on hold, or (`resumes`) ended that; of a whole topic, also of its partitions."""

    place: TopicPartition
    resumes: bool
    lets_time_go_on: bool
    seq: int


Stored = tuple[bool, int]
"""Whether business time goes on beside it, and the decision that put it on hold."""


async def wrong_holds(connection: Connection) -> list[str]:
    """What is wrong with the holds, in words, at one instant."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        commands = await connection.fetch(_SQL["holds_commanded"])
        rows = await connection.fetch(_SQL["holds"])
    commanded = [
        HoldCommand(
            place_of(row["topic"], row["partition"]),
            row["reason"] == "resumed",
            row["lets_time_go_on"] or False,
            row["seq"],
        )
        for row in commands
    ]
    stored = {TopicPartition(row["topic"], row["partition"]): (row[2], row[3]) for row in rows}
    return list(compared(stored, expected_holds(commanded)))


def expected_holds(commands: Iterable[HoldCommand]) -> dict[TopicPartition, Stored]:
    """What is on hold after these commands, in their order."""
    holds: dict[TopicPartition, Stored] = {}
    for command in commands:
        place = command.place
        if place == whole(place.topic):
            holds = {other: stored for other, stored in holds.items() if other.topic != place.topic}
        if command.resumes:
            holds.pop(place, None)
        else:
            holds[place] = (command.lets_time_go_on, command.seq)
    return holds


def compared(stored: Mapping[TopicPartition, Stored], expected: Mapping[TopicPartition, Stored]) -> Iterable[str]:
    """What is wrong with the stored holds, each in words."""
    for place in sorted({*stored, *expected}):
        found, wanted = stored.get(place), expected.get(place)
        if found is None:
            yield f"{named(place)}: the hold is missing"
        elif wanted is None:
            yield f"{named(place)}: the row should not be there: no command put it on hold"
        elif found != wanted:
            yield (
                f"{named(place)}: lets_time_go_on, decision_seq is {found[0]}, {found[1]}, "
                f"should be {wanted[0]}, {wanted[1]}"
            )
