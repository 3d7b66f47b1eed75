"""The console with 50 agents at once, in a large ledger, beside live traffic.

The ledger is made by a catch-up, with one freelancer of about 10,000 changes. Then events come live, for a while by
themselves, then beside agents who look at pages of every kind. The console is a process of its own, as are the agents.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import asyncpg

from benchmarks.agents import Look, Visits, visit
from benchmarks.history import BUSY, Ledger, make_ledger, recipe
from benchmarks.processes import cost_of, peak_memory_mib
from benchmarks.subject import Ground, environment_of
from benchmarks.traffic import Live, in_words, traffic
from worker.replies.standing import TOPICS

_BUSY: Final = 10_000
_SAMPLE: Final = 2_000
_PAGES: Final = 20
_READY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 20.0
_OVER_SECONDS: Final = 60.0
"""How much longer than asked for the agents may take: the last pages are waited for."""
_FOUND: Final = 200


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of one kind, until all of one was there, in milliseconds; a search with the page that it leads to."""

    kind: str
    looks: int
    p50_ms: float
    p99_ms: float
    worst_ms: float
    failed: dict[str, int]
    """How many had which status other than 200; 0: none came."""


@dataclass(frozen=True, slots=True)
class Console:
    """The time that agents wait for pages, and their cost. `busy_changes` are those of the busy freelancer."""

    decisions: int
    busy_changes: int
    agents: int
    seconds: float
    pages_per_second: float
    pages: list[Pages]
    console_cpu_seconds: float
    console_peak_mib: float
    before: Live
    beside: Live


async def console(
    ground: Ground,
    folder: Path,
    decisions: int,
    agents: int,
    seconds: float,
    rate: int,
    quiet_seconds: float,
    partitions: int,
    seed: int,
) -> Console:
    """Let `agents` look at pages for `seconds`, with `rate` live events a second."""
    ledger = await make_ledger(ground, folder, recipe(decisions, seed, partitions, busy=_BUSY))
    first, most = ledger.recipe.next_number, quiet_seconds + seconds + _READY_SECONDS + _OVER_SECONDS
    async with traffic(ground, folder, rate, most, seed + 1, first=first, registrations=0) as going:
        with _served(ground, folder / "console.log") as served:
            port = await _port_of(served, folder / "console.log")
            visits, busy_changes = await _visits(ledger, port, agents, seconds, seed)
            await going.warm_up()
            quiet = await going.pass_time(quiet_seconds)
            print(f"{agents} agents look at pages for {seconds:g} s ...", flush=True)
            before = cost_of(served.pid)
            looking = asyncio.create_task(_in_a_process(visits))
            window = await going.pass_time(seconds)
            looks = await looking
            spent, peak = cost_of(served.pid) - before, peak_memory_mib(served.pid)
    return Console(
        ledger.decisions,
        busy_changes,
        agents,
        seconds,
        round(len(looks) / seconds, 1),
        _by_kind(looks),
        round(spent.cpu_seconds, 1),
        round(peak),
        going.within(quiet),
        going.within(window),
    )


@contextmanager
def _served(ground: Ground, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A console for as long as the block lasts; it records each lookup, as it does by default."""
    environment = environment_of(ground) | {"LOG_LEVEL": "info"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "console", "--port", "0"], env=environment, stderr=output
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=_STOP_SECONDS)


async def _port_of(served: "subprocess.Popen[bytes]", log: Path) -> int:
    """Where it listens, once it does."""
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and served.poll() is None:
        for line in (await asyncio.to_thread(log.read_text, encoding="utf-8")).splitlines():
            said: dict[str, Any] = json.loads(line) if line.startswith("{") else {}
            if said.get("event") == "console.ready":
                return int(said["address"].rstrip("/").rpartition(":")[2])
        await asyncio.sleep(0.1)
    raise SystemExit(f"the console does not listen: {await asyncio.to_thread(log.read_text, encoding='utf-8')}")


async def _visits(ledger: Ledger, port: int, agents: int, seconds: float, seed: int) -> tuple[Visits, int]:
    """The ids that the agents look at, out of the ledger; and how many changes the busy freelancer has."""
    connection = await asyncpg.connect(ledger.ground.database_url)
    try:
        changes = await connection.fetchval("SELECT max(version) FROM changes WHERE freelancer_id = $1", BUSY)
        wallets = await _sample(connection, "freelancer_id", "wallets")
        proposals = await _sample(connection, "proposal_id", "spends")
        jobs = await _sample(connection, "job_id", "spends")
    finally:
        await connection.close()
    older = [max(2, changes * number // _PAGES) for number in range(1, _PAGES + 1)]
    return Visits(port, agents, seconds, seed, wallets, proposals, jobs, list(TOPICS), BUSY, older), changes


async def _sample(connection: "asyncpg.Connection[asyncpg.Record]", column: str, table: str) -> list[str]:
    """Ids out of all of a table."""
    query = (
        f"SELECT {column} FROM (SELECT DISTINCT {column} FROM {table}) AS known"  # noqa: S608 - names of ours
        f" ORDER BY md5({column}) LIMIT {_SAMPLE}"
    )
    return [row[0] for row in await connection.fetch(query)]


async def _in_a_process(visits: Visits) -> list[Look]:
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    try:
        async with asyncio.timeout(visits.seconds + _OVER_SECONDS):
            return await asyncio.get_running_loop().run_in_executor(pool, visit, visits)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _by_kind(looks: list[Look]) -> list[Pages]:
    pages = []
    for kind in sorted({look.kind for look in looks}):
        taken = sorted(look.seconds * 1e3 for look in looks if look.kind == kind)
        failed = Counter(str(look.status) for look in looks if look.kind == kind and look.status != _FOUND)
        p50, p99 = taken[len(taken) // 2], taken[int(len(taken) * 0.99)]
        pages.append(Pages(kind, len(taken), round(p50, 1), round(p99, 1), round(taken[-1], 1), dict(failed)))
    return pages


def report(result: Console) -> str:
    """The result in lines to read."""
    before, beside = result.before, result.beside
    cost = f"console CPU {result.console_cpu_seconds} s, memory, peak {result.console_peak_mib:.0f} MiB"
    lines = [
        f"the console in a ledger of {result.decisions:,} decisions; live {in_words(before)}",
        f"  {result.agents} agents, {result.pages_per_second} pages/s for {result.seconds:g} s; {cost}",
        f"  the busy freelancer has {result.busy_changes:,} changes",
    ]
    for one in result.pages:
        failed = ", ".join(f"{count} with status {status}" for status, count in one.failed.items())
        figures = f"p50 {one.p50_ms} ms, p99 {one.p99_ms} ms, worst {one.worst_ms} ms"
        lines.append(f"    {one.kind}: {figures} of {one.looks:,}{'; FAILED: ' if failed else ''}{failed}")
    lines.append(f"  live {in_words(beside)}, {beside.p99_ms / before.p99_ms:.1f} times the p99 before")
    return "\n".join(lines)
