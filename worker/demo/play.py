"""`connects demo`: the worker answers the questions that freelancers ask, then follows a marketplace, and is checked.

Everything is real: Kafka, PostgreSQL, the worker as a process, events as any producer writes them, answers from the
ledger. Only the marketplace and its payment service are simulated, and time, which runs fast: so cycles can be watched.
"""

import asyncio
import heapq
import logging
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console

from schemas.catalogue import INPUT_TOPICS
from worker.demo.cases import asked_at
from worker.demo.checks import Finding, check
from worker.demo.console import console_open, invitation
from worker.demo.market import FREELANCERS, Market, quiet_before
from worker.demo.marketplace import DEFAULT_RATE, spread
from worker.demo.policy import write_policy
from worker.demo.questions import answer_questions
from worker.demo.seed_cases import SEED_CASES
from worker.demo.stage import DEMO_SESSION, PARTITIONS, DemoWorker, Stage, default_folder, leads
from worker.demo.time import DemoTime, pace
from worker.demo.view import closing, demo_console, heading, usable
from worker.demo.watch import Reader, Tap, Watcher
from worker.domain.policy_file import read_policy
from worker.errors import LocalStackError
from worker.ledger.connections import connect
from worker.wall_clock import wall_clock
from worker.words.phrases import counted

UNATTENDED_SECONDS: Final = 30.0
"""How long the marketplace is open if nobody ends it."""

_PAST_EVENTS: Final = 2_000
_PAST: Final = timedelta(days=30)
_VETERANS: Final = FREELANCERS // 4
_VETERANS_CAME: Final = (timedelta(days=395), timedelta(days=335))
"""How long ago, first and last: their first Connects expire while one watches."""
_MEMBERS_OF_OLD: Final = _VETERANS // 2
_CHOSE_PLUS: Final = (timedelta(days=27), timedelta(days=2))
_PAID_AFTER: Final = timedelta(hours=1)
_CATCH_UP_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.12


@dataclass(frozen=True)
class Options:
    """The options of the command line. None: it depends on whether it runs on a terminal."""

    seconds: float | None = None
    rate: float = DEFAULT_RATE
    speed: float | None = None
    """Seconds of the demo's time in a second; None: as `CONNECTS_CLOCK` says, else a day."""
    seed: int = 7
    folder: Path | None = None
    stay: bool | None = None


def run(options: Options) -> int:
    """Play the demo; return the exit code: 1 if an answer is not what the rules say, or a check fails.

    Raises:
        SettingsError: time cannot run as asked.
        LocalStackError: the stack, its folder or the worker cannot be used.
        WorkerError: Kafka or PostgreSQL refuse.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # The view has the screen, so the console's log stays quiet.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    console = demo_console()
    demo_time = DemoTime.asked(options.speed, os.environ.get("CONNECTS_CLOCK", ""))
    stage = Stage(default_folder() if options.folder is None else options.folder)
    stay = console.is_terminal if options.stay is None else options.stay
    with stage.taken():
        try:
            console.print(heading("Starting a real Kafka and a real PostgreSQL"), end="")
            stage.up(lambda line: console.print(f"  {line}"))
            demo = _Demo(stage, options, console, demo_time)
            code = asyncio.run(demo.play())
        finally:
            if not stay:
                stage.stack.down()
        console.print()
        console.print(usable(stage.folder, demo.settings_afterwards(), up=stay), soft_wrap=True)
    return code


class _Demo:
    """One run on a stage that is up."""

    def __init__(self, stage: Stage, options: Options, console: Console, demo_time: DemoTime) -> None:
        self._stage, self._options, self._console, self._time = stage, options, console, demo_time
        self._seconds = options.seconds
        if self._seconds is None and not console.is_terminal:
            self._seconds = UNATTENDED_SECONDS
        self._ended = asyncio.Event()

    async def play(self) -> int:
        """Show questions, marketplace and checks; the worker is ended in any case."""
        console = self._console
        with self._ctrl_c_ends_it():
            worker = DemoWorker(self._stage.folder)
            worker.end_earlier()
            await self._stage.clear()
            self._policy = write_policy(self._stage.folder, self._time.now())
            self._tap = Tap(self._stage.kafka)
            self._reader = Reader(self._stage.kafka, self._tap)
            self._connection = await connect(self._stage.database_url, DEMO_SESSION)
            self._watcher = Watcher(self._connection)
            self._market = Market(self._tap, self._reader, self._watcher, self._time, self._options.seed)
            try:
                await self._tap.start()
                await self._reader.start()
                now = self._time.now()
                await self._produce_the_past(now)
                await self._catch_up(worker, now)
                console.print(heading("What freelancers ask, and what the ledger answers"))
                policies = read_policy(self._policy.read_text(encoding="utf-8"), str(self._policy))
                grace = self._time.grace_seconds
                wrong = await answer_questions(self._stage.database_url, policies, asked_at(now), grace, console)
                await self._let_time_run(worker)
                clock = wall_clock(self._time.spec)
                async with console_open(self._stage.database_url, policies, clock, grace) as address:
                    console.print("\n" + invitation(address), soft_wrap=True)
                    moment = await self._market.stay_open(
                        console,
                        rate=self._options.rate,
                        seconds=self._seconds,
                        ended=self._ended,
                        require_running=worker.require_running,
                    )
                findings = await self._close(worker)
                moment = await self._market.moment(moment)
            finally:
                await worker.stop()
                await self._reader.stop()
                await self._tap.stop()
                self._connection.terminate()
        console.print(heading("At the end"))
        console.print(closing(moment, findings))
        broken = [finding.name for finding in findings if not finding.holds]
        if wrong:
            console.print(f"\nNot answered as the rules say: {', '.join(case.question for case in wrong)}", style="red")
        if broken:
            console.print(f"\nDoes not hold: {', '.join(broken)}", style="red")
        return 1 if wrong or broken else 0

    def settings_afterwards(self) -> dict[str, str]:
        """The settings of a command that uses this ledger afterwards. Time goes on as usual from where it ended."""
        clock = f"{self._time.now().isoformat(timespec='seconds')}@1" if self._time.spec else ""
        return self._ledger_settings(clock)

    async def _produce_the_past(self, now: datetime) -> None:
        """Produce the events before the questions: the cases, and the marketplace's last year."""
        seed, market = self._options.seed, self._market.marketplace
        by_time = attrgetter("send_at")
        cases = sorted((message for case in SEED_CASES for message in case.messages(asked_at(now))), key=by_time)
        veterans = list(market.veterans(_between(_VETERANS, _VETERANS_CAME, now, seed)))
        chosen = _between(_MEMBERS_OF_OLD, _CHOSE_PLUS, now, seed)
        members = sorted(market.members_of_old(chosen, _PAID_AFTER), key=by_time)
        past = market.messages(spread(_PAST_EVENTS, now - _PAST, now - quiet_before(self._time), seed))
        for message in heapq.merge(cases, veterans, members, past, key=by_time):
            self._market.payments.remember(message)
            await self._tap.send(message)
        await self._tap.flush()
        self._console.print(f"  {self._tap.total:,} events of the last year are in Kafka")

    async def _catch_up(self, worker: DemoWorker, now: datetime) -> None:
        self._start(worker)
        await leads(self._stage.database_url, worker)
        started = time.monotonic()
        await self._decided(worker, now - timedelta(seconds=self._time.grace_seconds))
        seconds = time.monotonic() - started
        figures = self._watcher.figures
        self._console.print(
            f"  the worker (process {worker.pid}) read them in order of time and decided them in {seconds:.1f} s: "
            f"{figures.wallets} wallets"
        )

    async def _let_time_run(self, worker: DemoWorker) -> None:
        """Hand the ledger to a worker whose clock is the fast one."""
        if not self._time.is_fast:
            return
        await worker.stop()
        self._time.hurry()
        self._start(worker)
        await leads(self._stage.database_url, worker)
        self._console.print(
            f"Another worker (process {worker.pid}) goes on; from now on {pace(self._time.speed)}.", style="dim"
        )

    def _start(self, worker: DemoWorker) -> None:
        worker.start(self._ledger_settings(self._time.spec) | {"CONNECTS_HTTP_PORT": "0"})

    def _ledger_settings(self, clock: str) -> dict[str, str]:
        """The settings of every command on this ledger; they have its policy and grace, too."""
        return {
            **self._stage.settings,
            "CONNECTS_POLICY": str(self._policy),
            "CONNECTS_SETTLEMENT_GRACE": str(self._time.grace_seconds),
            **({"CONNECTS_CLOCK": clock, "CONNECTS_ALLOW_SIMULATED_TIME": "1"} if clock else {}),
        }

    async def _close(self, worker: DemoWorker) -> list[Finding]:
        """Let the worker finish, end it, and check the result."""
        self._console.print("\nThe marketplace is closed; the worker finishes.", style="dim")
        await self._tap.flush()
        slow = None
        try:
            await self._decided(worker)
        except LocalStackError as error:
            slow = str(error)
        code = await worker.stop()
        await self._reader.read_to_the_end(_CATCH_UP_SECONDS)
        taken = self._market.payments.taken
        findings = await check(self._connection, self._reader.read, taken, await self._ends())
        faults = [slow] if slow else []
        if code != 0:
            faults.append("it had to be killed" if code is None else f"it ended with exit {code}")
        return [*findings, Finding("stop", "the worker ends in order when it is asked to", tuple(faults))]

    async def _decided(self, worker: DemoWorker, cycles_until: datetime | None = None) -> None:
        """Wait until everything produced is decided, jobs are settled, and the cycles that began until then are booked.

        Raises:
            LocalStackError: it takes too long, or the worker ended.
        """
        deadline = time.monotonic() + _CATCH_UP_SECONDS
        while True:
            figures = await self._watcher.poll()
            waiting = figures.pending
            if cycles_until is not None:
                waiting += await self._watcher.cycles_waiting(cycles_until)
            if figures.firsts >= self._tap.total and not waiting:
                return
            worker.require_running()
            if time.monotonic() > deadline:
                waits = counted(waiting, "settlement or cycle start waits", "settlements and cycle starts wait")
                raise LocalStackError(
                    f"after {_CATCH_UP_SECONDS:.0f} s {figures.firsts} of {self._tap.total} events are decided and "
                    f"{waits}. The worker's log: {worker.log}"
                )
            await asyncio.sleep(_LOOK_SECONDS)

    async def _ends(self) -> dict[tuple[str, int], int]:
        places = [TopicPartition(topic, partition) for topic in INPUT_TOPICS for partition in range(PARTITIONS)]
        async with AIOKafkaConsumer(**self._stage.kafka) as consumer:
            ends = await consumer.end_offsets(places)
        return {(place.topic, place.partition): end for place, end in ends.items() if end}

    @contextmanager
    def _ctrl_c_ends_it(self) -> Iterator[None]:
        """Close the marketplace on the first Ctrl-C, or SIGTERM; a second Ctrl-C skips the checks."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)

        def end() -> None:
            self._ended.set()
            loop.remove_signal_handler(signal.SIGINT)

        for number in signals:
            loop.add_signal_handler(number, end)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)


def _between(count: int, ago: tuple[timedelta, timedelta], now: datetime, seed: int) -> list[datetime]:
    """Return that many instants, at most and at least that long ago."""
    return spread(count, now - ago[0], now - ago[1], seed)
