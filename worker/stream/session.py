"""One run of reading, from the positions it begins at to its end: what the intake is made of.

The consumer's loop, FastStream's, calls `_before_poll`, polls, and calls `_receive`, in turn and never at once. All
that changes what is read happens there or in a survey; a lock keeps surveys apart.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import ConsumerStoppedError
from aiokafka.structs import ConsumerRecord

from worker.stream.alignment import Alignment
from worker.stream.app import reading_application
from worker.stream.backoff import Backoff
from worker.stream.consumer import GuardedConsumer
from worker.stream.feeds import BufferLimits, Feed, Flow
from worker.stream.mishaps import Mishaps
from worker.stream.probe import Probe
from worker.stream.reading import RecordReader
from worker.stream.records import Position, TopicPartition
from worker.stream.roster import Roster
from worker.stream.wall_clock import WallClock

if TYPE_CHECKING:
    from faststream import FastStream

_POLL_RECORDS: Final = 2_000
_SLICE_RECORDS: Final = 250
_SLICE_SECONDS: Final = 0.004
_FETCH_BYTES: Final = 2 * 1024 * 1024
_PARTITION_FETCH_BYTES: Final = (64 * 1024, 1024 * 1024)
_POLLS_BEFORE_MORE: Final = 50
"""Fetches grow again after so many polls that fitted."""

_log = structlog.get_logger(__name__)


class ReadingSession:
    """Reads into `alignment`, and calls `changed` whenever there may be something new to take."""

    def __init__(
        self,
        *,
        roster: Roster,
        kafka: Mapping[str, Any],
        clock: WallClock,
        alignment: Alignment,
        reader: RecordReader,
        limits: BufferLimits,
        changed: Callable[[], None],
    ) -> None:
        self.roster = roster
        self._kafka = kafka
        self._clock = clock
        self._alignment = alignment
        self._reader = reader
        self._changed = changed
        self._flow = Flow(limits)
        self._mishaps = Mishaps(roster, self.failed)
        self._application: FastStream | None = None
        self._consumer: GuardedConsumer | None = None
        self._closed = False
        self._fitting_polls = 0
        self._heard_at = time.monotonic()
        self.last_error: str | None = None

    async def begin(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Verify the positions and begin to read from them.

        Raises:
            KafkaError, OSError: the broker does not answer, or not well.
        """
        await self.roster.probe.start()
        await self.roster.open(positions)
        await self.ensure_reading()

    async def ensure_reading(self) -> None:
        """Start the reading application, unless it runs or there is nothing to read."""
        if self._application is not None or self._closed:
            return
        readable = self._readable()
        if not readable:
            return
        least, most = _PARTITION_FETCH_BYTES
        application = reading_application(
            self._kafka,
            readable,
            self._receive,
            max_poll_records=_POLL_RECORDS,
            consumer_options={
                "position_of": lambda tp: self.roster.feeds[tp].position,
                "before_poll": self._before_poll,
                "on_failure": self._mishaps.on_failure,
                "fetch_max_bytes": _FETCH_BYTES,
                "max_partition_fetch_bytes": min(max(_FETCH_BYTES // len(readable), least), most),
            },
        )
        self._application = application
        try:
            await application.start()
        except BaseException:
            await self._stop_application()
            raise
        if self._closed:
            await self._stop_application()

    async def reconnect(self, probe: Probe) -> None:
        """Go on with new connections, and what is buffered.

        Raises:
            KafkaError, OSError: the broker does not answer.
        """
        await self._stop_application()
        await self.roster.probe.stop()
        self.roster.probe = probe
        await probe.start()
        for feed in self.roster.feeds.values():
            feed.paused = False
            feed.told = None
        await self.ensure_reading()

    async def look_again(self) -> None:
        """Compare the topics with the cluster, and begin to read if there was nothing to read before.

        Raises:
            KafkaError, OSError: the broker does not answer.
        """
        await self.roster.survey()
        if self._application is None:
            self._hear()
        await self.ensure_reading()

    async def close(self) -> None:
        """End reading."""
        self._closed = True
        self._mishaps.close()
        await self._stop_application()
        await self.roster.probe.stop()

    def taken(self) -> None:
        """Take note that records were taken from the alignment: there may be room for more."""
        if self._consumer is not None and any(feed.paused for feed in self.roster.feeds.values()):
            self._balance(self._consumer)

    def lag(self) -> dict[TopicPartition, int]:
        """Offsets still to be taken, of each partition."""
        return {
            feed.source: max((feed.end or 0) - feed.position, 0) + self._alignment.buffered(feed.source)
            for feed in self.roster.feeds.values()
        }

    def lag_seconds(self) -> float:
        """Seconds since the oldest record still to be taken was written."""
        now = time.time()  # as the producers' timestamps, also where time is simulated
        oldest = 0.0
        for feed in self.roster.feeds.values():
            behind = feed.end is not None and feed.position < feed.end
            if head := self._alignment.head(feed.source):
                oldest = max(oldest, now - head.timestamp_ms / 1000)
            elif behind and feed.last_timestamp_ms is not None:
                oldest = max(oldest, now - feed.last_timestamp_ms / 1000)
        return oldest

    def silent_seconds(self) -> float:
        """How long ago the broker last answered."""
        if self._application is None and self.last_error is None:
            return 0.0  # there is nothing to ask for
        return time.monotonic() - self._heard_at

    async def commit(self, group_id: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Write a group's offsets.

        Raises:
            KafkaError: it did not work.
        """
        sources = self.roster.sources
        await self.roster.probe.commit(group_id, {sources[source]: offset for source, offset in offsets.items()})

    def failed(self, error: Exception) -> None:
        """Take note of what went wrong."""
        self.last_error = f"{type(error).__name__}: {error}"
        _log.warning("intake.failed", error=self.last_error)

    async def _before_poll(self, consumer: GuardedConsumer) -> None:
        """Bring everything up to date between two polls, when all records polled have been handled."""
        if self._closed:
            raise ConsumerStoppedError
        self._consumer = consumer
        for tp in consumer.take_outstanding():
            consumer.seek(tp, self.roster.feeds[tp].next_offset)  # the handler did not come to its end
        backoff = Backoff()
        while consumer.metadata_changed:
            consumer.metadata_changed = False
            try:
                await self.roster.survey()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                consumer.metadata_changed = True  # not a record more before it is certain whose they are
                self.failed(error)
                await backoff.pause()
            if self._closed:
                raise ConsumerStoppedError
        if self.roster.changed:
            consumer.assign(self._readable())
        self._look(consumer)
        self._balance(consumer)
        self._changed()

    def _readable(self) -> list[KafkaPartition]:
        self.roster.changed = False
        self._flow.share(len(self.roster.feeds))
        return self.roster.readable()

    def _look(self, consumer: GuardedConsumer) -> None:
        """See how far each partition is read, and where it ended when the broker last told."""
        told_ms, told_at = None, None
        heard = waited = False
        for tp, position, end, looked_ms in consumer.looks():
            feed = self.roster.feeds[tp]
            if feed.stopped:
                continue
            waited = waited or not feed.paused
            told = (position, end, looked_ms)
            if told == feed.told:
                continue
            heard = heard or (feed.told is not None and looked_ms != feed.told[2])
            feed.told = told
            feed.position = position
            if end is not None:
                feed.end = end
            if looked_ms is not None and looked_ms != told_ms:
                told_ms, told_at = looked_ms, self._clock.at(looked_ms / 1000)
            self._alignment.read_to(feed.source, position, end, None if looked_ms is None else told_at)
        for feed in self.roster.feeds.values():
            if feed.gone and not feed.stopped:
                self._alignment.read_to(feed.source, feed.position, feed.position, self.roster.surveyed_at)
        if heard or not waited:
            self._hear()

    def _hear(self) -> None:
        self._heard_at = time.monotonic()
        self.last_error = None

    def _balance(self, consumer: GuardedConsumer) -> None:
        """Pause partitions of which enough is buffered, and resume those of which it is not."""
        throttled = False
        assigned = consumer.assignment()
        for tp, feed in self.roster.feeds.items():
            self._flow.settle(feed, self._alignment.buffered(feed.source))
            pauses = feed.stopped or feed.awaits_inquiry or self._flow.pauses(feed)
            throttled = throttled or (pauses and not feed.stopped)
            if pauses == feed.paused or tp not in assigned:
                continue
            if not pauses:
                consumer.resume(tp)
            elif feed.stopped or not (consumer.has_undrained(tp) and self._flow.room(feed)):
                consumer.pause(tp)
            else:
                continue  # what is fetched already still fits
            feed.paused = pauses
        consumer.wait_at_broker(idle=not throttled)

    async def _receive(self, records: Sequence[ConsumerRecord]) -> None:
        """Buffer what was polled. Never waits for room: what does not fit is fetched again later."""
        at = 0
        full: set[KafkaPartition] = set()
        began = time.perf_counter()
        while at < len(records) and not self._closed:
            first = records[at]
            until = _end_of_run(records, at)
            tp = KafkaPartition(first.topic, first.partition)
            feed = self.roster.feeds.get(tp)
            if feed is not None and not feed.stopped and tp not in full and not self._buffer(feed, records[at:until]):
                full.add(tp)
            at = until
            if time.perf_counter() - began > _SLICE_SECONDS:
                self._changed()
                await asyncio.sleep(0)
                began = time.perf_counter()
        self._changed()
        if self._consumer is not None and not self._closed:
            self._consumer.take_outstanding()
            self._fitting_polls += 1
            if self._fitting_polls >= _POLLS_BEFORE_MORE:
                self._fitting_polls = 0
                self._consumer.fetch_more()

    def _buffer(self, feed: Feed, records: Sequence[ConsumerRecord]) -> bool:
        """Buffer records of one partition; whether all fitted. The rest is left to be fetched again."""
        if records[0].offset < feed.next_offset:
            records = [record for record in records if record.offset >= feed.next_offset]
            if not records:
                return True
        room = self._flow.room(feed)
        if room:
            accepted = records[:room]
            unreadable = self._mishaps.unreadable(feed.tp)
            read = self._reader.read(feed.source, feed.incarnation, accepted, unreadable)
            self._alignment.extend(feed.source, read)
            self._flow.add(feed, accepted, len(accepted))
            last = accepted[-1]
            feed.next_offset = last.offset + 1
            feed.position = max(feed.position, feed.next_offset)
            feed.last_timestamp_ms = last.timestamp
        if len(records) <= room:
            return True
        feed.position = feed.next_offset
        if self._consumer is not None and feed.tp in self._consumer.assignment():
            self._consumer.seek(feed.tp, max(feed.next_offset, records[room].offset))
            self._consumer.fetch_less()
            self._fitting_polls = 0
        return False

    async def _stop_application(self) -> None:
        application, self._application, self._consumer = self._application, None, None
        if application is not None:
            await application.stop()


def _end_of_run(records: Sequence[ConsumerRecord], at: int) -> int:
    """Where the records of the same partition end, or a slice of them does."""
    topic, partition = records[at].topic, records[at].partition
    limit = min(at + _SLICE_RECORDS, len(records))
    until = at + 1
    while until < limit and records[until].partition == partition and records[until].topic == topic:
        until += 1
    return until
