"""`connects demo`: the worker answers the questions that freelancers ask, then follows a marketplace, and is checked.

Everything is real: Kafka, PostgreSQL, the worker as a process, events as any producer writes them, answers from the
ledger. Only the marketplace is made up.
"""

import asyncio
import heapq
import logging
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from rich.console import Console, RenderableType
from rich.live import Live

from schemas.catalogue import INPUT_TOPICS
from worker.local.demo_checks import Finding, check
from worker.local.demo_stage import PARTITIONS, DemoWorker, Stage, default_folder, leads
from worker.local.demo_view import Answer, Moment, answered, board, closing, demo_console, heading, plain_line, usable
from worker.local.demo_watch import Reader, Tap, Watcher
from worker.local.errors import LocalStackError
from worker.local.marketplace import DEFAULT_RATE, Marketplace, at_rate, send_in_time, spread
from worker.local.seed_cases import SEED_CASES, Case
from worker.operations.asking import snapshot
from worker.operations.explain import explain_event, explain_proposal
from worker.operations.history import history

UNATTENDED_SECONDS: Final = 30.0
"""How long the marketplace is open when nobody is there to end it."""

_FREELANCERS: Final = 400
_PAST_EVENTS: Final = 2_000
_PAST: Final = timedelta(days=30)
_LOOK_SECONDS: Final = 0.25
_LINE_SECONDS: Final = 5.0
_CATCH_UP_SECONDS: Final = 120.0
_RATE_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Options:
    """What may be told on the command line. None: as suits where it runs (a terminal or not)."""

    seconds: float | None = None
    rate: float = DEFAULT_RATE
    seed: int = 7
    folder: Path | None = None
    stay: bool | None = None


def run(options: Options) -> int:
    """Play the demo; the exit code: 1 when an answer is not what the rules say, or something that must hold does not.

    Raises:
        LocalStackError: the stack, its folder or the worker cannot be used.
        WorkerError: Kafka or PostgreSQL refuse.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    console = demo_console()
    stage = Stage(default_folder() if options.folder is None else options.folder)
    stay = console.is_terminal if options.stay is None else options.stay
    with stage.taken():
        try:
            console.print(heading("Starting a real Kafka and a real PostgreSQL"), end="")
            stage.up(lambda line: console.print(f"  {line}"))
            code = asyncio.run(_Demo(stage, options, console).play())
        finally:
            if not stay:
                stage.stack.down()
        console.print()
        console.print(usable(stage.folder, stage.settings, up=stay), soft_wrap=True)
    return code


class _Demo:
    """One run on a stage that is up."""

    def __init__(self, stage: Stage, options: Options, console: Console) -> None:
        self._stage, self._options, self._console = stage, options, console
        self._seconds = options.seconds
        if self._seconds is None and not console.is_terminal:
            self._seconds = UNATTENDED_SECONDS
        self._ended = asyncio.Event()
        self._marketplace = Marketplace(options.seed, freelancers=_FREELANCERS)

    async def play(self) -> int:
        """Questions, marketplace, checks; whatever happens, the worker is ended."""
        console = self._console
        with self._ctrl_c_ends_it():
            worker = self._stage.worker()
            worker.end_earlier()
            await self._stage.clear()
            self._tap = Tap(self._stage.kafka)
            self._reader = Reader(self._stage.kafka, self._tap)
            self._connection = await asyncpg.connect(self._stage.database_url)
            self._watcher = Watcher(self._connection)
            try:
                await self._tap.start()
                await self._reader.start()
                now = datetime.now(UTC)
                await self._tell_the_past(now)
                await self._catch_up(worker)
                wrong = await self._answer_questions(now)
                moment = await self._open_the_marketplace(worker)
                findings = await self._close(worker)
                moment = await self._moment(moment)
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

    async def _tell_the_past(self, now: datetime) -> None:
        """Produce what had happened before anybody asked: the cases, and a month of the marketplace."""
        cases = sorted(
            (message for case in SEED_CASES for message in case.messages(now)), key=lambda told: told.send_at
        )
        instants = spread(_PAST_EVENTS, now - _PAST, now - timedelta(minutes=1), self._options.seed)
        past = self._marketplace.messages(instants)
        for message in heapq.merge(cases, past, key=lambda told: told.send_at):
            await self._tap.send(message)
        await self._tap.settle()
        self._console.print(f"  {self._tap.total:,} events of the last months are in Kafka")

    async def _catch_up(self, worker: DemoWorker) -> None:
        worker.start()
        await leads(self._stage.database_url, worker)
        started = time.monotonic()
        await self._decided(worker, _CATCH_UP_SECONDS)
        seconds = time.monotonic() - started
        figures = self._watcher.figures
        self._console.print(
            f"  the worker (process {worker.pid}) read them in order of time and decided them in {seconds:.1f} s: "
            f"{figures.wallets} wallets"
        )

    async def _answer_questions(self, now: datetime) -> list[Case]:
        """Ask the ledger what `connects explain` would; the cases whose answer is not what the rules say."""
        self._console.print(heading("What freelancers ask, and what the ledger answers"))
        wrong = []
        for number, case in enumerate(SEED_CASES, start=1):
            answer = await self._answer(case)
            self._console.print(answered(number, answer, now))
            if not answer.is_as_expected:
                wrong.append(case)
        return wrong

    async def _answer(self, case: Case) -> Answer:
        async with snapshot(self._stage.database_url) as connection:
            if case.about_event is None:
                found = await explain_proposal(connection, case.proposal_id)
            else:
                found = await explain_event(connection, case.event_id(case.about_event))
            wallet = await history(connection, case.freelancer_id, last=1)
        balance = 0 if wallet is None else wallet.balance
        if found.open:
            return Answer(case, found.open[0].reason, found.open[0].explanation, balance)
        if not found.decisions:
            return Answer(case, "no-decision", "Nothing was decided.", balance)
        last = found.decisions[-1]
        return Answer(case, last.reason, last.explanation, balance)

    async def _open_the_marketplace(self, worker: DemoWorker) -> Moment:
        """Let events come until somebody ends it, or the time is over."""
        self._reader.measure_from_now()
        started = time.monotonic()
        instants = at_rate(self._options.rate, datetime.now(UTC), self._options.seed)
        sending = asyncio.create_task(send_in_time(self._marketplace.messages(instants), self._tap.send, self._ended))
        moment = await self._moment(None)
        try:
            with self._shown(moment) as show:
                while not self._ended.is_set() and not sending.done():
                    worker.require_running()
                    moment = await self._moment(moment, started)
                    show(moment)
                    if self._seconds is not None and moment.elapsed_seconds >= self._seconds:
                        break
                    await self._pause()
        finally:
            self._ended.set()
            await sending
        return moment

    async def _close(self, worker: DemoWorker) -> list[Finding]:
        """Let the worker finish, end it, and look at what is left."""
        self._console.print("\nThe marketplace is closed; the worker finishes.", style="dim")
        await self._tap.settle()
        slow = None
        try:
            await self._decided(worker, _CATCH_UP_SECONDS)
        except LocalStackError as error:
            slow = str(error)
        code = await worker.stop()
        await self._reader.read_to_the_end(_CATCH_UP_SECONDS)
        findings = await check(self._connection, self._reader.read, await self._ends())
        told = [slow] if slow else []
        if code != 0:
            told.append("it had to be killed" if code is None else f"it ended with exit {code}")
        return [*findings, Finding("stop", "the worker ends in order when it is told to", tuple(told))]

    async def _decided(self, worker: DemoWorker, limit_seconds: float) -> None:
        """Wait until all that was produced is decided and settled.

        Raises:
            LocalStackError: it takes too long, or the worker ended.
        """
        deadline = time.monotonic() + limit_seconds
        while True:
            figures = await self._watcher.look()
            if figures.firsts >= self._tap.total and not figures.pending:
                return
            worker.require_running()
            if time.monotonic() > deadline:
                raise LocalStackError(
                    f"after {limit_seconds:.0f} s {figures.firsts} of {self._tap.total} events are decided and "
                    f"{figures.pending} settlements wait. The worker's log: {worker.log}"
                )
            await asyncio.sleep(_LOOK_SECONDS / 2)

    async def _ends(self) -> dict[tuple[str, int], int]:
        places = [TopicPartition(topic, partition) for topic in INPUT_TOPICS for partition in range(PARTITIONS)]
        async with AIOKafkaConsumer(**self._stage.kafka) as consumer:
            ends = await consumer.end_offsets(places)
        return {(place.topic, place.partition): end for place, end in ends.items() if end}

    async def _moment(self, before: Moment | None, started: float | None = None) -> Moment:
        figures = await self._watcher.look()
        elapsed = before.elapsed_seconds if before else 0.0
        rate = before.rate if before else 0.0
        if started is not None and before is not None:
            passed, elapsed = elapsed, time.monotonic() - started
            if step := elapsed - passed:
                share = min(1.0, step / min(_RATE_SECONDS, elapsed))
                rate += share * ((self._tap.total - before.produced) / step - rate)
        delays = self._reader.delays
        ordered = statistics.quantiles(delays, n=100) if len(delays) > 1 else None
        return Moment(
            figures=figures,
            produced=self._tap.total,
            rate=rate,
            elapsed_seconds=elapsed,
            left_seconds=None if self._seconds is None else max(0.0, self._seconds - elapsed),
            now=datetime.now(UTC),
            updates=self._reader.count,
            delays=(ordered[49], ordered[98]) if ordered else None,
        )

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            pass

    @contextmanager
    def _shown(self, first: Moment) -> Iterator[Callable[[Moment], None]]:
        """A view of the marketplace that is to be given each moment: a board, or a line now and then."""
        console, reader = self._console, self._reader
        rate = f"{self._options.rate:g} events a second"
        console.print(heading(f"A marketplace of {_FREELANCERS} freelancers, {rate}"), end="")
        if not console.is_terminal:
            yield _lines(console)
            return

        def page(moment: Moment) -> RenderableType:
            return board(moment, reader, width=console.width, height=console.size.height)

        with Live(page(first), console=console, auto_refresh=False, transient=True) as live:
            yield lambda moment: live.update(page(moment), refresh=True)

    @contextmanager
    def _ctrl_c_ends_it(self) -> Iterator[None]:
        """Close the marketplace on the first Ctrl-C, or SIGTERM; a second Ctrl-C waits for no checks."""
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


def _lines(console: Console) -> Callable[[Moment], None]:
    told_at = 0.0

    def show(moment: Moment) -> None:
        nonlocal told_at
        if moment.elapsed_seconds - told_at >= _LINE_SECONDS:
            told_at = moment.elapsed_seconds
            console.print(f"  {plain_line(moment)}")

    return show
