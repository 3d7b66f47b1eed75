"""What a look at one thing found. `what` says it in words; `next` what to do, where the words do not say it already."""

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import msgspec

Verdict = Literal["ok", "wrong", "unknown"]
Area = Literal["settings", "policy", "host", "postgresql", "kafka", "ledger"]


class Look(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    area: Area
    name: str
    verdict: Verdict
    what: str
    next: str = ""


class Examined(msgspec.Struct, frozen=True):
    """All looks; how many things are wrong, and how many could not be told."""

    checks: list[Look]
    wrong: int
    unknown: int


def all_of(looks: list[Look]) -> Examined:
    """The looks, counted."""
    verdicts = [look.verdict for look in looks]
    return Examined(looks, verdicts.count("wrong"), verdicts.count("unknown"))


def ok(area: Area, name: str, what: str) -> Look:
    """A thing that is as it should be."""
    return Look(area, name, "ok", what)


def wrong(area: Area, name: str, what: object, to_do: str = "") -> Look:
    """A thing that somebody has to mend."""
    return Look(area, name, "wrong", str(what).rstrip("."), to_do)


def unknown(area: Area, name: str, what: object, to_do: str = "") -> Look:
    """A thing that cannot be told."""
    return Look(area, name, "unknown", str(what).rstrip("."), to_do)


async def in_time(area: Area, looks: AsyncIterator[Look], seconds: float) -> list[Look]:
    """What was found within that many seconds; what was not is one look more."""
    found: list[Look] = []
    try:
        async with asyncio.timeout(seconds):
            async for look in looks:
                found.append(look)  # noqa: PERF401 - what was found before the time is over counts
    except TimeoutError:
        after = f" after {found[-1].name}" if found else ""
        found.append(unknown(area, "time", f"no answer within {seconds:g} s{after}", "Run it again when all is quiet"))
    return found
