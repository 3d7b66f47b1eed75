"""How much is read ahead: what is known of each partition being read, and when its reading pauses."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiokafka import TopicPartition as KafkaPartition
from aiokafka.structs import ConsumerRecord

from worker.kafka.holds import Hold
from worker.kafka.input.arrivals import Arrivals
from worker.kafka.input.consumer import HEADER_BYTES
from worker.kafka.records import Position, TopicPartition
from worker.kafka.troubles import ALARM_SECONDS, Hidden, Unavailable

_RECORD_OVERHEAD_BYTES: Final = 1_500
"""What a record costs in memory besides its key and value: the event and the objects around it. Measured."""


class PartitionBuffer:
    """One partition being read."""

    __slots__ = (
        "arrivals",
        "awaits_inquiry",
        "awaits_seek",
        "chunks",
        "end",
        "gone",
        "heard_at",
        "held",
        "hidden",
        "hidden_at",
        "hold",
        "incarnation",
        "leader",
        "next_offset",
        "position",
        "source",
        "stopped",
        "told",
        "topic_id",
        "tp",
        "unavailable",
        "unavailable_at",
        "unverified",
        "verify_from",
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
        self.told: tuple[int, int | None, int | None, int | None] | None = None
        """Position, last stable offset, end of the log and time in ms of the last look at it."""
        self.heard_at = 0.0
        """Monotonic time at which its leader last answered."""
        self.leader = -1
        self.hidden: Hidden | None = None
        """What an open transaction hides, since the last stable offset is where it is."""
        self.hidden_at = 0.0
        """Monotonic time of that."""
        self.unavailable: Unavailable | None = None
        """Why it is not read now; it is read when that is over."""
        self.unavailable_at = 0.0
        self.unverified = False
        """Its log was not compared with `verify_from` yet, the position that the ledger has."""
        self.verify_from: Position | None = None
        self.arrivals = Arrivals()
        self.stopped = False
        self.hold: Hold | None = None
        """What an operator put it on hold with; it is not read meanwhile."""
        self.awaits_seek = False
        """It was put on hold since the consumer was told where to read: what comes may be past `next_offset`."""
        self.gone = False
        """Its topic does not exist now."""
        self.awaits_inquiry = False
        """The broker refused its offset, and why is being asked."""
        self.chunks: deque[tuple[int, int]] = deque()
        """What was buffered at a time, in records and bytes, oldest first; some of the first may be taken."""
        self.held = 0
        self.weight = 0

    def see_end(self, end: int, log_end: int | None, now: float, instant: datetime) -> None:
        """Note the last stable offset and the end of the log; `now` is monotonic."""
        behind = 0 if log_end is None else max(log_end - end, 0)
        if not behind:
            self.hidden = None
        elif self.hidden is None or end != self.end:
            self.hidden, self.hidden_at = Hidden(behind, instant), now
        elif behind != self.hidden.records:
            self.hidden = Hidden(behind, self.hidden.since)
        self.end = end
        self.arrivals.see(end, now)

    def put_on_hold(self, hold: Hold, first_buffered: int | None) -> None:
        """Read it no more; what is buffered, from the offset `first_buffered` on, is read again when it is resumed."""
        self.hold, self.awaits_seek = hold, True
        self.told = self.hidden = None
        if first_buffered is not None:
            self.next_offset = self.position = first_buffered

    def is_held_up(self, now: float) -> bool:
        """Whether what keeps it from being read to its end has lasted for long enough that somebody should know."""
        return self.is_hidden(now) or self.is_away(now)

    def is_hidden(self, now: float) -> bool:
        """Whether an open transaction has hidden records of it for that long."""
        return not self._is_over and self.hidden is not None and now - self.hidden_at >= ALARM_SECONDS

    def is_away(self, now: float) -> bool:
        """Whether it could not be read for that long."""
        return not self._is_over and self.unavailable is not None and now - self.unavailable_at >= ALARM_SECONDS

    @property
    def is_left(self) -> bool:
        """Whether it must not be read: it is stopped, or on hold."""
        return self.stopped or self.hold is not None

    @property
    def _is_over(self) -> bool:
        """Whether nothing of it is waited for, whatever else is known: it is stopped, or its topic was deleted."""
        return self.stopped or self.gone


@dataclass(frozen=True, slots=True)
class BufferLimits:
    """How much may be buffered, in records and in bytes of memory; overrun by a fifth at most.

    Records larger than any event overrun the bytes further: nothing more is buffered from `most_memory_bytes` on but
    what the order cannot go on without.
    """

    records: int = 16_000
    memory_bytes: int = 32 * 1024 * 1024
    most_memory_bytes: int = 64 * 1024 * 1024


class FlowControl:
    """Tells how much of each partition may be buffered now.

    The partitions that have something share the buffer evenly: in a merge one that holds a lot would starve those whose
    next record is awaited. Whatever the others hold, each may hold a few, for the next of all may be among them.
    """

    def __init__(self, limits: BufferLimits) -> None:
        self._limits = limits
        self._fewest = self._share = self._share_bytes = self._fewest_bytes = 0
        self.most_at_once = max(limits.records // 16, 1)
        """How many records a poll may bring: the limit for each partition is separate."""
        self.records = 0
        self.weight = 0
        self.share(0, 0)

    def share(self, partitions: int, active: int) -> None:
        """Tell how many partitions there are, and how many of them have something to be read or taken."""
        self._fewest = max(16, self._limits.records // (8 * max(partitions, 1)))
        self._share = max(self._limits.records // max(active, 1), self._fewest)
        self._share_bytes = self._limits.memory_bytes // max(active, 1)
        self._fewest_bytes = self._limits.memory_bytes // (2 * max(partitions, 1))

    def room(self, feed: PartitionBuffer) -> int:
        """How many records of the partition may be buffered now."""
        few = self._fewest - feed.held if feed.weight <= self._fewest_bytes else 0
        if feed.weight >= self._share_bytes or self.weight >= self._limits.memory_bytes:
            return max(few, 0)
        return max(few, min(self._share - feed.held, self._limits.records - self.records), 0)

    @property
    def is_overfull(self) -> bool:
        """Whether so much memory is used that a partition may bring only what is awaited."""
        return self.weight >= self._limits.most_memory_bytes

    def add(self, feed: PartitionBuffer, records: Sequence[ConsumerRecord]) -> None:
        """Count records as buffered."""
        count = len(records)
        weight = count * _RECORD_OVERHEAD_BYTES + sum(
            len(record.value or b"") + len(record.key or b"") + HEADER_BYTES * len(record.headers) for record in records
        )
        feed.chunks.append((count, weight))
        feed.held += count
        feed.weight += weight
        self.records += count
        self.weight += weight

    def settle(self, feed: PartitionBuffer, buffered: int) -> None:
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
