"""In which order records are decided, and up to which instant every input has been seen. Pure: no clock, no Kafka.

Far behind the wall clock the partitions are merged by event time, so that the order of a catch-up depends on nothing
but the topics; within grace of it records are taken as they come. docs/decisions/0002, "Time", says how.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final

from worker.kafka.records import InputRecord, TopicPartition

UNSEEN: Final = datetime.min.replace(tzinfo=UTC)
"""The key of a record before the first valid one of its partition."""


class _MergedPartition:
    """What is known of one partition."""

    __slots__ = (
        "buffer",
        "end",
        "has_own_time",
        "looked_at",
        "on_hold",
        "partition",
        "position",
        "running_max",
        "source",
        "stopped",
        "taken_max",
        "topic",
        "withheld",
    )

    def __init__(self, source: TopicPartition, running_max: datetime | None) -> None:
        self.source = source
        self.topic = source.topic
        self.partition = source.partition
        self.buffer: deque[InputRecord] = deque()
        self.running_max = running_max
        """Of all that was buffered, taken or not."""
        self.taken_max = running_max
        """Of all that was taken."""
        self.position = 0
        self.end: int | None = None
        self.looked_at: datetime | None = None
        self.stopped = False
        self.withheld = False
        self.on_hold = False
        self.has_own_time = False
        """While it is on hold business time does not wait for it."""

    @property
    def is_left_out(self) -> bool:
        """Whether the others go on without its next record. It then holds business time, unless `has_own_time`."""
        return self.stopped or self.withheld or self.on_hold

    def is_finished(self) -> bool:
        """Whether it had been read to its end when last looked at."""
        return self.end is not None and self.position >= self.end

    def clock(self) -> datetime | None:
        """The instant up to which this partition has been seen and taken; None: nothing is known."""
        if self.buffer:
            return self.buffer[0].running_max
        if self.is_finished() and not (self.stopped or self.on_hold) and self.looked_at is not None:
            return self.looked_at
        return self.running_max

    def head_entry(self) -> "_Entry":
        return (self.buffer[0].running_max or UNSEEN, self.topic, self.partition, self)


_Entry = tuple[datetime, str, int, _MergedPartition]
_Rank = tuple[datetime, str, int]


class Merge:
    """The buffers of all partitions, and the one order in which they are emptied.

    `grace` is how close to the wall clock the frontier must be for records to be taken as they come.
    """

    def __init__(self, grace: timedelta) -> None:
        self._grace = grace
        self._lanes: dict[TopicPartition, _MergedPartition] = {}
        self._reached = UNSEEN  # the latest instant told, as a frontier or as business time: neither goes back
        self._heads: list[_Entry] = []  # a heap, kept while merging
        self._arrivals: deque[tuple[_MergedPartition, int]] = deque()  # who brought how many, kept while live
        self._live = False
        self.buffered_total = 0
        """Records buffered in all partitions."""

    def open(self, source: TopicPartition, *, running_max: datetime | None) -> None:
        """Await records of one more partition; `running_max` is that of the records decided before."""
        assert source not in self._lanes, f"{source} is open already"  # noqa: S101 - an invariant
        self._lanes[source] = _MergedPartition(source, running_max)

    def close(self, source: TopicPartition) -> None:
        """Forget a partition and what is buffered of it. It then holds nothing back."""
        lane = self._lanes.pop(source)
        self._discard(lane)

    def stop(self, source: TopicPartition, *, discard: bool) -> None:
        """Await no more of a partition, yet let it hold the clock; `discard` what is buffered, or let it be taken."""
        lane = self._lanes[source]
        lane.stopped = True
        if discard:
            self._discard(lane)

    def withhold(self, source: TopicPartition, *, withheld: bool) -> None:
        """Await no record of a partition for now, or await them again; what is buffered may be taken."""
        self._lanes[source].withheld = withheld

    def hold(self, source: TopicPartition, *, lets_time_go_on: bool) -> None:
        """Discard what is buffered of a partition and await no more of it.

        It holds business time at what was taken, unless `lets_time_go_on`. Held already, only that may change.
        """
        lane = self._lanes[source]
        lane.has_own_time = lets_time_go_on
        if not lane.on_hold:
            lane.on_hold = True
            self._discard(lane)

    def resume(self, source: TopicPartition) -> None:
        """Await records of a partition that was on hold, from the first one that was not taken."""
        lane = self._lanes[source]
        lane.on_hold = lane.has_own_time = False
        lane.end = None  # what was written meanwhile is not known

    def add(self, record: InputRecord) -> None:
        """Buffer a record, later than all of its partition before; sets its `running_max`."""
        self.extend(record.source, (record,))

    def extend(self, source: TopicPartition, records: Sequence[InputRecord]) -> None:
        """Buffer records of one partition, in the order of their offsets, later than all of it before."""
        if not records:
            return
        lane = self._lanes[source]
        largest = lane.running_max
        for record in records:
            event = record.event
            if event is not None and record.rejection is None and (largest is None or event.occurred_at > largest):
                largest = event.occurred_at
            record.running_max = largest
        lane.running_max = largest
        was_empty = not lane.buffer
        lane.buffer.extend(records)
        self.buffered_total += len(records)
        if self._live:
            self._arrivals.append((lane, len(records)))
        elif was_empty:
            heappush(self._heads, lane.head_entry())

    def read_to(self, source: TopicPartition, position: int, end: int | None, looked_at: datetime | None) -> None:
        """Note a look at a partition, all records before `position` being buffered or taken.

        `end` is where its log ends, with what open transactions hide (None: not asked yet), and `looked_at` the wall
        clock when the broker answered.
        """
        lane = self._lanes[source]
        lane.position = position
        lane.end = end
        lane.looked_at = looked_at

    def buffered(self, source: TopicPartition) -> int:
        """Records buffered of one partition."""
        return len(self._lanes[source].buffer)

    def head(self, source: TopicPartition) -> InputRecord | None:
        """The partition's next record, if there is one."""
        buffer = self._lanes[source].buffer
        return buffer[0] if buffer else None

    def frontier(self, now: datetime) -> datetime | None:
        """The instant up to which every input has been seen and taken; None: not known yet.

        Never beyond `now`, the wall clock, and never before what was told earlier.
        """
        reached = now
        for lane in self._timed():
            clock = lane.clock()
            if clock is None:
                return self._told()
            reached = min(reached, clock)
        self._reached = max(self._reached, reached)
        return self._told()

    def held_back_by(self, now: datetime) -> TopicPartition | None:
        """The partition that holds the frontier back; None when it is within grace of the wall clock."""
        slowest = min(self._timed(), key=lambda lane: lane.clock() or UNSEEN, default=None)
        if slowest is None or (slowest.clock() or UNSEEN) >= now - self._grace:
            return None
        return slowest.source

    def take(self, limit: int, now: datetime) -> list[InputRecord]:
        """The next records, at most `limit`, each with its `business_time`; none if the next one must be waited for."""
        if self.is_live(now):
            return self._take_as_they_came(limit, self._told())
        return self._take_merged(limit, now)

    def is_live(self, now: datetime) -> bool:
        """Whether every partition that is not on hold has been seen and taken up to within grace of the wall clock."""
        since, frontier = now - self._grace, self.frontier(now)
        if frontier is not None and frontier >= since:
            return True
        clocks = (lane.clock() for lane in self._lanes.values() if not lane.on_hold)
        return all(clock is not None and clock >= since for clock in clocks)

    def _timed(self) -> Iterator[_MergedPartition]:
        """The partitions that business time waits for."""
        return (lane for lane in self._lanes.values() if not lane.has_own_time)

    def _told(self) -> datetime | None:
        return None if self._reached is UNSEEN else self._reached

    def _take_as_they_came(self, limit: int, frontier: datetime | None) -> list[InputRecord]:
        if not self._live:
            self._live = True
            waiting = sorted(lane.head_entry() for lane in self._lanes.values() if lane.buffer)
            self._arrivals.extend((entry[3], len(entry[3].buffer)) for entry in waiting)
        taken: list[InputRecord] = []
        while self._arrivals and len(taken) < limit:
            lane, brought = self._arrivals.popleft()
            count = min(brought, limit - len(taken))
            if count < brought:
                self._arrivals.appendleft((lane, brought - count))
            next_record = lane.buffer.popleft
            for _ in range(count):
                record = next_record()
                record.business_time = frontier
                taken.append(record)
            lane.taken_max = taken[-1].running_max
        self.buffered_total -= len(taken)
        return taken

    def _take_merged(self, limit: int, now: datetime) -> list[InputRecord]:
        if self._live:
            self._live = False
            self._arrivals.clear()
            self._rebuild_heads()
        heads = self._heads
        cap = self._latest_business_time(now)
        awaited = self._first_awaited()
        taken: list[InputRecord] = []
        while heads and len(taken) < limit:
            first = heads[0]
            if awaited is not None and first[:3] > awaited:
                break
            self._take_run(first, limit, cap, awaited, taken)
            lane = first[3]
            if lane.buffer:
                heapreplace(heads, lane.head_entry())
                continue
            heappop(heads)
            if not (lane.is_left_out or lane.is_finished()):
                break  # its next record may be the next of all
        self.buffered_total -= len(taken)
        return taken

    def _take_run(
        self, first: _Entry, limit: int, cap: datetime, awaited: _Rank | None, taken: list[InputRecord]
    ) -> None:
        """Take from the partition that is first, for as long as its next key is before all others'."""
        key, lane = first[0], first[3]
        buffer = lane.buffer
        others = self._heads[1:3]  # of a heap, the second smallest is one of these
        bound = min(others)[0] if others else None
        if awaited is not None and (bound is None or awaited[0] < bound):
            bound = awaited[0]
        reached = self._reached
        room = limit - len(taken)
        while True:
            record = buffer.popleft()
            if key > reached:
                reached = key if key <= cap else max(cap, reached)
            if reached is not UNSEEN:
                record.business_time = reached
            taken.append(record)
            room -= 1
            if not room or not buffer:
                break
            key = buffer[0].running_max or UNSEEN
            if bound is not None and key >= bound:
                break
        self._reached = reached
        lane.taken_max = record.running_max

    def _latest_business_time(self, now: datetime) -> datetime:
        """The wall clock, or what a stopped or withheld partition, or one on hold, holds it at."""
        cap = now
        for lane in self._timed():
            if lane.stopped or lane.on_hold:
                cap = min(cap, lane.running_max or UNSEEN)
            elif lane.withheld:
                seen = lane.looked_at if lane.is_finished() else lane.running_max
                cap = min(cap, seen or UNSEEN)
        return cap

    def waits_only_for(self, source: TopicPartition) -> bool:
        """Whether nothing can be taken before the next record of this partition has come."""
        awaited = self._first_awaited()
        if awaited is None or awaited[1:] != source:
            return False
        if self._live:
            return not self.buffered_total
        return not self._heads or self._heads[0][:3] > awaited

    def _first_awaited(self) -> _Rank | None:
        """The smallest rank a record not read yet can have: its key is at least its partition's running maximum."""
        return min(
            (
                (lane.running_max or UNSEEN, lane.topic, lane.partition)
                for lane in self._lanes.values()
                if not lane.buffer and not lane.is_left_out and not lane.is_finished()
            ),
            default=None,
        )

    def _discard(self, lane: _MergedPartition) -> None:
        lane.running_max = lane.taken_max
        self.buffered_total -= len(lane.buffer)
        lane.buffer.clear()
        if self._live:
            self._arrivals = deque(arrival for arrival in self._arrivals if arrival[0] is not lane)
        else:
            self._rebuild_heads()

    def _rebuild_heads(self) -> None:
        self._heads[:] = [lane.head_entry() for lane in self._lanes.values() if lane.buffer]
        heapify(self._heads)
