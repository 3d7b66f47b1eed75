"""The first of a month: a million cycles start at one midnight, with live events beside them.

The members are put into the ledger's tables as they would be there the evening before: most on Basic, one in six on
Plus. Every Basic start is a decision, a change, a lot, a wallet-updated and a membership-updated; every Plus start a
decision, a charge, a membership-charge-requested and a membership-updated.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg

from benchmarks.live import live
from benchmarks.processes import cost_of, peak_memory_mib
from benchmarks.subject import Ground, Worker
from benchmarks.traffic import Live

_LOOK_SECONDS: Final = 0.25
_SHOW_SECONDS: Final = 5.0
_DECIDED: Final = "SELECT last_seq FROM batches ORDER BY batch_no DESC LIMIT 1"
_IS_DUE: Final = "SELECT EXISTS (SELECT FROM memberships WHERE next_renewal <= $1)"
"""Asked only when it may be over: to count what is due would cost the database more than to work it off."""


@dataclass(frozen=True, slots=True)
class Renewals:
    """The cost of a midnight. `us_cpu_*` are microseconds of CPU per renewal, the live events' cost included."""

    renewals: int
    seconds: float
    renewals_per_second: float
    us_cpu_worker: float
    us_cpu_postgres: float
    peak_memory_mib: float
    quiet: Live
    beside: Live


async def renewals(quiet_ground: Ground, ground: Ground, folder: Path, count: int, rate: int, seed: int) -> Renewals:
    """Work off `count` renewals with `rate` live events a second beside them; and the same live load without."""
    quiet = await live(quiet_ground, folder, rate, _QUIET_SECONDS, seed)
    today = datetime.now(UTC).date()
    print(f"putting {count:,} members into the ledger ...", flush=True)
    connection = await asyncpg.connect(ground.database_url)
    done = asyncio.Event()
    told: dict[str, float] = {}
    try:
        await _put_members(connection, count, today.isoformat())

        async def watch(worker: Worker) -> None:
            before = cost_of(ground.postgres_pid, with_children=True), cost_of(worker.pid)
            began = shown = time.monotonic()
            while (decided := await connection.fetchval(_DECIDED) - count) < count or await connection.fetchval(
                _IS_DUE, today
            ):
                if time.monotonic() - shown > _SHOW_SECONDS:
                    shown = time.monotonic()
                    speed = decided / (shown - began)
                    left = max(count - decided, 0) / max(speed, 1)
                    print(f"  {decided:>9,} decided, {speed:>7,.0f}/s, {left:>4.0f} s left", flush=True)
                await asyncio.sleep(_LOOK_SECONDS)
            told["seconds"] = time.monotonic() - began
            told["postgres"] = (cost_of(ground.postgres_pid, with_children=True) - before[0]).cpu_seconds
            told["worker"] = (cost_of(worker.pid) - before[1]).cpu_seconds
            told["peak"] = peak_memory_mib(worker.pid)
            done.set()

        beside = await live(ground, folder, rate, _MOST_SECONDS, seed, watch=watch, until=done)
    finally:
        await connection.close()
    micro = 1e6 / count
    return Renewals(
        count,
        round(told["seconds"], 1),
        round(count / told["seconds"]),
        round(told["worker"] * micro, 1),
        round(told["postgres"] * micro, 1),
        round(told["peak"]),
        quiet,
        beside,
    )


def report(result: Renewals) -> str:
    """The result in lines to read."""
    beside, quiet = result.beside, result.quiet
    lines = [
        f"{result.renewals:,} renewals due at one instant: {result.seconds} s, {result.renewals_per_second:,}/s",
        f"  CPU per renewal (us): worker {result.us_cpu_worker}, postgres {result.us_cpu_postgres}",
        f"  worker memory, peak: {result.peak_memory_mib:.0f} MiB",
        f"  live beside them at {beside.events_per_second:,}/s: p50 {beside.p50_ms} ms, p99 {beside.p99_ms} ms",
        f"  live without them at {quiet.events_per_second:,}/s: p50 {quiet.p50_ms} ms, p99 {quiet.p99_ms} ms",
    ]
    return "\n".join(lines)


_QUIET_SECONDS: Final = 15.0
_MOST_SECONDS: Final = 1_800.0
_PLUS_EVERY: Final = 6


_A_MONTH_AGO: Final = """
INSERT INTO decisions (seq, batch_no, kind, event_id, occurred_at, freelancer_id, outcome, reason, rule, policy_version,
                       facts, business_time, recorded_at)
SELECT n, 1, 'clock', 'cycle:m-' || n || ':' || left('day', 10), 'day', 'm-' || n, 'applied', 'cycle-started',
       'grant.monthly', '1', '{}', 'day', now() FROM generate_series(1, 'count'::bigint) AS n;
INSERT INTO changes SELECT 'm-' || n, 1, n, 0, 'day', now(), 'grant.monthly', 'cycle-started', '1', 10, 0, 10, '',
       'm-' || n || '/' || left('day', 10), json_build_array(json_build_array('m-' || n || ':1', NULL, NULL, 10))
FROM generate_series(1, 'count'::bigint) AS n;
INSERT INTO lots
SELECT 'm-' || n || ':1', 'm-' || n, 'monthly', 'day', 'day'::timestamptz + interval '1 year', 10, 10, true
FROM generate_series(1, 'count'::bigint) AS n;
INSERT INTO batches (batch_no, epoch, last_seq, chain_head, business_time, recorded_at, log_size, log_peaks)
VALUES (1, 0, 'count'::bigint, decode(repeat('00', 32), 'hex'), 'day', now(), 0, '')
"""
"""The grant of the cycle before, of everybody: what the ledger holds of them."""


async def _put_members(connection: "asyncpg.Connection[asyncpg.Record]", count: int, today: str) -> None:
    before = datetime.fromisoformat(today) - timedelta(days=30)
    await connection.execute(_A_MONTH_AGO.replace("'count'", str(count)).replace("'day'", f"'{before.date()}Z'"))
    await connection.execute(
        "INSERT INTO memberships SELECT 'm-' || n, 1, CASE WHEN n % $2::int = 0 THEN 'plus' ELSE 'basic' END,"
        " $3::date, $4::date, NULL, NULL, NULL, '[]', NULL, NULL, '[]' FROM generate_series(1, $1::bigint) AS n",
        count,
        _PLUS_EVERY,
        before.date(),
        datetime.fromisoformat(today).date(),
    )
    await connection.execute("ANALYZE")
