"""Proving: `connects verify` in a large ledger beside live traffic, and the questions about one busy freelancer.

The ledger is made by a catch-up. Then events come live, for a while by themselves, then beside `verify` with one
process and with two; each time all of the ledger is verified, and a finding ends the benchmark. `history`, `explain`
and `explain --again` are asked once nothing else goes on, of a freelancer with about 2,000 decisions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from benchmarks.asking import Asked, ask
from benchmarks.asking import report as report_of_asking
from benchmarks.history import BUSY, make_ledger, recipe
from benchmarks.subject import Ground
from benchmarks.traffic import Live, Traffic, Window, in_words, traffic
from benchmarks.watching import Ran, watched
from benchmarks.watching import in_words as cost_in_words

JOBS: Final = (1, 2)
_BUSY: Final = 2_000
_MOST_SECONDS: Final = 7_200.0
_THE_CHECK: Final = "decided-again"
"""The check that decides everything again, as verify calls it."""


@dataclass(frozen=True, slots=True)
class Verified:
    """One run of verify. `per_second` is of the whole command, `per_cpu_second` of the CPU of its own processes."""

    jobs: int
    decisions: int
    per_second: int
    per_cpu_second: int
    beside: Live
    ran: Ran


@dataclass(frozen=True, slots=True)
class Proving:
    """The cost of proving a ledger."""

    decisions: int
    before: Live
    verified: list[Verified]
    asked: list[Asked]


async def proving(
    ground: Ground,
    folder: Path,
    decisions: int,
    rate: int,
    quiet_seconds: float,
    partitions: int,
    seed: int,
    times: int = 5,
) -> Proving:
    """Verify a ledger of about that many decisions with `rate` live events a second; then ask about one freelancer.

    `times`: how often each question is asked.
    """
    ledger = await make_ledger(ground, folder, recipe(decisions, seed, partitions, busy=_BUSY))
    first = ledger.recipe.next_number
    runs: list[tuple[int, int, Window, Ran]] = []
    async with traffic(ground, folder, rate, _MOST_SECONDS, seed + 1, first=first, registrations=0) as going:
        await going.warm_up()
        quiet = await going.pass_time(quiet_seconds)
        for jobs in JOBS:
            runs.append((jobs, *await _verify(ground, jobs)))
            _require_traffic(going)
    verified = [_verified(jobs, count, ran, going.within(window)) for jobs, count, window, ran in runs]
    return Proving(ledger.decisions, going.within(quiet), verified, await ask(ground, BUSY, times))


async def _verify(ground: Ground, jobs: int) -> tuple[int, Window, Ran]:
    """Verify all of the ledger; gives how many decisions it had when that began."""
    connection = await asyncpg.connect(ground.database_url)
    try:
        decisions = await connection.fetchval("SELECT last_seq FROM batches ORDER BY batch_no DESC LIMIT 1")
    finally:
        await connection.close()
    print(f"verifying {decisions:,} decisions with --jobs {jobs} ...", flush=True)
    run = await watched(ground, ["verify", "--json", "--jobs", str(jobs)], _MOST_SECONDS / 2)
    return decisions, run.window, run.ran


def _require_traffic(going: Traffic) -> None:
    if going.producing is None or going.producing.done():
        raise SystemExit("the live events ended before verify did: nothing would be measured beside them")


def _verified(jobs: int, decisions: int, ran: Ran, beside: Live) -> Verified:
    per_cpu_second = round(decisions / max(ran.cpu_seconds, 0.01))
    return Verified(jobs, decisions, round(decisions / ran.seconds), per_cpu_second, beside, ran)


def report(result: Proving) -> str:
    """The result in lines to read."""
    lines = [f"proving a ledger of {result.decisions:,} decisions; live {in_words(result.before)}"]
    for one in result.verified:
        again = one.ran.rates.get(_THE_CHECK)
        lines += [
            f"  verify --jobs {one.jobs}: {one.ran.seconds} s, {one.per_second:,} decisions/s with all its checks; "
            f"{one.per_cpu_second:,} per CPU second of its own"
            + ("" if again is None else f"; deciding again by itself {again:,}/s"),
            f"    {cost_in_words(one.ran)}",
            f"    live {in_words(one.beside)}, {one.beside.p99_ms / result.before.p99_ms:.1f} times the p99 before",
        ]
    return "\n".join([*lines, report_of_asking(result.asked)])
