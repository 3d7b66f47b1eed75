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

from worker.backoff import Backoff
from worker.futures import end_in_time
from worker.kafka.broker import Probe
from worker.kafka.connect_errors import in_words
from worker.kafka.holds import Holds
from worker.kafka.input.app import reading_application
from worker.kafka.input.buffers import BufferLimits, FlowControl, PartitionBuffer
from worker.kafka.input.consumer import GuardedConsumer
from worker.kafka.input.damaged import DamagedFetches
from worker.kafka.input.merge import Merge
from worker.kafka.input.partitions import AssignedPartitions
from worker.kafka.input.reading import RecordReader
from worker.kafka.records import Position, TopicPartition
from worker.kafka.troubles import ALARM_SECONDS
from worker.wall_clock import WallClock

if TYPE_CHECKING:
    from faststream import FastStream

_SLICE_RECORDS: Final = 250
_SLICE_BYTES: Final = 256 * 1024
"""One record at least: to read 256 KiB of nothing but brackets takes half a second, and others wait meanwhile."""
_SLICE_SECONDS: Final = 0.004
_ANSWER_BYTES: Final = 2 * 1024 * 1024
_FETCHED_BYTES: Final = 8 * 1024 * 1024
"""How much may wait, fetched and undecoded, for room; divided between the partitions."""
_PARTITION_BYTES: Final = (64 * 1024, 1024 * 1024)
RECONNECT_SECONDS: Final = 30.0
"""Without an answer for this long all connections are replaced, from the addresses in the settings."""
_QUIET_AT_ONCE: Final = 8
_STOP_SECONDS: Final = 10.0
_log = structlog.get_logger(__name__)


class ReadingSession:
    """Reads into `merge`, and calls `changed` whenever there may be something new to take."""

    def __init__(
        self,
        *,
        assigned: AssignedPartitions,
        kafka: Mapping[str, Any],
        clock: WallClock,
        merge: Merge,
        reader: RecordReader,
        limits: BufferLimits,
        changed: Callable[[], None],
        awaited: asyncio.Event,
    ) -> None:
        self.assigned = assigned
        self._kafka = kafka
        self._clock = clock
        self._merge = merge
        self._reader = reader
        self._changed = changed
        self._awaited = awaited
        self._flow = FlowControl(limits)
        self._damaged_fetches = DamagedFetches(assigned, self.failed)
        self._application: FastStream | None = None
        self._consumer: GuardedConsumer | None = None
        self._closed = False
        self._withheld: set[TopicPartition] = set()
        self._heard_at = time.monotonic()
        self.last_error: str | None = None

    async def begin(self, positions: Mapping[TopicPartition, Position], holds: Holds) -> None:
        """Verify the positions and begin to read from them, except what is on hold.

        Raises:
            KafkaError, OSError: the broker does not answer, or not well.
        """
        await self.assigned.probe.start()
        await self.assigned.open(positions, holds)
        await self.ensure_reading()

    async def ensure_reading(self) -> None:
        """Start the reading application, unless it runs or there is nothing to read."""
        if self._application is not None or self._closed:
            return
        readable = self._readable()
        if not readable:
            return
        least, most = _PARTITION_BYTES
        for tp in readable:
            self.assigned.feeds[tp].heard_at = time.monotonic()
        application = reading_application(
            self._kafka,
            readable,
            self._receive,
            max_poll_records=self._flow.most_at_once,
            consumer_options={
                "position_of": self._position_of,
                "room_for": self._room_for,
                "before_poll": self._before_poll,
                "on_failure": self._damaged_fetches.on_failure,
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
        await self.assigned.probe.stop()
        self.assigned.probe = probe
        await probe.start()
        for feed in self.assigned.feeds.values():
            feed.told = None
        await self.ensure_reading()

    async def look_again(self) -> None:
        """Compare the topics with the cluster, and begin to read if there was nothing to read before.

        Raises:
            KafkaError, OSError: the broker does not answer.
        """
        await self.assigned.survey()
        if self._consumer is None or not self._consumer.awaited():
            self._hear()
        await self.assigned.examine(feed for feed in tuple(self.assigned.feeds.values()) if feed.unavailable)
        await self.assigned.see_ends_of_holds()
        await self.ensure_reading()

    async def look_at_the_quiet(self) -> bool:
        """See whether partitions can be read of which nothing was heard for a while, though others are.

        True when one could be read, and was not for so long that all connections should be replaced.
        """
        self._withhold()
        now = time.monotonic()
        if self._consumer is None or self.silent_seconds() > ALARM_SECONDS:
            return False
        feeds = (self.assigned.feeds[tp] for tp in self._consumer.awaited())
        quiet = [feed for feed in feeds if not feed.unavailable and now - feed.heard_at > ALARM_SECONDS]
        await self.assigned.examine(sorted(quiet, key=lambda feed: feed.heard_at)[:_QUIET_AT_ONCE])
        return any(not feed.unavailable and now - feed.heard_at > RECONNECT_SECONDS for feed in quiet)

    async def close(self) -> None:
        """End reading."""
        self._closed = True
        self._damaged_fetches.close()
        await self._stop_application()
        await self.assigned.probe.stop()

    def taken(self) -> None:
        """Take note that records were taken from the alignment: there may be room for more."""
        if self._consumer is not None:
            self._consumer.wake()

    def lag(self) -> dict[TopicPartition, int]:
        """Offsets still to be taken, of each partition."""
        return {
            feed.source: max((feed.end or 0) - feed.position, 0) + self._merge.buffered(feed.source)
            for feed in self.assigned.feeds.values()
        }

    def lag_seconds(self) -> float:
        """Seconds since the oldest record still to be taken had arrived, as far as this session saw it.

        What is on hold waits because somebody wants it to, and does not count.
        """
        now = time.monotonic()
        oldest = now
        for feed in self.assigned.feeds.values():
            if feed.hold is not None:
                continue
            head = self._merge.head(feed.source)
            since = feed.arrivals.since(feed.position if head is None else head.offset)
            if since is not None:
                oldest = min(oldest, since)
        return now - oldest

    def silent_seconds(self) -> float:
        """How long ago the broker last answered."""
        return time.monotonic() - self._heard_at

    async def commit(self, group_id: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Write a group's offsets.

        Raises:
            KafkaError: it did not work.
        """
        sources = self.assigned.sources
        await self.assigned.probe.commit(group_id, {sources[source]: offset for source, offset in offsets.items()})

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
            consumer.seek(tp, self.assigned.feeds[tp].next_offset)  # the handler did not come to its end
        backoff = Backoff()
        while consumer.metadata_changed:
            consumer.metadata_changed = False
            try:
                await self.assigned.survey()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                consumer.metadata_changed = True  # not a record more before it is certain whose they are
                self.failed(error)
                await backoff.pause()
            if self._closed:
                raise ConsumerStoppedError
        if self.assigned.changed:
            consumer.assign(self._readable())
        for source in self.assigned.stopped:
            if (stopped := self.assigned.sources.get(source)) in consumer.assignment():
                consumer.pause(stopped)
        self._look(consumer)
        self._settle()
        self._changed()

    def _readable(self) -> list[KafkaPartition]:
        self.assigned.changed = False
        return self.assigned.readable()

    def _look(self, consumer: GuardedConsumer) -> None:
        """See how far each partition is read, and where it ended when the broker last told."""
        told_ms, told_at = None, None
        heard = False
        now = time.monotonic()
        for tp, position, end, log_end, looked_ms in consumer.looks():
            feed = self.assigned.feeds[tp]
            if feed.is_left:
                continue
            told = (position, end, log_end, looked_ms)
            if told == feed.told:
                continue
            if feed.told is not None and looked_ms != feed.told[3]:
                heard, feed.heard_at = True, now
            feed.told = told
            feed.position = position
            if looked_ms is not None and looked_ms != told_ms:
                told_ms, told_at = looked_ms, self._clock.at(looked_ms / 1000)
            if end is None or told_at is None:
                continue
            feed.see_end(end, log_end, now, told_at)
            self._merge.read_to(feed.source, position, max(end, log_end or 0), told_at)
        for feed in self.assigned.feeds.values():
            if feed.gone and not feed.stopped:
                self._merge.read_to(feed.source, feed.position, feed.position, self.assigned.surveyed_at)
        self._withhold()
        if heard:
            self._hear()

    def _withhold(self) -> None:
        """Let the others go on without partitions that are held up for long, and wait for those that no longer are."""
        now = time.monotonic()
        held_up = {feed.source for feed in self.assigned.feeds.values() if feed.is_held_up(now)}
        for source in held_up ^ self._withheld:
            self._merge.withhold(source, withheld=source in held_up)
            self._changed()
        self._withheld = held_up

    def _hear(self) -> None:
        self._heard_at = time.monotonic()
        self.last_error = None

    def _settle(self) -> None:
        """See what was taken since, and how many partitions share the buffer now."""
        active = 0
        for feed in self.assigned.feeds.values():
            if feed.held:
                self._flow.settle(feed, self._merge.buffered(feed.source))
            if feed.hold is None and (feed.held or feed.end is None or feed.position < feed.end):
                active += 1
        self._flow.share(len(self.assigned.feeds), active)

    def _position_of(self, tp: KafkaPartition) -> int:
        """Where the consumer, which asks when it is assigned partitions, has to read this one from."""
        feed = self.assigned.feeds[tp]
        feed.awaits_seek = False
        return feed.position

    def _room_for(self, tp: KafkaPartition) -> int:
        feed = self.assigned.feeds[tp]
        if feed.hold is not None or feed.awaits_seek:
            return 0
        if self._flow.is_overfull and (feed.held or not self._merge.waits_only_for(feed.source)):
            return 0
        return self._flow.room(feed)

    async def _receive(self, records: Sequence[ConsumerRecord]) -> None:
        """Buffer what was polled, for which there is room."""
        at = 0
        began = time.perf_counter()
        while at < len(records) and not self._closed:
            until = _end_of_run(records, at)
            feed = self.assigned.feeds[KafkaPartition(records[at].topic, records[at].partition)]
            if not (feed.is_left or feed.awaits_seek):
                self._buffer(feed, records[at:until])
            at = until
            if time.perf_counter() - began > _SLICE_SECONDS:
                self._changed()
                await asyncio.sleep(0)
                began = time.perf_counter()
        self._changed()
        if self._consumer is not None and not self._closed:
            self._consumer.take_outstanding()

    def _buffer(self, feed: PartitionBuffer, records: Sequence[ConsumerRecord]) -> None:
        if records[0].offset < feed.next_offset:
            records = [record for record in records if record.offset >= feed.next_offset]
            if not records:
                return
        read = self._reader.read(feed.source, feed.incarnation, records, self._damaged_fetches.odd(feed.tp))
        self._merge.extend(feed.source, read)
        self._flow.add(feed, records)
        feed.next_offset = read[-1].next_offset
        feed.position = max(feed.position, feed.next_offset)

    async def _stop_application(self) -> None:
        application, self._application, self._consumer = self._application, None, None
        if application is not None:
            # A connection whose other end takes nothing more need not close in order.
            await end_in_time(application.stop(), _STOP_SECONDS)


def _end_of_run(records: Sequence[ConsumerRecord], at: int) -> int:
    """Where the records of the same partition end, or a slice of them does."""
    topic, partition = records[at].topic, records[at].partition
    limit = min(at + _SLICE_RECORDS, len(records))
    until, room = at + 1, _SLICE_BYTES - len(records[at].value or b"")
    while until < limit and records[until].partition == partition and records[until].topic == topic:
        room -= len(records[until].value or b"")
        if room < 0:
            break
        until += 1
    return until
