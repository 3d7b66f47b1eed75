"""What a ledger has published, read from the output topics themselves: for when the relay's marker is lost."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from schemas.catalogue import OUTPUT_TOPICS
from worker.errors import OperatorNeeded
from worker.kafka.broker import probing
from worker.kafka.output.flush import REPUBLISHED, source_of
from worker.kafka.output.marker import consumer_of
from worker.kafka.output.messages import published_id, unpack_whole
from worker.kafka.output.outbox import RelayDatabase
from worker.kafka.output.partitioner import partition_of

_POLL_MS: Final = 200
_BATCH: Final = 5_000
_LOOK_BACK: Final = 1_000
_CHUNK_BYTES: Final = 4 * 1024 * 1024
_CLOCKS_DIFFER: Final = timedelta(hours=1)


@dataclass(slots=True)
class Published:
    """The messages of one ledger in the output topics."""

    last: list[tuple[str, ConsumerRecord]] = field(default_factory=list)
    """The last one of each partition that has any, with the topic's name in the contract."""
    event_ids: set[str] = field(default_factory=set)
    """Of all that were written since the time that was asked for, and of some before."""
    partitions: dict[str, int] = field(default_factory=dict)
    """By how many partitions each topic is keyed, as its messages show."""


async def find_published(
    kafka: Mapping[str, Any], prefix: str, ledger_id: UUID, database: RelayDatabase, known_through: int
) -> tuple[Published, int, set[str]]:
    """Find out how far the outputs go, where rows up to `known_through` are known as published.

    Returns what was read, the last outbox row that is published, and the event ids of all rows after `known_through`.

    Raises:
        OperatorNeeded: the outputs contradict the ledger.
        Transient, KafkaError, OSError, TimeoutError: database or broker are away.
    """
    rows = await database.outbox_rows(known_through, 1)
    since = rows[0].recorded_at - _CLOCKS_DIFFER if rows else None
    found = await _read_published(kafka, prefix, ledger_id, since)
    return found, *await _published_through(database, known_through, found)


async def last_published(kafka: Mapping[str, Any], prefix: str, ledger_id: UUID, since: datetime) -> set[str]:
    """Event ids of messages at the ends of the output topics, the ledger's last one of each partition among them.

    Messages that were written before `since` are not looked for.

    Raises:
        OperatorNeeded: a topic does not exist.
        KafkaError, OSError: the broker is away.
    """
    ids: set[str] = set()
    counts = await partition_counts(kafka, prefix)
    async with consumer_of(kafka, "read_committed") as consumer:
        for name, count in counts.items():
            for partition in range(count):
                place = TopicPartition(prefix + name, partition)
                beginning, end = await span_of(consumer, place)
                floor = max(beginning, await _offset_at(consumer, place, since - _CLOCKS_DIFFER, end))
                ids |= {event_id_of(record) for record in await _last_records(consumer, place, ledger_id, floor, end)}
    return ids


async def partition_counts(kafka: Mapping[str, Any], prefix: str) -> dict[str, int]:
    """How many partitions each output topic (without prefix) has.

    Raises:
        OperatorNeeded: a topic does not exist.
        KafkaError, OSError: the broker is away.
    """
    async with probing(kafka) as probe:
        looks = (await probe.topics({prefix + name for name in OUTPUT_TOPICS})).found
    if missing := {prefix + name for name in OUTPUT_TOPICS} - looks.keys():
        raise OperatorNeeded(f"the topic {min(missing)} does not exist. Run `connects topics create`.")
    return {name: len(looks[prefix + name].leaders) for name in OUTPUT_TOPICS}


async def _read_published(kafka: Mapping[str, Any], prefix: str, ledger_id: UUID, since: datetime | None) -> Published:
    """Read the ends of the output topics: back to `since`, and to the last message of the ledger in each partition.

    Raises:
        OperatorNeeded: a topic does not exist, or its messages are keyed by no number of partitions.
        KafkaError, OSError, TimeoutError: the broker is away.
    """
    counts = await partition_counts(kafka, prefix)
    found = Published()
    async with consumer_of(kafka, "read_committed") as consumer:
        for name, count in counts.items():
            keys: list[tuple[bytes, int]] = []
            for partition in range(count):
                place = TopicPartition(prefix + name, partition)
                records = await _records_of(consumer, place, ledger_id, since)
                found.event_ids |= {event_id_of(record) for record in records}
                keys += [(record.key, partition) for record in records]
                if records:
                    found.last.append((name, records[-1]))
            found.partitions[name] = _keyed_by(prefix + name, count, keys)
    return found


async def _published_through(database: RelayDatabase, known_through: int, found: Published) -> tuple[int, set[str]]:
    """The last outbox row that is published, and the event ids of all rows after `known_through`.

    Each Kafka transaction sent whole rows, in order, so those that are published are the first ones.

    Raises:
        OperatorNeeded: the outputs have part of a row, or one without those before it.
        Transient: the database is away.
    """
    published, known, ended = known_through, set[str](), False
    async for seq, ids in event_ids_after(database, known_through):
        there = ids & found.event_ids
        if there and (ended or there != ids):
            raise _not_in_order(seq)
        ended = ended or (not there and bool(ids))  # a row without messages: all of it was published before a restore
        published = published if ended else seq
        known |= ids
    return published, known


async def event_ids_after(database: RelayDatabase, seq: int) -> AsyncIterator[tuple[int, set[str]]]:
    """The outbox rows after that one, each with the event ids of its messages."""
    while rows := await database.outbox_rows(seq, _CHUNK_BYTES):
        for row in rows:
            yield row.seq, {published_id(one.ce_id, one.republished) for one in unpack_whole(row.messages)}
        seq = rows[-1].seq


def _not_in_order(seq: int) -> OperatorNeeded:
    return OperatorNeeded(
        f"outbox row {seq} is published in part, or without one before it, so where to go on is not known. Did "
        "an output topic lose messages that are not old? Give the figures of `connects relay show` to the developers."
    )


async def _records_of(
    consumer: AIOKafkaConsumer, place: TopicPartition, ledger_id: UUID, since: datetime | None
) -> list[ConsumerRecord]:
    """The ledger's messages at the end of a partition: since then, and in any case the last one."""
    beginning, end = await span_of(consumer, place)
    start = end if since is None else await _offset_at(consumer, place, since, end)
    records = await _read(consumer, place, ledger_id, max(beginning, start), end)
    return records or await _last_records(consumer, place, ledger_id, beginning, end)


async def _last_records(
    consumer: AIOKafkaConsumer, place: TopicPartition, ledger_id: UUID, floor: int, end: int
) -> list[ConsumerRecord]:
    """The last of the ledger's messages from the offset `floor` on, with some before it."""
    look_back = _LOOK_BACK
    while True:
        start = max(floor, end - look_back)
        records = await _read(consumer, place, ledger_id, start, end)
        if records or start <= floor:
            return records
        look_back *= 10


async def span_of(consumer: AIOKafkaConsumer, place: TopicPartition) -> tuple[int, int]:
    """Where a partition begins and ends for readers of committed records; the consumer is assigned to it."""
    consumer.assign([place])
    return (await consumer.beginning_offsets([place]))[place], (await consumer.end_offsets([place]))[place]


async def _offset_at(consumer: AIOKafkaConsumer, place: TopicPartition, instant: datetime, end: int) -> int:
    at = (await consumer.offsets_for_times({place: int(instant.timestamp() * 1000)}))[place]
    return end if at is None else int(at.offset)


async def _read(
    consumer: AIOKafkaConsumer, place: TopicPartition, ledger_id: UUID, start: int, end: int
) -> list[ConsumerRecord]:
    """The ledger's messages between two offsets."""
    return [record async for part in read_in_parts(consumer, place, ledger_id, start, end) for record in part]


async def read_in_parts(
    consumer: AIOKafkaConsumer, place: TopicPartition, ledger_id: UUID, start: int, end: int
) -> AsyncIterator[list[ConsumerRecord]]:
    """The ledger's messages between two offsets, some at a time; the consumer is assigned to the partition."""
    consumer.seek(place, start)
    source = source_of(ledger_id)
    while await consumer.position(place) < end:
        read = await consumer.getmany(place, timeout_ms=_POLL_MS, max_records=_BATCH)
        yield [record for record in read.get(place, ()) if source_of_record(record) == source]
        await asyncio.sleep(0)  # getmany answers at once while it has something


class _WithHeaders(Protocol):
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


def event_id_of(record: _WithHeaders) -> str:
    """The CloudEvents id of a message, with the command if it was published once more; empty if it has none."""
    return published_id(_header(record, "ce_id"), republished_by(record))


def republished_by(record: _WithHeaders) -> str:
    """The command by which a message was published once more, empty if it was the first time."""
    return _header(record, REPUBLISHED)


def source_of_record(record: _WithHeaders) -> str:
    """The CloudEvents source of a message, empty if it has none."""
    return _header(record, "ce_source")


def _header(record: _WithHeaders, name: str) -> str:
    return next((value.decode() for key, value in record.headers if key == name and value is not None), "")


def _keyed_by(topic: str, count: int, keys: Collection[tuple[bytes, int]]) -> int:
    """The number of partitions by which these keys came to their partitions: `count`, unless some were added since."""
    for number in range(count, 0, -1):
        if all(partition_of(key, number) == partition for key, partition in keys):
            return number
    raise OperatorNeeded(f"the messages of {topic} are spread over its partitions by another rule than the worker's")
