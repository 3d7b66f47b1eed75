"""Kafka transactions of one producer instance: it sends until anything goes wrong, and then never again."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from worker.errors import Transient
from worker.stream.abandon import abandon
from worker.stream.connect_errors import in_words

BATCH_BYTES: Final = 900_000
"""Size of a batch before compression; topics take 1 MiB (1,048,588 bytes) after it."""

_START_SECONDS: Final = 20.0
_REQUEST_TIMEOUT_MS: Final = 10_000

Place = tuple[str, int]
"""Topic (with prefix) and partition."""


class TransactionFailed(Transient):
    """Something went wrong in a Kafka transaction: committed or not, only the marker knows."""


class TransactionalProducer:
    """One instance of the producer of a transactional id. To start it fences every earlier instance."""

    def __init__(self, kafka: Mapping[str, Any], transactional_id: str, transaction_seconds: float) -> None:
        self._seconds = transaction_seconds
        self._producer = AIOKafkaProducer(
            **kafka,
            transactional_id=transactional_id,
            transaction_timeout_ms=int(transaction_seconds * 1000),
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            max_batch_size=BATCH_BYTES,
            compression_type="snappy",
        )

    async def start(self) -> None:
        """Connect; the broker then aborts or completes what an earlier instance had open, and fences it.

        Raises:
            KafkaError, OSError, TimeoutError: the broker is away.
        """
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._producer.start()
        except BaseException:
            await self.abandon()
            raise

    async def partition_count(self, topic: str) -> int:
        """The number of partitions of a topic.

        Raises:
            Transient: the topic does not exist, or the broker does not say.
        """
        try:
            return len(await self._producer.partitions_for(topic))
        except KafkaError as error:
            raise Transient(
                f"the broker does not describe topic {topic} ({in_words(error)}). "
                "If it does not exist, run `connects topics create`."
            ) from error

    def new_batch(self) -> BatchBuilder:
        """An empty batch for this producer."""
        return self._producer.create_batch()

    async def transact(
        self, batches: Iterable[tuple[Place, Sequence[BatchBuilder]]], reached: Callable[[str], None]
    ) -> None:
        """Send batches to their places, all in one transaction, and commit it.

        `reached` is called at the points at which a fault may be tried: "inside-kafka-transaction" (all is sent),
        "after-kafka-commit".

        Raises:
            TransactionFailed: by no means use this instance again.
        """
        try:
            async with asyncio.timeout(self._seconds):
                await self._producer.begin_transaction()
                await self._send(batches)
                reached("inside-kafka-transaction")
                await self._producer.commit_transaction()
                reached("after-kafka-commit")
        except ExceptionGroup as group:
            raise TransactionFailed(in_words(group.exceptions[0])) from group
        except Exception as error:  # whatever it was (aiokafka also fails by assertion), the way out is the same
            raise TransactionFailed(in_words(error)) from error

    async def _send(self, batches: Iterable[tuple[Place, Sequence[BatchBuilder]]]) -> None:
        """Send all places side by side and await them together; within a place one batch after the other, in order.

        All is acknowledged before the commit: aiokafka would also commit what is left of failed batches.
        """
        async with asyncio.TaskGroup() as sending:
            for place, builders in batches:
                sending.create_task(self._send_in_order(place, builders))

    async def _send_in_order(self, place: Place, builders: Sequence[BatchBuilder]) -> None:
        topic, partition = place
        for builder in builders:
            await (await self._producer.send_batch(builder, topic, partition=partition))

    async def abandon(self) -> None:
        """End it without a word to the broker: an open transaction stays for the next instance to abort."""
        await abandon(self._producer)
