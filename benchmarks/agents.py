"""Support agents at the console: each looks at a page, thinks about it, and looks at the next one.

They are a process of their own, so that producing live events beside them does not delay what they measure.
"""

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import quote

_LONGEST_SECONDS: Final = 30.0
"""How long an agent waits for a page."""
_THINKS_SECONDS: Final = (0.5, 1.5)
_MOST_BYTES: Final = 8 * 1024 * 1024
_MOST_REDIRECTS: Final = 3


class Look(NamedTuple):
    """A page that was looked at: how long it took until all of it was there, and its status; 0: none came."""

    kind: str
    seconds: float
    status: int


@dataclass(frozen=True)
class Visits:
    """The looks of all agents: a console's port, how many agents, for how long, and ids that the ledger knows."""

    port: int
    agents: int
    seconds: float
    seed: int
    freelancers: list[str]
    proposals: list[str]
    jobs: list[str]
    topics: list[str]
    busy: str
    pages_of_busy: list[int] = field(default_factory=list)
    """Versions of the busy freelancer's wallet, before which a page of the history ends."""


def visit(visits: Visits) -> list[Look]:
    """Let all agents look at pages at once, until the time is over; the looks in no order."""
    return asyncio.run(_visit(visits))


async def _visit(visits: Visits) -> list[Look]:
    end = time.monotonic() + visits.seconds
    agents = (_agent(visits, random.Random(visits.seed + number), end) for number in range(visits.agents))
    return [look for looks in await asyncio.gather(*agents) for look in looks]


async def _agent(visits: Visits, rng: random.Random, end: float) -> list[Look]:
    looks = []
    await asyncio.sleep(rng.uniform(0, _THINKS_SECONDS[1]))
    while time.monotonic() < end:
        kind, path = _next_page(visits, rng)
        began = time.perf_counter()
        status = await _look(visits.port, path)
        looks.append(Look(kind, time.perf_counter() - began, status))
        await asyncio.sleep(rng.uniform(*_THINKS_SECONDS))
    return looks


def _next_page(visits: Visits, rng: random.Random) -> tuple[str, str]:
    """A kind of page, each as often as the others, and the path of one of that kind."""
    who, proposal, job = rng.choice(visits.freelancers), rng.choice(visits.proposals), rng.choice(visits.jobs)
    topic, version = rng.choice(visits.topics), rng.choice(visits.pages_of_busy)
    words = rng.choice(("when do they expire", "why 73", "rollover", "boost refund", "two dates"))
    pages = {
        "search by an id": f"/search?q={rng.choice((who, proposal, job))}",
        "search by words": f"/search?q={quote(words)}",
        "freelancer": f"/freelancers/{who}",
        "busy freelancer": f"/freelancers/{visits.busy}",
        "busy freelancer, an older page": f"/freelancers/{visits.busy}?before={version}",
        "busy freelancer, a question": f"/questions/{topic}?freelancer={visits.busy}",
        "proposal": f"/proposals/{proposal}",
        "job": f"/jobs/{job}",
        "question": f"/questions/{topic}",
        "question of a freelancer": f"/questions/{topic}?freelancer={who}",
        "API: freelancer": f"/api/v1/freelancers/{who}",
        "API: changes": f"/api/v1/freelancers/{rng.choice((who, visits.busy))}/changes",
        "API: proposal": f"/api/v1/proposals/{proposal}",
    }
    return rng.choice(list(pages.items()))


async def _look(port: int, path: str) -> int:
    """Get a page, where it leads elsewhere that one; gives its status, 0 if none came."""
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            for _ in range(_MOST_REDIRECTS):
                status, where = await _get(port, path)
                if where is None:
                    return status
                path = where
    except (OSError, ValueError, TimeoutError):
        return 0
    return 0


async def _get(port: int, path: str) -> tuple[int, str | None]:
    """One response, read to its end, after which the console closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_MOST_BYTES)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n\r\n".encode())
        head, _, _ = (await reader.read(-1)).partition(b"\r\n\r\n")
    finally:
        writer.close()
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(first.split(" ")[1]), headers.get("location")
