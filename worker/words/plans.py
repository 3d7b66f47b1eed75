"""Words about plans: what a trigger brings, which events one added, and who ordered a correction."""

from datetime import datetime
from typing import Final

from worker.repair.plan import Expected
from worker.words.phrases import counted, day

_MOST_NAMED: Final = 5


def brought_in_words(expected: Expected) -> str:
    """What a trigger brings: `applied (registered), f-1 +40`. Of many wallets the first are named."""
    wallets = sorted(expected.wallets.items())
    named = "".join(f", {freelancer_id} {delta:+d}" for freelancer_id, delta in wallets[:_MOST_NAMED])
    more = len(wallets) - _MOST_NAMED
    others = f" and {counted(more, 'more wallet')}" if more > 0 else ""
    missing = "".join(f", {count} of {whose} missing" for whose, count in sorted(expected.shortfall.items()))
    return f"{expected.outcome} ({expected.reason}){named}{others}{missing}"


def added_later(at: datetime, by: str, why: str, source: str, line: int) -> str:
    """Say of an event that a plan added it: when, who, why, and where it had been found."""
    found = place_of(source, line)
    return f"The event did not come when it happened: {by} added it on {day(at)} ({why}), from {found}."


def place_of(source: str, line: int) -> str:
    """Where an event was found: in which line of a source, or, for line 0, where the source says."""
    return f"{source}, line {line}" if line else source


def ordered_by(actor: str, why: str) -> str:
    """Say of a correction who ordered it, and why."""
    return f"{actor} ordered this correction ({why})."
