"""A leader that makes no progress while records wait is a problem, whatever its lease says; one at work is not."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tests.kit.waiting import until_async
from worker.ledger.connections import COMMAND_SESSION, connect
from worker.queries import progress
from worker.queries.progress import standstill


async def a_history(connection: asyncpg.Connection, epoch: int, batches: list[tuple[int, int, float]]) -> None:
    """Batches, each by its epoch, the last decision then, and how many seconds ago; `epoch` is the leader's."""
    now = datetime.now(UTC)
    await connection.execute(
        "UPDATE leader SET epoch = $1, holder = 'w1', lease_until = clock_timestamp() + interval '1 h'", epoch
    )
    for number, (of_epoch, last_seq, seconds) in enumerate(batches, start=1):
        await connection.execute(
            "INSERT INTO batches (batch_no, epoch, last_seq, chain_head, recorded_at, log_size, log_peaks)"
            " VALUES ($1, $2, $3, '', $4, 0, '')",
            *(number, of_epoch, last_seq, now - timedelta(seconds=seconds)),
        )


WELL = {
    "it has just written": (3, [(2, 10, 4000), (3, 10, 9)]),
    "it has just taken the ledger": (3, [(2, 10, 4000), (3, 10, 1)]),
    "workers were restarted some time ago": (5, [(2, 10, 900), (3, 10, 800), (4, 10, 700), (5, 10, 8)]),
    "each leader decided something": (5, [(3, 10, 30), (4, 11, 20), (5, 12, 5)]),
}
STUCK = {
    "it has written nothing for long": (
        3,
        [(3, 10, 45)],
        "the leader w1 does not get on: it has written nothing for 4",
    ),
    "nobody ever wrote anything": (1, [], "the leader w1 does not get on, though 7 records wait"),
    "each leader only begins": (
        6,
        [(3, 10, 9), (4, 10, 6), (5, 10, 3), (6, 10, 1)],
        "the ledger was taken 3 times, last by w1, and nothing was decided, though 7 records wait",
    ),
    "no leader can write": (9, [(3, 10, 15)], "the ledger was taken 6 times, last by w1, and nothing was decided"),
}


@pytest.mark.parametrize("what", WELL)
async def test_a_leader_at_work_is_no_problem(database_url: str, what: str) -> None:
    connection = await connect(database_url, COMMAND_SESSION)
    await a_history(connection, *WELL[what])
    assert await standstill(connection, 7, "w1") is None
    connection.terminate()


@pytest.mark.parametrize("what", STUCK)
async def test_a_leader_that_does_not_get_on_is_a_problem_if_records_wait(database_url: str, what: str) -> None:
    epoch, batches, words = STUCK[what]
    connection = await connect(database_url, COMMAND_SESSION)
    await a_history(connection, epoch, batches)
    shown = await standstill(connection, 7, "w1")
    assert shown is not None
    assert shown.startswith(words)
    assert "/health/ready" in shown
    assert await standstill(connection, 0, "w1") is None, "nothing waits for it"
    connection.terminate()


async def has_looked(database: asyncpg.Connection) -> bool:
    here = "datname = current_database()"
    asked = "application_name = 'connects-command' AND query LIKE '-- Where the ledger is%'"
    return await database.fetchval(f"SELECT count(*) FROM pg_stat_activity WHERE {here} AND {asked}") > 0  # noqa: S608


@pytest.mark.parametrize("moved", ["UPDATE batches SET last_seq = last_seq + 1", "a position"])
async def test_a_worker_whose_clock_is_behind_is_watched_before_anything_is_said(
    database_url: str, monkeypatch: pytest.MonkeyPatch, moved: str
) -> None:
    """By its clock its last batch is old; but it decides, or reads on."""
    monkeypatch.setattr(progress, "_WATCHED_SECONDS", 60)  # it ends when the ledger moves
    connection, worker = await connect(database_url, COMMAND_SESSION), await asyncpg.connect(database_url)
    await a_history(connection, 3, [(3, 10, 50)])
    if moved == "a position":
        moved = "INSERT INTO positions (topic, partition, incarnation, next_offset) VALUES ('job-closed', 0, 0, 5)"
    asking = asyncio.create_task(standstill(connection, 7, "w1"))
    await until_async(lambda: has_looked(worker))
    await worker.execute(moved)
    assert await asking is None
    connection.terminate()
    worker.terminate()
