"""Putting events into Kafka fast, in order within each partition."""

import asyncio
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from benchmarks.events import Produced


async def preload(kafka: Mapping[str, Any], prefix: str, produced: Iterable[Produced], partitions: int) -> int:
    """Produce everything, by key onto `partitions` partitions a topic; returns the number of messages."""
    producer = AIOKafkaProducer(**kafka, linger_ms=0, max_batch_size=512 * 1024, compression_type="snappy")
    await producer.start()
    builders: dict[tuple[str, int], BatchBuilder] = {}
    pending: dict[tuple[str, int], asyncio.Future[Any]] = {}
    count = 0

    async def flush(place: tuple[str, int]) -> None:
        if place in pending:
            await pending.pop(place)
        pending[place] = await producer.send_batch(builders.pop(place), prefix + place[0], partition=place[1])

    try:
        for topic, key, value in produced:
            place = (topic, zlib.crc32(key) % partitions)
            builder = builders.get(place)
            if builder is None:
                builder = builders[place] = producer.create_batch()
            if builder.append(timestamp=None, key=key, value=value) is None:
                await flush(place)
                builders[place] = producer.create_batch()
                builders[place].append(timestamp=None, key=key, value=value)
            count += 1
        for place in list(builders):
            await flush(place)
        await asyncio.gather(*pending.values())
    finally:
        await producer.stop()
    return count
