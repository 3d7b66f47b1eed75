"""The relay: what the ledger has committed is published exactly once and in order, as read_committed consumers see it.

One Kafka transaction sends the outbox rows published+1 .. k and a marker that says k. Whoever goes on, this worker
after a failure or another one after a takeover, first fences the producer before it, then believes the marker.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from aiokafka.errors import KafkaError

from schemas.catalogue import OUTPUT_TOPICS
from worker.errors import LeadershipLost, OperatorNeeded, Transient
from worker.stream.backoff import Backoff
from worker.stream.connect_errors import in_words
from worker.stream.flush import Flush, Route
from worker.stream.marker import MARKER_TOPIC, Figures, Marker, compare, marker_key, refuse
from worker.stream.outbox import OutboxRow, RelayDatabase
from worker.stream.partitions import partition_of
from worker.stream.transactions import TransactionalProducer, TransactionFailed

_QUEUE_BYTES: Final = 16 * 1024 * 1024
_FLUSH_BYTES: Final = 2 * 1024 * 1024
_TRANSACTION_SECONDS: Final = 15.0
_MARKER_SECONDS: Final = 60.0  # other ledgers' open transactions may hold the marker's partition for their timeout
_SLOW_SECONDS: Final = 5.0
_AWAY: Final = (Transient, KafkaError, OSError, TimeoutError)

_log = structlog.get_logger(__name__)


def _no_fault(_point: str) -> None:
    pass


class Relay:
    """Publishes a ledger's outbox, in the worker that leads it. `open`, then `run` as a task, and `offer` what commits.

    `kafka` holds aiokafka's connection arguments (bootstrap_servers, security). A flush has at most about `flush_bytes`
    of values, the queue in memory `queue_bytes` of packed rows; what does not fit is read from the database later. A
    transaction that takes longer than `transaction_seconds` is given up, here and by the broker. `reached` is told the
    points at which a fault may be tried.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        prefix: str,
        ledger_id: UUID,
        database: RelayDatabase,
        *,
        reached: Callable[[str], None] = _no_fault,
        flush_bytes: int = _FLUSH_BYTES,
        queue_bytes: int = _QUEUE_BYTES,
        transaction_seconds: float = _TRANSACTION_SECONDS,
    ) -> None:
        self._last_error: str | None = None
        self._kafka = kafka
        self._prefix = prefix
        self._ledger_id = ledger_id
        self._database = database
        self._reached = reached
        self._flush_bytes = flush_bytes
        self._queue_bytes = queue_bytes
        self._transaction_seconds = transaction_seconds

        self._epoch = -1
        self._producer: TransactionalProducer | None = None
        self._routes: dict[str, Route] = {}
        self._marker_place = (prefix + MARKER_TOPIC, 0)

        # Rows run through these in order: committed, in the queue, in the flush being filled, being sent, published.
        self._newest = 0
        self._queue: deque[OutboxRow] = deque()
        self._queued_bytes = 0
        self._filling: Flush | None = None
        self._filled_through = 0
        self._sending: Flush | None = None
        self._sending_since = 0.0
        self._published = 0
        self._failure: BaseException | None = None

        self._work = asyncio.Event()  # a row to fill with
        self._filled = asyncio.Event()  # a flush to send
        self._taken = asyncio.Event()  # the flush was taken: room for the next
        self._progress = asyncio.Event()  # whatever somebody outside may wait for

    @property
    def published(self) -> int:
        """Rows up to this seq are published for good; the ledger may drop them."""
        return self._published

    @property
    def pending_rows(self) -> int:
        """How many committed rows are not known as published."""
        return self._newest - self._published

    @property
    def oldest_pending_since(self) -> datetime | None:
        """When the oldest of them was recorded; None when all is published."""
        if self.pending_rows == 0:
            return None
        for flush in (self._sending, self._filling):
            if flush is not None and flush.oldest is not None:
                return flush.oldest
        return self._queue[0].recorded_at if self._queue else None

    @property
    def healthy(self) -> bool:
        """Whether publishing gets on."""
        return self.last_error is None

    @property
    def last_error(self) -> str | None:
        """What is in the way of publishing now; None when nothing is."""
        if self._last_error is None and self._failure is not None:
            return str(self._failure) or repr(self._failure)
        if self._last_error is None and self._sending is not None:
            seconds = _now() - self._sending_since
            return f"a Kafka transaction is under way for {seconds:.0f} s" if seconds > _SLOW_SECONDS else None
        return self._last_error

    @property
    def has_room(self) -> bool:
        """Whether all that is pending is in memory, within bounds."""
        return self._queued_through == self._newest and self._queued_bytes < self._queue_bytes

    async def open(self, epoch: int) -> None:
        """Take publishing over under a new epoch, before any intake; goes on from the marker. Waits for who is away.

        Raises:
            LeadershipLost: the epoch is over.
            OperatorNeeded: marker and ledger contradict each other.
        """
        self._epoch = epoch
        self._published = 0
        try:
            await self._establish(first=True)
        except BaseException:
            await self.close()
            raise

    def offer(self, row: OutboxRow) -> None:
        """Hand over a row that has just been committed. Every row, in order, once."""
        if row.seq != self._newest + 1:
            raise ValueError(f"outbox row {row.seq} was offered after {self._newest}")
        if self.has_room:
            self._enqueue(row)
        self._newest = row.seq
        self._work.set()

    async def wait_for_room(self) -> None:
        """Wait until the queue takes rows again.

        Raises:
            Exception: what ended `run`, if it has ended.
        """
        await self._wait_until(lambda: self.has_room)

    async def drain(self) -> None:
        """Wait until all that was offered is published.

        Raises:
            Exception: what ended `run`, if it has ended.
        """
        await self._wait_until(lambda: self.pending_rows == 0)

    async def run(self) -> None:
        """Publish until cancelled. Broker and database may come and go.

        Raises:
            LeadershipLost: the epoch is over.
            OperatorNeeded: marker and ledger contradict each other.
        """
        try:
            while True:
                try:
                    await self._publish_until_failure()
                except TransactionFailed as failure:
                    self._trouble("relay.transaction_failed", failure)
                await self._establish(first=False)
        except asyncio.CancelledError:
            self._failure = Transient("the relay was stopped")
            raise
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._progress.set()
            await self.close()

    async def close(self) -> None:
        """Let the producer go. What is not published then, the next `open` finds."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.abandon()

    # Taking over

    async def _establish(self, *, first: bool) -> None:
        """Fence the producer before, then go on from the marker; again and again while broker or database are away."""
        backoff = Backoff()
        while True:
            try:
                async with asyncio.timeout(_MARKER_SECONDS):
                    figures = await self._fence_and_compare()
                    self._go_on_from(figures, first=first)
                    await self._find_routes(figures.marker)
                    await self._load()
            except _AWAY as error:
                self._trouble("relay.not_open", error)
                await backoff.pause()
            else:
                self._last_error = None
                self._failure = None
                self._progress.set()
                _log.info("relay.open", epoch=self._epoch, published=self._published, pending=self.pending_rows)
                return

    async def _fence_and_compare(self) -> Figures:
        await self.close()
        await self._prove_epoch()
        producer = TransactionalProducer(
            self._kafka, f"{self._prefix}connects-relay-{self._ledger_id}", self._transaction_seconds
        )
        await producer.start()
        self._producer = producer
        # A worker that was stopped since its last look at the epoch may just have fenced its successor: look again.
        await self._prove_epoch()
        return await compare(self._kafka, self._prefix + MARKER_TOPIC, self._ledger_id, self._database)

    async def _prove_epoch(self) -> None:
        if not await self._database.still_mine(self._epoch):
            raise LeadershipLost(f"epoch {self._epoch} is over: another worker publishes for this ledger")

    def _go_on_from(self, figures: Figures, *, first: bool) -> None:
        why = figures.contradiction()
        marker = figures.marker
        if (
            why is None
            and marker is not None
            and (marker.epoch >= self._epoch if first else marker.epoch > self._epoch)
        ):
            why = f"the marker is of epoch {marker.epoch}, this worker's is {self._epoch}"
        if why is None and figures.published < self._published:
            why = f"the marker fell behind {self._published}, which this worker has published"
        if why is not None:
            raise refuse(why, figures)
        self._published = self._filled_through = figures.published
        if first:  # later, what was not offered is not ours to send: its commit is not acknowledged yet
            self._newest = figures.last_seq
        self._queue.clear()
        self._queued_bytes = 0
        self._filling = self._sending = None

    async def _find_routes(self, marker: Marker | None) -> None:
        """Learn the partition counts. One that the marker knows stays, even if partitions were added since."""
        if self._producer is None:
            raise TransactionFailed("the producer was closed")
        known = {} if marker is None else marker.partitions
        for name in OUTPUT_TOPICS:
            topic = self._prefix + name
            count = await self._producer.partition_count(topic)
            if count < known.get(name, 0):
                raise OperatorNeeded(
                    f"topic {topic} had {known[name]} partitions and has {count}: it was made anew with fewer. "
                    f"Give it {known[name]} partitions again."
                )
            self._routes[name] = Route.of(name, self._prefix, known.get(name, count))
        topic = self._prefix + MARKER_TOPIC
        self._marker_place = (
            topic,
            partition_of(marker_key(self._ledger_id), await self._producer.partition_count(topic)),
        )

    # Publishing

    async def _publish_until_failure(self) -> None:
        filler = asyncio.create_task(self._fill(), name="relay filler")
        filler.add_done_callback(lambda _: self._filled.set())
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                if filler.done():
                    filler.result()
                if self._filling is not None:
                    await self._send(self._filling)
        finally:
            filler.cancel()
            await asyncio.gather(filler, return_exceptions=True)

    async def _fill(self) -> None:
        """Put rows into the next flush, while the present one is under way."""
        if self._producer is None:
            raise TransactionFailed("the producer was closed")
        source = f"/connects-worker/{self._ledger_id}"
        while True:
            while not self._queue:
                self._work.clear()
                if self._newest > self._filled_through:
                    await self._load_when_possible()
                else:
                    await self._work.wait()
            while self._filling is not None and self._filling.size_bytes >= self._flush_bytes:
                self._taken.clear()
                await self._taken.wait()
            row = self._queue.popleft()
            self._queued_bytes -= len(row.messages)
            if self._filling is None:
                self._filling = Flush(self._routes, source, self._producer.new_batch)
            self._filling.add(row)
            self._filled_through = row.seq
            self._filled.set()
            self._progress.set()
            await asyncio.sleep(0)  # the flush under way comes first

    async def _send(self, flush: Flush) -> None:
        self._sending, self._filling = flush, None
        self._sending_since = _now()
        self._taken.set()
        self._reached("before-kafka-transaction")
        if self._producer is None or flush.batch_uid is None:
            raise TransactionFailed("the producer was closed")
        partitions = {name: route.partition_count for name, route in self._routes.items()}
        marker = Marker(self._ledger_id, self._epoch, flush.last_seq, UUID(bytes=flush.batch_uid.bytes), partitions)
        telling = self._producer.new_batch()
        telling.append(timestamp=None, key=marker_key(self._ledger_id), value=marker.encode())
        await self._producer.transact([*flush.batches.items(), (self._marker_place, [telling])], self._reached)
        self._published = flush.last_seq
        self._sending = None
        self._last_error = None
        self._progress.set()

    # Rows

    @property
    def _queued_through(self) -> int:
        return self._queue[-1].seq if self._queue else self._filled_through

    def _enqueue(self, row: OutboxRow) -> None:
        self._queue.append(row)
        self._queued_bytes += len(row.messages)

    async def _load(self) -> None:
        """Read rows from the database that are not in memory."""
        if self._newest == self._queued_through:
            return
        expected = self._queued_through + 1
        rows = await self._database.outbox_rows(expected - 1, self._flush_bytes)
        if [row.seq for row in rows] != list(range(expected, expected + len(rows))) or not rows:
            raise OperatorNeeded(
                f"the outbox lacks row {expected}, which was not published yet. Was the table edited? "
                "Look with `connects relay show`."
            )
        for row in rows:
            if row.seq == self._queued_through + 1 and row.seq <= self._newest:  # more may have come while reading
                self._enqueue(row)

    async def _load_when_possible(self) -> None:
        backoff = Backoff()
        while True:
            try:
                await self._load()
            except _AWAY as error:
                self._trouble("relay.rows_not_read", error)
                await backoff.pause()
            else:
                return

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            if self._failure is not None:
                raise self._failure
            self._progress.clear()
            await self._progress.wait()

    def _trouble(self, event: str, error: BaseException) -> None:
        self._last_error = in_words(error)
        _log.warning(event, error=self._last_error, epoch=self._epoch, published=self._published)


def _now() -> float:
    return asyncio.get_running_loop().time()
