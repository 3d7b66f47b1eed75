"""`connects positions list`: where reading goes on, for each input partition."""

from datetime import datetime
from typing import Final

import msgspec

from worker.ledger.sql import load
from worker.operations.asking import Connection
from worker.stream.records import Position, TopicPartition

_SQL: Final = load("asking.sql")


class PositionTold(msgspec.Struct, frozen=True):
    """The next offset to decide. `clock` is the largest occurred_at decided there."""

    topic: str
    partition: int
    incarnation: int
    next_offset: int
    last_offset: int | None
    clock: datetime | None


class Positions(msgspec.Struct, frozen=True):
    """All partitions that were ever read."""

    positions: list[PositionTold]


async def list_positions(connection: Connection) -> Positions:
    """Every stored position, by topic and partition."""
    found = await stored_positions(connection)
    return Positions(
        [
            PositionTold(
                source.topic,
                source.partition,
                position.incarnation,
                position.next_offset,
                position.last_offset,
                position.running_max,
            )
            for source, position in found.items()
        ]
    )


async def stored_positions(connection: Connection) -> dict[TopicPartition, Position]:
    """The ledger's positions, as the worker reads them."""
    found = {}
    for row in await connection.fetch(_SQL["positions"]):
        source = TopicPartition(row["topic"], row["partition"])
        found[source] = Position(source, *tuple(row)[2:])
    return found
