"""One writer at a time, whatever happens to it: against a real PostgreSQL, with real processes stopped and killed."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import asyncpg
import pytest

from tests.kit.processes import child
from tests.kit.proxy import proxied
from tests.kit.waiting import until_async
from worker.embedded.stack import LocalStack
from worker.errors import LeadershipLost, OperatorNeeded
from worker.ledger.connections import connect, store_session
from worker.ledger.leadership import LEASE_SECONDS, Leadership, guard
from worker.ledger.sql import load

REPLACED_SECONDS = 2.0
"""How long after a lease ran out somebody else leads at the latest."""
TAKEOVER_SECONDS = LEASE_SECONDS + REPLACED_SECONDS
LEASES = {"between": 0.9, "guarded": 0.9, "copying": LEASE_SECONDS, "before-commit": 0.9}
"""The points of a transaction at which a worker falls, and how long its lease lasts: one is as in production."""
SQL = load("leadership.sql")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@asynccontextmanager
async def a_worker(database_url: str, holder: str) -> AsyncIterator[Leadership]:
    leadership = Leadership(database_url, holder)
    try:
        yield leadership
    finally:
        await leadership.release()


@asynccontextmanager
async def a_writer(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database_url, store_session("a"))
    try:
        yield connection
    finally:
        connection.terminate()


async def add_a_row(connection: asyncpg.Connection, seq: int = 1) -> None:
    await connection.execute("INSERT INTO outbox VALUES ($1, gen_random_uuid(), now(), '')", seq)


async def rows(database: asyncpg.Connection) -> int:
    return await database.fetchval("SELECT count(*) FROM outbox")


async def somebody_waits_for(database: asyncpg.Connection, pid: int) -> bool:
    return await database.fetchval(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)))", pid
    )


async def test_the_first_worker_leads_a_fresh_ledger_immediately(
    database_url: str, database: asyncpg.Connection
) -> None:
    async with a_worker(database_url, "a") as a:
        assert await a.acquire() == 1
        assert a.epoch == 1
        assert a.ledger_id == await database.fetchval("SELECT ledger_id FROM leader")


async def test_a_lease_in_use_is_not_taken(database_url: str) -> None:
    async with a_worker(database_url, "a") as a, a_worker(database_url, "b") as b:
        await a.acquire()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(b.acquire(), timeout=4.5)  # longer than a lease that nobody renews
        assert not a.lost.is_set()
        assert await a.retake() == 2


async def test_a_graceful_stop_hands_the_lease_over_immediately(database_url: str) -> None:
    async with a_worker(database_url, "a") as a, a_worker(database_url, "b") as b:
        await a.acquire()
        waiting = asyncio.create_task(b.acquire())
        await a.release()
        assert await asyncio.wait_for(waiting, timeout=1.5) == 2


@pytest.mark.parametrize(("point", "lease"), LEASES.items())
async def test_a_killed_worker_is_replaced_within_two_seconds_of_its_lease(
    database_url: str, point: str, lease: float
) -> None:
    """In production that is five seconds."""
    async with (
        child("writer_program.py", database_url, "old", point, str(lease)) as old,
        a_worker(database_url, "new") as new,
    ):
        await old.says(f"at {point}")
        taking = asyncio.create_task(new.acquire())
        await old.kill()
        assert await asyncio.wait_for(taking, lease + REPLACED_SECONDS) == 2


@pytest.mark.parametrize(("point", "lease"), LEASES.items())
async def test_a_stopped_worker_is_replaced_in_time_and_can_write_nothing_afterwards(
    database_url: str, database: asyncpg.Connection, point: str, lease: float
) -> None:
    async with (
        child("writer_program.py", database_url, "zombie", point, str(lease)) as zombie,
        a_worker(database_url, "new") as new,
        a_writer(database_url) as writer,
    ):
        await zombie.says(f"at {point}")
        zombie.stop()
        epoch = await asyncio.wait_for(new.acquire(), lease + REPLACED_SECONDS)
        async with writer.transaction():
            await guard(writer, epoch)
            await add_a_row(writer, seq=1_000)

        zombie.go_on()
        await zombie.write("go on")
        await zombie.says("refused")
        await zombie.says("lost")
        assert await database.fetch("SELECT outbox_seq FROM outbox") == [(1_000,)]
        assert not new.lost.is_set()


async def test_a_takeover_lets_a_commit_under_way_finish(database_url: str, database: asyncpg.Connection) -> None:
    async with a_worker(database_url, "a") as a, a_worker(database_url, "b") as b, a_writer(database_url) as writer:
        epoch = await a.acquire()
        transaction = writer.transaction()
        await transaction.start()
        await guard(writer, epoch)
        await add_a_row(writer)
        await database.execute("UPDATE leader SET lease_until = '-infinity'")
        taking = asyncio.create_task(b.acquire())
        await until_async(lambda: somebody_waits_for(database, writer.get_server_pid()))
        await transaction.commit()
        assert await taking == 2
        assert await rows(database) == 1
        with pytest.raises(LeadershipLost):
            async with writer.transaction():
                await guard(writer, epoch)


async def test_renewal_does_not_wait_for_batches_and_takeover_does(
    database_url: str, database: asyncpg.Connection
) -> None:
    async with a_writer(database_url) as writer, writer.transaction():
        await guard(writer, 0)
        await database.execute("SET lock_timeout = '200ms'")
        assert await database.fetchval(SQL["renew"], 0, 3.0) == 0
        await database.execute("UPDATE leader SET lease_until = '-infinity'")
        with pytest.raises(asyncpg.LockNotAvailableError):
            await database.fetchrow(SQL["take_over"], 0, "b", 3.0)


async def test_two_standbys_waiting_for_one_stopped_writer_do_not_end_each_other(
    database_url: str, database: asyncpg.Connection
) -> None:
    async with (
        child("writer_program.py", database_url, "zombie", "guarded") as zombie,
        a_worker(database_url, "b") as b,
        a_worker(database_url, "c") as c,
    ):
        await zombie.says("at guarded")
        zombie.stop()
        await database.execute("UPDATE leader SET lease_until = '-infinity'")
        standbys = {asyncio.create_task(b.acquire()), asyncio.create_task(c.acquire())}
        done, waiting = await asyncio.wait(standbys, timeout=TAKEOVER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        assert [task.result() for task in done] == [2]
        for task in waiting:
            task.cancel()


async def test_retaking_ends_our_own_unanswered_transaction(database_url: str, database: asyncpg.Connection) -> None:
    async with a_worker(database_url, "a") as a, a_writer(database_url) as writer:
        epoch = await a.acquire()
        transaction = writer.transaction()
        await transaction.start()
        await guard(writer, epoch)
        await add_a_row(writer)
        assert await asyncio.wait_for(a.retake(), timeout=3) == epoch + 1
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)):
            await transaction.commit()
        assert await rows(database) == 0
        assert not a.lost.is_set()


async def test_retaking_after_a_retake_whose_answer_was_lost(database_url: str, database: asyncpg.Connection) -> None:
    async with a_worker(database_url, "a") as a:
        await a.acquire()
        await database.execute("UPDATE leader SET epoch = epoch + 1")
        assert await a.retake() == 3
        assert not a.lost.is_set()


async def test_retaking_an_epoch_that_is_somebody_elses_is_refused(
    database_url: str, database: asyncpg.Connection
) -> None:
    async with a_worker(database_url, "a") as a:
        await a.acquire()
        await database.execute("UPDATE leader SET epoch = epoch + 1, holder = 'b'")
        with pytest.raises(LeadershipLost, match="b holds the ledger"):
            await a.retake()
        assert a.lost.is_set()


async def test_a_worker_learns_from_its_renewal_that_another_one_leads(
    database_url: str, database: asyncpg.Connection
) -> None:
    async with a_worker(database_url, "a") as a:
        await a.acquire()
        await database.execute("UPDATE leader SET epoch = epoch + 1, holder = 'b'")
        await asyncio.wait_for(a.lost.wait(), timeout=2.5)


async def test_a_worker_cut_off_from_the_database_gives_up_before_its_lease_runs_out_there(
    database_url: str, database: asyncpg.Connection
) -> None:
    async with proxied(database_url) as (proxy, url), a_worker(url, "a") as a:
        await a.acquire()
        proxy.cut()
        await asyncio.wait_for(a.lost.wait(), timeout=3.5)
        left = await database.fetchval("SELECT extract(epoch FROM lease_until - clock_timestamp()) FROM leader")
        assert left > -0.2  # the clocks of two processes on a busy machine
        proxy.mend()
        assert await a.retake() == 2
        assert not a.lost.is_set()


@pytest.mark.own_servers
async def test_a_restart_of_the_database_shorter_than_the_lease_goes_unnoticed(
    stack: LocalStack, database_url: str
) -> None:
    async with a_worker(database_url, "a") as a:
        epoch = await a.acquire()
        await asyncio.to_thread(stack.restart_postgres)
        if a.lost.is_set():  # a slow machine
            epoch = await a.retake() - 1
        assert a.epoch in {epoch, epoch + 1}
        async with a_writer(database_url) as writer, writer.transaction():
            await guard(writer, a.epoch)


async def test_a_database_that_was_not_migrated_says_what_to_do(stack: LocalStack) -> None:
    async with a_worker(stack.create_database("not_migrated"), "a") as a:
        with pytest.raises(OperatorNeeded, match="connects migrate"):
            await a.acquire()


async def test_a_storm_of_leaders_writes_one_history(database_url: str, database: asyncpg.Connection) -> None:
    """Four writers; the one that leads is killed, or stopped and let go on later, again and again."""
    seed = int.from_bytes(os.urandom(4))
    random = Random(seed)

    async def written_since(epoch: int) -> bool:
        newest = "SELECT max(convert_from(messages, 'UTF8')::bigint) FROM outbox"
        return (await database.fetchval(newest) or 0) > epoch

    async with AsyncExitStack() as processes:

        async def start(number: int):  # noqa: ANN202 - a child of the stack
            return await processes.enter_async_context(
                child("writer_program.py", database_url, f"w{number}", "forever")
            )

        workers = {f"w{number}": await start(number) for number in range(4)}
        stopped: list[str] = []
        epoch = 0
        for turn in range(4):
            began = time.monotonic()
            await until_async(lambda: written_since(epoch))  # noqa: B023 - awaited within the turn
            if turn:
                assert time.monotonic() - began < TAKEOVER_SECONDS + 0.5, seed  # the first commit takes a moment, too
            row = await database.fetchrow("SELECT epoch, holder FROM leader")
            epoch, leader = row["epoch"], row["holder"].partition("/")[0]
            while stopped:
                zombie = stopped.pop()
                workers[zombie].go_on()
                await workers[zombie].says("refused")
                workers[zombie] = await start(int(zombie[1:]))
            if random.random() < 0.5:
                await workers[leader].kill()
                workers[leader] = await start(int(leader[1:]))
            else:
                workers[leader].stop()
                stopped.append(leader)
        epochs = [
            int(row["messages"]) for row in await database.fetch("SELECT messages FROM outbox ORDER BY outbox_seq")
        ]
        assert epochs == sorted(epochs), seed
        assert len(set(epochs)) >= 4, seed
