"""Input topics of one test, and everything one can do to them."""

import gzip
import json
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from tests.kit.administering import administering, create_topic, delete_topics, is_led
from tests.kit.produce import produce_raw
from tests.kit.waiting import until_async

START = datetime(2026, 1, 1, tzinfo=UTC)
NO_TEXT = b"\xff\xfe-no-text"
_STAND_IN = b"stand-in-x"
assert len(_STAND_IN) == len(NO_TEXT)

Headers = Sequence[tuple[str, bytes | None]]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def registered(number: int, occurred_at: datetime, **others: object) -> bytes:
    """An event of freelancer-registered."""
    fields = {"event_id": f"e-{number}", "occurred_at": occurred_at.isoformat(), "freelancer_id": f"f-{number}"}
    return json.dumps(fields | others).encode()


def closed(number: int, occurred_at: datetime) -> bytes:
    """An event of job-closed."""
    fields = {"event_id": f"e-{number}", "occurred_at": occurred_at.isoformat(), "job_id": f"j-{number}"}
    return json.dumps(fields | {"client_id": "c-1", "closure": "expired"}).encode()


class InputTopics:
    """Topics are named as in the contract here; in Kafka they have the prefix."""

    def __init__(
        self, kafka: Mapping[str, Any], prefix: str, admin: AIOKafkaAdminClient, producer: AIOKafkaProducer
    ) -> None:
        self.kafka = kafka
        self.prefix = prefix
        self._admin = admin
        self._producer = producer

    async def create(self, topic: str, partitions: int = 1, **settings: str) -> None:
        settings = {name.replace("_", "."): value for name, value in settings.items()}
        await create_topic(self._admin, NewTopic(self.prefix + topic, partitions, 1, topic_configs=settings))

    async def delete(self, topic: str) -> None:
        await delete_topics(self._admin, self.prefix + topic)

    async def add_partitions(self, topic: str, total: int) -> None:
        await self._admin.create_partitions({self.prefix + topic: NewPartitions(total)})
        await until_async(lambda: is_led(self._admin, self.prefix + topic, total))

    async def delete_records(self, topic: str, before: int, partition: int = 0) -> None:
        """What retention does: the log then starts at that offset."""
        where = TopicPartition(self.prefix + topic, partition)
        await self._admin.delete_records({where: RecordsToDelete(before)})

    async def send(
        self,
        topic: str,
        value: bytes | None,
        *,
        partition: int = 0,
        key: bytes | None = None,
        headers: Headers = (),
        timestamp_ms: int | None = None,
    ) -> int:
        """Produce a record; its offset."""
        if partition not in await self._producer.partitions_for(self.prefix + topic):
            await self._producer.client.force_metadata_update()
        sent = await self._producer.send_and_wait(
            self.prefix + topic,
            value,
            key=key,
            partition=partition,
            headers=list(headers),
            timestamp_ms=timestamp_ms,
        )
        return int(sent.offset)

    async def send_all(self, topic: str, values: Sequence[bytes | None], *, partition: int = 0) -> None:
        """Produce records in a few large batches."""
        batch = self._producer.create_batch()
        for value in values:
            if batch.append(key=None, value=value, timestamp=None) is None:
                await (await self._producer.send_batch(batch, self.prefix + topic, partition=partition))
                batch = self._producer.create_batch()
                batch.append(key=None, value=value, timestamp=None)
        await (await self._producer.send_batch(batch, self.prefix + topic, partition=partition))

    @asynccontextmanager
    async def transaction(self, *, commit: bool) -> AsyncIterator["InputTopics"]:
        """Produce within a transaction, which is then committed, or not."""
        producer = AIOKafkaProducer(**self.kafka, transactional_id=f"{self.prefix}{id(self)}{datetime.now(UTC)}")
        await producer.start()
        try:
            await producer.begin_transaction()
            yield InputTopics(self.kafka, self.prefix, self._admin, producer)
            if commit:
                await producer.commit_transaction()
            else:
                await producer.abort_transaction()
        finally:
            await producer.stop()

    async def ends_at(self, topic: str, offset: int) -> bool:
        """Whether the partition's last stable offset is that one: a transaction's mark comes after its commit."""
        where = TopicPartition(self.prefix + topic, 0)
        async with AIOKafkaConsumer(**self.kafka, isolation_level="read_committed") as consumer:
            return (await consumer.end_offsets([where]))[where] == offset

    async def send_with_bad_header_keys(self, topic: str, values: Mapping[bytes, bool], *, compressed: bool) -> None:
        """Produce one batch; the values marked have a header whose key is not UTF-8, which no Python client sends."""
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=0,
            producer_id=-1,
            producer_epoch=-1,
            base_sequence=-1,
            batch_size=1 << 20,
        )
        for offset, (value, bad) in enumerate(values.items()):
            headers = [("fine", b"1"), (_STAND_IN.decode(), b"2")] if bad else [("fine", None)]
            builder.append(offset, 1_000 + offset, b"key", value, headers)
        batch = bytes(builder.build()).replace(_STAND_IN, NO_TEXT)
        header, payload = bytearray(batch[:61]), batch[61:]
        if compressed:
            payload = gzip.compress(payload)
            struct.pack_into(">i", header, 8, 49 + len(payload))
            struct.pack_into(">h", header, 21, 1)
        struct.pack_into(">I", header, 17, calc_crc32c(bytes(header[21:]) + payload))
        await produce_raw(self.kafka, self.prefix + topic, bytes(header) + payload)


@asynccontextmanager
async def input_topics(kafka: Mapping[str, Any], prefix: str) -> AsyncIterator[InputTopics]:
    """No topic yet, and the means to make them."""
    async with (
        administering(kafka) as admin,
        AIOKafkaProducer(**kafka, max_request_size=4 << 20, retry_backoff_ms=20) as producer,
    ):
        yield InputTopics(kafka, prefix, admin, producer)
