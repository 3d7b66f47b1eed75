"""The console beside the demo: pages on its ledger while the marketplace is open, and three questions to try."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final
from urllib.parse import quote_plus

from worker.console.access import Access
from worker.console.application import served
from worker.console.desk import Desk
from worker.console.ledger import ReadOnlyLedger
from worker.demo.seed_cases import SEED_CASES
from worker.domain.policy import PolicyBook
from worker.wall_clock import WallClock

_HOST: Final = "127.0.0.1"


@asynccontextmanager
async def console_open(
    database_url: str, policies: PolicyBook, clock: WallClock, grace_seconds: float
) -> AsyncIterator[str]:
    """Serve the console on a port that is free; its address."""
    ledger = ReadOnlyLedger(database_url)
    server = served(Desk(ledger, policies, Access(), clock, timedelta(seconds=grace_seconds)))
    port = await server.start(_HOST, 0)
    try:
        yield f"http://{_HOST}:{port}/"
    finally:
        await server.stop()
        ledger.close()


def to_try() -> dict[str, str]:
    """Three questions, each with what to type into the console's search."""
    expired, *_ = SEED_CASES
    hired = next(case for case in SEED_CASES if case.expected == "somebody-was-hired")
    return {
        expired.question: expired.freelancer_id,
        hired.question: hired.proposal_id,
        "Why did I get 73 Connects and not 80?": "why 73",
    }


def invitation(address: str) -> str:
    """Lines that say where the console is, and what to try."""
    lines = [f"Support agents see the same, while the marketplace is open: {address}", "Three questions to try:"]
    for question, words in to_try().items():
        lines += [f"  {question}", f"  {address}search?q={quote_plus(words)}"]
    return "\n".join(lines)
