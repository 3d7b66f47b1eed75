"""PgBouncer between the worker and PostgreSQL, with the pooler's default settings."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import pytest

from tests.kit.clusters import a_pooler
from tests.kit.http import ask, free_port
from tests.kit.invariants import check_everything
from tests.kit.processes import child
from tests.kit.waiting import until_async
from tests.kit.world import Events, World
from worker.errors import UsageError
from worker.ledger.connections import COMMAND_SESSION, connect, store_session
from worker.ledger.leadership import Leadership

pytestmark = pytest.mark.in_turn

THREE = ("migrate", "run", "status")
OTHERS = (
    *("history f-1", "explain --freelancer f-1", "parked list", "positions list", "dead-letters list", "relay show"),
    "parked release wallet f-1",
)


@pytest.fixture
async def pooled(database_url: str) -> AsyncIterator[str]:
    """The ledger through a pooler that pools by session."""
    with a_pooler(database_url, "session") as url:
        yield url


async def test_a_worker_leads_decides_and_publishes_through_a_pooler_by_session(world: World, pooled: str) -> None:
    begun = time.monotonic()
    worker = await world.worker(database_url=pooled)
    await world.leads(worker)
    assert worker.runs
    send = Events()
    await world.produce([send("freelancer-registered", freelancer_id="f-1")])
    await world.settled()
    assert await world.balance("f-1") == 40
    connects = world.asking(pooled)
    assert (await connects("migrate")).code == 0
    assert (await connects("history f-1 --json")).json["balance"] == 40
    await world.comes_true(connects.is_well)
    assert not worker.said("database_away"), worker.tail()
    names = await world.rows(
        "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()"
    )
    assert {f"connects-writer:{worker.holder}/writer"} <= {row[0] for row in names}
    assert time.monotonic() - begun < 60
    await check_everything(world)


@pytest.mark.parametrize("point", ["guarded", "copying"])
async def test_a_stopped_worker_behind_a_pooler_is_replaced_in_time(pooled: str, point: str) -> None:
    """Its backend is ended: the pooler reports another pid to the driver than the backend's."""
    async with AsyncExitStack() as ends:
        zombie = await ends.enter_async_context(child("writer_program.py", pooled, "zombie", point))
        await zombie.says(f"at {point}")
        zombie.stop()
        new = Leadership(pooled, "new")
        ends.push_async_callback(new.release)
        assert await asyncio.wait_for(new.acquire(), 6) == 2
        zombie.go_on()
        await zombie.write("go on")
        await zombie.says("refused")


async def test_a_session_leaves_no_setting_behind_for_the_next_client(pooled: str) -> None:
    connection = await connect(pooled, store_session("a test"))
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    assert await connection.fetchval("SHOW enable_seqscan") == "off"
    await connection.close(timeout=5)

    async def another_client_has_its_server() -> bool:
        other = await asyncpg.connect(pooled)
        try:
            if await other.fetchval("SELECT pg_backend_pid()") != pid:
                return False
            for name, value in (("enable_seqscan", "on"), ("lock_timeout", "0"), ("connects.session", "")):
                assert (await other.fetchval("SELECT current_setting($1, true)", name) or "") == value, name
        finally:
            await other.close(timeout=5)
        return True

    await until_async(another_client_has_its_server)


@pytest.mark.parametrize(
    ("mode", "commands"), [("transaction", (*THREE, *OTHERS, *THREE)), ("statement", (*THREE, *THREE))]
)
async def test_every_command_refuses_a_pooler_that_shares_sessions_every_time(
    world: World, mode: str, commands: tuple[str, ...]
) -> None:
    with a_pooler(world.database_url, mode) as url:
        connects = world.asking(url)
        for command in commands:
            shown = await connects(command)
            assert shown.code == 2, (command, shown)
            (line,) = shown.err.splitlines()
            assert line.startswith(f"connects: DATABASE_URL: the pooler before PostgreSQL pools by {mode}"), line
            assert "session" in line
    assert await world.value("SELECT epoch FROM leader") == 0, "nobody took the ledger"
    assert await world.value("SELECT count(*) FROM commands") == 0


async def test_migrate_names_the_setting_that_it_used(world: World) -> None:
    with a_pooler(world.database_url, "transaction") as url:
        connects = world.asking(CONNECTS_MIGRATE_URL=url)
        shown = await connects("migrate")
    assert shown.code == 2
    assert shown.err.startswith("connects: CONNECTS_MIGRATE_URL: the pooler"), shown.err


async def test_other_clients_of_the_pooler_do_not_hide_how_it_pools(database_url: str) -> None:
    """They take and return servers all the time."""
    with a_pooler(database_url, "transaction") as url:
        clients = [await asyncpg.connect(url, statement_cache_size=0) for _ in range(4)]

        async def work(client: asyncpg.Connection) -> None:
            while True:
                async with client.transaction():
                    await client.execute("SELECT pg_sleep(0.003)")

        working = [asyncio.create_task(work(client)) for client in clients]
        try:
            for _ in range(25):
                with pytest.raises(UsageError, match="pools by transaction"):
                    await connect(url, COMMAND_SESSION)
        finally:
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)
            for client in clients:
                client.terminate()


async def test_a_pool_without_a_free_server_is_no_reason_to_refuse(database_url: str) -> None:
    """By session each client has its own: the second connection of the check then waits in vain, and not for long."""
    with a_pooler(database_url, "session", default_pool_size="1") as url:
        connection = await asyncio.wait_for(connect(url, COMMAND_SESSION), 8)
        assert await connection.fetchval("SELECT 1") == 1
        connection.terminate()


@pytest.mark.parametrize("size", ["8", "6"])
async def test_a_small_pool_makes_reading_slower_and_nothing_else(world: World, size: str) -> None:
    """The pooler refuses nothing: it lets its clients wait for a server. The readers make do with fewer then."""
    send = Events()
    for number in range(30):
        about = {"freelancer_id": f"f-{number}", "job_id": "j-1", "proposal_id": f"p-{number}"}
        send("freelancer-registered", freelancer_id=f"f-{number}")
        send("proposal-submitted", **about, connects=2, origin="proposal")
    await world.produce(send.messages)
    with a_pooler(world.database_url, "session", default_pool_size=size) as url:
        worker = await world.worker(database_url=url)
        await world.settled()
        assert not worker.said("recovering"), worker.tail()
        assert await world.value("SELECT epoch FROM leader") == 1
        await worker.kill()


async def test_a_pool_that_is_too_small_is_named_and_the_ledger_not_taken_again_and_again(world: World) -> None:
    port = free_port()
    with a_pooler(world.database_url, "session", default_pool_size="3") as url:
        worker = await world.connects_run(port, database_url=url)

        async def problem() -> bool:
            return "default_pool_size" in (await ask(port, "/health/ready"))[1]

        await until_async(problem)
        assert worker.runs
        assert await world.value("SELECT epoch FROM leader") == 1
        assert worker.said("needs at least 6"), worker.tail()
        await worker.kill()


async def test_a_parameter_that_the_pooler_refuses_is_not_a_database_that_is_away(world: World) -> None:
    with a_pooler(world.database_url, "session") as url:
        connects = world.asking(f"{url}?search_path=public")
        for command in ("migrate", "run", "status"):
            shown = await connects(command)
            assert shown.code == 2, (command, shown)
            (line,) = shown.err.splitlines()
            assert "DATABASE_URL" in line
            assert "search_path" in line
            assert "away" not in line
