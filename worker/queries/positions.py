"""`connects positions`: where reading goes on, for each input partition, and whether one may begin anew."""

from datetime import datetime
from typing import Final

import msgspec

from worker.errors import OperatorNeeded, UsageError
from worker.kafka.holds import ALL_PARTITIONS, Hold, by_place, hold_in_words, hold_of, in_order, place_of
from worker.kafka.records import Position, TopicPartition
from worker.ledger.connections import Connection
from worker.ledger.joined import read_hold
from worker.ledger.sql import load
from worker.queries.asking import reached_kafka, snapshot
from worker.queries.lag import log_of
from worker.settings import Settings

_SQL: Final = load("asking.sql")


class PositionRecord(msgspec.Struct, frozen=True):
    """The next offset to decide. `clock` is the largest occurred_at decided there, `on_hold` that it is not read."""

    topic: str
    partition: int
    incarnation: int
    next_offset: int
    last_offset: int | None
    clock: datetime | None
    on_hold: bool = False


class HoldRecord(msgspec.Struct, frozen=True):
    """A hold: of one partition, or (`partition` None) of a whole topic, by whom and why.

    `business_time_waits` says whether anything is settled, granted or expired meanwhile. `records` are those that wait
    there; None: Kafka was not asked, or cannot be.
    """

    topic: str
    partition: int | None
    since: datetime
    by: str
    why: str
    business_time_waits: bool
    records: int | None = None

    @property
    def in_words(self) -> str:
        """What it is, what it means, and how it is resumed, in one line."""
        place = place_of(self.topic, self.partition)
        return hold_in_words(Hold(place, not self.business_time_waits, self.by, self.why, self.since))


class Positions(msgspec.Struct, frozen=True):
    """All partitions that were ever read, and what is on hold."""

    positions: list[PositionRecord]
    holds: list[HoldRecord]


async def list_positions(connection: Connection) -> Positions:
    """Every stored position, by topic and partition."""
    found, holds = await stored_positions(connection), await stored_holds(connection)
    return Positions(
        [
            PositionRecord(
                source.topic,
                source.partition,
                position.incarnation,
                position.next_offset,
                position.last_offset,
                position.running_max,
                hold_of(holds, source) is not None,
            )
            for source, position in found.items()
        ],
        [hold_record(hold) for hold in in_order(holds)],
    )


def hold_record(hold: Hold, records: int | None = None) -> HoldRecord:
    """A hold as commands show it, with the number of records that wait."""
    topic, waits = hold.place.topic, not hold.lets_time_go_on
    return HoldRecord(topic, hold.partition, hold.since, hold.actor, hold.why, waits, records)


async def require_holdable(settings: Settings, place: TopicPartition) -> None:
    """Refuse to put a partition on hold that there is not; a whole topic may be on hold before it exists.

    Raises:
        UsageError: there is no such partition.
        OperatorNeeded, Transient, UsageError: Kafka or the database cannot be used.
    """
    async with snapshot(settings.database_url) as connection:
        positions = await stored_positions(connection)
    if place.partition == ALL_PARTITIONS or place in positions:
        return
    async with reached_kafka(settings) as reached:
        log = await log_of(reached, place, positions)
    if log == "missing":
        raise UsageError(
            f"there is no {place.topic}, partition {place.partition}: Kafka has no such partition, and none was ever "
            "read. Nothing is put on hold. `connects positions list` names the partitions that were read"
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
    if log == "unknown":
        raise OperatorNeeded(
            f"{where} cannot be read now, so whether it was recreated cannot be seen. `connects status` says why. "
            "If you know that it was recreated, repeat the command with --force."
        )
    if log == "as read":
        raise OperatorNeeded(
            f"{where} was not recreated, as far as its records tell: all of it would be read again, and what was "
            "decided be taken for duplicates. `connects status` names the partitions that are stopped. "
            "If a worker's log says that this one was recreated, or you know it, repeat the command with --force."
        )


async def stored_holds(connection: Connection) -> dict[TopicPartition, Hold]:
    """What operators have put on hold, by place."""
    return by_place(read_hold(row) for row in await connection.fetch(_SQL["holds"]))


async def stored_positions(connection: Connection) -> dict[TopicPartition, Position]:
    """The ledger's positions, as the worker reads them."""
    found = {}
    for row in await connection.fetch(_SQL["positions"]):
        source = TopicPartition(row["topic"], row["partition"])
        found[source] = Position(source, *tuple(row)[2:])
    return found
