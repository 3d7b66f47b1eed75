"""One leadership: everything that is only true under one epoch.

Whatever goes wrong inside a term, everything in memory is thrown away, and the next term begins as a new leader would:
there is one recovery path.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog

from worker.domain.policy import PolicyBook
from worker.domain.rule_catalogue import RULES
from worker.engine.commands import Command, CommandRunner, read_command
from worker.engine.commit import Commits, Committed
from worker.engine.new_policies import check_policies
from worker.engine.writer import Writer
from worker.errors import Transient
from worker.fault_points import FaultPoint
from worker.futures import first_of
from worker.kafka.holds import hold_in_words, in_order
from worker.kafka.input.intake import Intake
from worker.kafka.output.dead_letters import DeadLetterLane
from worker.kafka.output.flush import Flush
from worker.kafka.output.outbox import OutboxRow
from worker.kafka.output.relay import Relay
from worker.kafka.records import EARLIEST_EVENT, InputRecord
from worker.kafka.topic_watch import TopicWatch
from worker.kafka.troubles import hidden_in_words, unavailable_in_words
from worker.ledger.budget import MOST_BY_DEFAULT
from worker.ledger.postgres import PostgresStore
from worker.ledger.store import LeaderStore, OpenCommand
from worker.problems import Found
from worker.wall_clock import WallClock

_IDLE_SECONDS: Final = 0.2
_CHORES_SECONDS: Final = 0.5
_IDLE_BATCH_SECONDS: Final = 10.0
_BEFORE_TAKING_SECONDS: Final = 0.02
_LIVE_CLOCK_SECONDS: Final = 0.03
_LEAST_CLOCK_SECONDS: Final = 0.015
"""Beside live events clock work goes on for so long before the next of them are taken, and while what they ask about is
loaded: at most 50 ms in all, and less once the batch before is committed."""
_CATCH_UP_CLOCK_SECONDS: Final = 0.5
_LIVE_COMMAND_SECONDS: Final = 0.02
"""Beside live events a chunk of a plan is worked off in parts of about so long: what is begun is finished."""
_OF_PLANS: Final = frozenset({"replay-begin", "replay-decide", "outputs-republish"})
_BETWEEN_CHUNKS_SECONDS: Final = 0.02
_MORE_CHUNKS_SECONDS: Final = 2.0
"""A plan's next chunk is asked for within moments of the last answer, so it is looked for often for so long."""
_YOUNG_OUTBOX: Final = timedelta(seconds=1)
_CLOCK_CHECK_SECONDS: Final = 10.0
MOST_CLOCK_DIFFERENCE: Final = timedelta(minutes=1)
_DRAIN_SECONDS: Final = 6.0
_STOP_SECONDS: Final = 8.0
"""A worker that is told to stop ends in ten seconds, also if PostgreSQL says nothing just then."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What one worker needs to know. `kafka` holds aiokafka's connection arguments; `batch_size` counts decisions."""

    kafka: Mapping[str, Any]
    database_url: str
    policies: PolicyBook
    topic_prefix: str
    group_id: str
    grace: timedelta
    max_clock_skew: timedelta
    batch_size: int
    clock: WallClock
    holder: str
    simulated_time: bool = False
    earliest_event: datetime = EARLIEST_EVENT
    most_connections: int = MOST_BY_DEFAULT
    new_commits: Callable[..., Commits] = Commits
    """Makes what commits; with tracing on, what also makes the spans of decisions."""
    new_flush: Callable[..., Flush] = Flush
    """Makes what is published together; with tracing on, with the headers and spans of that."""


class Term:
    """One leadership: intake, writer, relay and dead letters under one epoch."""

    def __init__(
        self,
        config: WorkerConfig,
        epoch: int,
        ledger_id: UUID,
        observe: Callable[[Committed], None],
        reached: FaultPoint,
    ) -> None:
        self._config, self._epoch, self._observe, self._reached = config, epoch, observe, reached
        self.store: LeaderStore = PostgresStore(
            config.database_url, config.holder, reached, most_connections=config.most_connections
        )
        self.relay = Relay(
            config.kafka, config.topic_prefix, ledger_id, self.store, reached=reached, new_flush=config.new_flush
        )
        self.letters = DeadLetterLane(config.kafka, config.topic_prefix, self.store)
        self.topics = TopicWatch(config.kafka, config.topic_prefix)
        self.intake = Intake(
            kafka=config.kafka,
            topics=tuple(RULES),
            prefix=config.topic_prefix,
            group_id=config.group_id,
            clock=config.clock,
            grace=config.grace,
            max_clock_skew=config.max_clock_skew,
            earliest_event=config.earliest_event,
        )
        self.writer = Writer(
            self.store,
            epoch,
            config.policies,
            config.grace,
            config.max_clock_skew,
            config.clock.now,
            self._committed,
            config.batch_size,
            reached,
            config.new_commits,
        )
        self.kafka_servers = str(config.kafka["bootstrap_servers"])
        self.opened = False
        """Whether it has begun to read."""
        self.clock_disagrees: timedelta | None = None
        self._young_outbox = _YOUNG_OUTBOX if not config.simulated_time else timedelta.max
        self._last_batch = time.monotonic()
        self._dropped_through = 0
        self._commands = list[OpenCommand]()
        """What operators ask and is not done yet, the first of it perhaps half."""
        self._under_way: Command | None = None
        self._next_commands = self._replays_until = 0.0

    async def open(self) -> None:
        """Take over in the one right order: relay first, then the ledger's tail, then reading.

        Raises:
            LeadershipLost: the epoch is over.
            Transient: the database is away.
            OperatorNeeded: relay marker or policy contradict the ledger (PolicyRefused).
        """
        await self.store.open()
        await self.relay.open(self._epoch)
        await self.writer.open()
        await check_policies(self.store, self.writer, self._config.policies)
        await self.writer.advance({})
        await self.writer.settle_down()
        await self._compare_clocks()
        await self.intake.start(self.writer.positions, self.writer.holds)
        self.opened = True

    def hears_kafka(self) -> bool:
        """Whether a broker has answered of late."""
        return self.opened and self.intake.healthy

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then finish what was begun; or raise what went wrong."""
        beside = (self.relay.run(), self.letters.run(), self.topics.run())
        await first_of(*beside, self._work(stopping), _overdue(stopping))

    def warnings(self) -> Iterator[Found]:
        """What is wrong beside which everything else goes on."""
        intake = self.intake
        for (topic, partition), why in intake.stopped.items():
            yield Found("stopped-partition", f"{topic}/{partition}", f"{topic}, partition {partition}: {why}")
        for (topic, partition), trouble in intake.unavailable().items():
            words = unavailable_in_words(topic, partition, trouble)
            yield Found("unavailable-partition", f"{topic}/{partition}", words)
        for (topic, partition), hidden in intake.hidden().items():
            yield Found("hidden-records", f"{topic}/{partition}", hidden_in_words(topic, partition, hidden))
        for hold in in_order(self.writer.holds):
            yield Found("hold", hold.target, hold_in_words(hold))
        if left := self.writer.not_made_again:
            words = f"{left} messages that were published before the database was restored are not made again yet"
            yield Found("not-made-again", "", words)
        for wrong in self.topics.wrong:
            yield Found("topic-settings", wrong, wrong)
        if intake.shared_group is not None:
            yield Found("shared-group", "", intake.shared_group)
        if self.letters.last_error is not None:
            yield Found("dead-letters", "", f"dead letters wait to be sent: {self.letters.last_error}")

    async def close(self) -> None:
        """Let go of everything; what was not acknowledged is taken as not done."""
        self.writer.abandon()
        await self.store.close()
        with suppress(Exception):
            await self.intake.stop()
        with suppress(Exception):
            await self.relay.close()

    async def _work(self, stopping: asyncio.Event) -> None:
        writer, relay = self.writer, self.relay
        next_chores = next_clock_check = 0.0
        waiting, finished = _IDLE_SECONDS, True
        while not stopping.is_set():
            if writer.failed():
                await writer.settle_down()
            if not relay.has_room:
                await first_of(relay.wait_for_room(), stopping.wait())
                continue
            records, finished = await self._take_turn(waiting, finished=finished)
            if writer.left_records:
                break
            await self._send_at_once(records)
            await self._carry_out_commands()
            waiting = 0.0 if records or not finished or self._commands else self._idle_seconds
            if time.monotonic() >= next_chores:
                await self._do_chores()
                next_chores = time.monotonic() + _CHORES_SECONDS
            if time.monotonic() >= next_clock_check:
                await self._compare_clocks()
                next_clock_check = time.monotonic() + _CLOCK_CHECK_SECONDS
        await self._finish()

    async def _take_turn(self, wait_seconds: float, *, finished: bool) -> tuple[Sequence[InputRecord], bool]:
        """Take records and decide them, with clock work beside it; gives them, and whether no clock work is left.

        `finished`: none was left before.
        """
        decided_through, live = self.intake.frontier(), self.intake.is_live()
        if live and not finished:
            await self._let_time_pass(decided_through, _BEFORE_TAKING_SECONDS)
        records = await self.intake.take(self._config.batch_size, wait_seconds=wait_seconds)
        if records:
            self._reached("after-read")
            self._drop_published()
        if records and live:
            return records, await self._decide_beside_clock_work(records, decided_through)
        if records:
            await self.writer.decide(records)
        elif finished:
            await self.writer.flush()
        return records, not self.writer.left_records and await self._let_time_pass(self.intake.frontier())

    async def _decide_beside_clock_work(self, records: Sequence[InputRecord], decided_through: datetime | None) -> bool:
        """Do clock work while what live events ask about is loaded and the batch before is committed; then decide them.

        Time does not pass beyond what was decided before these events. True when no clock work is left.
        """
        await self.writer.read_ahead(records)
        least_seconds = _LEAST_CLOCK_SECONDS if self.writer.is_committing else 0.0
        finished = await self._let_time_pass(decided_through, least_seconds=least_seconds)
        await self.writer.decide(records)
        return finished

    async def _send_at_once(self, records: Sequence[InputRecord]) -> None:
        """Let what is decided go: live events do not wait for a batch to fill, nor the last ones of a backlog."""
        if self.intake.is_live() or not records:
            await self.writer.flush()

    async def _let_time_pass(
        self,
        through: datetime | None,
        live_seconds: float = _LIVE_CLOCK_SECONDS,
        least_seconds: float = _LEAST_CLOCK_SECONDS,
    ) -> bool:
        """Do clock work in a bounded chunk, between live events, while the relay keeps up; True when none is left."""
        if self.clock_disagrees is not None:
            return True
        live, oldest = self.intake.is_live(), self.relay.oldest_pending_since
        if live and oldest is not None and self._config.clock.now() - oldest > self._young_outbox:
            return True
        seconds, least = (live_seconds, least_seconds) if live else (_CATCH_UP_CLOCK_SECONDS, None)
        finished = await self.writer.pass_time(through, seconds=seconds, least_seconds=least)
        if not finished:
            self._reached("between-chunks")
        return finished

    @property
    def _idle_seconds(self) -> float:
        """How long nothing is done when nothing comes: not long while a plan is applied, of which more is asked."""
        return _BETWEEN_CHUNKS_SECONDS if time.monotonic() < self._replays_until else _IDLE_SECONDS

    async def _carry_out_commands(self) -> None:
        """Carry out what operators ask, in their order; of what takes long a part, if live events come meanwhile."""
        if not self._commands:
            if time.monotonic() < self._next_commands:
                return
            self._commands = await self.store.open_commands()
            if self._commands:
                await self.writer.flush()
        while self._commands and not self.writer.is_stopping:  # else the next leader carries it out
            if not await self._go_on_with(self._commands[0]):
                return
            del self._commands[0]
        pause = _BETWEEN_CHUNKS_SECONDS if time.monotonic() < self._replays_until else _CHORES_SECONDS
        self._next_commands = time.monotonic() + pause

    async def _go_on_with(self, asked: OpenCommand) -> bool:
        """Carry one command out, or some more of it; False if it is not done yet."""
        if self._under_way is None:
            self._under_way = read_command(asked)
        command = self._under_way
        if command.name in _OF_PLANS:
            self._replays_until = time.monotonic() + _MORE_CHUNKS_SECONDS
        seconds = _LIVE_COMMAND_SECONDS if self.intake.is_live() else _CATCH_UP_CLOCK_SECONDS
        answer = await CommandRunner(self.writer).go_on(command, seconds)
        if answer is None:
            return False
        self._under_way = None
        self.intake.hold(self.writer.holds)  # nothing has been taken since the answer was committed
        _log.info("command", name=command.name, actor=command.actor, outcome=answer.outcome, reason=answer.reason)
        if answer.reread:
            raise Transient("positions were changed: restarting the input")
        return True

    async def _do_chores(self) -> None:
        offsets = self.intake.advanced()
        positions = self.writer.positions
        moved = any(
            offset > (positions[source].next_offset if source in positions else 0) for source, offset in offsets.items()
        )
        idle_long = time.monotonic() - self._last_batch > _IDLE_BATCH_SECONDS
        if moved or idle_long:
            self._drop_published()
            await self.writer.advance(offsets)
        await self.intake.commit_offsets({source: position.next_offset for source, position in positions.items()})

    async def _compare_clocks(self) -> None:
        if self._config.simulated_time:
            return
        difference = abs(self._config.clock.now() - await self.store.database_time())
        self.clock_disagrees = difference if difference > MOST_CLOCK_DIFFERENCE else None
        self.writer.stop_clock(stopped=self.clock_disagrees is not None)
        if self.clock_disagrees is not None:
            _log.error(
                "clock work is stopped: the clock differs from the database's", seconds=difference.total_seconds()
            )

    async def _finish(self) -> None:
        """Commit and publish what was begun, so that the next leader starts from a clean state."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                await self.writer.flush()
                await self.writer.settle_down()
                await self._publish_what_is_left()
                self._drop_published()
                await self.writer.advance(self.intake.advanced())
                await self.writer.settle_down()
        except TimeoutError:  # the next leader decides it again from its records
            _log.warning("stopping with work uncommitted: PostgreSQL does not answer", seconds=_DRAIN_SECONDS)

    async def _publish_what_is_left(self) -> None:
        """Give the relay a while; what it cannot publish now stays in the outbox for the next leader."""
        try:
            async with asyncio.timeout(_DRAIN_SECONDS / 2):
                await self.relay.drain()
        except TimeoutError:
            _log.warning("stopping with messages unpublished: they wait in the outbox", rows=self.relay.pending_rows)

    def _drop_published(self) -> None:
        if self.relay.published > self._dropped_through:
            self._dropped_through = self.relay.published
            self.writer.drop_outbox_through(self._dropped_through)

    def _committed(self, committed: Committed) -> None:
        batch = committed.batch
        self._last_batch = time.monotonic()
        if batch.outbox is not None and batch.outbox_seq is not None and batch.batch_uid is not None:
            self.relay.offer(OutboxRow(batch.outbox_seq, batch.batch_uid, batch.recorded_at, batch.outbox))
        if batch.dead_letters:
            self.letters.wake()
        self._observe(committed)


async def _overdue(stopping: asyncio.Event) -> None:
    """Wait until the worker has been told to stop for so long that nothing more is waited for."""
    await stopping.wait()
    await asyncio.sleep(_STOP_SECONDS)
    _log.warning("stopping with work unfinished: the next leader decides it again", seconds=_STOP_SECONDS)
