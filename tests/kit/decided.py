"""A ledger on PostgreSQL in which a random history was decided: for tests of what commands read from it."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import asyncpg

from tests.kit.asking import Asking
from tests.kit.deciding import GRACE, WALL_CLOCK, Deciding, as_read, deciding
from tests.kit.histories import Record
from tests.kit.policies import policies, policy_text, with_promo_codes
from tests.property.played import in_order

POLICY: Final = with_promo_codes(policy_text())
NO_KAFKA: Final = "127.0.0.1:1"

Reading = Callable[[Deciding, datetime | None], Awaitable[None]]
"""Called after each part of a history is committed, with the wall clock's instant of its last batch."""


async def nothing(_decides: Deciding, _at: datetime | None) -> None:
    """Read nothing."""


async def as_reader(owner: str) -> str:
    """The URL of a ledger for a new role that may only read; `owner` is its owner's."""
    connection = await asyncpg.connect(owner)
    try:
        role, password = f"reader_{uuid.uuid4().hex[:12]}", uuid.uuid4().hex  # no word: it is masked in what is shown
        await connection.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD '{password}'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"
        )
    finally:
        await connection.close()
    parts = urlsplit(owner)
    return parts._replace(netloc=f"{role}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


async def decide_history(
    url: str,
    records: list[Record],
    *,
    parts: int = 10,
    policy: str = POLICY,
    until: datetime | None = None,
    set_back: bool = True,
    after_part: Reading = nothing,
) -> None:
    """Decide a history in parts that are recorded a minute after one another; in the middle the clock is `set_back`.

    All that is due within a grace after its end is done, or all until that instant.
    """
    rows = in_order(records, policy)
    end = max(row["business_time"] for row in rows if row["business_time"])
    read = as_read(rows)
    size = max(1, len(read) // parts)
    async with deciding(url, policies(policy), batch_size=100) as decides:
        for number, start in enumerate(range(0, len(read), size)):
            minutes = number - 2 if set_back and number == parts // 2 else number
            decides.wall_clock = WALL_CLOCK - timedelta(days=1) + timedelta(minutes=minutes)
            await decides.decide(read[start : start + size])
            await decides.commit()
            await after_part(decides, decides.wall_clock)
        decides.wall_clock = WALL_CLOCK
        await decides.until(max(end, until or end) + GRACE)
        await after_part(decides, decides.wall_clock)


async def rows_of(url: str, query: str, *arguments: object) -> list[dict[str, Any]]:
    """The rows of a query."""
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(query, *arguments)]
    finally:
        await connection.close()


def asking(url: str, folder: Path, **settings: str) -> Asking:
    """`connects` on a ledger, without a Kafka."""
    return Asking(folder, **{"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": NO_KAFKA, **settings})
