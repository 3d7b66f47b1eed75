"""Producing as other teams do: any partitioner, any key, any headers."""

import random
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import LeaderNotAvailableError, NotLeaderForPartitionError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.util import calc_crc32c

from tests.kit.waiting import until_async

Record = tuple[str, bytes | None, bytes | None, datetime]
Headers = Sequence[tuple[str, bytes | None]]
_BATCH_BYTES = 200_000
_MOST_BYTES = 8 * 1024 * 1024
_NOT_YET = (NotLeaderForPartitionError, LeaderNotAvailableError, UnknownTopicOrPartitionError)
"""What a broker answers, and writes nothing, until it has heard of a new topic that its controller tells of."""
_STAND_IN, _NO_TEXT = b"~stand-in~", b"\xff\xfetand-in~"

Partitioner = Callable[[bytes | None], int]


@dataclass(frozen=True)
class Sent:
    """A message for a topic, by the contract's name. `partition` None: wherever; `timestamp` (ms) None: now."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None
    timestamp: int | None = None


def by_key(partitions: int) -> Partitioner:
    """As librdkafka does it."""
    return lambda key: zlib.crc32(key or b"") % partitions


def anywhere(partitions: int, seed: int) -> Partitioner:
    """As a producer that does not care."""
    chance = random.Random(seed)
    return lambda _key: chance.randrange(partitions)


def messages_of(records: Iterable[Record]) -> list[Sent]:
    return [Sent(topic, value, key) for topic, key, value, _ in records]


async def produce(
    kafka: Mapping[str, Any], prefix: str, messages: Iterable[Sent], partitioner: Partitioner
) -> Counter[tuple[str, int]]:
    """Send all, each partition in the order given, topic after topic; how many came to which partition."""
    places: dict[tuple[str, int], list[Sent]] = defaultdict(list)
    for message in messages:
        partition = partitioner(message.key) if message.partition is None else message.partition
        places[message.topic, partition].append(message)
    async with AIOKafkaProducer(
        **kafka, enable_idempotence=True, max_request_size=_MOST_BYTES, max_batch_size=_BATCH_BYTES
    ) as producer:
        await producer.client.set_topics({prefix + topic for topic, _ in places})  # else they are asked about in turn
        for (topic, partition), sent in places.items():
            await _send_in_order(producer, prefix + topic, partition, sent)
    return Counter({place: len(sent) for place, sent in places.items()})


async def _send_in_order(producer: AIOKafkaProducer, topic: str, partition: int, messages: Sequence[Sent]) -> None:
    await producer.partitions_for(topic)
    acknowledgements = []
    batch = producer.create_batch()
    for message in messages:
        given = {"key": message.key, "value": message.value, "headers": list(message.headers)}
        if batch.record_count() and batch.append(timestamp=message.timestamp, **given) is not None:
            continue
        if batch.record_count():
            acknowledgements.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
        batch.append(timestamp=message.timestamp, **given)
    acknowledgements.append(await producer.send_batch(batch, topic, partition=partition))
    for acknowledgement in acknowledgements:
        await acknowledgement


async def produce_with_a_header_key_that_is_no_text(
    kafka: Mapping[str, Any], prefix: str, message: Sent, partition: int
) -> None:
    """Send a message as only producers in other languages can."""
    async with AIOKafkaProducer(**kafka) as producer:
        await producer.partitions_for(prefix + message.topic)
        batch = producer.create_batch()
        headers = [(_STAND_IN.decode(), b"1")]
        batch.append(timestamp=None, key=message.key, value=message.value, headers=headers)
        build = batch._build  # noqa: SLF001 - there is no public way to send such bytes

        def built() -> bytes:
            data = bytearray(bytes(build()).replace(_STAND_IN, _NO_TEXT))
            data[17:21] = calc_crc32c(data[21:]).to_bytes(4, "big")
            return bytes(data)

        batch._build = built  # noqa: SLF001
        await (await producer.send_batch(batch, prefix + message.topic, partition=partition))


async def produce_raw(kafka: Mapping[str, Any], topic: str, batch: bytes, partition: int = 0) -> int:
    """Produce a batch as it is; the offset of its first record."""
    place, offset = TopicPartition(topic, partition), -1
    client = AIOKafkaClient(**kafka)
    await client.bootstrap()

    async def written() -> bool:
        nonlocal offset
        await client.force_metadata_update()
        leader = client.cluster.leader_for_partition(place)
        if leader is None or leader < 0:
            return False
        answer = await client.send(leader, ProduceRequest(None, -1, 60_000, [(topic, [(partition, batch)])]))
        ((_, ((_, error_code, offset, *_),)),) = answer.topics
        error = for_code(error_code)
        if error_code and error not in _NOT_YET:
            raise error(topic)
        return not error_code

    try:
        await client.set_topics([topic])
        await until_async(written)
    finally:
        await client.close()
    return offset
