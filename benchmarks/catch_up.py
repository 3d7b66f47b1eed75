"""Catch-up: topics full of events, a worker that starts; until everything is decided and published."""

import asyncio
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg

from benchmarks.events import events
from benchmarks.load import preload
from benchmarks.processes import cost_of, memory_mib, peak_memory_mib
from benchmarks.subject import Ground, Worker, running_worker

_STAGES: Final = ("load", "decide", "encode", "commit")
_LOOK_SECONDS: Final = 0.25
_STUCK_SECONDS: Final = 600.0
"""After the last record is read, the clock's work and the outbox have that long as well."""


@dataclass(frozen=True, slots=True)
class CatchUp:
    """The cost of a catch-up. `us_*` are microseconds of CPU (processes) or of time (stages) per event."""

    events: int
    seconds: float
    events_per_second: float
    decisions: int
    changes: int
    us_cpu_worker: float
    us_cpu_postgres: float
    us_cpu_broker: float
    us_stages: dict[str, float]
    peak_memory_mib: float
    memory_mib_at_quarters: list[float]


async def catch_up(ground: Ground, folder: Path, count: int, partitions: int, seed: int) -> CatchUp:
    """Preload `count` events over 29 days and time the worker from its start to the last wallet-updated committed."""
    start = datetime.now(UTC) - timedelta(days=30)
    print(f"preloading {count:,} events ...", flush=True)
    began = time.monotonic()
    produced = await preload(
        ground.kafka, ground.prefix, events(count, seed, start=start, span=timedelta(days=29)), partitions
    )
    print(f"preloaded {produced:,} messages in {time.monotonic() - began:.0f} s", flush=True)
    before_broker, before_postgres = cost_of(ground.broker_pid), cost_of(ground.postgres_pid, with_children=True)
    began = time.monotonic()
    with running_worker(ground, folder / "worker.log") as worker:
        memory = await until_done(ground, worker, produced, began)
        seconds = time.monotonic() - began
        told = worker.metrics()
        cpu = cost_of(worker.pid).cpu_seconds
        peak = peak_memory_mib(worker.pid)
    postgres = (cost_of(ground.postgres_pid, with_children=True) - before_postgres).cpu_seconds
    broker = (cost_of(ground.broker_pid) - before_broker).cpu_seconds
    decisions, changes = await _counts(ground)
    micro = 1e6 / produced
    stages = {stage: told.get(f'connects_stage_seconds_total{{stage="{stage}"}}', 0.0) * micro for stage in _STAGES}
    return CatchUp(
        produced,
        round(seconds, 1),
        round(produced / seconds),
        decisions,
        changes,
        round(cpu * micro, 1),
        round(postgres * micro, 1),
        round(broker * micro, 1),
        {stage: round(us, 1) for stage, us in stages.items()},
        round(peak),
        memory,
    )


def report(result: CatchUp) -> str:
    """The result in lines to read."""
    told = asdict(result)
    cpu = ", ".join(f"{who} {told[f'us_cpu_{who}']}" for who in ("worker", "postgres", "broker"))
    lines = [
        f"catch-up of {result.events:,} events: {result.seconds} s, {result.events_per_second:,} events/s",
        f"  decisions {result.decisions:,}, wallet-updated {result.changes:,}",
        f"  CPU per event (us): {cpu}",
        f"  time per event by stage (us; commit runs beside the others): {told['us_stages']}",
        f"  worker memory (MiB): peak {result.peak_memory_mib:.0f}, at each quarter {result.memory_mib_at_quarters}",
    ]
    return "\n".join(lines)


async def until_done(ground: Ground, worker: Worker, produced: int, began: float) -> list[float]:
    """Wait until every record is decided and every row published; show progress. Memory at each quarter of the way.

    Raises:
        RuntimeError: the worker ended, or does not get on.
    """
    connection = await asyncpg.connect(ground.database_url)
    memory: list[float] = []
    shown = moved = began
    before = -1
    try:
        while True:
            decided = await connection.fetchval("SELECT coalesce(sum(next_offset), 0)::bigint FROM positions")
            while len(memory) < 4 and decided >= produced * (len(memory) + 1) / 4:  # noqa: PLR2004 - quarters
                memory.append(round(memory_mib(worker.pid)))
            if decided >= produced and await _all_published(connection, worker):
                return memory
            if worker.process.poll() is not None:
                raise RuntimeError("the worker ended; see worker.log in the benchmark's folder")
            if decided != before:
                before, moved = decided, time.monotonic()
            if time.monotonic() - moved > _STUCK_SECONDS:
                raise RuntimeError(f"the worker has read nothing for {_STUCK_SECONDS:g} s; see worker.log")
            if time.monotonic() - shown > 5:  # noqa: PLR2004 - seconds between lines
                shown = time.monotonic()
                rate = decided / (shown - began)
                left = (produced - decided) / rate if rate else 0
                print(f"  {decided:>9,} decided, {rate:>7,.0f}/s, {left:>4.0f} s left", flush=True)
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        await connection.close()


async def _all_published(connection: "asyncpg.Connection[asyncpg.Record]", worker: Worker) -> bool:
    settled = await connection.fetchval("SELECT count(*) FROM due WHERE due_at < now() - interval '1 minute'")
    return settled == 0 and await worker.metric("connects_outbox_rows") == 0


async def _counts(ground: Ground) -> tuple[int, int]:
    connection = await asyncpg.connect(ground.database_url)
    try:
        decisions = await connection.fetchval("SELECT count(*) FROM decisions")
        changes = await connection.fetchval("SELECT count(*) FROM changes")
    finally:
        await connection.close()
    return decisions, changes
