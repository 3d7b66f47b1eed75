"""Which partitions have not learned yet that a producer's transaction is over: its commit is acknowledged before."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import CorruptRecordException, TopicAuthorizationFailedError
from aiokafka.record.memory_records import MemoryRecords

from worker.kafka.broker import READ_UNCOMMITTED, Probe, TopicLook, looks_at
from worker.kafka.input.raw_batches import heads
from worker.kafka.output.place import Place, named

_log = structlog.get_logger(__name__)

_FETCH_BYTES: Final = 1024 * 1024
_FIRST_PAUSE_SECONDS: Final = 0.001
_LONGEST_PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """A record of a transaction that is not over in its partition."""

    topic: str
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Look:
    """What was found at some places. `asked` are those whose leader answered."""

    asked: set[Place]
    own: dict[Place, list[OpenRecord]]
    """The records of the producer's own transaction that is open there."""
    of_others: dict[Place, int]
    """Where other producers have a transaction open, before the producer's own one if there is one: up to which offset.
    """
    until_others_are_over: Callable[[], Awaitable[None]]
    """Waits until readers of committed records see what is behind those. Whoever calls it limits the time."""


class OpenTransactions:
    """Of one producer, asked for over its own connections, which it does not use meanwhile."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._probe = Probe(producer.client)
        self._unfinished: dict[KafkaPartition, int] = {}

    def __str__(self) -> str:
        """What `until_over` waits for, in words."""
        return f"the end of the transaction in {named(self._unfinished)}"

    async def look(self, places: Collection[Place]) -> Look:
        """See what is open at these places. Whoever calls this limits the time.

        Raises:
            KafkaError, OSError: the broker is away, or it may not be read what is open.
        """
        await self._producer.client.force_metadata_update()
        looks = self._looks(KafkaPartition(*place) for place in places)
        ended, stable = await asyncio.gather(self._probe.ends(looks), self._probe.stable_ends(looks))
        spans = {at: (stable.known[at], ended.known[at]) for at in ended.known.keys() & stable.known.keys()}
        own, of_others = dict[Place, list[OpenRecord]](), dict[Place, int]()
        for at, (start, end) in spans.items():
            records = await self._own_records(at, start, end)
            if records:
                own[at] = records
            if start < (behind := records[0].offset if records else end):
                of_others[at] = behind
        return Look(set(spans), own, of_others, partial(self._until_readers_reach, of_others))

    async def _until_readers_reach(self, offsets: Mapping[Place, int]) -> None:
        behind = {KafkaPartition(*place): offset for place, offset in offsets.items()}
        if behind:
            _log.warning("relay.hidden_by_another_producer", places=named(offsets))
        while behind:
            stable = (await self._probe.stable_ends(self._looks(behind))).known
            behind = {at: offset for at, offset in behind.items() if stable.get(at, 0) < offset}
            if behind:
                await self._producer.client.force_metadata_update()
                await asyncio.sleep(_LONGEST_PAUSE_SECONDS)

    async def until_over(self, written: Mapping[Place, int]) -> None:
        """Wait until each place shows the end of the transaction that wrote to this offset there.

        The end may never reach a partition that has no leader when the transaction ends (KAFKA-20734). Whoever calls
        this limits the time.

        Raises:
            KafkaError, OSError: no broker answers.
        """
        self._unfinished = {KafkaPartition(*place): offset for place, offset in written.items()}
        pause = _FIRST_PAUSE_SECONDS
        while True:
            stable = await self._probe.stable_ends(self._looks(self._unfinished))
            self._unfinished = {
                at: offset for at, offset in self._unfinished.items() if stable.known.get(at, 0) <= offset
            }
            if pause == _LONGEST_PAUSE_SECONDS:
                await self._strike_out_what_only_others_hold()
            if not self._unfinished:
                return
            if stable.unavailable:
                await self._producer.client.force_metadata_update()
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def _strike_out_what_only_others_hold(self) -> None:
        """A partition that another producer's transaction holds back may have had the end of ours long ago."""
        looks = self._looks(self._unfinished)
        ends = (await self._probe.ends(looks)).known
        for at, offset in list(self._unfinished.items()):
            try:
                if at in ends and not await self._own_batches(at, offset, ends[at]):
                    del self._unfinished[at]
            except TopicAuthorizationFailedError:
                continue  # the last stable offset has to say it

    async def _own_records(self, at: KafkaPartition, start: int, end: int) -> list[OpenRecord]:
        return [
            OpenRecord(at.topic, record.offset, record.key, record.value, record.headers)
            for batch in await self._own_batches(at, start, end)
            for record in MemoryRecords(batch).next_batch()
        ]

    async def _own_batches(self, at: KafkaPartition, start: int, end: int) -> list[bytes]:
        """The producer's batches between these offsets that no end of a transaction of its own follows."""
        producer_id, found = self._producer._txn_manager.producer_id, list[bytes]()  # noqa: SLF001 - there is no public one
        leader = self._producer.client.cluster.leader_for_partition(at)
        while start < end:
            fetched = await self._probe.fetch(at, leader, start, isolation=READ_UNCOMMITTED, limit_bytes=_FETCH_BYTES)
            reached = start
            for head, batch in heads(fetched.batches):
                reached = head.last_offset + 1
                if head.producer_id != producer_id or head.last_offset >= end:
                    continue
                if head.is_control:
                    found.clear()
                else:
                    found.append(batch)
            if reached == start:
                raise CorruptRecordException(f"{at.topic}, partition {at.partition} has no batch at {start}")
            start = reached
        return found

    def _looks(self, partitions: Iterable[KafkaPartition]) -> dict[str, TopicLook]:
        return looks_at({at: self._producer.client.cluster.leader_for_partition(at) for at in partitions})
