"""Reads every partition of every input topic, and hands the records over in the order in which they are decided."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from aiokafka.errors import (
    IllegalGenerationError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from worker.backoff import Backoff
from worker.futures import cancelled, end_in_time
from worker.kafka.broker import Probe
from worker.kafka.connect_errors import in_words
from worker.kafka.holds import NO_HOLDS, Holds
from worker.kafka.input.buffers import BufferLimits
from worker.kafka.input.merge import Merge
from worker.kafka.input.partitions import AssignedPartitions
from worker.kafka.input.reading import RecordReader
from worker.kafka.input.session import RECONNECT_SECONDS, ReadingSession
from worker.kafka.records import EARLIEST_EVENT, InputRecord, Position, TopicPartition
from worker.kafka.troubles import Hidden, Unavailable, shared_group_in_words
from worker.wall_clock import WallClock

_COMMIT_SECONDS: Final = 5.0
_TICK_SECONDS: Final = 1.0
_QUIET_SECONDS: Final = 2.0
"""Without an answer for this long the broker is asked whether it is there."""
_SILENCE_SECONDS: Final = 5.0
"""Without an answer for this long the broker counts as away."""
_TROUBLED_SECONDS: Final = 1.0
"""While a partition cannot be read it is asked for this often."""
_HAS_MEMBERS: Final = (UnknownMemberIdError, IllegalGenerationError, RebalanceInProgressError)
"""How a group that has members refuses the offsets of one who is not a member."""
_START_SECONDS: Final = 60.0
_CLOSE_SECONDS: Final = 10.0

_log = structlog.get_logger(__name__)


class Intake:
    """The input of one leadership. `start`, then `take` again and again, then `stop`; and it may be started again.

    `kafka` are aiokafka's connection arguments; `topics` the contract's names, which stand in Kafka behind `prefix`.
    Topics are looked for anew every `look_seconds`. No method but `start` and `stop` talks to the broker, so none
    fails while it is away: there is nothing to take then, and `healthy` is false.
    """

    def __init__(
        self,
        *,
        kafka: Mapping[str, Any],
        topics: Sequence[str],
        prefix: str,
        group_id: str,
        clock: WallClock,
        grace: timedelta,
        max_clock_skew: timedelta,
        earliest_event: datetime = EARLIEST_EVENT,
        limits: BufferLimits | None = None,
        look_seconds: float = 30.0,
    ) -> None:
        self._kafka = {"request_timeout_ms": 10_000, "retry_backoff_ms": 200, **kafka}
        self._topics = tuple(topics)
        self._prefix = prefix
        self._group_id = group_id
        self._clock = clock
        self._grace = grace
        self._limits = limits or BufferLimits()
        self._look_seconds = look_seconds
        self._reader = RecordReader(clock, max_clock_skew, earliest_event)
        self._changed = asyncio.Event()
        self._awaited = asyncio.Event()
        self._session: ReadingSession | None = None
        self._watch: asyncio.Task[None] | None = None
        self._commits: asyncio.Task[None] | None = None
        self._start_error: str | None = None
        self.shared_group: str | None = None
        """What is wrong, in words, while the group has members, which keep us from committing offsets there."""
        self._merge = Merge(grace)

    async def start(self, positions: Mapping[TopicPartition, Position], holds: Holds = NO_HOLDS) -> None:
        """Read each partition from its position; one without from its beginning. Returns when reading has begun.

        What is on hold is not read; see `hold`.

        Compares the log of each partition with its position first, see `stopped`. While the broker is away it tries
        again, without end.
        """
        assert self._session is None, "the intake is running"  # noqa: S101 - an invariant
        backoff = Backoff()
        while self._session is None:
            self._merge = Merge(self._grace)
            session = ReadingSession(
                assigned=AssignedPartitions(
                    Probe.to(self._kafka), self._topics, self._prefix, self._clock, self._merge
                ),
                kafka=self._kafka,
                clock=self._clock,
                merge=self._merge,
                reader=self._reader,
                limits=self._limits,
                changed=self._changed.set,
                awaited=self._awaited,
            )
            try:
                async with asyncio.timeout(_START_SECONDS):
                    await session.begin(positions, holds)
                self._session = session
            except (KafkaError, OSError, TimeoutError) as error:
                self._start_error = f"cannot read from Kafka: {in_words(error)}"
                _log.warning("intake.cannot-start", error=self._start_error)
            finally:
                if self._session is None:
                    await _closed(session)
            if self._session is None:
                await backoff.pause()
        self._start_error = None
        self._watch = asyncio.create_task(self._look_again_and_again(self._session), name="intake-watch")

    async def stop(self) -> None:
        """Stop reading and forget what is buffered."""
        session, self._session = self._session, None
        await cancelled([task for task in (self._watch, self._commits) if task is not None])
        self._watch = self._commits = None
        if session is not None:
            await _closed(session)
        self._merge = Merge(self._grace)

    def hold(self, holds: Holds) -> None:
        """Read no more of the partitions that are on hold now: nothing of them is taken after this returns.

        Those that no longer are on hold are read from the first record that was not taken.
        """
        if self._session is not None and holds != self._session.assigned.holds:
            self._session.assigned.hold(holds)
            self._session.taken()
            self._changed.set()

    async def take(self, limit: int, *, wait_seconds: float) -> list[InputRecord]:
        """The next records in order, at most `limit`, as soon as there are any; none after `wait_seconds`."""
        deadline = time.monotonic() + wait_seconds
        while True:
            self._changed.clear()
            records = self._merge.take(limit, self._clock.now())
            if records:
                if self._session is not None:
                    self._session.taken()
                return records
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return []
            self._awaited.set()
            try:
                async with asyncio.timeout(remaining):
                    await self._changed.wait()
            except TimeoutError:
                pass
            finally:
                self._awaited.clear()

    def advanced(self) -> dict[TopicPartition, int]:
        """The consumer's own position in each partition of which nothing is buffered.

        It covers all that `take` has handed out up to this call, and the control records, aborted records and gaps
        after it: store it together with those records or later.
        """
        if self._session is None:
            return {}
        return {
            feed.source: feed.position
            for feed in self._session.assigned.feeds.values()
            if not feed.is_left and not self._merge.buffered(feed.source)
        }

    def frontier(self) -> datetime | None:
        """The instant up to which every input has been seen and taken; None: not known. Never goes back."""
        if self._session is None:
            return None
        if not self._session.assigned.feeds:
            return self._session.assigned.surveyed_at
        return self._merge.frontier(self._clock.now())

    def is_live(self) -> bool:
        """Whether all that is not on hold has been seen and taken up to within grace of the wall clock."""
        now = self._clock.now()
        if self._session is None or not self._session.assigned.feeds:
            frontier = self.frontier()
            return frontier is not None and frontier >= now - self._grace
        return self._merge.is_live(now)

    def held_back_by(self) -> TopicPartition | None:
        """The partition that holds the frontier more than grace behind the wall clock."""
        return self._merge.held_back_by(self._clock.now())

    @property
    def stopped(self) -> Mapping[TopicPartition, str]:
        """The partitions that are not read on, each with the reason and the command that mends it."""
        return {} if self._session is None else self._session.assigned.stopped

    def on_hold(self) -> list[TopicPartition]:
        """The partitions that an operator has put on hold."""
        feeds = () if self._session is None else self._session.assigned.feeds.values()
        return [feed.source for feed in feeds if feed.hold is not None]

    def hidden(self) -> dict[TopicPartition, Hidden]:
        """What other producers' open transactions hide, of each partition where one has been open for long."""
        now = time.monotonic()
        feeds = () if self._session is None else self._session.assigned.feeds.values()
        return {feed.source: feed.hidden for feed in feeds if feed.hidden is not None and feed.is_hidden(now)}

    def unavailable(self) -> dict[TopicPartition, Unavailable]:
        """The partitions that could not be read for a while, each with the reason; they are read on when they can."""
        now = time.monotonic()
        feeds = () if self._session is None else self._session.assigned.feeds.values()
        return {feed.source: feed.unavailable for feed in feeds if feed.unavailable is not None and feed.is_away(now)}

    @property
    def missing_topics(self) -> set[str]:
        """The topics, by their names in the contract, that do not exist. They count as empty."""
        return set() if self._session is None else self._session.assigned.missing_topics

    def lag(self) -> dict[TopicPartition, int]:
        """How many offsets of each partition are still to be taken, up to its last stable offset as last told."""
        return {} if self._session is None else self._session.lag()

    @property
    def lag_seconds(self) -> float:
        """For how long the oldest record still to be taken has been there; 0 when there is none.

        By what was seen of the logs since reading began: a producer's timestamp may be anything.
        """
        return 0.0 if self._session is None else self._session.lag_seconds()

    @property
    def healthy(self) -> bool:
        """Whether records are being read, or would be if there were any."""
        return self._session is not None and self._session.silent_seconds() < _SILENCE_SECONDS

    @property
    def last_error(self) -> str | None:
        """What is wrong now, in words; None: nothing known."""
        if self._session is None:
            return self._start_error
        if (silent := self._session.silent_seconds()) >= _SILENCE_SECONDS:
            return self._session.last_error or f"no answer from Kafka for {silent:.0f} s"
        return self._session.last_error

    async def commit_offsets(self, positions: Mapping[TopicPartition, int]) -> None:
        """Commit the positions to Kafka, for tools that show lag: best effort, returns immediately, never raises."""
        if self._session is None or (self._commits is not None and not self._commits.done()):
            return
        offsets = {source: offset for source, offset in positions.items() if source in self._session.assigned.sources}
        if offsets:
            self._commits = asyncio.create_task(self._commit(self._session, offsets), name="intake-commit")

    async def _commit(self, session: ReadingSession, offsets: Mapping[TopicPartition, int]) -> None:
        try:
            async with asyncio.timeout(_COMMIT_SECONDS):
                await session.commit(self._group_id, offsets)
            self.shared_group = None
        except _HAS_MEMBERS:
            if self.shared_group is None:
                self.shared_group = shared_group_in_words(self._group_id)
                _log.warning("intake.group-has-another-member", problem=self.shared_group)
        except Exception as error:  # noqa: BLE001 - only tools that show lag would miss it
            _log.debug("intake.offsets-not-committed", error=str(error))

    async def _look_again_and_again(self, session: ReadingSession) -> None:
        """See new topics and partitions, and whether the broker is there when nothing needs to be fetched.

        Connects anew when it has been silent for long.
        """
        backoff = Backoff()
        looked = time.monotonic()
        while True:
            await asyncio.sleep(min(_TICK_SECONDS, self._look_seconds))
            often = _TROUBLED_SECONDS if session.assigned.is_troubled else self._look_seconds
            is_due = time.monotonic() - looked >= min(often, self._look_seconds)
            try:
                is_stuck = await session.look_at_the_quiet()
                if not (is_due or is_stuck or session.silent_seconds() >= _QUIET_SECONDS):
                    continue
                if is_stuck or session.silent_seconds() > RECONNECT_SECONDS:
                    await session.reconnect(Probe.to(self._kafka))
                await session.look_again()
            except Exception as error:  # noqa: BLE001 - the watch must outlive whatever it meets
                session.failed(error)
                await backoff.pause()
            else:
                backoff.reset()
                looked = time.monotonic()


async def _closed(session: ReadingSession) -> None:
    """Close what a session has open; a broker that is away must not keep it from ending."""
    with suppress(TimeoutError, KafkaError, OSError):
        await end_in_time(session.close(), _CLOSE_SECONDS)
