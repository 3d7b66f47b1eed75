"""Questions to the broker that a consumer does not ask, on a connection of their own, which no long poll delays."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from worker.stream.metadata_request import TopicsRequest

READ_UNCOMMITTED: Final = 0
READ_COMMITTED: Final = 1

_EARLIEST: Final = -2
_LATEST: Final = -1
_LARGEST_ANSWER_BYTES: Final = 32 * 1024 * 1024
_TOPIC_RESOURCE: Final = 2


@dataclass(frozen=True, slots=True)
class TopicLook:
    """A topic as the cluster knows it now; deleted and made again it has another `topic_id` (None: not told)."""

    topic_id: bytes | None
    leaders: Mapping[int, int]
    """Partition to node; -1 where it has no leader now."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a log holds from an offset on: whole batches, as stored."""

    batches: bytes
    aborted: list[tuple[int, int]]
    """Producer id and first offset of the aborted transactions in it, when asked read_committed."""


class Probe:
    """A client for looks at topics and logs. Methods raise aiokafka's KafkaError when the broker does not answer well.

    `kafka` are aiokafka's connection arguments.
    """

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        self._client = AIOKafkaClient(**kafka)
        self._coordinator: int | None = None

    async def start(self) -> None:
        """Connect."""
        await self._client.bootstrap()

    async def stop(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def topics(self, names: Iterable[str]) -> dict[str, TopicLook]:
        """Those of the topics that exist. None is made by asking.

        Raises:
            KafkaError: a topic cannot be told about now, or not to us.
        """
        answer = await self._ask(self._any_node(), TopicsRequest(sorted(names)))
        looks: dict[str, TopicLook] = {}
        for error_code, name, *rest in answer.topics:
            error = errors.for_code(error_code)
            if error is errors.UnknownTopicOrPartitionError:
                continue
            if error is not errors.NoError:
                raise error(name)
            topic_id = rest[0] if answer.API_VERSION >= 10 else None  # noqa: PLR2004 - the first version with ids
            looks[name] = TopicLook(topic_id, {part[1]: part[2] for part in rest[-1 if topic_id is None else 2]})
        if set(looks) - self._client._topics:  # noqa: SLF001 - what its own refreshes ask for, instead of every topic
            self._client.set_topics(looks)
        return looks

    async def starts(self, looks: Mapping[str, TopicLook]) -> dict[KafkaPartition, int]:
        """The first offset of each partition's log."""
        return await self._offsets(looks, _EARLIEST)

    async def ends(self, looks: Mapping[str, TopicLook]) -> dict[KafkaPartition, int]:
        """The offset after the last record of each partition's log, open transactions included."""
        return await self._offsets(looks, _LATEST)

    async def stable_ends(self, looks: Mapping[str, TopicLook]) -> dict[KafkaPartition, int]:
        """The last stable offset of each partition: how far a read_committed reader gets."""
        return await self._offsets(looks, _LATEST, READ_COMMITTED)

    async def fetch(self, tp: KafkaPartition, leader: int, offset: int, *, isolation: int, limit_bytes: int) -> Fetched:
        """The batches from the one with `offset` on: at least that one, whatever its size; empty at the end of the log.

        Raises:
            OffsetOutOfRangeError: the log does not reach there.
        """
        where = [(tp.topic, [(tp.partition, offset, limit_bytes)])]
        answer = await self._ask(leader, FetchRequest(0, 0, _LARGEST_ANSWER_BYTES, isolation, where))
        ((_, ((_, error_code, _, *rest),)),) = answer.topics
        error = errors.for_code(error_code)
        if error is not errors.NoError:
            raise error(tp)
        aborted = rest[2] if answer.API_VERSION >= 11 else rest[-2]  # noqa: PLR2004 - from 11 on a replica is told after it
        return Fetched(bytes(rest[-1] or b""), list(aborted or ()))

    async def is_compacted(self, topic: str) -> bool:
        """Whether records of the topic may be gone because a later one has their key."""
        request = DescribeConfigsRequest([(_TOPIC_RESOURCE, topic, ["cleanup.policy"])])
        answer = await self._ask(self._any_node(), request)
        ((error_code, _, _, _, entries),) = answer.resources
        error = errors.for_code(error_code)
        if error is not errors.NoError:
            raise error(topic)
        return any("compact" in (entry[1] or "") for entry in entries)

    async def commit(self, group_id: str, offsets: Mapping[KafkaPartition, int]) -> None:
        """Write offsets of a group nobody is a member of."""
        if self._coordinator is None:
            self._coordinator = await self._client.coordinator_lookup(CoordinationType.GROUP, group_id)
        topics: defaultdict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for tp, offset in offsets.items():
            topics[tp.topic].append((tp.partition, offset, ""))
        request = OffsetCommitRequest(group_id, -1, "", -1, list(topics.items()))
        try:
            answer = await self._ask(self._coordinator, request, ConnectionGroup.COORDINATION)
            for _, partitions in answer.topics:
                for _, error_code in partitions:
                    if error_code:
                        raise errors.for_code(error_code)(group_id)
        except errors.KafkaError:
            self._coordinator = None
            raise

    async def _offsets(
        self, looks: Mapping[str, TopicLook], which: int, isolation: int = READ_UNCOMMITTED
    ) -> dict[KafkaPartition, int]:
        by_leader: defaultdict[int, defaultdict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for topic, look in looks.items():
            for partition, leader in look.leaders.items():
                by_leader[leader][topic].append((partition, which))
        answers = await asyncio.gather(
            *(
                self._ask(leader, OffsetRequest(-1, isolation, list(topics.items())))
                for leader, topics in by_leader.items()
            )
        )
        offsets: dict[KafkaPartition, int] = {}
        for answer in answers:
            for topic, partitions in answer.topics:
                for partition, error_code, _, offset in partitions:
                    if error_code:
                        raise errors.for_code(error_code)(topic, partition)
                    offsets[KafkaPartition(topic, partition)] = offset
        return offsets

    def _any_node(self) -> int:
        node = self._client.get_random_node()
        if node is None:
            raise errors.NodeNotReadyError("no broker is known")
        return int(node)

    # Answers are structures that aiokafka builds at run time from the protocol's schemas.
    async def _ask(self, node: int, request: object, group: ConnectionGroup = ConnectionGroup.DEFAULT) -> Any:  # noqa: ANN401
        if node < 0:
            raise errors.LeaderNotAvailableError("a partition has no leader now")
        return await self._client.send(node, request, group=group)
