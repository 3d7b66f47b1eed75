"""A command of the worker's as a user runs it, watched from outside: time, CPU, memory, snapshots and locks."""

import asyncio
import re
import resource
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass, field
from typing import Final

import asyncpg

from benchmarks.processes import descendants, memory_mib, peak_memory_mib
from benchmarks.subject import Ground, environment_of
from benchmarks.traffic import Window

_POLL_SECONDS: Final = 0.1
_MEMORY_SECONDS: Final = 0.25
_STOP_SECONDS: Final = 15.0
_COMMAND: Final = "connects-command"
"""The name of a command's sessions in pg_stat_activity. The worker's own samples, twice a minute, have it as well."""
_POLL: Final = """
WITH sessions AS MATERIALIZED (
    SELECT pid, application_name, xact_start, backend_xmin, wait_event_type
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
), own AS (SELECT pid, xact_start, backend_xmin FROM sessions WHERE application_name = $1)
SELECT (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8 FROM own
        WHERE backend_xmin IS NOT NULL) AS snapshot,
       (SELECT count(*) FROM sessions WHERE application_name <> $1
        AND pid IN (SELECT pid FROM pg_locks WHERE NOT granted)) AS waiting,
       (SELECT count(*) FROM sessions WHERE application_name <> $1 AND wait_event_type = 'Lock'
        AND pg_blocking_pids(pid) && (SELECT coalesce(array_agg(pid), '{}') FROM own)) AS held_up
"""
_PROGRESS: Final = re.compile(r"([\w-]+): ([\d]+)(?: of [\d]+)? [\w -]+, ([\d]+) a second")


@dataclass(slots=True)
class Ran:
    """The cost of a command. Memory in MiB, of its process and those that it started."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of its processes."""
    largest_mib: float = 0.0
    """The peak of the largest of its processes."""
    together_mib: float = 0.0
    """The peak of all of them at one time; pages that they share count in each."""
    longest_snapshot_seconds: float = 0.0
    polls: int = 0
    """How often sessions and locks were polled: what is shorter than the time between two polls may be missed."""
    polls_with_waits: int = 0
    """At how many of them a session of the worker waited for a lock."""
    polls_held_up: int = 0
    """At how many of them for a lock of the command's."""
    rates: dict[str, int] = field(default_factory=dict)
    """A second, of each of its parts: the last that it showed, since the part began."""
    code: int = 0


@dataclass(frozen=True, slots=True)
class Watched:
    """A command that ended: its cost, when it ran, and what it printed."""

    ran: Ran
    window: Window
    out: bytes


async def watched(ground: Ground, words: list[str], most_seconds: float, codes: tuple[int, ...] = (0,)) -> Watched:
    """Run `connects WORDS` to its end, polling it all the while; its progress is shown.

    Raises:
        SystemExit: it ended with none of `codes`, or took longer than it may.
    """
    before = _cpu_of_children()
    begin = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker", *words, env=environment_of(ground), stdout=PIPE, stderr=PIPE
    )
    ran, said = Ran(), list[str]()
    polling = [asyncio.create_task(poll) for poll in (_poll_database(ground, ran), _poll_memory(process, ran))]
    try:
        async with asyncio.timeout(most_seconds):
            out, _ = await asyncio.gather(_all_of(process), _show(process, ran, said))
    except TimeoutError:
        raise SystemExit(f"connects {words[0]} took longer than {most_seconds:,.0f} s") from None
    finally:
        for poll in polling:
            poll.cancel()
        failed = [one for one in await asyncio.gather(*polling, return_exceptions=True) if isinstance(one, Exception)]
        await _end(process)
    if failed:
        raise failed[0]
    window = Window(begin, time.monotonic())
    ran.seconds, ran.cpu_seconds = round(window.end - begin, 2), round(_cpu_of_children() - before, 2)
    ran.code = process.returncode or 0
    if ran.code not in codes:
        last = "\n".join([*out.decode().splitlines()[:20], *said[-20:]])
        raise SystemExit(f"connects {' '.join(words)} ended with {process.returncode}:\n{last}")
    print(f"  {ran.seconds} s, CPU {ran.cpu_seconds} s; {in_words(ran)}", flush=True)  # kept if what follows is stopped
    return Watched(ran, window, out)


def in_words(ran: Ran) -> str:
    """Memory, snapshots and locks, in words."""
    return (
        f"memory of the largest process {ran.largest_mib:.0f} MiB, of all {ran.together_mib:.0f} MiB; longest snapshot "
        f"open {ran.longest_snapshot_seconds:.1f} s; the worker waited for a lock at {ran.polls_with_waits} of "
        f"{ran.polls:,} polls, for one of the command's at {ran.polls_held_up}"
    )


async def _all_of(process: Process) -> bytes:
    if process.stdout is None:
        raise AssertionError("its output is a pipe")
    out = await process.stdout.read()
    await process.wait()
    return out


async def _show(process: Process, ran: Ran, said: list[str]) -> None:
    """Show what it says of its progress, and keep the last rate of each part."""
    if process.stderr is None:
        raise AssertionError("its errors are a pipe")
    shown = 0.0
    async for line in process.stderr:
        text = line.decode(errors="replace").rstrip()
        said.append(text)
        if (found := _PROGRESS.match(text)) is not None:
            ran.rates[found[1]] = int(found[3])
        if time.monotonic() - shown > 5:  # noqa: PLR2004 - seconds between lines
            shown = time.monotonic()
            print(f"  {text}", flush=True)


async def _poll_database(ground: Ground, ran: Ran) -> None:
    connection = await asyncpg.connect(ground.database_url)
    try:
        while True:
            found = await connection.fetchrow(_POLL, _COMMAND)
            if found is not None:
                ran.polls += 1
                ran.longest_snapshot_seconds = round(max(ran.longest_snapshot_seconds, found["snapshot"]), 2)
                ran.polls_with_waits += found["waiting"] > 0
                ran.polls_held_up += found["held_up"] > 0
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        connection.terminate()


async def _poll_memory(process: Process, ran: Ran) -> None:
    while True:
        largest, together = await asyncio.to_thread(_memory, process.pid)
        ran.largest_mib = round(max(ran.largest_mib, largest))
        ran.together_mib = round(max(ran.together_mib, together))
        await asyncio.sleep(_MEMORY_SECONDS)


def _memory(pid: int) -> tuple[float, float]:
    """The peak of the largest process of a command, and what all of them have now."""
    peaks, now = [0.0], [0.0]
    for one in (pid, *descendants(pid)):
        try:
            peaks.append(peak_memory_mib(one))
            now.append(memory_mib(one))
        except OSError:  # it has ended
            continue
    return max(peaks), sum(now)


def _cpu_of_children() -> float:
    """CPU seconds of all children that have ended and theirs: of the commands, while nothing else ends."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


async def _end(process: Process) -> None:
    """End a command that still runs: as by Ctrl-C, and if that does not do it at once."""
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
