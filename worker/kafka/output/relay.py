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
from aiokafka.producer.message_accumulator import BatchBuilder

from worker.backoff import Backoff
from worker.errors import OperatorNeeded, Transient
from worker.fault_points import FaultPoint, no_fault
from worker.kafka.connect_errors import in_words
from worker.kafka.output.flush import Flush, Route, source_of
from worker.kafka.output.marker import Figures, Marker, refuse
from worker.kafka.output.outbox import OutboxRow, RelayDatabase
from worker.kafka.output.relay_opening import Opening
from worker.kafka.output.transactions import TransactionalProducer, TransactionFailed

_QUEUE_BYTES: Final = 16 * 1024 * 1024
_FLUSH_BYTES: Final = 2 * 1024 * 1024
_TRANSACTION_SECONDS: Final = 15.0
_MARKER_SECONDS: Final = 60.0  # other ledgers' open transactions may hold the marker's partition for their timeout
_SLOW_SECONDS: Final = 5.0
_MARKER_AGAIN_SECONDS: Final = 6 * 3600.0
_AWAY: Final = (Transient, KafkaError, OSError, TimeoutError)

_log = structlog.get_logger(__name__)


class Relay:
    """Publishes a ledger's outbox, in the worker that leads it. `open`, then `run` as a task, and `offer` what commits.

    `kafka` holds aiokafka's connection arguments (bootstrap_servers, security). A flush has at most about `flush_bytes`
    of values, the queue in memory `queue_bytes` of packed rows; what does not fit is read from the database later. A
    transaction that takes longer than `transaction_seconds` is given up, here and by the broker. `reached` is told the
    points at which a fault may be tried. The marker is written again after `marker_again_seconds` without anything to
    publish: its topic may delete what is old, though it should not.
    """

    def __init__(
        self,
        kafka: Mapping[str, Any],
        prefix: str,
        ledger_id: UUID,
        database: RelayDatabase,
        *,
        reached: FaultPoint = no_fault,
        flush_bytes: int = _FLUSH_BYTES,
        queue_bytes: int = _QUEUE_BYTES,
        transaction_seconds: float = _TRANSACTION_SECONDS,
        marker_again_seconds: float = _MARKER_AGAIN_SECONDS,
        new_flush: Callable[..., Flush] = Flush,
    ) -> None:
        self._last_error: str | None = None
        self._ledger_id = ledger_id
        self._database = database
        self._reached = reached
        self._flush_bytes = flush_bytes
        self._queue_bytes = queue_bytes
        self._marker_again_seconds = marker_again_seconds
        self._new_flush = new_flush
        self._opening = Opening(kafka, prefix, ledger_id, database, transaction_seconds)

        self._epoch = -1
        self._producer: TransactionalProducer | None = None
        self._routes: dict[str, Route] = {}
        self._marker_place = (self._opening.marker_topic, 0)

        # Rows run through these in order: committed, in the queue, in the flush being filled, being sent, published.
        self._newest = 0
        self._queue: deque[OutboxRow] = deque()
        self._queued_bytes = 0
        self._filling: Flush | None = None
        self._filled_through = 0
        self._sending: Flush | None = None
        self._sending_since = 0.0
        self._published = 0
        self._published_uid: UUID | None = None
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
    def waits_for(self) -> str | None:
        """While it takes over: what it waits for, in words."""
        return self._opening.waits_for

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
                sent = [place for flush in (self._sending, self._filling) if flush for place in flush.batches]
                await self._opening.until_writable(sent, self._wait)
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
                    await self.close()
                    self._producer = await self._opening.fence(self._epoch)
                    await self._opening.end_hanging(self._producer)
                    figures = await self._opening.figures()
                    if not first and figures.marker is None and self._published_uid is not None:
                        await self._go_on_without_marker(figures)
                    else:
                        self._go_on_from(figures, first=first)
                        self._routes, self._marker_place = await self._opening.routes(self._producer, figures.marker)
                    self._opening.waits_for = "the ledger's outbox"
                    await self._load()
            except _AWAY as error:
                self._trouble("relay.not_open", error)
                await backoff.pause()
            else:
                self._last_error = self._failure = self._opening.waits_for = None
                self._progress.set()
                _log.info("relay.open", epoch=self._epoch, published=self._published, pending=self.pending_rows)
                return

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
            raise refuse(why, figures, self._opening.marker_topic)
        if first:  # later, what was not offered is not ours to send: its commit is not acknowledged yet
            self._newest = figures.last_seq
        self._begin_after(figures.published, figures.ledger_batch_uid)

    async def _go_on_without_marker(self, figures: Figures) -> None:
        """Go on from what this worker knows as published, and what the outputs say about the rest."""
        published = await self._opening.published_after(self._published)
        _log.error("relay.marker_lost", topic=self._opening.marker_topic, published=published, figures=str(figures))
        self._begin_after(published, await self._database.batch_uid_at(published))

    def _begin_after(self, published: int, batch_uid: UUID | None) -> None:
        self._published = self._filled_through = published
        self._published_uid = batch_uid
        self._queue.clear()
        self._queued_bytes = 0
        self._filling = self._sending = None

    # Publishing

    async def _publish_until_failure(self) -> None:
        filler = asyncio.create_task(self._fill(), name="relay filler")
        filler.add_done_callback(lambda _: self._filled.set())
        try:
            while True:
                try:
                    async with asyncio.timeout(self._marker_again_seconds):
                        await self._filled.wait()
                except TimeoutError:
                    await self._send_marker_again()
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
        source = source_of(self._ledger_id)
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
                self._filling = self._new_flush(self._routes, source, self._producer.new_batch)
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
        batch_uid = UUID(bytes=flush.batch_uid.bytes)
        marker = self._marker_batch(self._producer, flush.last_seq, batch_uid)
        await self._producer.transact([*flush.batches.items(), (self._marker_place, [marker])], self._reached)
        self._published, self._published_uid = flush.last_seq, batch_uid
        self._sending = None
        self._last_error = None
        self._progress.set()
        await flush.sent()

    async def _send_marker_again(self) -> None:
        if self._producer is not None and self._published_uid is not None:
            marker = self._marker_batch(self._producer, self._published, self._published_uid)
            await self._producer.transact([(self._marker_place, [marker])], lambda _point: None)

    def _marker_batch(self, producer: TransactionalProducer, seq: int, batch_uid: UUID) -> BatchBuilder:
        partitions = {name: route.partition_count for name, route in self._routes.items()}
        return Marker(self._ledger_id, self._epoch, seq, batch_uid, partitions).batch(producer.new_batch)

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

    def _wait(self, why: str) -> None:
        self._last_error = why
        _log.warning("relay.waits", why=why, epoch=self._epoch, published=self._published)

    def _trouble(self, event: str, error: BaseException) -> None:
        timed_out = isinstance(error, TimeoutError) and not str(error)
        self._last_error = f"no answer while waiting for {self.waits_for or 'Kafka'}" if timed_out else in_words(error)
        _log.warning(event, error=self._last_error, epoch=self._epoch, published=self._published)


def _now() -> float:
    return asyncio.get_running_loop().time()
