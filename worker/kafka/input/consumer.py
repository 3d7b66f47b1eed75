"""aiokafka's consumer, made safe to leave to itself.

It starts where it is told to, hands on no more of a partition than there is room for, and no error loses a record.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, client
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.admin import client as admin_client
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import ConsumerStoppedError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import ConsumerRecord

from worker.kafka.input.expansion import Meter

Batches = dict[KafkaPartition, list[ConsumerRecord]]

_POLL_SECONDS: Final = 0.05
_IDLE_WAIT_MS: Final = 250
_BUSY_WAIT_MS: Final = 50
_DRAIN_SECONDS: Final = 0.1
"""How long the next fetch waits for what was fetched to be drained, where there is room for it."""

_BREATH_SECONDS: Final = 0.01
_LONG_BREATH_SECONDS: Final = 0.025
"""While nobody waits for records."""
_FEW_RECORDS: Final = 50

_SUSPICIOUS_SECONDS: Final = 0.02
_AFTER_ERROR_SECONDS: Final = 0.2

_PARTITION_BYTES: Final = 4 * 1024 * 1024
_POLL_BYTES: Final = 16 * 1024 * 1024
"""What a poll brings of one partition, and of all, before the next record is left for the next poll."""
HEADER_BYTES: Final = 150
"""What a header costs in memory, where it is short."""
_EXPANDED_BYTES: Final = 64 * 1024 * 1024
"""How much of expanded batches may be kept, for the records of them that there is no room for yet."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed fetch of one partition. Its position is still `offset`; nothing from there on was handed on.

    There is room for `room` of its records. `is_of_records`: its bytes came and could not be turned into records;
    otherwise the broker refused.
    """

    tp: KafkaPartition
    offset: int
    room: int
    error: Exception
    is_of_records: bool


def forbid_topic_creation() -> None:
    """Keep every client of this process from making topics by asking about them, which is aiokafka's way.

    A broker with `auto.create.topics.enable`, the default, would answer a look at a deleted topic by making it anew.
    """
    for module in (client, admin_client):
        module.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)


class GuardedConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no type information
    """A consumer of assigned partitions.

    `position_of` tells where to read a partition from, `room_for` how many of its records may be handed on now.
    `before_poll` is awaited before each poll, when all records of polls before have been handled; `on_failure` is given
    what went wrong with a partition, and answers with records of it to hand on. `awaited` is set while somebody waits
    for records.

    What there is no room for stays fetched and undecoded. aiokafka, left as it is, would then fetch nothing more from
    that broker for a while, other partitions included, and whoever waits for one of those would wait for long; so its
    prefetch backoff is 0 then. Where there is room it is not: a fetch sent before the last one is drained leaves out
    just the partitions that have something, and the broker keeps it until one of the idle ones has.
    """

    def __init__(
        self,
        *,
        position_of: Callable[[KafkaPartition], int],
        room_for: Callable[[KafkaPartition], int],
        before_poll: Callable[["GuardedConsumer"], Awaitable[None]],
        on_failure: Callable[["GuardedConsumer", Failure], Awaitable[list[ConsumerRecord]]],
        awaited: asyncio.Event,
        **options: Any,  # noqa: ANN401 - aiokafka's own
    ) -> None:
        super().__init__(fetch_max_wait_ms=_IDLE_WAIT_MS, isolation_level="read_committed", **options)
        self._position_of = position_of
        self._room_for = room_for
        self._before_poll = before_poll
        self._on_failure = on_failure
        self._awaited = awaited
        self._outstanding: tuple[KafkaPartition, ...] = ()
        self._holds_back = False
        self._brought_few = False
        self._polled_at = 0.0
        self._expanded: dict[KafkaPartition, int] = {}
        self.metadata_changed = False
        """Set at each refresh of the metadata, which also follows a refused fetch: the topics may be others now."""

    async def start(self) -> None:
        """Connect and begin to fetch."""
        self._client.cluster.add_listener(self._note_metadata)
        await super().start()
        self._fetcher._proc_fetch_request = partial(self._fetch_paced, self._fetcher._proc_fetch_request)  # noqa: SLF001
        self._hold_back(False)

    def assign(self, partitions: Iterable[KafkaPartition]) -> None:
        """Read these partitions, each from its position, at once: a reset has no moment to move one elsewhere."""
        partitions = list(partitions)
        paused = self.paused()
        super().assign(partitions)
        for tp in partitions:
            self._subscription.seek(tp, self._position_of(tp))
            if tp in paused:
                self._subscription.pause(tp)

    async def getmany(
        self, *partitions: KafkaPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> Batches:
        """Poll all partitions; waits a moment for records, whatever `timeout_ms`.

        Raises:
            ConsumerStoppedError: the consumer was stopped. Nothing else.
        """
        del partitions, timeout_ms  # FastStream sleeps the timeout as well after an empty poll, so it is short there
        if self._closed:
            raise ConsumerStoppedError
        await self._pause()
        await self._before_poll(self)
        batches = await self._drained(max_records or 1)
        if not batches:
            waiter = self._fetcher._create_fetch_waiter()  # noqa: SLF001
            await asyncio.wait([waiter], timeout=_POLL_SECONDS)
            waiter.cancel()
            batches = await self._drained(max_records or 1)
        self._outstanding = tuple(batches)
        self._brought_few = sum(map(len, batches.values())) < _FEW_RECORDS
        return batches

    async def _pause(self) -> None:
        """Let a few more come first, if the last poll brought few: a fetch asks for every partition, however few do.

        It costs the worker and the broker a millisecond each. Where nobody waits for records it may be a while longer:
        whoever is busy takes all that has come by then.
        """
        if self._brought_few and not self._holds_back:
            seconds = self._polled_at + _BREATH_SECONDS - time.monotonic()
            if seconds > 0:
                await asyncio.sleep(seconds)
            seconds = self._polled_at + _LONG_BREATH_SECONDS - time.monotonic()
            if seconds > 0 and not self._awaited.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._awaited.wait()
        self._polled_at = time.monotonic()

    def wake(self) -> None:
        """There is room again: a poll that holds records back for want of it need not wait any longer."""
        if self._holds_back:
            for waiter in tuple(self._fetcher._fetch_waiters):  # noqa: SLF001
                self._fetcher._notify(waiter)  # noqa: SLF001

    def take_outstanding(self) -> tuple[KafkaPartition, ...]:
        """The partitions of the last poll's records, unless it was called since: none if all were handled."""
        outstanding, self._outstanding = self._outstanding, ()
        return outstanding

    def looks(self) -> Iterator[tuple[KafkaPartition, int, int | None, int | None, int | None]]:
        """Each partition with its position, its last stable offset, the end of its log and when that was, in ms.

        None: not yet.
        """
        assignment = self._subscription.subscription.assignment
        for tp in assignment.tps:
            state = assignment.state_value(tp)
            yield tp, state.position, state.lso, state.highwater, state.timestamp

    def awaited(self) -> list[KafkaPartition]:
        """The partitions that are to be fetched: not those of which enough is fetched already."""
        return [tp for tp in self.assignment() - self.paused() if tp not in self._fetcher._records]  # noqa: SLF001

    async def _drained(self, limit: int) -> Batches:
        """What is fetched and has room, up to the limit."""
        if self._closed:
            raise ConsumerStoppedError
        fetcher = self._fetcher
        batches: Batches = {}
        failures: list[Failure] = []
        left, left_bytes = limit, _POLL_BYTES
        for tp, result in tuple(fetcher._records.items()):  # noqa: SLF001
            room = min(self._room_for(tp), left)
            if room < 1 or left_bytes < 1:
                continue
            try:
                if isinstance(result, FetchResult):
                    records, weight = self._taken(tp, result, room)
                    if not result.has_more():
                        self._done_with(tp)
                    if records:
                        batches[tp] = records
                        left -= len(records)
                        left_bytes -= weight
                else:
                    self._done_with(tp)
                    result.check_raise()
            except Exception as error:  # noqa: BLE001 - an error that escaped would cost the records polled with it
                error.__traceback__ = None  # it holds this function's records, and would be held by them
                self._done_with(tp)
                offset: int = self._subscription.subscription.assignment.state_value(tp).position
                self.seek(tp, offset)
                failures.append(Failure(tp, offset, room, error, is_of_records=isinstance(result, FetchResult)))
        self._release_expanded()
        self._hold_back(bool(fetcher._records))  # noqa: SLF001
        for failure in failures:
            if records := await self._on_failure(self, failure):
                batches[failure.tp] = records
        return batches

    async def _fetch_paced(self, fetch: Callable[..., Awaitable[bool]], *arguments: object) -> bool:
        """Fetch, and wait a moment after an immediate answer that brought nothing.

        It is an error of some partition then, for a broker waits for records. aiokafka asks again immediately.
        """
        asked_at = time.monotonic()
        brought = await fetch(*arguments)
        task = asyncio.current_task()
        is_over = task is not None and task.cancelling()  # for another assignment, which waits for this to end
        if not (brought or is_over) and time.monotonic() - asked_at < _SUSPICIOUS_SECONDS:
            await asyncio.sleep(_AFTER_ERROR_SECONDS)
        return brought

    def _taken(self, tp: KafkaPartition, result: FetchResult, room: int) -> tuple[list[ConsumerRecord], int]:
        """The next records, and their bytes in memory: as `FetchResult.getall`, but up to a number of bytes as well."""
        if not result.check_assignment(tp) or not result.has_more():
            return [], 0
        taken: list[ConsumerRecord] = []
        weight = Meter.latest = 0
        for record in result._partition_records:  # noqa: SLF001
            taken.append(record)
            weight += record.serialized_value_size + record.serialized_key_size
            if record.headers:
                weight += HEADER_BYTES * len(record.headers)
            if len(taken) >= room or weight >= _PARTITION_BYTES:
                result._update_position()  # noqa: SLF001
                if 2 * record.serialized_value_size > Meter.latest > 0:
                    self._done_with(tp)  # hardly anything is left of the batch
                elif Meter.latest:
                    self._expanded[tp] = Meter.latest
                break
        else:
            result._update_position()  # noqa: SLF001
            result._partition_records = None  # noqa: SLF001
        return taken, weight

    def _release_expanded(self) -> None:
        """Let go of expanded batches beyond a bound, the oldest first: they are fetched and expanded again."""
        if len(self._expanded) < 2:  # noqa: PLR2004 - a single batch is within the bound
            return
        held = sum(self._expanded.values())
        while held > _EXPANDED_BYTES:
            tp, size = next(iter(self._expanded.items()))
            held -= size
            self._done_with(tp)

    def _hold_back(self, holds_back: bool) -> None:  # noqa: FBT001
        """Fetch the other partitions beside those that wait for room, or all of them together.

        A broker that waits for records of idle partitions would hold up the next fetch of those that wait.
        """
        self._holds_back = holds_back
        fetcher = self._fetcher
        fetcher._prefetch_backoff = 0.0 if holds_back else _DRAIN_SECONDS  # noqa: SLF001
        fetcher._fetch_max_wait_ms = _BUSY_WAIT_MS if holds_back else _IDLE_WAIT_MS  # noqa: SLF001

    def _done_with(self, tp: KafkaPartition) -> None:
        """Let the partition be fetched again.

        What was fetched refers to itself as long as it is not read to its end, and may hold an expanded batch: it is
        taken apart, for the next garbage collection may be far away.
        """
        self._expanded.pop(tp, None)
        result = self._fetcher._records.pop(tp, None)  # noqa: SLF001
        if isinstance(result, FetchResult) and result.has_more():
            result._partition_records._records_iterator = None  # noqa: SLF001
        self._fetcher._notify(self._fetcher._wait_consume_future)  # noqa: SLF001

    def _note_metadata(self, _: object) -> None:
        self.metadata_changed = True
