"""`connects positions`: where reading goes on, for each input partition, and whether one may begin anew."""

from datetime import datetime
from typing import Final

import msgspec

from worker.errors import OperatorNeeded
from worker.ledger.connections import Connection
from worker.ledger.sql import load
from worker.operations.asking import reached_kafka, snapshot
from worker.operations.lag import log_of
from worker.settings import Settings
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


async def require_settable(settings: Settings, source: TopicPartition, *, recreated: bool) -> None:
    """Refuse to set the position of a partition that nobody knows: the worker would wait for it for good.

    With `recreated` also of one whose log still is the one that was read: all of it would be read again.

    Raises:
        OperatorNeeded: it is refused; the text says why, and what can be done.
        Transient: Kafka or the database is away.
    """
    async with snapshot(settings.database_url) as connection:
        positions = await stored_positions(connection)
    if source in positions and not recreated:
        return
    async with reached_kafka(settings) as reached:
        log = await log_of(reached, source, positions)
    where = f"{source.topic}, partition {source.partition}"
    if source not in positions and log == "missing":
        raise OperatorNeeded(
            f"there is no {where}: Kafka has no such partition, and none was ever read. Nothing is set."
        )
    if not recreated:
        return
    if source not in positions:
        raise OperatorNeeded(f"nothing of {where} was read yet: it is read from its beginning anyway. Nothing is set.")
    if log == "as read":
        raise OperatorNeeded(
            f"{where} was not recreated, as far as its records tell: all of it would be read again, and what was "
            "decided be taken for duplicates. `connects status` names the partitions that are stopped. "
            "If a worker's log says that this one was recreated, or you know it, repeat the command with --force."
        )


async def stored_positions(connection: Connection) -> dict[TopicPartition, Position]:
    """The ledger's positions, as the worker reads them."""
    found = {}
    for row in await connection.fetch(_SQL["positions"]):
        source = TopicPartition(row["topic"], row["partition"])
        found[source] = Position(source, *tuple(row)[2:])
    return found
