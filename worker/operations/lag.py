"""How far behind the input a ledger is, asked of Kafka and the ledger, whether or not a worker runs."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import msgspec
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError

from worker.domain.decide import RULES
from worker.settings import Settings
from worker.stream.probe import READ_COMMITTED, Probe, TopicLook
from worker.stream.raw_batches import readable_records
from worker.stream.records import Position, TopicPartition
from worker.stream.topics import output_topic_specs
from worker.stream.verification import verify

_QUESTIONS_AT_ONCE: Final = 16
_FETCH_BYTES: Final = 64 * 1024
_SECONDS: Final = 20.0


class Holder(msgspec.Struct, frozen=True):
    """The partition that holds business time back, and where its own clock stands (None: nothing decided)."""

    topic: str
    partition: int
    clock: datetime | None


class StoppedPartition(msgspec.Struct, frozen=True):
    """A partition that is not read on, and the command that mends it."""

    topic: str
    partition: int
    reason: str


class Lag(msgspec.Struct, frozen=True):
    """What is not decided yet, up to the last stable offset of each partition."""

    records: int
    seconds: float
    by_topic: dict[str, int]
    held_back_by: Holder | None
    missing_topics: list[str]
    missing_outputs: list[str]
    stopped: list[StoppedPartition]


async def measure_lag(settings: Settings, positions: Mapping[TopicPartition, Position]) -> Lag:
    """Compare the positions with the ends of the logs.

    Raises:
        KafkaError, OSError, TimeoutError: the broker is away, or too slow.
    """
    async with _probing(settings) as probe:
        return await _measure(settings, probe, positions)


async def log_of(
    settings: Settings, source: TopicPartition, positions: Mapping[TopicPartition, Position]
) -> Literal["missing", "as read", "another"]:
    """Whether Kafka has that partition, and its log is the one that the ledger knows, as far as its records tell.

    Raises:
        KafkaError, OSError, TimeoutError: the broker is away, or too slow.
    """
    tp = KafkaPartition(settings.topic_prefix + source.topic, source.partition)
    async with _probing(settings) as probe:
        looks = await probe.topics({tp.topic})
        if tp.topic not in looks or tp.partition not in looks[tp.topic].leaders:
            return "missing"
        found = (await verify(probe, looks, {tp: source}, positions))[source]
        return "as read" if found.wrong is None else "another"


@asynccontextmanager
async def _probing(settings: Settings) -> AsyncIterator[Probe]:
    probe = Probe(settings.kafka_kwargs())
    async with asyncio.timeout(_SECONDS):
        await probe.start()
        try:
            yield probe
        finally:
            await probe.stop()


async def _measure(settings: Settings, probe: Probe, positions: Mapping[TopicPartition, Position]) -> Lag:
    names = {settings.topic_prefix + topic: topic for topic in RULES}
    outputs = {settings.topic_prefix + spec.name for spec in output_topic_specs()}
    missing_outputs = sorted(outputs - (await probe.topics(outputs)).keys())
    looks = await probe.topics(names)
    missing = sorted(name for topic, name in names.items() if topic not in looks)
    sources = {
        KafkaPartition(topic, partition): TopicPartition(names[topic], partition)
        for topic, look in sorted(looks.items())
        for partition in look.leaders
    }
    if not sources:
        return Lag(0, 0.0, {}, None, missing, missing_outputs, [])
    verdicts = await verify(probe, looks, sources, positions)
    starts = await probe.starts(looks)
    ends = await probe.stable_ends(looks)
    stopped = [
        StoppedPartition(source.topic, source.partition, verdict.wrong)
        for source, verdict in verdicts.items()
        if verdict.wrong is not None
    ]
    behind: dict[KafkaPartition, int] = {}
    by_topic = dict.fromkeys(sorted(names[topic] for topic in looks), 0)
    for tp, source in sources.items():
        reads_from = max(verdicts[source].offset, starts[tp])
        if reads_from < ends[tp]:
            behind[tp] = reads_from
            by_topic[source.topic] += ends[tp] - reads_from
    waiting = {sources[tp] for tp in behind} | {source for source in sources.values() if verdicts[source].wrong}
    return Lag(
        sum(by_topic.values()),
        await _oldest_seconds(probe, looks, behind),
        by_topic,
        _holder(settings, waiting, positions),
        missing,
        missing_outputs,
        stopped,
    )


async def _oldest_seconds(probe: Probe, looks: Mapping[str, TopicLook], behind: Mapping[KafkaPartition, int]) -> float:
    """How long ago the oldest record that is not decided was written, by the producers' timestamps."""
    turns = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

    async def written_at(tp: KafkaPartition, offset: int) -> int | None:
        async with turns:
            leader = looks[tp.topic].leaders[tp.partition]
            try:
                found = await probe.fetch(tp, leader, offset, isolation=READ_COMMITTED, limit_bytes=_FETCH_BYTES)
                records, _, _ = readable_records(tp, offset, found.batches, found.aborted)
            except (KafkaError, ValueError, IndexError):
                return None  # moved meanwhile, or damaged: the worker will tell
        return min((record.timestamp for record in records), default=None)

    told = await asyncio.gather(*(written_at(tp, offset) for tp, offset in behind.items()))
    oldest = min((milliseconds for milliseconds in told if milliseconds is not None), default=None)
    return 0.0 if oldest is None else round(max(0.0, time.time() - oldest / 1000), 3)


def _holder(
    settings: Settings, waiting: set[TopicPartition], positions: Mapping[TopicPartition, Position]
) -> Holder | None:
    """Of the partitions that are not read to their end, the one whose clock is furthest behind, beyond the grace."""
    clocks = {source: positions[source].running_max if source in positions else None for source in waiting}
    if not clocks:
        return None
    never = datetime.min.replace(tzinfo=UTC)
    source, clock = min(clocks.items(), key=lambda item: (item[1] or never, item[0].topic, item[0].partition))
    if clock is not None and clock >= settings.wall_clock().now() - max(settings.grace, timedelta(0)):
        return None
    return Holder(source.topic, source.partition, clock)
