"""The relay's marker: how far a ledger's outputs are published, told in the same Kafka transaction as the outputs.

It says what the database alone cannot know, and what it forgot when it was restored from a backup.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from worker.errors import OperatorNeeded, Transient
from worker.futures import end_in_time
from worker.kafka.broker import probing
from worker.kafka.guards import guard_clients
from worker.kafka.output.outbox import RelayDatabase
from worker.kafka.output.partitioner import partition_of

MARKER_TOPIC: Final = "connects-relay-marker"

_FIRST_LOOK_BACK: Final = 1_000
_POLL_MS: Final = 200
_BATCH: Final = 5_000
_REQUEST_TIMEOUT_MS: Final = 10_000
_CLOSE_SECONDS: Final = 2.0


class Marker(msgspec.Struct, frozen=True):
    """All outbox rows up to `seq` are published; `batch_uid` is that row's, `epoch` that of the worker who sent it.

    A `seq` of 0: none is, as the ledger was restored from a backup without any; `batch_uid` means nothing then.

    `partitions` has the partition count by which each output topic (without prefix) is keyed, fixed at its first use.
    """

    ledger_id: UUID
    epoch: int
    seq: int
    batch_uid: UUID
    partitions: dict[str, int] = {}

    def encode(self) -> bytes:
        """The marker as the value of its message."""
        return _encoder.encode(self)

    def batch(self, new_batch: Callable[[], BatchBuilder]) -> BatchBuilder:
        """The marker as a batch of its own, to be sent to its place."""
        batch = new_batch()
        batch.append(timestamp=None, key=marker_key(self.ledger_id), value=self.encode())
        return batch

    @staticmethod
    def decode(value: bytes) -> "Marker":
        """The marker that a message's value holds."""
        return _decoder.decode(value)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Marker)


def marker_key(ledger_id: UUID) -> bytes:
    """The key of a ledger's markers."""
    return str(ledger_id).encode()


async def read_marker(kafka: Mapping[str, Any], topic: str, ledger_id: UUID) -> Marker | None:
    """The last committed marker of the ledger, None if it has none.

    Reads the ledger's partition read_committed until past its high watermark as asked read_uncommitted: whatever was
    written before the call is either seen or aborted. `kafka` holds aiokafka's connection arguments.

    Raises:
        Transient: the topic does not exist.
        KafkaError: the broker is away.
    """
    return await _read_marker(kafka, topic, ledger_id, "read_uncommitted")


async def read_settled_marker(kafka: Mapping[str, Any], topic: str, ledger_id: UUID) -> Marker | None:
    """The last marker before the first transaction of its partition that is not over; None if there is none.

    Raises:
        Transient: the topic does not exist.
        KafkaError: the broker is away.
    """
    return await _read_marker(kafka, topic, ledger_id, "read_committed")


async def _read_marker(kafka: Mapping[str, Any], topic: str, ledger_id: UUID, up_to: str) -> Marker | None:
    place = TopicPartition(topic, partition_of(marker_key(ledger_id), await _partition_count(kafka, topic)))
    async with consumer_of(kafka, up_to) as asking:
        beginning = (await asking.beginning_offsets([place]))[place]
        end = (await asking.end_offsets([place]))[place]
    async with consumer_of(kafka, "read_committed") as consumer:
        consumer.assign([place])
        look_back = _FIRST_LOOK_BACK
        while True:
            start = max(beginning, end - look_back)
            consumer.seek(place, start)
            found = await _last_marker(consumer, place, end, marker_key(ledger_id))
            if found is not None or start == beginning:
                return found
            look_back *= 10


async def partitions_in_use(kafka: Mapping[str, Any], topic: str) -> dict[str, int]:
    """By how many partitions each output topic (without prefix) is keyed, as the markers say; the most of all ledgers.

    Raises:
        Transient: the topic does not exist.
        KafkaError: the broker is away.
    """
    places = [TopicPartition(topic, number) for number in range(await _partition_count(kafka, topic))]
    in_use: dict[str, int] = {}
    async with consumer_of(kafka, "read_committed") as consumer:
        consumer.assign(places)
        beginnings, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, max(beginnings[place], ends[place] - _FIRST_LOOK_BACK))
        for place in places:
            while await consumer.position(place) < ends[place]:
                read = await consumer.getmany(place, timeout_ms=_POLL_MS, max_records=_BATCH)
                for record in read.get(place, ()):
                    marker = None if record.value is None else _decoder.decode(record.value)
                    for name, count in (marker.partitions if marker else {}).items():
                        in_use[name] = max(in_use.get(name, 0), count)
                await asyncio.sleep(0)  # getmany answers at once while it has something
    return in_use


async def _partition_count(kafka: Mapping[str, Any], topic: str) -> int:
    async with probing(kafka) as probe:
        looks = await probe.topics([topic])
    if topic in looks.denied:
        raise Transient(f"the topic {topic} {looks.denied[topic]}.")
    if topic not in looks.found:
        raise Transient(f"the topic {topic} does not exist. Run `connects topics create`.")
    return len(looks.found[topic].leaders)


@asynccontextmanager
async def consumer_of(kafka: Mapping[str, Any], isolation_level: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of no group, for reading some partitions once."""
    guard_clients()
    options = {"request_timeout_ms": _REQUEST_TIMEOUT_MS, **kafka}
    consumer = AIOKafkaConsumer(
        **options, isolation_level=isolation_level, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await asyncio.sleep(0)  # aiokafka's stop raises CancelledError when its coordinator's task has not run at all
        await end_in_time(consumer.stop(), _CLOSE_SECONDS)


async def _last_marker(consumer: AIOKafkaConsumer, place: TopicPartition, end: int, key: bytes) -> Marker | None:
    last: bytes | None = None
    while await consumer.position(place) < end:
        read = await consumer.getmany(place, timeout_ms=_POLL_MS, max_records=_BATCH)
        for record in read.get(place, ()):
            if record.key == key:
                last = record.value
        await asyncio.sleep(0)  # getmany answers at once while it has something
    return None if last is None else _decoder.decode(last)


class Figures(msgspec.Struct, frozen=True):
    """What the marker and the ledger say about each other."""

    marker: Marker | None
    last_seq: int
    dropped_through: int
    ledger_batch_uid: UUID | None
    """Of the batch with the marker's seq."""

    @property
    def published(self) -> int:
        """The marker's seq, 0 without a marker."""
        return 0 if self.marker is None else self.marker.seq

    def contradiction(self) -> str | None:
        """What is wrong between marker and ledger; None if they agree."""
        marker = self.marker
        if self.published < self.dropped_through:
            return "the ledger has dropped rows that this cluster's marker does not know as published"
        if self.published > self.last_seq:
            return "this cluster's marker knows rows as published that the ledger does not have"
        if marker is not None and marker.seq and marker.batch_uid != self.ledger_batch_uid:
            return "the batch that the marker names is another one in the ledger"
        return None

    def __str__(self) -> str:
        marker = self.marker
        told = (
            "none"
            if marker is None
            else f"seq {marker.seq}, epoch {marker.epoch}, batch {marker.batch_uid}, ledger {marker.ledger_id}"
        )
        return (
            f"marker: {told}; ledger: last seq {self.last_seq}, dropped through {self.dropped_through}, "
            f"batch at the marker's seq {self.ledger_batch_uid or 'none'}"
        )


async def compare(kafka: Mapping[str, Any], topic: str, ledger_id: UUID, database: RelayDatabase) -> Figures:
    """Read the marker, and what the ledger says about it.

    Raises:
        Transient, KafkaError: database or broker are away.
    """
    marker = await read_marker(kafka, topic, ledger_id)
    last_seq, dropped_through = await database.outbox_state()
    batch_uid = None if marker is None else await database.batch_uid_at(marker.seq)
    return Figures(marker, last_seq, dropped_through, batch_uid)


async def relay_report(
    kafka: Mapping[str, Any], prefix: str, ledger_id: UUID, database: RelayDatabase
) -> dict[str, Any]:
    """What `connects relay show` shows: both sides' figures, and whether a worker would go on from them.

    Raises:
        Transient, KafkaError: database or broker are away.
    """
    figures = await compare(kafka, prefix + MARKER_TOPIC, ledger_id, database)
    contradiction = figures.contradiction()
    return {
        "ledger_id": str(ledger_id),
        "topic": prefix + MARKER_TOPIC,
        "marker": msgspec.to_builtins(figures.marker),
        "published": figures.published,
        "last_seq": figures.last_seq,
        "dropped_through": figures.dropped_through,
        "pending": max(figures.last_seq - figures.published, 0),
        "ledger_batch_uid": None if figures.ledger_batch_uid is None else str(figures.ledger_batch_uid),
        "consistent": contradiction is None,
        "why": contradiction,
    }


def refuse(why: str, figures: Figures, topic: str) -> OperatorNeeded:
    """The error that stops relay and intake, with all figures and the way out."""
    if figures.marker is None:
        return OperatorNeeded(
            f"the relay must not go on: {why} ({figures}). If {topic} lost the marker (it is not compacted, or was "
            "recreated), stop all workers and run `connects topics create --fix`: it finds in the output topics what "
            "is published and writes the marker, so that nothing is lost or repeated. If this is another "
            "cluster, point KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL at those that belong together. Look with "
            "`connects relay show`."
        )
    return OperatorNeeded(
        f"the relay must not go on: {why} ({figures}). Was the database restored, or is this another cluster? "
        "Look with `connects relay show`. Mend it by restoring the newest database, or, if it was restored and none is "
        "newer, by `connects relay adopt`; or by pointing DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS at the ledger and "
        "the cluster that belong together."
    )
