"""The worker as a whole: standby, leadership, and the terms in which it leads.

A term holds everything that is only true under one epoch. Whatever goes wrong inside it, everything in memory is thrown
away and the next term begins as a new leader would: one recovery path.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
import structlog

from worker.domain.decide import RULES
from worker.domain.policy import PolicyBook
from worker.domain.policy_use import compare
from worker.engine.commands import Command, CommandRunner
from worker.engine.writer import Committed, Writer
from worker.errors import LeadershipLost, PolicyRefused, Transient, WorkerError
from worker.ledger.budget import MOST_BY_DEFAULT
from worker.ledger.leadership import LEASE_SECONDS, Leadership
from worker.ledger.postgres import PostgresStore
from worker.probes import Probe, no_probe
from worker.stream.backoff import Backoff
from worker.stream.dead_letters import DeadLetterLane
from worker.stream.intake import Intake
from worker.stream.outbox import OutboxRow
from worker.stream.reach import KafkaReach
from worker.stream.records import InputRecord
from worker.stream.relay import Relay
from worker.stream.wall_clock import WallClock
from worker.watchdog import Watchdog

_IDLE_SECONDS: Final = 0.2
_CHORES_SECONDS: Final = 0.5
_IDLE_BATCH_SECONDS: Final = 10.0
_BEFORE_TAKING_SECONDS: Final = 0.02
_LIVE_CLOCK_SECONDS: Final = 0.03
_LEAST_CLOCK_SECONDS: Final = 0.015
"""Beside live events clock work goes on for so long before the next of them are taken, and while what they ask about is
loaded: at most 50 ms in all, and less once the batch before is committed."""
_CATCH_UP_CLOCK_SECONDS: Final = 0.5
_YOUNG_OUTBOX: Final = timedelta(seconds=1)
_CLOCK_CHECK_SECONDS: Final = 10.0
_MOST_CLOCK_DIFFERENCE: Final = timedelta(minutes=1)
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
    most_connections: int = MOST_BY_DEFAULT


class Term:
    """One leadership: intake, writer, relay and dead letters under one epoch."""

    def __init__(
        self, config: WorkerConfig, epoch: int, ledger_id: UUID, observe: Callable[[Committed], None], reached: Probe
    ) -> None:
        self._config, self._epoch, self._observe, self._reached = config, epoch, observe, reached
        self.store = PostgresStore(
            config.database_url, config.holder, reached, most_connections=config.most_connections
        )
        self.relay = Relay(config.kafka, config.topic_prefix, ledger_id, self.store, reached=reached)
        self.letters = DeadLetterLane(config.kafka, config.topic_prefix, self.store)
        self.intake = Intake(
            kafka=config.kafka,
            topics=tuple(RULES),
            prefix=config.topic_prefix,
            group_id=config.group_id,
            clock=config.clock,
            grace=config.grace,
            max_clock_skew=config.max_clock_skew,
        )
        self.writer = Writer(
            self.store,
            epoch,
            config.policies,
            config.grace,
            config.clock.now,
            self._committed,
            config.batch_size,
            reached,
        )
        self.kafka_servers = str(config.kafka["bootstrap_servers"])
        self.opened = False
        """Whether it has begun to read."""
        self.clock_disagrees: timedelta | None = None
        self._young_outbox = _YOUNG_OUTBOX if not config.simulated_time else timedelta.max
        self._last_batch = time.monotonic()
        self._dropped_through = 0

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
        await self.intake.start(self.writer.positions)
        self.opened = True

    def hears_kafka(self) -> bool:
        """Whether a broker has answered of late."""
        return self.opened and self.intake.healthy

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping` is set, then finish what was begun; or raise what went wrong."""
        beside = [asyncio.create_task(task) for task in (self.relay.run(), self.letters.run())]
        tasks = [asyncio.create_task(self._work(stopping)), *beside, asyncio.create_task(_overdue(stopping))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await _cancel(tasks)

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
                await _either(relay.wait_for_room(), stopping.wait())
                continue
            records, finished = await self._take_turn(waiting, finished=finished)
            if writer.left_records:
                break
            await self._send_at_once(records)
            waiting = 0.0 if records or not finished else _IDLE_SECONDS
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
        decided_through, live = self.intake.frontier(), self._is_live()
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
        if self._is_live() or not records:
            await self.writer.flush()

    def _is_live(self) -> bool:
        """Whether all input has been seen up to within grace of the wall clock: then what comes is sent at once."""
        frontier = self.intake.frontier()
        return frontier is not None and frontier >= self._config.clock.now() - self._config.grace

    async def _let_time_pass(
        self,
        through: datetime | None,
        live_seconds: float = _LIVE_CLOCK_SECONDS,
        least_seconds: float = _LEAST_CLOCK_SECONDS,
    ) -> bool:
        """Do clock work in a bounded chunk, between live events, while the relay keeps up; True when none is left."""
        if self.clock_disagrees is not None:
            return True
        live, oldest = self._is_live(), self.relay.oldest_pending_since
        if live and oldest is not None and self._config.clock.now() - oldest > self._young_outbox:
            return True
        seconds, least = (live_seconds, least_seconds) if live else (_CATCH_UP_CLOCK_SECONDS, None)
        finished = await self.writer.pass_time(through, seconds=seconds, least_seconds=least)
        if not finished:
            self._reached("between-chunks")
        return finished

    async def _do_chores(self) -> None:
        commands = await self.store.open_commands()
        if commands:
            await self.writer.flush()
        for row in commands:
            if self.writer.is_stopping:
                break  # whoever comes next carries it out
            await self._run_command(row)
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

    async def _run_command(self, row: asyncpg.Record) -> None:
        command = Command(row["id"], row["name"], msgspec.json.decode(row["arguments"]), row["actor"], row["why"])
        answer = await CommandRunner(self.writer).run(command)
        _log.info("command", name=command.name, actor=command.actor, outcome=answer.outcome, reason=answer.reason)
        if answer.reread:
            raise Transient("positions were set: reading begins anew")

    async def _compare_clocks(self) -> None:
        if self._config.simulated_time:
            return
        difference = abs(self._config.clock.now() - await self.store.database_time())
        self.clock_disagrees = difference if difference > _MOST_CLOCK_DIFFERENCE else None
        self.writer.clock_is_stopped = self.clock_disagrees is not None
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
        """Give the relay a while; what it cannot publish now stands in the outbox for whoever comes next."""
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


async def check_policies(store: PostgresStore, writer: Writer, policies: PolicyBook) -> None:
    """Have the writer store new policy versions. Those once used are immutable; a new one begins after business time.

    Raises:
        PolicyRefused: a version contradicts the ledger.
        Transient: the database is away.
    """
    use = compare(policies, await store.stored_policies(), writer.business_time)
    if use.refusal is not None:
        raise PolicyRefused(use.refusal)
    for policy in policies.versions:
        if policy.version in use.new:
            writer.add_policy(policy)


class _KafkaAway(WorkerError):
    """This worker has not reached Kafka for long, and hands the ledger over."""


class Service:
    """Stands by, leads, and recovers, until told to stop."""

    def __init__(self, config: WorkerConfig, observe: Callable[[Committed], None], reached: Probe = no_probe) -> None:
        self._config, self._observe, self._reached = config, observe, reached
        self.leadership = Leadership(config.database_url, config.holder)
        self._reach = KafkaReach(config.kafka)
        self.term: Term | None = None
        self.last_error: str | None = None
        self._stopping = asyncio.Event()

    @property
    def role(self) -> str:
        """`active` while this worker leads, otherwise `standby`."""
        return "standby" if self.term is None else "active"

    def problems(self) -> list[str]:
        """What is wrong now, in words; nothing when all is well. A healthy standby has none."""
        term = self.term
        if term is None:
            found = [self._reach.trouble, self.leadership.trouble, self.last_error]
            return [problem for problem in found if problem]
        if not term.opened:
            return [term.store.trouble or self.last_error or term.relay.last_error or "taking the ledger over"]
        found = [self.last_error, *(None if lane.healthy else lane.last_error for lane in (term.intake, term.relay))]
        if term.clock_disagrees is not None:
            found.append(f"the clock differs from the database's by {term.clock_disagrees.total_seconds():.0f} s")
        return [problem for problem in found if problem]

    def stop(self) -> None:
        """Finish what was begun, hand the lease over, and end."""
        self._stopping.set()
        if self.term is not None:
            self.term.writer.is_stopping = True

    async def run(self) -> None:
        """Work until `stop`.

        Raises:
            OperatorNeeded: going on would risk the ledger; the text says what to do.
        """
        gc.set_threshold(500_000, 20, 50)
        watchdog = Watchdog(LEASE_SECONDS)
        watchdog.start()
        try:
            while not self._stopping.is_set():
                epoch = await self._unless_stopped(self._stand_by())
                if epoch is None:
                    return
                try:
                    await self._lead(epoch)
                except LeadershipLost as lost:
                    self.last_error = None  # a standby that can watch the lease is healthy
                    _log.warning("standing by", why=str(lost))
                except _KafkaAway as away:
                    self.last_error = None  # what is in the way is known: see `problems`
                    _log.warning("ledger.handed_over", why=str(away))
                    await self.leadership.release()
        finally:
            await self.leadership.release()
            watchdog.stop()

    async def _stand_by(self) -> int:
        """Take the ledger as soon as it is free, as long as Kafka is reached; the epoch (docs/decisions/0014)."""
        while True:
            await self._reach.established()
            taking = asyncio.create_task(self.leadership.acquire())
            losing = asyncio.create_task(self._reach.lost())
            try:
                await asyncio.wait([taking, losing], return_when=asyncio.FIRST_COMPLETED)
                if taking.done():
                    return taking.result()
                losing.result()
            finally:
                await _cancel([taking, losing])
            await self.leadership.release()

    async def _lead(self, epoch: int) -> None:
        """Lead term after term, each under a new epoch, until stopped or until somebody else leads."""
        backoff = Backoff()
        while True:
            _log.info("leading", epoch=epoch)
            config = replace(self._config, kafka=self._reach.kafka)
            self.term = Term(config, epoch, self.leadership.ledger_id, self._observe, self._reached)
            try:
                await self._work_through(self.term)
                return
            except Transient as error:
                self.last_error = str(error)
                _log.warning("recovering", error=str(error))
            finally:
                await self.term.close()
                self.term = None
            await backoff.pause()
            retaken = await self._unless_stopped(self.leadership.retake())
            if retaken is None:
                return
            epoch = retaken

    async def _work_through(self, term: Term) -> None:
        opening = asyncio.create_task(term.open())
        if not await self._first(opening, term):
            return
        self.last_error = None
        await self._first(asyncio.create_task(term.run(self._stopping)), term, heed_stop=False)

    async def _first(self, work: "asyncio.Task[None]", term: Term, *, heed_stop: bool = True) -> bool:
        """Wait for the work, unless leadership or Kafka is lost, or (`heed_stop`) we are told to stop: then False."""
        away = asyncio.create_task(self._reach.away(term.hears_kafka, term.kafka_servers))
        lost = asyncio.create_task(self.leadership.lost.wait())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([work, lost, away, *([stop] if heed_stop else [])], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
                return True
            if lost.done():
                raise LeadershipLost("the lease could not be confirmed in time, or another worker took it")
            if away.done():
                away.result()
                raise _KafkaAway(self._reach.trouble or "Kafka is not reached")
            return False
        finally:
            await _cancel([work, lost, away, stop])

    async def _unless_stopped(self, waiting: Coroutine[Any, Any, int]) -> int | None:
        task = asyncio.create_task(waiting)
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            await _cancel([task, stop])


async def _overdue(stopping: asyncio.Event) -> None:
    """Wait until the worker has been told to stop for so long that nothing more is waited for."""
    await stopping.wait()
    await asyncio.sleep(_STOP_SECONDS)
    _log.warning("stopping with work unfinished: the next leader decides it again", seconds=_STOP_SECONDS)


async def _either(*waits: Coroutine[Any, Any, object]) -> None:
    """Wait until one of these is over, and raise what it raised."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _cancel(tasks)


async def _cancel(tasks: "list[asyncio.Task[Any]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
