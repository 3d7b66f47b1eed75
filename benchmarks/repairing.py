"""Repairing: a plan over an archive of which part was lost, and a plan with many corrections that is applied.

The ledger is made by a catch-up in which a fifth of the archive's events never came: an hour was lost, and the archive
has the day. Then events come live, for a while by themselves, then beside `replay plan --add`; beside the plan that
voids the last purchases of the ledger; and beside `replay apply` of that one.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import asyncpg

from benchmarks.history import Ledger, make_ledger, recipe
from benchmarks.processes import memory_mib, peak_memory_mib
from benchmarks.subject import Ground
from benchmarks.traffic import Live, Traffic, Window, in_words, traffic
from benchmarks.watching import Ran, Watched, watched
from benchmarks.watching import in_words as cost_in_words
from worker.repair.plan import MOST_TRIGGERS

_LOST_OF: Final = 5
"""One in that many of the archive's events never came."""
_MOST_SECONDS: Final = 7_200.0
_PURCHASES: Final = """
SELECT 'connects-purchased/' || event_id FROM decisions
WHERE topic = 'connects-purchased' AND outcome = 'applied' AND seq <= $2 ORDER BY seq DESC LIMIT $1
"""
_SOME_DEVIATE: Final = (0, 1)
"""Exit codes: 1 says that not each correction was booked, because its wallet has changed since it was planned."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan over `read` lines or decisions; those that it has no triggers for were inert, or had nothing to void."""

    read: int
    triggers: int
    per_second: int
    beside: Live
    ran: Ran


@dataclass(frozen=True, slots=True)
class Applied:
    """A plan that was applied. `worker_*` is the worker's resident memory: its peak before and after, and at the end.

    Deviated are corrections of wallets that the live events had changed in the meantime.
    """

    corrections: int
    booked: int
    deviated: int
    left_out: int
    per_second: int
    worker_peak_before_mib: float
    worker_peak_mib: float
    worker_mib: float
    beside: Live
    ran: Ran


@dataclass(frozen=True, slots=True)
class Repairing:
    """The cost of repairing a ledger."""

    decisions: int
    before: Live
    adds: Planned
    voids: Planned
    applied: Applied


@dataclass(frozen=True, slots=True)
class _Done:
    """A command that ran beside the traffic, and what it printed."""

    run: Watched
    found: dict[str, Any]


async def repairing(
    ground: Ground,
    folder: Path,
    decisions: int,
    archived: int,
    corrections: int,
    rate: int,
    quiet_seconds: float,
    partitions: int,
    seed: int,
) -> Repairing:
    """Plan over `archived` events, and plan and apply `corrections`, with `rate` live events a second."""
    ledger, archive = await _broken(ground, folder, decisions, archived, partitions, seed)
    first = ledger.recipe.next_number
    async with traffic(ground, folder, rate, _MOST_SECONDS, seed + 1, first=first, registrations=0) as going:
        await going.warm_up()
        quiet = await going.pass_time(quiet_seconds)
        print(f"planning over {archived:,} events ...", flush=True)
        adds = await _plan(ground, going, ["--add", str(archive)], folder / "lost.plan")
        purchases = folder / "purchases.txt"
        voided = await _write_purchases(ledger, purchases, corrections)
        print(f"planning {voided:,} corrections ...", flush=True)
        voids = await _plan(ground, going, ["--void", str(purchases), "--first"], folder / "void.plan")
        peak_before = peak_memory_mib(going.worker.pid)
        print("applying them ...", flush=True)
        done = await _apply(ground, going, folder / "void.plan")
        peak, now = peak_memory_mib(going.worker.pid), memory_mib(going.worker.pid)
    return Repairing(
        ledger.decisions,
        going.within(quiet),
        _planned(archived, adds, going),
        _planned(voided, voids, going),
        _applied(done, going, peak_before, peak, now),
    )


async def _broken(
    ground: Ground, folder: Path, decisions: int, archived: int, partitions: int, seed: int
) -> tuple[Ledger, Path]:
    """A ledger to which part of the events never came, and an archive of those and of others around them."""
    events = recipe(decisions, seed, partitions).events
    if archived > events:
        raise SystemExit(f"--archived {archived}: a ledger of {decisions} decisions has only about {events} events")
    lost = min(archived // _LOST_OF, MOST_TRIGGERS)
    first = events - archived
    middle = first + (archived - lost) // 2
    of = recipe(decisions, seed, partitions, lost=range(middle, middle + lost))
    archive = folder / "archive.jsonl"
    with archive.open("w", encoding="utf-8") as file:
        file.writelines(_lines(islice(of.stream(), first, first + archived)))
    return await make_ledger(ground, folder, of), archive


def _lines(stream: Iterator[tuple[str, bytes, bytes]]) -> Iterator[str]:
    for topic, _, value in stream:
        yield f'{{"topic":"{topic}","value":{value.decode()}}}\n'


async def _write_purchases(ledger: Ledger, path: Path, most: int) -> int:
    """Write the last purchases before the live events to a file, as many as there are; returns how many."""
    connection = await asyncpg.connect(ledger.ground.database_url)
    try:
        found = [row[0] for row in await connection.fetch(_PURCHASES, most, ledger.decisions)]
    finally:
        await connection.close()
    await asyncio.to_thread(path.write_text, "\n".join(found) + "\n", encoding="utf-8")
    return len(found)


async def _plan(ground: Ground, going: Traffic, options: list[str], out: Path) -> _Done:
    words = ["replay", "plan", *options, "--out", str(out), "--json"]
    return _done(await watched(ground, words, _MOST_SECONDS / 3), going)


async def _apply(ground: Ground, going: Traffic, plan: Path) -> _Done:
    """Apply a plan to its end, however many deviate."""
    words = ["replay", "apply", str(plan), "--why", "a test producer bought for real people", "--json"]
    words += ["--take-too", "--most-deviations", "100"]
    return _done(await watched(ground, words, _MOST_SECONDS / 3, _SOME_DEVIATE), going)


def _done(run: Watched, going: Traffic) -> _Done:
    if going.producing is None or going.producing.done():
        raise SystemExit("the live events ended before the command did: nothing would be measured beside it")
    return _Done(run, json.loads(run.out))


def _planned(read: int, done: _Done, going: Traffic) -> Planned:
    run = done.run
    triggers = sum(done.found["triggers"].values())
    return Planned(read, triggers, _per_second(read, run.window), going.within(run.window), run.ran)


def _applied(done: _Done, going: Traffic, peak_before: float, peak: float, now: float) -> Applied:
    run, found = done.run, done.found
    return Applied(
        found["asked"],
        found["booked"],
        found["deviated"],
        found["left_out"],
        _per_second(found["asked"], run.window),
        round(peak_before),
        round(peak),
        round(now),
        going.within(run.window),
        run.ran,
    )


def _per_second(count: int, window: Window) -> int:
    return round(count / (window.end - window.begin))


def report(result: Repairing) -> str:
    """The result in lines to read."""
    adds, voids, applied = result.adds, result.voids, result.applied
    lost = f"a plan over {adds.read:,} events of which {adds.triggers:,} were lost"
    became = f"{applied.booked:,} booked, {applied.deviated:,} deviated, {applied.left_out:,} left out"
    peaks = f"peak before {applied.worker_peak_before_mib:.0f} MiB, peak {applied.worker_peak_mib:.0f} MiB"
    lines = [
        f"repairing a ledger of {result.decisions:,} decisions; live {in_words(result.before)}",
        f"  {lost}: {adds.ran.seconds} s, {adds.per_second:,}/s",
        *_beside(adds, result.before),
        f"  a plan of {voids.triggers:,} voids: {voids.ran.seconds} s, {voids.per_second:,}/s",
        *_beside(voids, result.before),
        f"  applying it: {applied.ran.seconds} s, {applied.per_second:,} corrections/s; {became}",
        *_beside(applied, result.before),
        f"    the worker's memory: {peaks}, at the end {applied.worker_mib:.0f} MiB",
    ]
    return "\n".join(lines)


def _beside(result: Planned | Applied, before: Live) -> list[str]:
    return [
        f"    {cost_in_words(result.ran)}",
        f"    live {in_words(result.beside)}, {result.beside.p99_ms / before.p99_ms:.1f} times the p99 before",
    ]
