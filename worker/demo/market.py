"""The second part of the demo: the marketplace is open, charges are answered, and the worker's state is shown."""

import asyncio
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from rich.console import Console, RenderableType
from rich.live import Live

from worker.demo.marketplace import Carelessness, Marketplace, at_rate, send_in_time
from worker.demo.payments import PaymentService
from worker.demo.time import DemoTime, pace
from worker.demo.view import Moment, board, heading, plain_line
from worker.demo.watch import Reader, Tap, Watcher
from worker.words.phrases import agreeing

FREELANCERS: Final = 400

_POLL_SECONDS: Final = 0.25
_LINE_SECONDS: Final = 5.0
_RATE_SECONDS: Final = 5.0
_LATE_GRACES: Final = 3
"""How late producers are at most, in graces of the worker: so most of them are late for it, too."""


class Market:
    """A marketplace and its payment service in the time of the demo, and a view of them."""

    def __init__(self, tap: Tap, reader: Reader, watcher: Watcher, demo_time: DemoTime, seed: int) -> None:
        self._tap, self._reader, self._watcher, self._time, self._seed = tap, reader, watcher, demo_time, seed
        careless = Carelessness()
        if demo_time.is_fast:
            grace = demo_time.grace_seconds
            careless = Carelessness(late_seconds=_LATE_GRACES * grace, again_seconds=grace)
        self.marketplace = Marketplace(seed, freelancers=FREELANCERS, careless=careless)
        self.payments = PaymentService(tap.kafka, demo_time, self.marketplace.memberships, tap.send, seed)

    async def stay_open(
        self,
        console: Console,
        *,
        rate: float,
        seconds: float | None,
        ended: asyncio.Event,
        require_running: Callable[[], None],
    ) -> Moment:
        """Send events, `rate` in a real second, until somebody ends it or `seconds` are over (None: never).

        Raises:
            LocalStackError: the worker ended.
        """
        self._reader.measure_from_now()
        self.marketplace.memberships.open = True
        await self.payments.start()
        started = time.monotonic()
        instants = at_rate(rate / self._time.speed, self._time.now(), self._seed)
        messages = self.marketplace.messages(instants)
        sending = asyncio.create_task(send_in_time(messages, self._tap.send, ended, self._time.wait_seconds))
        moment = await self.moment(None, seconds=seconds)
        try:
            with self._shown(console, moment, rate) as show:
                while not ended.is_set() and not sending.done():
                    require_running()
                    self.payments.require_well()
                    moment = await self.moment(moment, started, seconds)
                    show(moment)
                    if seconds is not None and moment.elapsed_seconds >= seconds:
                        break
                    await _pause(ended)
        finally:
            ended.set()
            await sending
            await self.payments.stop()
        return moment

    async def moment(self, before: Moment | None, started: float | None = None, seconds: float | None = None) -> Moment:
        """Return the present state; `before` is the earlier moment, `started` when the marketplace was opened."""
        figures = await self._watcher.poll()
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
            left_seconds=None if seconds is None else max(0.0, seconds - elapsed),
            now=self._time.now(),
            speed=self._time.speed,
            updates=self._reader.count,
            rules=self._reader.rules,
            taken_cents=sum(cents or 0 for cents in self.payments.taken.values()),
            delays=(ordered[49], ordered[98]) if ordered else None,
        )

    @contextmanager
    def _shown(self, console: Console, first: Moment, rate: float) -> Iterator[Callable[[Moment], None]]:
        """Return a view of the marketplace, to be called with each moment: a board, or a line now and then."""
        reader = self._reader
        words = f"A marketplace of {FREELANCERS} freelancers, {rate:g} {agreeing(rate, 'event')} a second"
        if self._time.is_fast:
            words = f"{words}; {pace(self._time.speed)}"
        console.print(heading(words), end="")
        if not console.is_terminal:
            yield _lines(console)
            return

        def page(moment: Moment) -> RenderableType:
            return board(moment, list(reader.latest), width=console.width, height=console.size.height)

        with Live(page(first), console=console, auto_refresh=False, transient=True) as live:
            yield lambda moment: live.update(page(moment), refresh=True)


def quiet_before(demo_time: DemoTime) -> timedelta:
    """How long nothing happens before the marketplace opens: what happened before is decided by then."""
    return timedelta(seconds=demo_time.grace_seconds + 60)


async def _pause(ended: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(_POLL_SECONDS):
            await ended.wait()
    except TimeoutError:
        pass


def _lines(console: Console) -> Callable[[Moment], None]:
    printed_at = 0.0

    def show(moment: Moment) -> None:
        nonlocal printed_at
        if moment.elapsed_seconds - printed_at >= _LINE_SECONDS:
            printed_at = moment.elapsed_seconds
            console.print(f"  {plain_line(moment)}")

    return show
