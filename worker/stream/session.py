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
from worker.stream.connect_errors import in_words
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

_SLICE_RECORDS: Final = 250
_SLICE_SECONDS: Final = 0.004
_ANSWER_BYTES: Final = 2 * 1024 * 1024
_FETCHED_BYTES: Final = 8 * 1024 * 1024
"""How much may wait, fetched and undecoded, for room; divided between the partitions."""
_PARTITION_BYTES: Final = (64 * 1024, 1024 * 1024)
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
        awaited: asyncio.Event,
    ) -> None:
        self.roster = roster
        self._kafka = kafka
        self._clock = clock
        self._alignment = alignment
        self._reader = reader
        self._changed = changed
        self._awaited = awaited
        self._flow = Flow(limits)
        self._mishaps = Mishaps(roster, self.failed)
        self._application: FastStream | None = None
        self._consumer: GuardedConsumer | None = None
        self._closed = False
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
        least, most = _PARTITION_BYTES
        application = reading_application(
            self._kafka,
            readable,
            self._receive,
            max_poll_records=self._flow.most_at_once,
            consumer_options={
                "position_of": lambda tp: self.roster.feeds[tp].position,
                "room_for": self._room_for,
                "before_poll": self._before_poll,
                "on_failure": self._mishaps.on_failure,
                "awaited": self._awaited,
                "fetch_max_bytes": _ANSWER_BYTES,
                "max_partition_fetch_bytes": min(max(_FETCHED_BYTES // len(readable), least), most),
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
            feed.told = None
        await self.ensure_reading()

    async def look_again(self) -> None:
        """Compare the topics with the cluster, and begin to read if there was nothing to read before.

        Raises:
            KafkaError, OSError: the broker does not answer.
        """
        await self.roster.survey()
        if self._consumer is None or not self._consumer.waits_for_broker():
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
        if self._consumer is not None:
            self._consumer.wake()

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
        self.last_error = in_words(error)
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
        for source in self.roster.stopped:
            if (stopped := self.roster.sources.get(source)) in consumer.assignment():
                consumer.pause(stopped)
        self._look(consumer)
        self._settle()
        self._changed()

    def _readable(self) -> list[KafkaPartition]:
        self.roster.changed = False
        return self.roster.readable()

    def _look(self, consumer: GuardedConsumer) -> None:
        """See how far each partition is read, and where it ended when the broker last told."""
        told_ms, told_at = None, None
        heard = False
        for tp, position, end, looked_ms in consumer.looks():
            feed = self.roster.feeds[tp]
            if feed.stopped:
                continue
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
        if heard:
            self._hear()

    def _hear(self) -> None:
        self._heard_at = time.monotonic()
        self.last_error = None

    def _settle(self) -> None:
        """See what was taken since, and how many partitions share the buffer now."""
        active = 0
        for feed in self.roster.feeds.values():
            if feed.held:
                self._flow.settle(feed, self._alignment.buffered(feed.source))
            if feed.held or feed.end is None or feed.position < feed.end:
                active += 1
        self._flow.share(len(self.roster.feeds), active)

    def _room_for(self, tp: KafkaPartition) -> int:
        return self._flow.room(self.roster.feeds[tp])

    async def _receive(self, records: Sequence[ConsumerRecord]) -> None:
        """Buffer what was polled, for which there is room."""
        at = 0
        began = time.perf_counter()
        while at < len(records) and not self._closed:
            until = _end_of_run(records, at)
            feed = self.roster.feeds[KafkaPartition(records[at].topic, records[at].partition)]
            if not feed.stopped:
                self._buffer(feed, records[at:until])
            at = until
            if time.perf_counter() - began > _SLICE_SECONDS:
                self._changed()
                await asyncio.sleep(0)
                began = time.perf_counter()
        self._changed()
        if self._consumer is not None and not self._closed:
            self._consumer.take_outstanding()

    def _buffer(self, feed: Feed, records: Sequence[ConsumerRecord]) -> None:
        if records[0].offset < feed.next_offset:
            records = [record for record in records if record.offset >= feed.next_offset]
            if not records:
                return
        unreadable = self._mishaps.unreadable(feed.tp)
        self._alignment.extend(feed.source, self._reader.read(feed.source, feed.incarnation, records, unreadable))
        self._flow.add(feed, records)
        last = records[-1]
        feed.next_offset = last.offset + 1
        feed.position = max(feed.position, feed.next_offset)
        feed.last_timestamp_ms = last.timestamp

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
