"""Questions to the broker that a consumer does not ask, on a connection of their own, which no long poll delays."""

import asyncio
import math
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Self

from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.protocol.admin import ApiVersionRequest, DescribeConfigsRequest, DescribeGroupsRequest
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest

from worker.futures import end_in_time
from worker.kafka.config_requests import SetTopicSettings
from worker.kafka.guards import guard_clients
from worker.kafka.metadata_request import TopicsRequest
from worker.kafka.troubles import NO_LEADER, refusal, what_code_says, what_error_says

READ_UNCOMMITTED: Final = 0
READ_COMMITTED: Final = 1

_EARLIEST: Final = -2
_LATEST: Final = -1
_LARGEST_ANSWER_BYTES: Final = 32 * 1024 * 1024
_TOPIC_RESOURCE: Final = 2
_AVOIDED_SECONDS: Final = 30.0
_SECONDS: Final = 20.0
_REQUEST_TIMEOUT_MS: Final = 5_000
_CLOSE_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class TopicLook:
    """A topic as the cluster knows it now; deleted and made again it has another `topic_id` (None: not told)."""

    topic_id: bytes | None
    leaders: Mapping[int, int]
    """Partition to node; -1 where it has no leader now."""


def looks_at(leaders: Mapping[KafkaPartition, int | None]) -> dict[str, TopicLook]:
    """Looks at just these partitions, to be asked about, by their leaders (none: they cannot be asked now)."""
    by_topic: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for at, leader in leaders.items():
        by_topic[at.topic][at.partition] = -1 if leader is None else leader
    return {topic: TopicLook(None, of_topic) for topic, of_topic in by_topic.items()}


@dataclass(frozen=True, slots=True)
class TopicLooks:
    """Which topics there are, and those that this user may not see or that are not led, each with the reason."""

    found: dict[str, TopicLook]
    denied: dict[str, str]


@dataclass(frozen=True, slots=True)
class Offsets:
    """Offsets of partitions, and the partitions that cannot be asked now, each with the reason."""

    known: dict[KafkaPartition, int]
    unavailable: dict[KafkaPartition, str]


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a log holds from an offset on: whole batches, as stored."""

    batches: bytes
    aborted: list[tuple[int, int]]
    """Producer id and first offset of the aborted transactions in it, when asked read_committed."""


class Probe:
    """A client for looks at topics and logs. Methods raise aiokafka's KafkaError when the broker does not answer well.

    It asks over the connections of `client`. With a client that others use, these start and stop it.
    """

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client
        self._coordinator: int | None = None
        self._failed_at: dict[int, float] = {}

    @classmethod
    def to(cls, kafka: Mapping[str, Any]) -> Self:
        """A probe with a client of its own; `kafka` are aiokafka's connection arguments."""
        guard_clients()
        return cls(AIOKafkaClient(**kafka))

    async def start(self) -> None:
        """Connect."""
        await self._client.bootstrap()

    async def stop(self) -> None:
        """Close the connections; one whose other end takes nothing more does not keep it from ending."""
        await end_in_time(self._client.close(), _CLOSE_SECONDS)

    async def topics(self, names: Iterable[str]) -> TopicLooks:
        """Those of the topics that exist, or may exist. None is made by asking.

        Raises:
            KafkaError: the broker does not answer.
        """
        answer = await self._ask(self._any_node(), TopicsRequest(sorted(names)))
        looks: dict[str, TopicLook] = {}
        denied: dict[str, str] = {}
        for error_code, name, *rest in answer.topics:
            if error_code == errors.UnknownTopicOrPartitionError.errno:
                continue
            if error_code:
                denied[name] = what_code_says(error_code)
                continue
            topic_id = rest[0] if answer.API_VERSION >= 10 else None  # noqa: PLR2004 - the first version with ids
            looks[name] = TopicLook(topic_id, {part[1]: part[2] for part in rest[-1 if topic_id is None else 2]})
        if set(looks) - self._client._topics:  # noqa: SLF001 - what its own refreshes ask for, instead of every topic
            self._client.set_topics(looks)
        return TopicLooks(looks, denied)

    async def rights(self, names: Iterable[str]) -> dict[str, int]:
        """What this user may do with each of the topics, a bit for each operation; nothing where it is not told.

        Raises:
            KafkaError: the broker does not answer.
        """
        answer = await self._ask(self._any_node(), TopicsRequest(sorted(names), with_rights=True))
        if answer.API_VERSION < 10:  # noqa: PLR2004 - as above
            return {}
        return {name: rest[3] for error_code, name, *rest in answer.topics if not error_code and rest[3] >= 0}

    async def requests_known(self) -> dict[int, int]:
        """The requests that a broker understands, by number, each with its newest version.

        Raises:
            KafkaError: the broker does not answer.
        """
        answer = await self._ask(self._any_node(), ApiVersionRequest())
        return {key: newest for key, _, newest in answer.api_versions}

    async def starts(self, looks: Mapping[str, TopicLook]) -> Offsets:
        """The first offset of each partition's log."""
        return await self._offsets(looks, _EARLIEST)

    async def ends(self, looks: Mapping[str, TopicLook]) -> Offsets:
        """The offset after the last record of each partition's log, open transactions included."""
        return await self._offsets(looks, _LATEST)

    async def stable_ends(self, looks: Mapping[str, TopicLook]) -> Offsets:
        """The last stable offset of each partition: how far a read_committed reader gets."""
        return await self._offsets(looks, _LATEST, READ_COMMITTED)

    async def first_since(self, looks: Mapping[str, TopicLook], instant: datetime) -> Offsets:
        """The offset of the first record of each partition whose timestamp is that or later; -1 where there is none."""
        return await self._offsets(looks, max(0, math.ceil(instant.timestamp() * 1000)))

    async def fetch(self, tp: KafkaPartition, leader: int, offset: int, *, isolation: int, limit_bytes: int) -> Fetched:
        """The batches from the one with `offset` on: at least that one, whatever its size; empty at the end of the log.

        Raises:
            OffsetOutOfRangeError: the log does not reach there.
            KafkaError: the partition cannot be read now.
        """
        where = [(tp.topic, [(tp.partition, offset, limit_bytes)])]
        answer = await self._ask(leader, FetchRequest(0, 0, _LARGEST_ANSWER_BYTES, isolation, where))
        if not answer.topics:
            raise errors.RequestTimedOutError(f"broker {leader} has throttled this user: a quota is used up")
        ((_, ((_, error_code, _, *rest),)),) = answer.topics
        if error_code:
            raise refusal(error_code, tp)
        aborted = rest[2] if answer.API_VERSION >= 11 else rest[-2]  # noqa: PLR2004 - from 11 on a replica is told after it
        return Fetched(bytes(rest[-1] or b""), list(aborted or ()))

    async def is_compacted(self, topic: str) -> bool:
        """Whether records of the topic may be gone because a later one has their key; False where we may not ask."""
        seen = await self.settings([topic], ["cleanup.policy"])
        return "compact" in seen.get(topic, {}).get("cleanup.policy", "")

    async def unreadable(
        self, looks: Mapping[str, TopicLook], offsets: Mapping[KafkaPartition, int]
    ) -> dict[KafkaPartition, str]:
        """Which of the partitions refuse to be read at these offsets, each with the reason. Nothing is read of them."""
        by_leader: defaultdict[int, defaultdict[str, list[tuple[int, int, int]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        for tp, offset in offsets.items():
            by_leader[looks[tp.topic].leaders[tp.partition]][tp.topic].append((tp.partition, offset, 1))

        async def of_leader(leader: int, topics: Mapping[str, list[tuple[int, int, int]]]) -> dict[KafkaPartition, str]:
            request = FetchRequest(0, 0, 1, READ_COMMITTED, list(topics.items()))
            try:
                answer = await self._ask(leader, request)
            except (errors.KafkaError, OSError, TimeoutError) as error:
                why = what_error_says(error, leader)
                return {KafkaPartition(topic, asked[0]): why for topic, parts in topics.items() for asked in parts}
            return {
                KafkaPartition(topic, partition): what_code_says(error_code)
                for topic, partitions in answer.topics
                for partition, error_code, *_ in partitions
                if error_code not in (0, errors.OffsetOutOfRangeError.errno)
            }

        found: dict[KafkaPartition, str] = {}
        for refused in await asyncio.gather(*(of_leader(leader, topics) for leader, topics in by_leader.items())):
            found |= refused
        return found

    async def settings(self, topics: Iterable[str], names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Those settings of the topics; not of topics whose settings this user may not see, or that are gone.

        Raises:
            KafkaError: the broker does not answer.
        """
        resources = [(_TOPIC_RESOURCE, topic, list(names)) for topic in topics]
        if not resources:
            return {}
        answer = await self._ask(self._any_node(), DescribeConfigsRequest(resources))
        return {
            topic: {entry[0]: entry[1] for entry in entries if entry[1] is not None}
            for error_code, _, _, topic, entries in answer.resources
            if not error_code
        }

    async def set_settings(self, settings: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Set settings of topics, and leave their others as they are; the topics that were refused, with the reason.

        Raises:
            KafkaError: the broker does not answer.
        """
        answer = await self._ask(self._any_node(), SetTopicSettings(settings))
        return {
            topic: message or str(errors.for_code(error_code).message)
            for error_code, message, _, topic in answer.resources
            if error_code
        }

    async def has_transaction_coordinator(self, transactional_id: str) -> bool:
        """Whether the cluster names a broker that keeps the transactions of that id.

        Raises:
            KafkaError: the broker does not answer, or this user has no right to the id.
        """
        try:
            await self._client.coordinator_lookup(CoordinationType.TRANSACTION, transactional_id)
        except (errors.CoordinatorNotAvailableError, errors.GroupCoordinatorNotAvailableError):
            return False
        return True

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

    async def group_members(self, group_id: str) -> int:
        """How many members the group has now; a worker is not one, it only writes offsets there.

        Raises:
            KafkaError, OSError, TimeoutError: the coordinator does not answer, or this user may not ask.
        """
        coordinator = await self._client.coordinator_lookup(CoordinationType.GROUP, group_id)
        answer = await self._ask(coordinator, DescribeGroupsRequest([group_id]), ConnectionGroup.COORDINATION)
        ((error_code, _, _, _, _, members, *_),) = answer.groups
        if error_code:
            raise errors.for_code(error_code)(group_id)
        return len(members)

    async def _offsets(self, looks: Mapping[str, TopicLook], which: int, isolation: int = READ_UNCOMMITTED) -> Offsets:
        """Ask each leader for the offsets of its partitions; those that cannot be asked keep none of the others.

        Raises:
            KafkaError, OSError, TimeoutError: no broker answers.
        """
        offsets = Offsets({}, {})
        by_leader: defaultdict[int, defaultdict[str, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
        for topic, look in looks.items():
            for partition, leader in look.leaders.items():
                if leader < 0:
                    offsets.unavailable[KafkaPartition(topic, partition)] = NO_LEADER
                else:
                    by_leader[leader][topic].append((partition, which))
        answers = await asyncio.gather(
            *(
                self._ask(leader, OffsetRequest(-1, isolation, list(topics.items())))
                for leader, topics in by_leader.items()
            ),
            return_exceptions=True,
        )
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        if failed and len(failed) == len(answers):
            raise failed[0]
        for (leader, topics), answer in zip(by_leader.items(), answers, strict=True):
            if isinstance(answer, BaseException):
                why = what_error_says(answer, leader)
                for topic, partitions in topics.items():
                    offsets.unavailable.update((KafkaPartition(topic, partition), why) for partition, _ in partitions)
            else:
                _note_offsets(answer, offsets)
        return offsets

    def _any_node(self) -> int:
        """A broker, if possible one that has not failed to answer just now."""
        nodes = [broker.nodeId for broker in self._client.cluster.brokers()]
        if not nodes:
            raise errors.NodeNotReadyError("no broker is known")
        since = time.monotonic() - _AVOIDED_SECONDS
        good = [node for node in nodes if self._failed_at.get(node, -math.inf) < since]
        return int(random.choice(good or nodes))  # noqa: S311 - a spread, not a secret

    # Answers are structures that aiokafka builds at run time from the protocol's schemas.
    async def _ask(self, node: int, request: object, group: ConnectionGroup = ConnectionGroup.DEFAULT) -> Any:  # noqa: ANN401
        try:
            return await self._client.send(node, request, group=group)
        except (errors.KafkaError, OSError, TimeoutError):
            self._failed_at[node] = time.monotonic()
            raise


@asynccontextmanager
async def probing(kafka: Mapping[str, Any], seconds: float | None = _SECONDS) -> AsyncIterator[Probe]:
    """A probe for some questions, which all end in time. One broker that is silent leaves time to ask the others.

    `seconds`: for all of them together. None: they are many, and each ends by itself.

    Raises:
        KafkaError, OSError, TimeoutError: no broker answers.
    """
    async with asyncio.timeout(seconds):
        probe = Probe.to({**kafka, "request_timeout_ms": _REQUEST_TIMEOUT_MS})
        try:
            await probe.start()
            yield probe
        finally:
            await probe.stop()


def _note_offsets(answer: Any, offsets: Offsets) -> None:  # noqa: ANN401 - as above
    for topic, partitions in answer.topics:
        for partition, error_code, _, offset in partitions:
            if error_code:
                offsets.unavailable[KafkaPartition(topic, partition)] = what_code_says(error_code)
            else:
                offsets.known[KafkaPartition(topic, partition)] = offset
