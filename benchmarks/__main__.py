"""`make bench`: the figures of the README, on this machine. Everything is on; compare by ratio, not across machines."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks import catch_up, console, live, proving, renewals, repairing
from benchmarks.subject import Ground, fresh_ground
from benchmarks.traffic import Live
from worker.embedded.stack import LocalStack

_INTERRUPTED: Final = 130
_BY_DEFAULT: Final = ("catch_up", "live", "renewals")
"""The others make a large ledger each before they measure anything, and are asked for by --only."""


def main() -> None:
    """Run what is asked for and print a report; `--json` writes the figures to a file as well."""
    arguments = parsed()
    with tempfile.TemporaryDirectory(prefix="connects-bench-") as folder:
        stack = LocalStack(Path(folder))
        stack.up(progress=lambda line: print(line, flush=True))
        try:
            figures = asyncio.run(run(stack, Path(folder), arguments))
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            sys.exit(_INTERRUPTED)
        finally:
            stack.down(delete=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What to measure, from the command line by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--only", nargs="+", choices=sorted(_BENCHMARKS), default=_BY_DEFAULT, metavar="NAME", help=_names())
    add("--events", type=int, default=1_000_000, help="events of the catch-up (0: leave it out)")
    add("--live-seconds", type=float, default=30, help="length of the live run (0: leave it out)")
    add("--live-rate", type=int, default=1_000, help="events a second of the live run")
    add("--renewals", type=int, default=1_000_000, help="cycles due at one instant (0: leave it out)")
    add("--renewals-rate", type=int, default=500, help="live events a second beside them")
    add("--decisions", type=int, default=2_000_000, help="about how many decisions the ledger has")
    add("--archived", type=int, default=1_000_000, help="events of the archive, a fifth of them lost, of a plan")
    add("--corrections", type=int, default=50_000, help="purchases that are voided, at most")
    add("--agents", type=int, default=50, help="agents at once at the console")
    add("--console-seconds", type=float, default=60, help="how long they look at pages")
    add("--console-rate", type=int, default=1_000, help="live events a second beside them")
    add("--rate", type=int, default=500, help="live events a second beside proving and repairing")
    add("--quiet-seconds", type=float, default=30, help="how long live events come by themselves before")
    add("--times", type=int, default=5, help="how often each question about a freelancer is asked")
    add("--partitions", type=int, default=4, help="partitions of each input topic")
    add("--seed", type=int, default=1)
    add("--json", type=Path, help="write the figures there")
    return parser.parse_args(words)


async def run(stack: LocalStack, folder: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Measure what the arguments ask for on a running stack; `folder` is for the workers' logs."""
    figures: dict[str, object] = {}
    for name, benchmark in _BENCHMARKS.items():
        if name not in arguments.only or not benchmark.is_wanted(arguments):
            continue
        result = await benchmark.measure(Site(stack, folder), arguments)
        figures[name] = asdict(result)
        print(benchmark.report(result), flush=True)
    return figures


@dataclass(frozen=True, slots=True)
class Site:
    """Where it is measured: a running stack, and a folder for the workers' logs."""

    stack: LocalStack
    folder: Path

    async def ground(self, arguments: argparse.Namespace) -> Ground:
        """A fresh ledger and fresh topics."""
        return await fresh_ground(self.stack, arguments.partitions)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One of them; `measure` gives a dataclass, which `report` puts in words."""

    measure: Callable[[Site, argparse.Namespace], Awaitable[Any]]
    report: Callable[[Any], str]
    is_wanted: Callable[[argparse.Namespace], object] = lambda _: True


async def _catch_up(site: Site, of: argparse.Namespace) -> catch_up.CatchUp:
    return await catch_up.catch_up(await site.ground(of), site.folder, of.events, of.partitions, of.seed)


async def _live(site: Site, of: argparse.Namespace) -> Live:
    return await live.live(await site.ground(of), site.folder, of.live_rate, of.live_seconds, of.seed)


async def _renewals(site: Site, of: argparse.Namespace) -> renewals.Renewals:
    quiet, ground = await site.ground(of), await site.ground(of)
    return await renewals.renewals(quiet, ground, site.folder, of.renewals, of.renewals_rate, of.seed)


async def _proving(site: Site, of: argparse.Namespace) -> proving.Proving:
    ground = await site.ground(of)
    return await proving.proving(
        ground, site.folder, of.decisions, of.rate, of.quiet_seconds, of.partitions, of.seed, of.times
    )


async def _repairing(site: Site, of: argparse.Namespace) -> repairing.Repairing:
    ground, sizes = await site.ground(of), (of.decisions, of.archived, of.corrections)
    return await repairing.repairing(ground, site.folder, *sizes, of.rate, of.quiet_seconds, of.partitions, of.seed)


async def _console(site: Site, of: argparse.Namespace) -> console.Console:
    ground, sizes = await site.ground(of), (of.decisions, of.agents, of.console_seconds, of.console_rate)
    return await console.console(ground, site.folder, *sizes, of.quiet_seconds, of.partitions, of.seed)


_BENCHMARKS: Final = {
    "catch_up": Benchmark(_catch_up, catch_up.report, lambda of: of.events),
    "live": Benchmark(_live, live.report, lambda of: of.live_seconds),
    "renewals": Benchmark(_renewals, renewals.report, lambda of: of.renewals),
    "proving": Benchmark(_proving, proving.report),
    "repairing": Benchmark(_repairing, repairing.report),
    "console": Benchmark(_console, console.report),
}


def _names() -> str:
    return f"which to run, of {', '.join(_BENCHMARKS)} [{' '.join(_BY_DEFAULT)}]"


if __name__ == "__main__":
    main()
