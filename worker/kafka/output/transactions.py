"""Kafka transactions of one producer instance: it sends until anything goes wrong, and then never again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from worker.errors import Transient
from worker.kafka.connect_errors import in_words
from worker.kafka.guards import guard_clients
from worker.kafka.output.abandon import abandon
from worker.kafka.output.open_transactions import Look, OpenTransactions
from worker.kafka.output.place import Place, named

BATCH_BYTES: Final = 900_000
"""Size of a batch before compression; any topic takes 1 MiB (1,048,588 bytes) after it."""

_START_SECONDS: Final = 20.0
_REQUEST_TIMEOUT_MS: Final = 10_000
_LOOK_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)

WasCommitted = Callable[[Look], Awaitable[Mapping[Place, bool]]]
"""Says of each place at which records of the producer's own hang whether their transaction was committed."""


class TransactionFailed(Transient):
    """Something went wrong in a Kafka transaction: committed or not, only the marker knows."""


class TransactionalProducer:
    """One instance of the producer of a transactional id. To start it fences every earlier instance.

    A batch has at most `BATCH_BYTES` before compression, unless one message alone has more: the topic's
    max.message.bytes is its only limit. `was_committed` is asked about what an earlier instance left hanging.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        transactional_id: str,
        transaction_seconds: float,
        was_committed: WasCommitted,
    ) -> None:
        guard_clients()
        self._was_committed = was_committed
        self._seconds = transaction_seconds
        self._looked_at: set[Place] = set()
        self._doing: object = ""
        self._producer = AIOKafkaProducer(
            **kafka,
            transactional_id=transactional_id,
            transaction_timeout_ms=int(transaction_seconds * 1000),
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            max_batch_size=BATCH_BYTES,
            compression_type="snappy",
        )
        self._open = OpenTransactions(self._producer)

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

    async def end_hanging(self, places: Collection[Place]) -> Look:
        """End what an earlier instance left open at these places though its transaction is over.

        A partition may never learn that a transaction ended: brokers from Kafka 4.0 on skip one that has no leader at
        that moment (KAFKA-20734), and a record may arrive after the end (KIP-890). Such a hanging transaction hides
        all later records from readers; and Kafka takes it for a part of our next one there, which ends both in the
        same way. So it is committed here where the rest of it was, and else aborted: only a transaction of our own
        does that. Returns what was open. A place that cannot be asked is looked at before something is sent to it.
        Whoever calls this limits the time.

        Raises:
            OperatorNeeded: what hangs at one place was committed in part.
            TransactionFailed: by no means use this instance again.
            Transient, KafkaError, OSError: the broker is away, or what `was_committed` asks.
        """
        look = await self._open.look(places)
        if look.own:
            last = {place: records[-1].offset for place, records in look.own.items()}
            verdicts = await self._was_committed(look)
            committed = {place: offset for place, offset in last.items() if verdicts[place]}
            aborted = {place: offset for place, offset in last.items() if not verdicts[place]}
            _log.warning("relay.hanging_transaction", committed=named(committed), aborted=named(aborted))
            await self._end_at(committed, self._producer.commit_transaction)
            await self._end_at(aborted, self._producer.abort_transaction)
        self._looked_at |= look.asked
        return look

    async def _end_at(self, places: Mapping[Place, int], end: Callable[[], Awaitable[None]]) -> None:
        """End a transaction without a record at these places, and wait until each shows it after this offset."""
        if not places:
            return
        async with self._in_one_transaction():
            for place in places:  # aiokafka adds a partition only when a record is sent to it
                self._producer._txn_manager.maybe_add_partition_to_txn(KafkaPartition(*place))  # noqa: SLF001
            self._doing = "the transaction coordinator to end what hangs"
            await end()
            self._doing = self._open
            await self._open.until_over(places)

    def new_batch(self) -> BatchBuilder:
        """An empty batch for this producer."""
        return self._producer.create_batch()

    async def transact(
        self, batches: Iterable[tuple[Place, Sequence[BatchBuilder]]], reached: Callable[[str], None]
    ) -> None:
        """Send batches to their places, all in one transaction, commit it, and wait until each place shows its end.

        `reached` is called at the points at which a fault may be tried: "inside-kafka-transaction" (all is sent),
        "after-kafka-commit".

        Raises:
            OperatorNeeded: what an earlier instance left open at one of the places was committed in part.
            TransactionFailed: by no means use this instance again.
        """
        sending = dict(batches)
        if new := sending.keys() - self._looked_at:
            await self._end_hanging_before_sending(new)
        async with self._in_one_transaction():
            written = await self._send(sending.items())
            reached("inside-kafka-transaction")
            self._doing = "the transaction coordinator to commit"
            await self._producer.commit_transaction()
            reached("after-kafka-commit")
            self._doing = self._open
            await self._open.until_over(written)

    async def _end_hanging_before_sending(self, places: AbstractSet[Place]) -> None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self.end_hanging(places)
        except TransactionFailed:
            raise
        except (Transient, KafkaError, OSError, TimeoutError) as error:
            words = f"it was not found out what is open in the output topics: {in_words(error)}"
            raise TransactionFailed(words) from error
        if unseen := places - self._looked_at:
            raise TransactionFailed(f"it was not found out what is open in {named(unseen)}, which cannot be asked now")

    @asynccontextmanager
    async def _in_one_transaction(self) -> AsyncIterator[None]:
        """Begin a transaction, which the block ends in time; whatever goes wrong is TransactionFailed."""
        self._doing = "beginning a transaction"
        try:
            async with asyncio.timeout(self._seconds):
                await self._producer.begin_transaction()
                self._doing = "sending to the output topics"
                yield
        except ExceptionGroup as group:
            raise TransactionFailed(in_words(group.exceptions[0])) from group
        except TimeoutError as error:
            words = f"a Kafka transaction was given up after {self._seconds:.0f} s of waiting for {self._doing}"
            raise TransactionFailed(words) from error
        except Exception as error:  # whatever it was (aiokafka also fails by assertion), the way out is the same
            raise TransactionFailed(f"a Kafka transaction failed: {in_words(error)}") from error

    async def _send(self, batches: Iterable[tuple[Place, Sequence[BatchBuilder]]]) -> dict[Place, int]:
        """Send all places side by side and await them together; within a place one batch after the other, in order.

        All is acknowledged before the commit: aiokafka would also commit what is left of failed batches. Returns an
        offset that was written to at each place.
        """
        async with asyncio.TaskGroup() as sending:
            tasks = {place: sending.create_task(self._send_in_order(place, builders)) for place, builders in batches}
        return {place: task.result() for place, task in tasks.items()}

    async def _send_in_order(self, place: Place, builders: Sequence[BatchBuilder]) -> int:
        topic, partition = place
        offset = -1
        try:
            for builder in builders:
                offset = (await (await self._producer.send_batch(builder, topic, partition=partition))).offset
        except KafkaError as error:
            raise TransactionFailed(f"{topic}, partition {partition}, was not written to: {in_words(error)}") from error
        if offset < 0:  # a record that was there already, written by an attempt whose answer was lost
            raise TransactionFailed(f"{topic}, partition {partition} does not say where it was written to")
        return int(offset)

    async def abandon(self) -> None:
        """End it without notifying the broker: an open transaction stays for the next instance to abort."""
        await abandon(self._producer)
