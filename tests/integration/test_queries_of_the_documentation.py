"""docs/queries.md: every query runs on a real ledger, and finds what its heading promises."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.kit.decided import decide_history, rows_of
from tests.kit.deciding import deciding
from tests.kit.histories import START, History
from tests.kit.policies import policies
from tests.kit.stacks import new_ledger
from tests.kit.worker_process import ROOT
from worker.embedded.stack import LocalStack
from worker.engine.commands import Command, CommandRunner

PAGE = (ROOT / "docs" / "queries.md").read_text(encoding="utf-8")
QUERIES = dict(re.findall(r"^## (\d+)\..*?```sql\n(.*?);\n```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def url(shared_stack: LocalStack) -> str:
    url = new_ledger(shared_stack, "queries")
    records = list(History(5, events=1_200, jobs=90, late=0.05, poison=0.02, mix={"choose_plus": 12.0}))
    asyncio.run(decide_history(url, records, until=START + timedelta(days=350)))
    asyncio.run(add_a_closure(url))
    asyncio.run(hold_and_resume(url))
    return url


async def add_a_closure(url: str) -> None:
    """Let one of the settled closures wait again, as one does that was just read."""
    await rows_of(
        url,
        "INSERT INTO due SELECT due_at, 'settlement', decision_seq::text FROM closures ORDER BY decision_seq LIMIT 1",
    )


async def hold_and_resume(url: str) -> None:
    """Let an operator put a topic on hold, and resume it."""
    async with deciding(url, policies()) as decides:
        for name in ("positions-hold", "positions-resume"):
            asked = Command(uuid4(), name, {"topic": "job-closed"}, "ana", "garbage")
            columns = "(id, name, arguments, actor, why)"
            values = (asked.id, name, json.dumps(asked.arguments), asked.actor, asked.why)
            await rows_of(url, f"INSERT INTO commands {columns} VALUES ($1, $2, $3, $4, $5)", *values)  # noqa: S608
            await CommandRunner(decides.writer).run(asked)


async def run(url: str, number: str) -> list[dict[str, Any]]:
    """The rows of a query of the page, with values of this ledger for its variables."""
    (since,) = await rows_of(url, "SELECT recorded_at FROM batches ORDER BY batch_no DESC OFFSET 3 LIMIT 1")
    (job,) = await rows_of(url, "SELECT job_id FROM spends WHERE refunded_closing_at IS NOT NULL ORDER BY 1 LIMIT 1")
    values = {"freelancer": "f-7", "since": since["recorded_at"].isoformat(), "job": job["job_id"]}
    query = re.sub(r":'(\w+)'", lambda variable: f"'{values[variable[1]]}'", QUERIES[number])
    return await rows_of(url, query)


def test_there_are_eleven() -> None:
    assert list(QUERIES) == [str(number) for number in range(1, 12)]
    assert PAGE.count("```sql") == 11


@pytest.mark.parametrize("number", QUERIES)
async def test_a_query_of_the_page_runs_and_finds_something(url: str, number: str) -> None:
    rows = await run(url, number)
    assert bool(rows) == (number != "11"), rows


async def test_holds_are_shown_with_who_and_why(url: str) -> None:
    shown = [(row["reason"], row["topic"], row["partition"], row["actor"], row["why"]) for row in await run(url, "10")]
    assert shown == [
        ("on-hold", "job-closed", None, "ana", "garbage"),
        ("resumed", "job-closed", None, "ana", "garbage"),
    ]


async def test_what_was_decided_since_then_is_counted_whole(url: str) -> None:
    (since,) = await rows_of(url, "SELECT recorded_at FROM batches ORDER BY batch_no DESC OFFSET 3 LIMIT 1")
    (all_of_it,) = await rows_of(url, "SELECT count(*) FROM decisions WHERE recorded_at >= $1", since["recorded_at"])
    assert sum(row["decisions"] for row in await run(url, "1")) == all_of_it["count"]


async def test_a_jobs_proposals_are_shown_with_what_came_back(url: str) -> None:
    rows = await run(url, "2")
    assert len({row["proposal_id"] for row in rows}) == len(rows)
    for row in rows:
        refunded = {"closed-without-hire", "removed-by-marketplace"} & set(row["settlements"] or ())
        assert not refunded or row["came_back"] == row["spent"] > 0, row
    assert any(row["settlements"] for row in rows)


async def test_a_wallet_that_holds_something_else_is_found(database_url: str) -> None:
    await decide_history(database_url, list(History(5, events=100, jobs=10)))
    assert await run(database_url, "11") == []
    (wrong,) = await rows_of(
        database_url,
        "UPDATE lots SET remaining = remaining + 1 WHERE (freelancer_id, lot_id) = ("
        "SELECT freelancer_id, lot_id FROM lots WHERE open AND remaining < original ORDER BY lot_id LIMIT 1)"
        " RETURNING freelancer_id",
    )
    (found,) = await run(database_url, "11")
    assert found["freelancer_id"] == wrong["freelancer_id"]
    assert found["by_lots_and_debts"] == found["balance"] + 1
