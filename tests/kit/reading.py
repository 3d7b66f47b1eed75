"""Consumers of output topics, as other teams would write them: read_committed, from the beginning."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from tests.kit.waiting import PATIENCE_SECONDS, until, until_async
from worker.kafka.broker import probing


class Reader:
    """Reads topics all the time while a test goes on."""

    def __init__(self) -> None:
        self.records: list[ConsumerRecord] = []

    @property
    def versions(self) -> dict[str, list[int]]:
        """Of wallet-updated: the versions of each freelancer, in the order in which they were read."""
        seen = defaultdict(list)
        for record in self.records:
            value = msgspec.json.decode(record.value)
            assert record.key.decode() == value["freelancer_id"]
            seen[value["freelancer_id"]].append(value["version"])
        return dict(seen)

    @property
    def letters(self) -> list[ConsumerRecord]:
        """Of the dead letters: each once, as it came first. They are sent at least once."""
        places = ("x-original-topic", "x-original-partition", "x-original-offset")
        first: dict[tuple[bytes | None, ...], ConsumerRecord] = {}
        for record in self.records:
            headers = dict(record.headers)
            first.setdefault(tuple(headers[name] for name in places), record)
        return list(first.values())

    async def has_read(self, count: int, limit_seconds: float = PATIENCE_SECONDS) -> None:
        """Wait for at least that many records."""
        await until(lambda: len(self.records) >= count, limit_seconds)

    async def follow(self, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            self.records.append(record)


async def are_led(kafka: Mapping[str, Any], topics: Iterable[str]) -> None:
    """Wait until each partition of these topics has a leader that answers; all are asked about together."""
    names = frozenset(topics)
    if not names:
        return
    async with probing(kafka, None) as probe:

        async def answer() -> bool:
            looks = (await probe.topics(names)).found
            return looks.keys() == names and not (await probe.ends(looks)).unavailable

        await until_async(answer)


@asynccontextmanager
async def reading(
    kafka: Mapping[str, Any], topic: str, partitions: int = 3, *, new: Iterable[str] = ()
) -> AsyncIterator[Reader]:
    """A reader of the topic; topics that are `new` are waited for until each of their partitions has a leader."""
    await are_led(kafka, new)
    consumer = AIOKafkaConsumer(**kafka, isolation_level="read_committed", auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition(topic, partition) for partition in range(partitions)])
    reader = Reader()
    following = asyncio.create_task(reader.follow(consumer))
    try:
        yield reader
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        with suppress(asyncio.CancelledError):  # aiokafka's, of a fetch that timed out while the test checked what came
            await consumer.stop()


async def everything(kafka: Mapping[str, Any], topic: str, partitions: int = 3) -> Reader:
    """Read what is there now, to its very end: an open transaction is waited for."""
    reader = Reader()
    places = [TopicPartition(topic, partition) for partition in range(partitions)]
    async with AIOKafkaConsumer(**kafka, isolation_level="read_uncommitted") as asking:
        ends = await asking.end_offsets(places)
    async with AIOKafkaConsumer(**kafka, isolation_level="read_committed", auto_offset_reset="earliest") as consumer:
        consumer.assign(places)
        async with asyncio.timeout(PATIENCE_SECONDS):
            for place in places:
                while await consumer.position(place) < ends[place]:
                    for records in (await consumer.getmany(timeout_ms=50)).values():
                        reader.records.extend(records)
    return reader
