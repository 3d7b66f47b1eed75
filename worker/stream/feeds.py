"""How much is read ahead: what is known of each partition being read, and when its reading pauses."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.structs import ConsumerRecord

from worker.stream.records import TopicPartition

_RECORD_OVERHEAD_BYTES: Final = 1_500
"""What a record costs in memory besides its key and value: the event and the objects around it. Measured."""


class Feed:
    """One partition being read."""

    __slots__ = (
        "awaits_inquiry",
        "chunks",
        "end",
        "gone",
        "held",
        "incarnation",
        "last_timestamp_ms",
        "next_offset",
        "paused",
        "position",
        "source",
        "stopped",
        "told",
        "topic_id",
        "tp",
        "weight",
    )

    def __init__(
        self,
        source: TopicPartition,
        tp: KafkaPartition,
        *,
        incarnation: int,
        position: int,
        topic_id: bytes | None,
    ) -> None:
        self.source = source
        self.tp = tp
        self.incarnation = incarnation
        self.topic_id = topic_id
        self.next_offset = position
        """No record before this one is accepted again."""
        self.position = position
        """The consumer's own, when all records before it were buffered."""
        self.end: int | None = None
        self.told: tuple[int, int | None, int | None] | None = None
        """Position, end and time in ms of the last look at it."""
        self.last_timestamp_ms: int | None = None
        self.paused = False
        self.stopped = False
        self.gone = False
        """Its topic does not exist now."""
        self.awaits_inquiry = False
        """The broker refused its offset, and why is being asked."""
        self.chunks: deque[tuple[int, int]] = deque()
        """What was buffered at a time, in records and bytes, oldest first; some of the first may be taken."""
        self.held = 0
        self.weight = 0


@dataclass(frozen=True, slots=True)
class BufferLimits:
    """How much may be buffered, in records and in bytes of memory; overrun by a fourth at most.

    A partition takes a fourth of it at most. Whatever the others hold, each may hold a few records: the next one of all
    may be among them.
    """

    records: int = 24_000
    memory_bytes: int = 48 * 1024 * 1024


class Flow:
    """Decides which partitions pause.

    Between pausing and resuming lies half of what is allowed, because what was fetched when one pauses is thrown away.
    """

    def __init__(self, limits: BufferLimits) -> None:
        self._limits = limits
        self._fewest = 16
        self._most = max(limits.records // 4, 1)
        self._most_bytes = max(limits.memory_bytes // 4, 1)
        self.records = 0
        self.weight = 0

    def share(self, feeds: int) -> None:
        """Tell between how many partitions the buffer is shared."""
        self._fewest = max(16, self._limits.records // (8 * max(feeds, 1)))

    def room(self, feed: Feed) -> int:
        """How many records of the partition may be buffered now."""
        full = self.records >= self._limits.records or self.weight >= self._limits.memory_bytes
        if full or feed.weight >= self._most_bytes:
            return max(self._fewest - feed.held, 0)
        return max(self._fewest - feed.held, min(self._most * 2 - feed.held, self._spare()), 0)

    def add(self, feed: Feed, records: Iterable[ConsumerRecord], count: int) -> None:
        """Count records as buffered."""
        weight = count * _RECORD_OVERHEAD_BYTES + sum(
            len(record.value or b"") + len(record.key or b"") for record in records
        )
        feed.chunks.append((count, weight))
        feed.held += count
        feed.weight += weight
        self.records += count
        self.weight += weight

    def settle(self, feed: Feed, buffered: int) -> None:
        """Take note of how many records are still buffered."""
        self.records -= feed.held - buffered
        taken = feed.held - buffered
        feed.held = buffered
        while taken and feed.chunks:
            count, weight = feed.chunks[0]
            part = weight if taken >= count else weight * taken // count
            feed.weight -= part
            self.weight -= part
            if taken < count:
                feed.chunks[0] = (count - taken, weight - part)
                return
            feed.chunks.popleft()
            taken -= count

    def pauses(self, feed: Feed) -> bool:
        """Whether the partition should be paused now, or stay so."""
        if feed.held < self._fewest:
            return False
        if feed.paused:
            return self._is_filled(3) or feed.held > self._most // 2 or feed.weight > self._most_bytes // 2
        # As a rule one answer of the broker is on its way, and is to fit in.
        return self._is_filled(5) or feed.held >= self._most or feed.weight >= self._most_bytes

    def _is_filled(self, eighths: int) -> bool:
        limits = self._limits
        return self.records > limits.records * eighths // 8 or self.weight > limits.memory_bytes * eighths // 8

    def _spare(self) -> int:
        return self._limits.records + self._limits.records // 8 - self.records
