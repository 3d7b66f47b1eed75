"""`make bench`: the figures of the README, on this machine. Everything is on; compare by ratio, not across machines."""

import argparse
import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import catch_up, live, renewals
from benchmarks.subject import fresh_ground
from worker.embedded.stack import LocalStack


def main() -> None:
    """Run what is asked for and print a report; `--json` writes the figures to a file as well."""
    arguments = parsed()
    with tempfile.TemporaryDirectory(prefix="connects-bench-") as folder:
        stack = LocalStack(Path(folder))
        stack.up(progress=lambda line: print(line, flush=True))
        try:
            figures = asyncio.run(run(stack, Path(folder), arguments))
        finally:
            stack.down(delete=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What to measure, from the command line by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the catch-up (0: leave it out)")
    parser.add_argument("--live-seconds", type=float, default=30, help="length of the live run (0: leave it out)")
    parser.add_argument("--live-rate", type=int, default=1_000, help="events a second of the live run")
    parser.add_argument("--renewals", type=int, default=1_000_000, help="cycles due at one instant (0: leave it out)")
    parser.add_argument("--renewals-rate", type=int, default=500, help="live events a second beside them")
    parser.add_argument("--partitions", type=int, default=4, help="partitions of each input topic")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there")
    return parser.parse_args(words)


async def run(stack: LocalStack, folder: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """Measure what the arguments ask for on a running stack; `folder` is for the workers' logs."""
    figures: dict[str, object] = {}
    if arguments.events:
        ground = await fresh_ground(stack, arguments.partitions)
        caught_up = await catch_up.catch_up(ground, folder, arguments.events, arguments.partitions, arguments.seed)
        figures["catch_up"] = asdict(caught_up)
        print(catch_up.report(caught_up), flush=True)
    if arguments.live_seconds:
        ground = await fresh_ground(stack, arguments.partitions)
        lived = await live.live(ground, folder, arguments.live_rate, arguments.live_seconds, arguments.seed)
        figures["live"] = asdict(lived)
        print(live.report(lived), flush=True)
    if arguments.renewals:
        quiet = await fresh_ground(stack, arguments.partitions)
        ground = await fresh_ground(stack, arguments.partitions)
        rate, count = arguments.renewals_rate, arguments.renewals
        renewed = await renewals.renewals(quiet, ground, folder, count, rate, arguments.seed)
        figures["renewals"] = asdict(renewed)
        print(renewals.report(renewed), flush=True)
    return figures


if __name__ == "__main__":
    main()
