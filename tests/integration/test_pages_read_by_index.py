"""What goes through a ledger in pages reads what belongs to a page, and never a whole table for each of them.

With 2,000,000 decisions each job that was about to be settled had all closures searched, and the statement ran out of
its time. And where PostgreSQL may choose how it looks whether a row exists, it read all spends, or all changes, for
each of a thousand pages, which it took for cheaper.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.kit.rows_read import rows_read
from worker.ledger.connections import Connection
from worker.ledger.sql import load

JOBS = 2_000
_THEIR_WORK = "INSERT INTO due (due_at, kind, key) SELECT due_at, 'settlement', decision_seq::text FROM closures"

_CLOSED_AND_SPENT = """
INSERT INTO decisions (seq, batch_no, kind, topic, incarnation, partition, "offset", event_id, job_id, outcome, reason,
                       facts, recorded_at)
SELECT n, 1, 'first', 'job-closed', 0, 0, n, 'e-' || n, 'j-' || n, 'recorded', 'settlement-pending', '{}', now()
FROM generate_series(1, $1::int) AS n;
INSERT INTO closures (job_id, closed_at, closure, decision_seq, topic, incarnation, partition, "offset", event_id,
                      due_at, settled_through, settled, returned_any)
SELECT 'j-' || n, now(), 'expired', n, 'job-closed', 0, 0, n, 'e-' || n, now(), 0, true, true
FROM generate_series(1, $1::int) AS n;
INSERT INTO spends (proposal_id, freelancer_id, job_id, decision_seq, occurred_at, origin, base, boost, base_debt,
                    boost_debt, base_returned, boost_returned, boost_outbid, refunded_closing_at, draws, owing)
SELECT 'p-' || n, 'f-' || n, 'j-' || n, n, now(), 'proposal', 5, 0, 0, 0, true, false, false, now(), '[]', false
FROM generate_series(1, $1::int) AS n;
INSERT INTO changes (freelancer_id, version, decision_seq, ordinal, occurred_at, recorded_at, rule, reason,
                     policy_version, delta, debt_delta, balance_after, explanation, movements)
SELECT 'f-' || n, 1, n, 0, now(), now(), 'refund.job-expired', 'job-expired', '1', 5, 0, 5, '', '[]'
FROM generate_series(1, $1::int) AS n;
INSERT INTO seen_events (key, seq) SELECT md5(n::text)::uuid, n FROM generate_series(1, $1::int) AS n
"""


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def fill(connection: Connection, jobs: int) -> None:
    """So many jobs that were closed, each with a proposal that was returned."""
    for statement in _CLOSED_AND_SPENT.split(";"):
        await connection.execute(statement, jobs)


async def test_each_job_that_is_about_to_be_settled_has_its_closure_found_by_number(connection: Connection) -> None:
    await fill(connection, JOBS)
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


PAGE, ALL = 500, 20_000
PAGES = {
    "decisions of a part": ("again.sql", "decisions_of_part", (0, PAGE, 3, 10)),
    "spends that may be owed": (
        *("owed.sql", "spends_that_may_be_owed"),
        ([f"j-{number}" for number in range(1, PAGE + 1)], 0, PAGE, True, "refund.job-expired", None),
    ),
    "a rule": ("log.sql", "find", (0, PAGE, None, PAGE, *[None] * 10, ["refund.job-expired"], *[None] * 5)),
    "a reason": ("log.sql", "find", (0, PAGE, None, PAGE, *[None] * 11, ["job-expired"], *[None] * 4)),
    "an amount": ("log.sql", "find", (0, PAGE, None, PAGE, *[None] * 12, 7, 9, None, None)),
    "no amount": ("log.sql", "find", (0, PAGE, None, PAGE, *[None] * 12, 0, 0, None, None)),
    "spends": ("state.sql", "spends_page", ("", PAGE)),
    "closures": ("state.sql", "closures_page", (0, PAGE)),
    "event ids": ("state.sql", "seen_events_page", ("0" * 32, PAGE)),
    "what was published": (
        *("adopt.sql", "known"),
        (["wallet-updated"] * PAGE, [f"f-{number}" for number in range(1, PAGE + 1)], ["1"] * PAGE),
    ),
}


@pytest.mark.parametrize("title", PAGES)
async def test_a_page_of_decisions_reads_what_belongs_to_it_and_not_a_whole_table(
    connection: Connection, title: str
) -> None:
    file, name, arguments = PAGES[title]
    await fill(connection, ALL)
    await connection.execute("ANALYZE")
    assert await rows_read(connection, load(file)[name], *arguments) < ALL / 2
