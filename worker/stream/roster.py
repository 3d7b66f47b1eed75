"""Which partitions there are, which of them are read, and which must not be read on."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import structlog
from aiokafka import TopicPartition as KafkaPartition

from worker.stream.alignment import Alignment
from worker.stream.feeds import Feed
from worker.stream.probe import Probe, TopicLook
from worker.stream.records import Position, TopicPartition
from worker.stream.verification import recreated, verify
from worker.stream.wall_clock import WallClock

if TYPE_CHECKING:
    from datetime import datetime

_log = structlog.get_logger(__name__)


class Roster:
    """The partitions of the input topics, compared with the cluster again and again.

    Keeps `alignment` told of partitions that come and of those that stop. Topics are named as in the contract, and
    stand in Kafka behind `prefix`.
    """

    def __init__(
        self, probe: Probe, topics: Sequence[str], prefix: str, clock: WallClock, alignment: Alignment
    ) -> None:
        self.probe = probe
        self._topics = {prefix + topic: topic for topic in topics}
        self._prefix = prefix
        self._clock = clock
        self._alignment = alignment
        self._surveying = asyncio.Lock()
        self.feeds: dict[KafkaPartition, Feed] = {}
        self.sources: dict[TopicPartition, KafkaPartition] = {}
        self.stopped: dict[TopicPartition, str] = {}
        self.looks: dict[str, TopicLook] = {}
        self.missing_topics: set[str] = set()
        self.surveyed_at: datetime | None = None
        self.changed = False
        """Set when `readable` tells other partitions than before."""

    async def open(self, positions: Mapping[TopicPartition, Position]) -> None:
        """Find the partitions and verify their positions.

        Raises:
            KafkaError, OSError: the broker does not answer, or not well.
        """
        looks = await self.probe.topics(self._topics)
        self._note(looks)
        sources = {tp: self._source(tp) for tp in _partitions(looks)}
        verdicts = await verify(self.probe, looks, sources, positions)
        for tp, source in sources.items():
            verdict = verdicts[source]
            feed = self._add(tp, verdict.offset, positions.get(source))
            if verdict.wrong is not None:
                self.stop(feed, verdict.wrong)
        for source, position in positions.items():
            if source not in self.sources and self._prefix + source.topic in looks:
                self._alignment.open(source, running_max=position.running_max)
                self._alignment.stop(source, discard=True)
                self.stopped[source] = recreated(source, "the topic has fewer partitions now")

    def readable(self) -> list[KafkaPartition]:
        """The partitions to be read."""
        return [tp for tp, feed in self.feeds.items() if not (feed.stopped or feed.gone)]

    async def survey(self) -> None:
        """Look at the topics anew: add new partitions, from their beginning, and stop those of topics made anew.

        Raises:
            KafkaError, OSError: the broker does not answer.
        """
        async with self._surveying:
            looks = await self.probe.topics(self._topics)
            new = [tp for tp in _partitions(looks) if tp not in self.feeds and self._source(tp) not in self.stopped]
            starts: Mapping[KafkaPartition, int] = {}
            if new:
                starts = await self.probe.starts({tp.topic: looks[tp.topic] for tp in new})
            for feed in self.feeds.values():
                self._recognise(feed, looks.get(feed.tp.topic))
            self._note(looks)
            for tp in new:
                self._add(tp, starts[tp], None)
                self.changed = True

    def stop(self, feed: Feed, reason: str, *, discard: bool = True) -> None:
        """Read a partition no more; the others go on, the clock is held. `discard` what is buffered of it, or not."""
        if feed.stopped:
            return
        feed.stopped = True
        self.stopped[feed.source] = reason
        self._alignment.stop(feed.source, discard=discard)
        _log.error("intake.partition-stopped", topic=feed.source.topic, partition=feed.source.partition, reason=reason)

    def _recognise(self, feed: Feed, look: TopicLook | None) -> None:
        """See whether a partition's topic is still the one it was."""
        was_gone, feed.gone = feed.gone, look is None
        self.changed = self.changed or was_gone != feed.gone
        if look is None or feed.stopped:
            return
        # A broker that tells no ids leaves one sign: that there was no such topic for a while.
        same = look.topic_id == feed.topic_id if look.topic_id is not None else not was_gone
        if same:
            return
        if feed.next_offset == 0 and feed.position == 0:
            feed.topic_id = look.topic_id  # nothing was ever read of the old one
        elif feed.tp.partition not in look.leaders:
            self.stop(feed, recreated(feed.source, "the topic has fewer partitions now"))
        else:
            self.stop(feed, recreated(feed.source, "another topic has its name now"))

    def _note(self, looks: dict[str, TopicLook]) -> None:
        self.looks = looks
        self.missing_topics = {name for topic, name in self._topics.items() if topic not in looks}
        self.surveyed_at = self._clock.now()

    def _add(self, tp: KafkaPartition, offset: int, position: Position | None) -> Feed:
        source = self._source(tp)
        feed = Feed(
            source,
            tp,
            incarnation=0 if position is None else position.incarnation,
            position=offset,
            topic_id=self.looks[tp.topic].topic_id,
        )
        self.feeds[tp] = feed
        self.sources[source] = tp
        self._alignment.open(source, running_max=None if position is None else position.running_max)
        return feed

    def _source(self, tp: KafkaPartition) -> TopicPartition:
        return TopicPartition(self._topics[tp.topic], tp.partition)


def _partitions(looks: Mapping[str, TopicLook]) -> list[KafkaPartition]:
    return [KafkaPartition(topic, partition) for topic, look in sorted(looks.items()) for partition in look.leaders]
