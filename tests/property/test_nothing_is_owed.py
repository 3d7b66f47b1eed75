"""Random histories: at no time is a refund owed, and where a refund is taken out of the ledger just that one is."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.deciding import GRACE, as_read, deciding, wipe
from tests.kit.histories import History, Record, listed
from tests.kit.policies import policies
from tests.kit.stacks import new_ledger
from tests.property.played import in_order
from tests.property.variety import POLICIES, SEEDS, any_histories, looking
from worker.embedded.stack import LocalStack
from worker.queries.owed import Owed, Scope, Tally, business_time_of, owed_in_parts, owed_lately, refunds_not_made

Row = dict[str, Any]
REFUNDS = (
    "SELECT s.*, h.first_hired_at, d.seq AS settlement, (d.facts ->> 'connects')::int AS connects FROM spends s"
    " JOIN decisions d ON d.proposal_id = s.proposal_id AND d.kind = 'settlement' AND d.outcome = 'applied'"
    " AND d.occurred_at = s.refunded_closing_at LEFT JOIN hires h ON h.job_id = s.job_id ORDER BY d.seq"
)


@pytest.fixture(scope="session")
def ledger_url(shared_stack: LocalStack) -> str:
    """One database for all examples, wiped before each."""
    return new_ledger(shared_stack, "owed")


@looking(examples=15)
@given(records=any_histories(), policy=st.sampled_from(sorted(POLICIES)), days_more=st.sampled_from((0, 1, 800)))
def test_nothing_is_owed_at_any_time(ledger_url: str, records: list[Record], policy: str, days_more: int) -> None:
    asyncio.run(play(ledger_url, records, policy, days_more))


@pytest.mark.parametrize("policy", ["as it is", "claw-back", "expire"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_refund_that_is_taken_out_is_owed_and_no_other(ledger_url: str, seed: int, policy: str) -> None:
    records = list(History(seed, events=1_500, jobs=90, late=0.06, late_by=timedelta(days=4)))
    assert asyncio.run(play(ledger_url, records, policy, 3, taken_out=12, seed=seed)) >= 8


async def play(
    url: str, records: list[Record], policy: str, days_more: int, *, taken_out: int = 2, seed: int = 1
) -> int:
    """Decide the records, and take refunds out; how many of these were owed then."""
    rows = in_order(records, POLICIES[policy])
    end = max((row["business_time"] for row in rows if row["business_time"]), default=None)
    await wipe(url)
    read = as_read(rows)
    told = f"policy {policy!r}, seed {seed}\n{listed(records)}"
    async with deciding(url, policies(POLICIES[policy]), batch_size=50) as decides:
        for start in range(0, len(read), max(1, len(read) // 4)):
            await decides.decide(read[start : start + max(1, len(read) // 4)])
            await decides.commit()
            assert await everything_owed(url) == {}, told
        if end is not None:
            await decides.until(end + timedelta(days=days_more) + GRACE)
    assert await everything_owed(url) == {}, told
    owed = 0
    async with connected(url) as connection:
        refunds = [dict(row) for row in await connection.fetch(REFUNDS)]
        for refund in random.Random(seed).sample(refunds, min(taken_out, len(refunds))):
            expected = {refund["proposal_id"]: refund["connects"]} if await is_due(connection, refund) else {}
            owed += len(expected)
            async with without_its_state(connection, refund):
                assert await everything_owed(url) == expected, (refund, told)
                assert await owed_of_late(connection) == expected, (refund, told)
            async with without_its_change(connection, refund):
                assert await everything_owed(url) == expected, (refund, told)
    return owed


async def is_due(connection: asyncpg.Connection, refund: Row) -> bool:
    """Whether some closure returns it by all that is known now: a late hire, or withdrawal, may have come since."""
    closures = await connection.fetch(
        "SELECT closed_at FROM closures WHERE job_id = $1 AND closure <> 'expired' AND closed_at >= $2",
        *(refund["job_id"], refund["occurred_at"]),
    )
    hired, withdrawn = refund["first_hired_at"], refund["withdrawn_at"]
    return any(
        (hired is None or hired > at) and (withdrawn is None or withdrawn >= at) for at in (row[0] for row in closures)
    )


@asynccontextmanager
async def without_its_state(connection: asyncpg.Connection, refund: Row) -> AsyncIterator[None]:
    """Let the current state say that the refund was never made."""
    both = refund["connects"] == refund["base"] + refund["boost"]
    await connection.execute(
        "UPDATE spends SET base_returned = false, boost_returned = boost_returned AND NOT $2,"
        " refunded_closing_at = NULL WHERE proposal_id = $1",
        *(refund["proposal_id"], both),
    )
    yield
    await connection.execute(
        "UPDATE spends SET base_returned = $2, boost_returned = $3, refunded_closing_at = $4 WHERE proposal_id = $1",
        *(refund[name] for name in ("proposal_id", "base_returned", "boost_returned", "refunded_closing_at")),
    )


@asynccontextmanager
async def without_its_change(connection: asyncpg.Connection, refund: Row) -> AsyncIterator[None]:
    """Let the history lack the refund, while the current state calls it made."""
    seq = refund["settlement"]
    await connection.execute("SET session_replication_role = replica")  # past the triggers
    await connection.execute("CREATE TEMP TABLE kept AS TABLE changes WITH NO DATA")
    await connection.execute("INSERT INTO kept SELECT * FROM changes WHERE decision_seq = $1", seq)
    await connection.execute("DELETE FROM changes WHERE decision_seq = $1", seq)
    yield
    await connection.execute("INSERT INTO changes SELECT * FROM kept")
    await connection.execute("DROP TABLE kept")


async def everything_owed(url: str) -> dict[str, int]:
    """What is owed in the whole ledger, by proposal; the check of `verify` has to find the same."""
    async with connected(url) as connection:
        owed = await whole(connection)
        assert owed.refunds == len(owed.owed)
        assert owed.connects == sum(one.connects for one in owed.owed)
        checked = [one async for one in refunds_not_made(connection, GRACE)]
    assert sorted(one.proposal_id for one in checked) == sorted(one.proposal_id for one in owed.owed)
    return {one.proposal_id: one.connects for one in owed.owed}


async def whole(connection: asyncpg.Connection) -> Owed:
    tally, at = Tally(10_000), await business_time_of(connection)
    if at is not None:
        async for part in owed_in_parts(connection, Scope(), at, GRACE):
            tally.add(part)
    return tally.total(at)


async def owed_of_late(connection: asyncpg.Connection) -> dict[str, int]:
    return {one.proposal_id: one.connects for one in (await owed_lately(connection, GRACE)).owed}


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()
