"""A limit on the connections of a role, a database or a server: the worker needs few, and says what it lacks."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.kit.clusters import a_cluster
from tests.kit.histories import History
from tests.kit.http import ask, free_port
from tests.kit.invariants import check_everything
from tests.kit.produce import by_key
from tests.kit.waiting import until, until_async
from tests.kit.world import PARTITIONS, Events, World
from worker.errors import Transient, UsageError
from worker.ledger.budget import LEAST, MOST_BY_DEFAULT, STANDBY
from worker.ledger.connections import COMMAND_SESSION, Connection, connect
from worker.ledger.migrate import migrate
from worker.ledger.pool import Pool, Purpose
from worker.ledger.slots import NoSlot, require_slots

pytestmark = pytest.mark.in_turn

LOOK_SECONDS: Final = 0.01


class Role:
    """A role that the worker connects as, with a limit."""

    def __init__(self, owner: asyncpg.Connection, name: str, url: str) -> None:
        self._owner, self.name, self.url = owner, name, url

    async def may_have(self, connections: int) -> None:
        await self._owner.execute(f"ALTER ROLE {self.name} CONNECTION LIMIT {connections}")

    async def end(self, pid: int) -> None:
        await self._owner.execute("SELECT pg_terminate_backend($1)", pid)

    async def has(self) -> int:
        count: int = await self._owner.fetchval("SELECT count(*) FROM pg_stat_activity WHERE usename = $1", self.name)
        return count


@pytest.fixture
async def role(database_url: str) -> AsyncIterator[Role]:
    owner = await asyncpg.connect(database_url)
    parts = urlsplit(database_url)
    name = f"{parts.path[1:]}_worker"
    await owner.execute(f"CREATE ROLE {name} LOGIN")
    url = parts._replace(netloc=f"{name}@{parts.hostname}:{parts.port}").geturl()
    await migrate(database_url, worker_url=url)
    yield Role(owner, name, url)
    await owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", name)
    await owner.execute(f"DROP OWNED BY {name}")
    await owner.execute(f"DROP ROLE {name}")
    await owner.close()


@asynccontextmanager
async def others(role: Role, count: int) -> AsyncIterator[list[asyncpg.Connection]]:
    """Other programs that use the role."""
    async with AsyncExitStack() as ends:
        held = [await asyncpg.connect(role.url) for _ in range(count)]
        for connection in held:
            ends.callback(connection.terminate)
        yield held


def events_of_every_kind(send: Events) -> None:
    for number in range(20):
        who = f"f-{number}"
        send("freelancer-registered", freelancer_id=who)
        send("membership-plan-chosen", freelancer_id=who, plan="plus")
        about = {"freelancer_id": who, "job_id": f"j-{who}", "proposal_id": f"p-{who}"}
        send("proposal-submitted", **about, connects=2, origin="proposal")
        send("job-closed", job_id=f"j-{who}", client_id="c", closure="closed-by-client")
        send("badge-earned", freelancer_id="")


@pytest.mark.parametrize("limit", [MOST_BY_DEFAULT, LEAST])
async def test_few_connections_are_enough_whatever_the_batch_holds(world: World, role: Role, limit: int) -> None:
    """Those who read take turns; one leadership, and readiness 200."""
    await role.may_have(limit)
    send = Events()
    events_of_every_kind(send)
    await world.produce(send.messages)
    port = free_port()
    worker = await world.connects_run(port, database_url=role.url)
    await world.settled()
    await world.produce([send("connects-purchased", freelancer_id="f-1", purchase_id="b-1", connects=10)])
    await world.settled()
    assert worker.runs
    assert await world.value("SELECT epoch FROM leader") == 1
    assert not worker.said("recovering"), worker.tail()
    assert (await ask(port, "/health/ready"))[0] == HTTPStatus.OK
    assert await world.value("SELECT count(*) FROM dead_letters WHERE sent_at IS NULL") == 0
    await check_everything(world, model=False)


@pytest.mark.parametrize("setting", [None, LEAST])
async def test_a_leader_and_a_standby_have_no_more_connections_than_operators_are_shown(
    world: World, role: Role, setting: int | None
) -> None:
    """In a catch-up, live, and over a takeover of a worker that was stopped."""
    most = setting or MOST_BY_DEFAULT
    given = {} if setting is None else {"CONNECTS_MAX_DATABASE_CONNECTIONS": str(setting)}
    found = {"alone": 0, "with a standby": 0}
    phase = "alone"

    async def count() -> None:
        while True:
            found[phase] = max(found[phase], await role.has())
            await asyncio.sleep(LOOK_SECONDS)

    counting = asyncio.create_task(count())
    history = History(seed=16, freelancers=60, jobs=200, events=3_000)
    await world.produce(history[:2_500], by_key(PARTITIONS))
    await world.connects_run(free_port(), database_url=role.url, **given)
    await world.settled()
    phase = "with a standby"
    standby = await world.connects_run(free_port(), database_url=role.url, **given)
    await until(lambda: standby.said("http.listening"))
    await world.produce(history[2_500:], by_key(PARTITIONS))
    await world.settled()
    counting.cancel()
    assert 0 < found["alone"] <= most
    assert found["alone"] >= LEAST - 1
    assert found["with a standby"] <= most + STANDBY


@pytest.mark.parametrize("limit", [LEAST - 1, 1])
async def test_a_limit_that_is_too_low_is_refused_before_the_ledger_is_taken(
    world: World, role: Role, limit: int
) -> None:
    await role.may_have(limit)
    worker = await world.connects_run(free_port(), database_url=role.url)
    assert await worker.ended(20) == 2, worker.tail()
    assert worker.said(f"connects: DATABASE_URL: the limit of the role {role.name} (ALTER ROLE"), worker.tail()
    assert worker.said(f"allows {limit} connections, and a worker needs at least {LEAST}"), worker.tail()
    assert await world.value("SELECT epoch FROM leader") == 0


async def test_a_databases_limit_is_refused_likewise(world: World, role: Role) -> None:
    name = await world.value("SELECT current_database()")
    await world.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 4")
    worker = await world.connects_run(free_port(), database_url=role.url)
    assert await worker.ended(20) == 2, worker.tail()
    assert worker.said(f"the limit of the database {name} (ALTER DATABASE"), worker.tail()
    assert worker.said("allows 4 connections"), worker.tail()


async def test_a_servers_limit_is_refused_likewise() -> None:
    with a_cluster(15, max_connections="8") as cluster:
        owner = await asyncpg.connect(cluster.url())
        await owner.execute("CREATE ROLE worker LOGIN")
        await owner.close()
        connection = await connect(cluster.url(role="worker"), COMMAND_SESSION)
        with pytest.raises(UsageError, match=r"the server \(max_connections\) allows 5 connections"):
            await require_slots(connection)
        connection.terminate()


async def test_slots_that_others_have_are_waited_for_and_used_when_they_become_free(world: World, role: Role) -> None:
    """Readiness stays 503 meanwhile, the log says once what is lacking, and `status` shows it."""
    await role.may_have(9)
    send = Events()
    events_of_every_kind(send)
    await world.produce(send.messages)
    port = free_port()
    connects = world.asking()
    async with others(role, 6) as held:
        worker = await world.connects_run(port, database_url=role.url)

        async def lacks_connections() -> bool:
            return "connection" in (await ask(port, "/health/ready"))[1]

        await until_async(lacks_connections)
        ready = [await ask(port, "/health/ready") for _ in range(20) if not await asyncio.sleep(0.1)]
        assert {code for code, _ in ready} == {HTTPStatus.SERVICE_UNAVAILABLE}
        (problem,) = json.loads(ready[-1][1])["problems"]
        assert "needs at least 6" in problem
        assert "the role's limit" in problem
        status = await connects("status --json")
        assert status.code == 1
        assert f"All 9 connections of the role {role.name} are in use" in " ".join(status.problems)
        assert worker.log.read_text().count("needs at least 6") == 1, worker.tail()
        assert await world.value("SELECT epoch FROM leader") == 1, "it does not take the ledger again and again"
        for connection in held:
            connection.terminate()
        await world.settled()
    assert worker.runs
    assert await world.value("SELECT epoch FROM leader") == 1
    await world.comes_true(connects.is_well)


async def nothing(_purpose: Purpose, _connection: Connection) -> None:
    """Prepare nothing."""


async def test_readers_are_given_up_for_what_a_leader_cannot_do_without(role: Role) -> None:
    """Another program takes the slot of a connection that broke."""
    await role.may_have(7)
    pool = Pool(role.url, "a test", 10, nothing)

    async def used(purpose: Purpose, seconds: float = 0.0) -> int:
        async with pool.use(purpose) as connection:
            pid: int = await connection.fetchval("SELECT pg_backend_pid() FROM pg_sleep($1)", seconds)
        return pid

    async def has(count: int) -> bool:
        return await role.has() == count

    await pool.open()
    await asyncio.gather(*(used("reader", 0.3) for _ in range(6)))
    await until_async(lambda: has(6))  # four readers were possible; one was given up, so that one slot is to spare
    letters = await used("letters")
    async with others(role, 1):
        await role.end(letters)
        await until_async(lambda: has(6))
        async with others(role, 1):

            async def has_letters_again() -> bool:
                with suppress(Transient):  # it notices only now that its connection has ended
                    return await used("letters") != letters
                return False

            await until_async(has_letters_again)
            for purpose in ("writer", "relay", "reader"):
                await used(purpose)
            assert await role.has() == 7
    pool.close()


async def test_without_any_slot_it_is_said_how_many_it_has_and_needs(role: Role) -> None:
    await role.may_have(2)
    pool = Pool(role.url, "a test", 10, nothing)
    async with others(role, 1), pool.use("writer"):
        with pytest.raises(NoSlot, match=r"has 2 and needs at least 6: too many connections for role"):
            async with pool.use("reader"):
                raise AssertionError("there was a slot")
    pool.close()
