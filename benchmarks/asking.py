"""`history`, `explain`, `explain --again` for one freelancer: the command as its user waits for it, and the query."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Final

from benchmarks.subject import Ground, environment_of
from worker.domain.model import FreelancerId
from worker.ledger.connections import Connection
from worker.proof.explained_again import AllAbout, decide_again
from worker.queries import history as wallets
from worker.queries.asking import snapshot
from worker.queries.policies import policy_file
from worker.queries.questions import Grounds, answered
from worker.queries.wallets import wallet_reply
from worker.settings import Settings, packaged_policy

_MOST_SECONDS: Final = 120.0
_LAST_SHOWN: Final = 40
_GRACE: Final = timedelta(seconds=Settings.model_fields["settlement_grace_seconds"].default)

Query = Callable[[Connection], Awaitable[int]]
"""Queries as a command does, and returns how many changes or decisions that is about."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The median and the longest of a few times, in milliseconds; `rows` are the changes or decisions asked about.

    `command_*` is from the start of the process to its end, `query_*` on an open connection in a snapshot.
    """

    name: str
    rows: int
    command_ms: float
    command_worst_ms: float
    query_ms: float
    query_worst_ms: float


async def ask(ground: Ground, freelancer: str, times: int) -> list[Asked]:
    """Ask about a freelancer, each question that many times, first by the command and then by its query."""
    asked: dict[str, tuple[list[str], Query]] = {
        "history": (["history", freelancer], partial(_history, freelancer=freelancer)),
        "explain": (["explain", "--freelancer", freelancer], partial(_explain, freelancer=freelancer)),
        "explain --again": (
            ["explain", "--freelancer", freelancer, "--again"],
            partial(_explain, freelancer=freelancer, again=True),
        ),
        "--version": (["--version"], _nothing),
    }
    found = []
    for name, (words, query) in asked.items():
        print(f"asking {name} ...", flush=True)
        by_command = [await _of_command(ground, words) for _ in range(times)]
        rows, by_query = await _of_query(ground, query, times)
        found.append(Asked(name, rows, *_summed_up(by_command), *_summed_up(by_query)))
    return found


def report(asked: list[Asked]) -> str:
    """The result in lines to read."""
    lines = [
        f"  {one.name}, {one.rows:,} rows: the command {one.command_ms:.0f} ms (worst {one.command_worst_ms:.0f}), "
        f"the query by itself {one.query_ms:.0f} ms (worst {one.query_worst_ms:.0f})"
        for one in asked
        if one.rows
    ]
    lines += [f"  a command that asks nothing: {one.command_ms:.0f} ms" for one in asked if not one.rows]
    return "\n".join(lines)


async def _of_command(ground: Ground, words: list[str]) -> float:
    """Seconds from the start of the process to its end; nothing looks at it meanwhile."""
    began = time.perf_counter()
    program = [sys.executable, "-m", "worker", *words]
    done = await asyncio.to_thread(
        subprocess.run, program, env=environment_of(ground), capture_output=True, timeout=_MOST_SECONDS, check=False
    )
    if done.returncode:
        raise SystemExit(f"connects {' '.join(words)} ended with {done.returncode}: {done.stderr.decode()}")
    return time.perf_counter() - began


async def _of_query(ground: Ground, query: Query, times: int) -> tuple[int, list[float]]:
    rows, taken = 0, []
    for _ in range(times):
        async with snapshot(ground.database_url) as connection:
            began = time.perf_counter()
            rows = await query(connection)
            taken.append(time.perf_counter() - began)
    return rows, taken


def _summed_up(seconds: list[float]) -> tuple[float, float]:
    return round(median(seconds) * 1e3, 1), round(max(seconds) * 1e3, 1)


async def _history(connection: Connection, freelancer: str) -> int:
    book = policy_file(packaged_policy())
    found = await wallets.history(connection, freelancer, last=_LAST_SHOWN, policies=book)
    await wallet_reply(connection, freelancer, book)
    return 0 if found is None else found.version


async def _explain(connection: Connection, freelancer: str, *, again: bool = False) -> int:
    book = policy_file(packaged_policy())
    grounds = Grounds(book, _GRACE.total_seconds(), datetime.now(UTC) - _GRACE)
    found, _, _ = await answered(connection, "freelancer", FreelancerId(freelancer), grounds)
    if again:
        decided = await decide_again(connection, found.decisions[-_LAST_SHOWN:], AllAbout(freelancer, found.decisions))
        if any(one.verdict == "differs" for one in decided):
            raise SystemExit(f"a decision about {freelancer} is decided otherwise today: connects verify names it")
    return len(found.decisions)


async def _nothing(_connection: Connection) -> int:
    return 0
