"""Live: a steady stream of events; how long from producing one until its wallet-updated can be read."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from benchmarks.subject import Ground, Worker
from benchmarks.traffic import WARM_UP_SECONDS, Live, Window, traffic


async def live(
    ground: Ground,
    folder: Path,
    rate: int,
    seconds: float,
    seed: int,
    watch: Callable[[Worker], Coroutine[None, None, None]] | None = None,
    until: asyncio.Event | None = None,
) -> Live:
    """Produce `rate` events a second for `seconds`, reading wallet-updated with read_committed all the while.

    `watch` runs beside it; `until` ends it before its time. Measured is what was produced before that.
    """
    async with traffic(ground, folder, rate, seconds + WARM_UP_SECONDS, seed, stop=until) as going:
        if going.producing is None:
            raise AssertionError("nothing is produced")
        watching = () if watch is None else (watch(going.worker),)
        await asyncio.gather(going.producing, *watching)
        end = time.monotonic()
    if going.began + WARM_UP_SECONDS > end:
        raise SystemExit(f"nothing was measured: it ended within the first {WARM_UP_SECONDS} s, which do not count")
    return going.within(Window(going.began + WARM_UP_SECONDS, end))


def report(result: Live) -> str:
    """The result in lines to read."""
    return (
        f"live at {result.events_per_second:,.0f} events/s ({result.measured:,} measured): produced to readable "
        f"wallet-updated p50 {result.p50_ms} ms, p99 {result.p99_ms} ms, worst {result.worst_ms} ms"
    )
