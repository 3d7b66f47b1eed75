"""aiokafka's consumer, made safe to leave to itself: it starts where it is told to, and no error loses a record."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, client
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import ConsumerStoppedError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import ConsumerRecord

Batches = dict[KafkaPartition, list[ConsumerRecord]]

_POLL_WAIT_MS: Final = 50
_IDLE_WAIT_MS: Final = 250
_BUSY_WAIT_MS: Final = 5
_LEAST_FETCH_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Failure:
    """A poll that raised. The consumer was set back to where it stood before, so nothing is lost.

    `unreadable` are the partitions whose fetched bytes could not be turned into records, with the offset to be read.
    """

    error: Exception
    unreadable: Mapping[KafkaPartition, int]


def forbid_topic_creation() -> None:
    """Keep every client of this process from making topics by asking about them, which is aiokafka's way.

    A broker with `auto.create.topics.enable`, the default, would answer a look at a deleted topic by making it anew.
    """
    client.MetadataRequest = partial(MetadataRequest, allow_auto_topic_creation=False)


class GuardedConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no type information
    """A consumer of assigned partitions.

    `position_of` tells where to read a partition from; `before_poll` is awaited before each poll, when all records of
    polls before have been handled; `on_failure` is given what a poll raised and answers with records to hand on.
    """

    def __init__(
        self,
        *,
        position_of: Callable[[KafkaPartition], int],
        before_poll: Callable[["GuardedConsumer"], Awaitable[None]],
        on_failure: Callable[["GuardedConsumer", Failure], Awaitable[Batches]],
        **options: Any,  # noqa: ANN401 - aiokafka's own
    ) -> None:
        super().__init__(fetch_max_wait_ms=_IDLE_WAIT_MS, isolation_level="read_committed", **options)
        self._position_of = position_of
        self._before_poll = before_poll
        self._on_failure = on_failure
        self._outstanding: tuple[KafkaPartition, ...] = ()
        self.metadata_changed = False
        """Set at each refresh of the metadata, which also follows a refused fetch: the topics may be others now."""

    async def start(self) -> None:
        """Connect and begin to fetch."""
        self._client.cluster.add_listener(self._note_metadata)
        await super().start()

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
        """Poll; waits a moment for records, whatever `timeout_ms`. Raises nothing but ConsumerStoppedError."""
        del timeout_ms  # FastStream sleeps it as well after an empty poll, so it is kept short there
        await self._before_poll(self)
        before = {tp: position for tp, position, _, _ in self.looks()}
        try:
            batches: Batches = await super().getmany(*partitions, timeout_ms=_POLL_WAIT_MS, max_records=max_records)
        except ConsumerStoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - an error that escaped would cost the records polled with it
            unreadable = {tp: before[tp] for tp in self._unreadable() if tp in before}
            for tp, position, _, _ in list(self.looks()):
                if tp in before and (position != before[tp] or tp in unreadable):
                    self.seek(tp, before[tp])
            batches = await self._on_failure(self, Failure(error, unreadable))
        self._outstanding = tuple(batches)
        return batches

    def take_outstanding(self) -> tuple[KafkaPartition, ...]:
        """The partitions of the last poll's records, unless it was called since: none if all were handled."""
        outstanding, self._outstanding = self._outstanding, ()
        return outstanding

    def looks(self) -> Iterator[tuple[KafkaPartition, int, int | None, int | None]]:
        """Each partition with its position, its last stable offset and when that was told, in ms (None: not yet)."""
        assignment = self._subscription.subscription.assignment
        for tp in assignment.tps:
            state = assignment.state_value(tp)
            yield tp, state.position, state.lso, state.timestamp

    def wait_at_broker(self, *, idle: bool) -> None:
        """How long the broker may wait for records: a long wait would hold up the return of paused partitions."""
        self._fetcher._fetch_max_wait_ms = _IDLE_WAIT_MS if idle else _BUSY_WAIT_MS  # noqa: SLF001

    def has_undrained(self, tp: KafkaPartition) -> bool:
        """Whether records of the partition are fetched and not polled yet; pausing it now would throw them away."""
        return tp in self._fetcher._records  # noqa: SLF001

    def fetch_less(self) -> None:
        """Fetch half as much at a time: it did not fit (compressed records unpack to many times it)."""
        fetcher = self._fetcher
        if fetcher._fetch_max_bytes > _LEAST_FETCH_BYTES:  # noqa: SLF001
            fetcher._fetch_max_bytes //= 2  # noqa: SLF001
            fetcher._max_partition_fetch_bytes //= 2  # noqa: SLF001

    def fetch_more(self) -> None:
        """Fetch twice as much at a time again, if it is less than at first."""
        fetcher = self._fetcher
        if fetcher._fetch_max_bytes < self._fetch_max_bytes:  # noqa: SLF001
            fetcher._fetch_max_bytes *= 2  # noqa: SLF001
            fetcher._max_partition_fetch_bytes *= 2  # noqa: SLF001

    def _unreadable(self) -> list[KafkaPartition]:
        """The partitions whose fetched records ended in an error: their iterator is closed, yet not done with."""
        found = []
        for tp, result in self._fetcher._records.items():  # noqa: SLF001
            if isinstance(result, FetchResult) and (records := result._partition_records) is not None:  # noqa: SLF001
                iterator = records._records_iterator  # noqa: SLF001
                if iterator is not None and iterator.gi_frame is None:
                    found.append(tp)
        return found

    def _note_metadata(self, _: object) -> None:
        self.metadata_changed = True
