"""Which partitions there are, which of them are read, and which must not be read on."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import structlog
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from worker.kafka.broker import READ_COMMITTED, Probe, TopicLook, TopicLooks, looks_at
from worker.kafka.holds import Holds, hold_of
from worker.kafka.input.buffers import PartitionBuffer
from worker.kafka.input.merge import Merge
from worker.kafka.input.verify import Verdict, recreated, verify
from worker.kafka.records import Position, TopicPartition
from worker.kafka.troubles import NO_LEADER, Unavailable, what_error_says
from worker.wall_clock import WallClock

if TYPE_CHECKING:
    from datetime import datetime

_QUESTIONS_AT_ONCE: Final = 16
_NEW: Final = "is new"
"""Why a partition that was just found is not read yet."""

_log = structlog.get_logger(__name__)


class AssignedPartitions:
    """The partitions of the input topics, compared with the cluster again and again.

    Keeps `merge` told of partitions that come and of those that stop. Topics are named as in the contract, and
    stand in Kafka behind `prefix`.
    """

    def __init__(self, probe: Probe, topics: Sequence[str], prefix: str, clock: WallClock, merge: Merge) -> None:
        self.probe = probe
        self._topics = {prefix + topic: topic for topic in topics}
        self._prefix = prefix
        self._clock = clock
        self._merge = merge
        self._surveying = asyncio.Lock()
        self.feeds: dict[KafkaPartition, PartitionBuffer] = {}
        self.sources: dict[TopicPartition, KafkaPartition] = {}
        self.stopped: dict[TopicPartition, str] = {}
        self.looks: dict[str, TopicLook] = {}
        self._denied: dict[str, str] = {}
        self.missing_topics: set[str] = set()
        self.surveyed_at: datetime | None = None
        self.holds: Holds = {}
        self.changed = False
        """Set when `readable` tells other partitions than before."""

    async def open(self, positions: Mapping[TopicPartition, Position], holds: Holds) -> None:
        """Find the partitions and verify their positions; those that are on hold are not to be read.

        Raises:
            KafkaError, OSError, TimeoutError: no broker answers.
        """
        self.holds = dict(holds)  # the caller's may change
        looks = await self.probe.topics(self._topics)
        self._note(looks)
        sources = {tp: self._source(tp) for tp in _partitions(looks.found)}
        verdicts = await verify(self.probe, looks.found, sources, positions)
        for tp, source in sources.items():
            self._judge(self._add(tp, positions.get(source)), verdicts[source])
        for source, position in positions.items():
            topic = self._prefix + source.topic
            if source not in self.sources and topic in looks.found:
                self._merge.open(source, running_max=position.running_max)
                self._merge.stop(source, discard=True)
                self.stopped[source] = recreated(source, "the topic has fewer partitions now")
            elif source not in self.sources and topic in looks.denied:
                self._add_denied(KafkaPartition(topic, source.partition), position)
        self._await_denied()

    def readable(self) -> list[KafkaPartition]:
        """The partitions to be read."""
        return [tp for tp, feed in self.feeds.items() if not (feed.is_left or feed.gone or feed.unavailable)]

    @property
    def is_troubled(self) -> bool:
        """Whether some partition is waited for: then the cluster is to be looked at more often."""
        return any(feed.unavailable and not (feed.stopped or feed.gone) for feed in self.feeds.values())

    def hold(self, holds: Holds) -> None:
        """Read no more of the partitions that are on hold now, and go on with those that no longer are."""
        self.holds = dict(holds)
        for feed in self.feeds.values():
            self._hold(feed)

    def _hold(self, feed: PartitionBuffer) -> None:
        hold, before = hold_of(self.holds, feed.source), feed.hold
        if hold == before:
            return
        feed.hold = hold
        if hold is None:
            self._merge.resume(feed.source)
            feed.heard_at = time.monotonic()
        else:
            if before is None:
                head = self._merge.head(feed.source)
                feed.put_on_hold(hold, None if head is None else head.offset)
            self._merge.hold(feed.source, lets_time_go_on=hold.lets_time_go_on)
        if hold is None or before is None:
            self.changed = True
            what = "intake.partition-resumed" if hold is None else "intake.partition-on-hold"
            _log.warning(what, topic=feed.source.topic, partition=feed.source.partition, offset=feed.position)

    async def see_ends_of_holds(self) -> None:
        """See where the logs of partitions on hold end: the consumer does not read them, and they may grow.

        Raises:
            KafkaError, OSError, TimeoutError: the broker does not answer.
        """
        feeds = [feed for feed in self.feeds.values() if feed.hold and not (feed.stopped or feed.gone)]
        if not feeds:
            return
        ends = (await self.probe.stable_ends(looks_at({feed.tp: feed.leader for feed in feeds}))).known
        for feed in feeds:
            if feed.hold is not None and feed.tp in ends:
                feed.end = ends[feed.tp]
                feed.arrivals.see(feed.end, time.monotonic())

    async def survey(self) -> None:
        """Look at the topics again: wait for new partitions, and stop those of recreated topics.

        It asks one broker only, whichever answers: reading waits for it.

        Raises:
            KafkaError, OSError, TimeoutError: the broker does not answer.
        """
        async with self._surveying:
            looks = await self.probe.topics(self._topics)
            for feed in self.feeds.values():
                if feed.tp.topic not in looks.denied:
                    self._recognise(feed, looks.found.get(feed.tp.topic))
            self._note(looks)
            for tp in _partitions(looks.found):
                if tp not in self.feeds and self._source(tp) not in self.stopped:
                    self.lose(self._add(tp, None), _NEW)
            self._await_denied()
            for feed in self.feeds.values():
                if feed.leader < 0 and feed.tp.topic in looks.found and not feed.gone:
                    self.lose(feed, NO_LEADER)

    async def examine(self, feeds: Iterable[PartitionBuffer]) -> None:
        """Find out which of these partitions can be read, and why the others cannot; new ones begin at their beginning.

        It asks their leaders, any of which may take long to answer: nothing else waits for it.
        """
        turns = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

        async def look(feed: PartitionBuffer) -> None:
            asked_of = (feed.leader, feed.topic_id)
            if feed.stopped or feed.gone or feed.leader < 0:
                return
            async with turns:
                verdict = await (self._verdict(feed) if feed.unverified else self._reachable(feed))
            if not feed.stopped and not feed.gone and (feed.leader, feed.topic_id) == asked_of:
                self._judge(feed, verdict)

        await asyncio.gather(*(look(feed) for feed in feeds))

    def stop(self, feed: PartitionBuffer, reason: str, *, discard: bool = True) -> None:
        """Read a partition no more; the others go on, the clock is held. `discard` what is buffered of it, or not."""
        if feed.stopped:
            return
        feed.stopped = True
        self.stopped[feed.source] = reason
        self._merge.stop(feed.source, discard=discard)
        _log.error("intake.partition-stopped", topic=feed.source.topic, partition=feed.source.partition, reason=reason)

    def lose(self, feed: PartitionBuffer, why: str) -> None:
        """Read a partition no more until `survey` finds that it can be read."""
        if feed.unavailable is None:
            feed.unavailable_at = time.monotonic()
            self.changed = True
        elif feed.unavailable.why == why:
            return
        since = self._clock.now() if feed.unavailable is None else feed.unavailable.since
        feed.unavailable = Unavailable(why, since)
        if why != _NEW:
            _log.warning("intake.partition-waits", topic=feed.source.topic, partition=feed.source.partition, why=why)

    async def _verdict(self, feed: PartitionBuffer) -> Verdict:
        """Compare a partition with its stored position, before anything is read of it."""
        looks = {feed.tp.topic: TopicLook(feed.topic_id, {feed.tp.partition: feed.leader})}
        positions = {} if feed.verify_from is None else {feed.source: feed.verify_from}
        try:
            verdicts = await verify(self.probe, looks, {feed.tp: feed.source}, positions)
        except (KafkaError, OSError, TimeoutError) as error:
            return Verdict(feed.position, unavailable=what_error_says(error, feed.leader))
        return verdicts[feed.source]

    async def _reachable(self, feed: PartitionBuffer) -> Verdict:
        """Whether a partition can be read at its position now; if its log is at fault, reading it finds out why."""
        try:
            await self.probe.fetch(feed.tp, feed.leader, feed.position, isolation=READ_COMMITTED, limit_bytes=1)
        except OffsetOutOfRangeError:
            pass
        except (KafkaError, OSError, TimeoutError) as error:
            return Verdict(feed.position, unavailable=what_error_says(error, feed.leader))
        return Verdict(feed.position)

    def _judge(self, feed: PartitionBuffer, verdict: Verdict) -> None:
        """Act upon what was found about a partition: read it, wait for it, or stop it."""
        if verdict.unavailable is not None:
            self.lose(feed, verdict.unavailable)
            return
        if feed.unverified:
            feed.unverified, feed.verify_from = False, None
            feed.next_offset = feed.position = verdict.offset
        if verdict.wrong is not None:
            self.stop(feed, verdict.wrong)
            return
        if feed.unavailable is not None:
            feed.heard_at = time.monotonic()
            if feed.unavailable.why != _NEW:
                _log.info("intake.partition-read", topic=feed.source.topic, partition=feed.source.partition)
            feed.unavailable = None
            self.changed = True

    def _recognise(self, feed: PartitionBuffer, look: TopicLook | None) -> None:
        """See whether a partition's topic is still the one it was."""
        was_gone, feed.gone = feed.gone, look is None
        self.changed = self.changed or was_gone != feed.gone
        if look is None or feed.stopped:
            return
        # A broker that tells no ids leaves one sign: that there was no such topic for a while.
        same = look.topic_id == feed.topic_id if look.topic_id is not None else not was_gone
        if same:
            return
        is_unread = feed.next_offset == 0 and feed.position == 0
        if is_unread or (feed.unverified and feed.tp.partition in look.leaders):
            feed.topic_id = look.topic_id  # nothing was ever read of the old one, or it is compared before it is read
        elif feed.tp.partition not in look.leaders:
            self.stop(feed, recreated(feed.source, "the topic has fewer partitions now"))
        else:
            self.stop(feed, recreated(feed.source, "another topic has its name now"))

    def _note(self, looks: TopicLooks) -> None:
        self.looks, self._denied = looks.found, looks.denied
        known = looks.found.keys() | looks.denied.keys()
        self.missing_topics = {name for topic, name in self._topics.items() if topic not in known}
        self.surveyed_at = self._clock.now()
        for tp, feed in self.feeds.items():
            look = looks.found.get(tp.topic)
            feed.leader = -1 if look is None else look.leaders.get(tp.partition, -1)

    def _add(self, tp: KafkaPartition, position: Position | None) -> PartitionBuffer:
        source = self._source(tp)
        look = self.looks.get(tp.topic)
        feed = PartitionBuffer(
            source,
            tp,
            incarnation=0 if position is None else position.incarnation,
            position=0 if position is None else position.next_offset,
            topic_id=None if look is None else look.topic_id,
        )
        feed.leader = -1 if look is None else look.leaders.get(tp.partition, -1)
        feed.unverified, feed.verify_from = True, position
        self.feeds[tp] = feed
        self.sources[source] = tp
        self._merge.open(source, running_max=None if position is None else position.running_max)
        self._hold(feed)
        return feed

    def _add_denied(self, tp: KafkaPartition, position: Position | None) -> None:
        self.lose(self._add(tp, position), self._denied[tp.topic])

    def _await_denied(self) -> None:
        """Wait for the topics that we may not see: each has one partition at least."""
        for topic in self._denied:
            feeds = [feed for feed in self.feeds.values() if feed.tp.topic == topic]
            for feed in feeds:
                self.lose(feed, self._denied[topic])
            if not feeds:
                self._add_denied(KafkaPartition(topic, 0), None)

    def _source(self, tp: KafkaPartition) -> TopicPartition:
        return TopicPartition(self._topics[tp.topic], tp.partition)


def _partitions(looks: Mapping[str, TopicLook]) -> list[KafkaPartition]:
    return [KafkaPartition(topic, partition) for topic, look in sorted(looks.items()) for partition in look.leaders]
