"""How much is read ahead: what is known of each partition being read, and when its reading pauses."""

from collections import deque
from collections.abc import Sequence
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
    """How much may be buffered, in records and in bytes of memory; overrun by a fifth at most."""

    records: int = 16_000
    memory_bytes: int = 32 * 1024 * 1024


class Flow:
    """Tells how much of each partition may be buffered now.

    The partitions that have something share the buffer evenly: in a merge one that holds a lot would starve those whose
    next record is awaited. Whatever the others hold, each may hold a few, for the next of all may be among them.
    """

    def __init__(self, limits: BufferLimits) -> None:
        self._limits = limits
        self._fewest = self._share = self._share_bytes = 0
        self.most_at_once = max(limits.records // 16, 1)
        """How many records a poll may bring: room is asked for each partition apart."""
        self.records = 0
        self.weight = 0
        self.share(0, 0)

    def share(self, partitions: int, active: int) -> None:
        """Tell how many partitions there are, and how many of them have something to be read or taken."""
        self._fewest = max(16, self._limits.records // (8 * max(partitions, 1)))
        self._share = max(self._limits.records // max(active, 1), self._fewest)
        self._share_bytes = self._limits.memory_bytes // max(active, 1)

    def room(self, feed: Feed) -> int:
        """How many records of the partition may be buffered now."""
        few = self._fewest - feed.held
        if feed.weight >= self._share_bytes or self.weight >= self._limits.memory_bytes:
            return max(few, 0)
        return max(few, min(self._share - feed.held, self._limits.records - self.records), 0)

    def add(self, feed: Feed, records: Sequence[ConsumerRecord]) -> None:
        """Count records as buffered."""
        count = len(records)
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
