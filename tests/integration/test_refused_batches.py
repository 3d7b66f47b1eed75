"""A batch that a constraint refuses: nothing is written, and the worker ends with a line for its operator."""

from datetime import UTC, datetime

import asyncpg
import pytest

from tests.property.test_writer_found_before import Telling
from tests.support.deciding import GRACE, deciding
from tests.support.http import free_port
from tests.support.policies import policies
from tests.support.world import Told, World
from worker.errors import OperatorNeeded

REGISTERED = datetime(2026, 1, 10, 12, tzinfo=UTC)
FEBRUARY = datetime(2026, 2, 10, tzinfo=UTC)


async def test_a_cycle_that_was_granted_behind_the_writers_back_is_refused_and_not_granted_again(
    database_url: str,
) -> None:
    """Nobody looks a monthly grant up before it is made: the index alone stands for it."""
    async with deciding(database_url, policies()) as decides:
        await decides.decide([Telling().registered(REGISTERED)])
        await decides.commit()
        connection = await asyncpg.connect(database_url)
        await connection.execute(
            "INSERT INTO changes VALUES ('f-2', 1, 0, 0, $1, $1, 'grant.monthly', 'r', 'v', 10, 0, 10, '', $2, '[]')",
            FEBRUARY,
            "f-1/2026-02-10",
        )
        before = await connection.fetch("TABLE batches")
        with pytest.raises(OperatorNeeded, match=r"batch \d+ \(decision 2\): table changes, .*f-1/2026-02-10"):
            await decides.until(FEBRUARY + GRACE)
        assert await connection.fetch("TABLE batches") == before
        assert await connection.fetchval("SELECT balance FROM wallets WHERE freelancer_id = 'f-1'") == 40
        await connection.close()


async def test_connects_run_ends_with_one_line_that_says_what_was_refused_and_what_to_do(world: World) -> None:
    """Again and again, for as long as what is in the way is there; and then it goes on."""
    told = Told()
    await world.execute(
        "INSERT INTO changes VALUES"
        " ('f-9', 1, 1, 0, now(), now(), 'r', 'r', 'v', 1, 0, 1, 'not of this worker', NULL, '[]')"
    )
    await world.produce([told("connects-purchased", freelancer_id="f-1", purchase_id="b-1", connects=10)])
    for _ in range(2):
        worker = await world.connects_run(free_port())
        assert await worker.ended(40) == 1, worker.tail()
        assert worker.said("connects: PostgreSQL refused batch"), worker.tail()
        assert worker.said("table changes, constraint changes_by_decision: Key (decision_seq, ordinal)=(1, 0)")
        assert not worker.said("Traceback"), worker.tail()
        assert not worker.said("unexpectedly"), worker.tail()
        assert await world.value("SELECT count(*) FROM decisions") == 0
    await world.execute("ALTER TABLE changes DISABLE TRIGGER USER")
    await world.execute("DELETE FROM changes")
    await world.execute("ALTER TABLE changes ENABLE TRIGGER USER")
    await world.connects_run(free_port())
    await world.settled()
    assert await world.balance("f-1") == 10
