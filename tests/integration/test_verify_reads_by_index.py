"""What `verify` reads of current state grows with the rows that it looks at, not with their product with others.

With 2,000,000 decisions each job that was about to be settled had all closures searched, and the statement ran out of
its time.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.kit.rows_read import rows_read
from worker.ledger.connections import Connection
from worker.ledger.sql import load

JOBS = 2_000
_MANY_CLOSURES = """
INSERT INTO closures (job_id, closed_at, closure, decision_seq, topic, event_id, due_at, settled_through, settled,
                      returned_any)
SELECT 'j-' || n, now(), 'closed-no-hire', n, 'job-closed', 'e-' || n, now(), 0, false, false
FROM generate_series(1, $1::int) AS n
"""
_THEIR_WORK = "INSERT INTO due (due_at, kind, key) SELECT due_at, 'settlement', decision_seq::text FROM closures"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def test_each_job_that_is_about_to_be_settled_has_its_closure_found_by_number(connection: Connection) -> None:
    await connection.execute(_MANY_CLOSURES, JOBS)
    await connection.execute(_THEIR_WORK)
    await connection.execute("ANALYZE")
    statement = load("state.sql")["due_page"]
    assert all(row["known"] for row in await connection.fetch(statement, "", "", JOBS))
    assert await rows_read(connection, statement, "", "", JOBS) < 10 * JOBS


@pytest.mark.parametrize("name", ["added_without_replayed", "voided_wrong", "amended_wrong"])
async def test_what_plans_brought_is_found_without_reading_all_decisions(connection: Connection, name: str) -> None:
    await connection.execute("SET enable_seqscan = off")  # which is cheaper where there are no decisions
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {load('state.sql')[name]}"))
    assert "decisions_of_plans" in plan, plan
    assert "Seq Scan on decisions" not in plan
