"""The worker as a whole: it stands by, leads term after term, and recovers, until it is told to stop."""

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from worker.backoff import Backoff
from worker.engine.commit import Committed
from worker.engine.term import Term, WorkerConfig
from worker.errors import LeadershipLost, Transient, WorkerError
from worker.fault_points import FaultPoint, no_fault
from worker.futures import cancelled, result_of
from worker.garbage import seldom_collected
from worker.kafka.reach import KafkaReach
from worker.ledger.leadership import LEASE_SECONDS, Leadership
from worker.problems import Found, Problem, ProblemList, Report, written
from worker.watchdog import Watchdog

_REPORT_SECONDS: Final = 5.0

_log = structlog.get_logger(__name__)


class _KafkaAway(WorkerError):
    """This worker has not reached Kafka for long, and hands the ledger over."""


class Service:
    """Stands by, leads, and recovers, until told to stop."""

    def __init__(
        self, config: WorkerConfig, observe: Callable[[Committed], None], reached: FaultPoint = no_fault
    ) -> None:
        self._config, self._observe, self._reached = config, observe, reached
        self.leadership = Leadership(config.database_url, config.holder)
        self._reach = KafkaReach(config.kafka)
        self.term: Term | None = None
        self.last_error: str | None = None
        self._trouble = Transient.problem
        """Which kind of problem the last error is."""
        self._stopping = asyncio.Event()
        self._problems = ProblemList()
        self._reported: set[tuple[str, str]] = set()
        self._next_report = 0.0
        self.leadership.report = self._report

    @property
    def role(self) -> str:
        """`active` while this worker leads, otherwise `standby`."""
        return "standby" if self.term is None else "active"

    def problems(self) -> list[str]:
        """What keeps it from working now, in words; nothing when all is well. A healthy standby has none."""
        return [problem.what for problem in self.all_problems() if problem.hinders]

    def warnings(self) -> list[str]:
        """What else is wrong, in words: partitions that are not read while all others are, and letters not sent."""
        return [problem.what for problem in self.all_problems() if not problem.hinders]

    def all_problems(self) -> list[Problem]:
        """Everything that is wrong now, each with the time since when."""
        return self._problems.update(self._found(), datetime.now(UTC))

    def _found(self) -> Iterator[Found]:
        term = self.term
        if term is None:
            found = (("kafka", self._reach.trouble), ("postgresql", self.leadership.trouble))
            yield from (Found(kind, "", what, hinders=True) for kind, what in found if what)
            if self.last_error:
                yield Found(self._trouble, "", self.last_error, hinders=True)
        elif not term.opened:
            waiting = f", waiting for {term.relay.waits_for}" if term.relay.waits_for else ""
            intake = None if term.intake.healthy else term.intake.last_error
            reason = term.store.trouble or term.relay.last_error or intake or self.last_error
            kind = self._trouble if reason and reason == self.last_error else "taking-over"
            yield Found(kind, "", reason or f"taking the ledger over{waiting}", hinders=True)
        else:
            if self.last_error:
                yield Found(self._trouble, "", self.last_error, hinders=True)
            for kind, lane in (("reading", term.intake), ("publishing", term.relay)):
                if not lane.healthy and lane.last_error:
                    yield Found(kind, "", lane.last_error, hinders=True)
            if term.clock_disagrees is not None:
                seconds = f"{term.clock_disagrees.total_seconds():.0f} s"
                yield Found("clock", "", f"the clock differs from the database's by {seconds}", hinders=True)
            yield from term.warnings()

    def _report(self) -> str | None:
        """What is new for `status`: at once when something else is wrong, and every few seconds."""
        term, now = self.term, time.monotonic()
        self.all_problems()
        problems = self._problems.lasting
        keys = {(problem.kind, problem.about) for problem in problems}
        if keys == self._reported and now < self._next_report:
            return None
        self._reported, self._next_report = keys, now + _REPORT_SECONDS
        lag_seconds = term.intake.lag_seconds if term is not None and term.opened else 0.0
        return written(Report(self.role, round(lag_seconds, 3), problems))

    def stop(self) -> None:
        """Finish what was begun, hand the lease over, and end."""
        self._stopping.set()
        if self.term is not None:
            self.term.writer.stop()

    async def run(self) -> None:
        """Work until `stop`.

        Raises:
            OperatorNeeded: going on would risk the ledger; the text says what to do.
        """
        watchdog = Watchdog(LEASE_SECONDS)
        watchdog.start()
        try:
            with seldom_collected():
                await self._stand_by_and_lead()
        finally:
            await self.leadership.release()
            watchdog.stop()

    async def _stand_by_and_lead(self) -> None:
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

    async def _stand_by(self) -> int:
        """Take the ledger as soon as it is free, as long as Kafka is reached; the epoch (docs/decisions/0014)."""
        while True:
            await self._reach.established()
            taking = asyncio.create_task(self.leadership.acquire())
            losing = asyncio.create_task(self._reach.lost())
            try:
                await asyncio.wait([taking, losing], return_when=asyncio.FIRST_COMPLETED)
                if taking.done():
                    return result_of(taking)
                losing.result()
            finally:
                await cancelled([taking, losing])
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
                self.last_error, self._trouble = str(error), error.problem
                _log.warning("recovering", error=str(error))
            finally:
                await self.term.close()
                self.term = None
                gc.collect()  # a term refers to itself, holds much, and comes to its end at times one after the other
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
        await self._first(asyncio.create_task(term.run(self._stopping)), term, until_stopped=False)

    async def _first(self, work: "asyncio.Task[None]", term: Term, *, until_stopped: bool = True) -> bool:
        """Wait for the work, unless leadership or Kafka is lost, or (`until_stopped`) a stop is asked for (False)."""
        away = asyncio.create_task(self._reach.away(term.hears_kafka, term.kafka_servers))
        lost = asyncio.create_task(self.leadership.lost.wait())
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait(
                [work, lost, away, *([stop] if until_stopped else [])], return_when=asyncio.FIRST_COMPLETED
            )
            if work.done():
                result_of(work)
                return True
            if lost.done():
                raise LeadershipLost("the lease could not be confirmed in time, or another worker took it")
            if away.done():
                away.result()
                raise _KafkaAway(self._reach.trouble or "Kafka is not reached")
            return False
        finally:
            await cancelled([work, lost, away, stop])

    async def _unless_stopped(self, waiting: Coroutine[Any, Any, int]) -> int | None:
        task = asyncio.create_task(waiting)
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([task, stop], return_when=asyncio.FIRST_COMPLETED)
            return result_of(task) if task.done() else None
        finally:
            await cancelled([task, stop])
