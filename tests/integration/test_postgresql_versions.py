"""PostgreSQL of other major versions than the embedded one: 14 to 18 work, an older one is refused in one line."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from tests.kit.clusters import Cluster, a_cluster
from tests.kit.histories import History
from tests.kit.http import free_port
from tests.kit.invariants import check_by_verify, check_everything
from tests.kit.processes import child
from tests.kit.produce import by_key
from tests.kit.proxy import place_of, through
from tests.kit.waiting import until, until_async
from tests.kit.world import PARTITIONS, World, a_world
from worker.embedded.stack import LocalStack
from worker.errors import UsageError
from worker.ledger.connections import COMMAND_SESSION, Session, connect, store_session
from worker.ledger.leadership import Leadership
from worker.ledger.migrate import migrate

pytestmark = pytest.mark.in_turn

VERSIONS: Final = (14, 15, 16, 17)
OTHER_DEFAULTS: Final = {
    "timezone": "Pacific/Auckland",
    "datestyle": "German, DMY",
    "intervalstyle": "sql_standard",
    "bytea_output": "escape",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
}
"""What an administrator may have set for all, and the worker must not lean on."""
LETS_GO_SECONDS: Final = 30
TAKEOVER_SECONDS: Final = 5.0


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda version: f"PostgreSQL {version}")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with a_cluster(request.param, **OTHER_DEFAULTS) as cluster:
        yield cluster


@pytest.fixture
async def ledger(cluster: Cluster) -> str:
    """A migrated, empty ledger there."""
    name = f"ledger_{uuid.uuid4().hex[:12]}"
    owner = await asyncpg.connect(cluster.url())
    await owner.execute(f"CREATE DATABASE {name}")
    await owner.close()
    await migrate(cluster.url(name))
    return cluster.url(name)


async def test_the_ledger_lives_there(stack: LocalStack, ledger: str, tmp_path: Path, prefix: str) -> None:
    """Migrated, led, taken over after a kill, asked; whatever defaults the server has."""
    async with a_world(stack, tmp_path, ledger, prefix) as world:
        await world.produce(History(seed=15, freelancers=30, jobs=60, events=900), by_key(PARTITIONS))
        first = await world.worker(batch_size=100, kill_at="before-commit:4")
        await world.leads(first)
        second = await world.worker(batch_size=100)
        await first.died_at("before-commit")
        await world.settled()
        assert second.runs, second.tail()
        await check_everything(world)
        await check_by_verify(world)
        connects = world.asking()
        asked = {"migrate": 0, "status": 0, "history nobody": 1, "history f-1": 0, "positions list": 0}
        for command, code in asked.items():
            shown = await connects(command)
            assert shown.code == code, f"connects {command}: {shown.code}\n{shown.text}"
        third = await world.connects_run(free_port())
        await second.kill()

        async def another_one_leads() -> bool:
            assert third.runs, third.tail()
            return await world.holder() not in {"", await world.value("SELECT holder FROM leader WHERE epoch = 2")}

        await world.comes_true(another_one_leads)
        await until(lambda: third.said("relay.open"))


async def test_settings_that_a_server_does_not_know_are_left_out_and_all_others_are_made(ledger: str) -> None:
    session = store_session("a test")
    connection = await connect(ledger, session)
    rows = await connection.fetch("SELECT name, setting, source FROM pg_settings")
    known = {row["name"]: row["source"] for row in rows}
    left_out = session.settings.keys() - known.keys()
    assert left_out == ({"transaction_timeout"} if connection.get_server_version().major < 17 else set())
    assert {known[name] for name in session.settings if name not in left_out} == {"session"}
    assert await connection.fetchval("SHOW application_name") == "connects-writer:a test"
    assert await connection.fetchval("SHOW statement_timeout") == "20s"
    connection.terminate()


@pytest.mark.parametrize("session", [store_session("a test"), COMMAND_SESSION], ids=["batches", "questions"])
async def test_no_session_has_statements_compiled(ledger: str, session: Session) -> None:
    """A server with LLVM compiles what it believes to cost much: each batch would take seconds."""
    connection = await connect(ledger, session)
    assert await connection.fetchval("SELECT boot_val FROM pg_settings WHERE name = 'jit'") == "on"
    assert await connection.fetchval("SHOW jit") == "off"
    connection.terminate()


@pytest.mark.parametrize("point", ["guarded", "before-commit"])
async def test_a_writer_that_is_stopped_in_a_transaction_lets_go_by_itself(ledger: str, point: str) -> None:
    """Nobody takes over; the server ends its transaction, whether or not it knows of `transaction_timeout`."""
    async with child("writer_program.py", ledger, "stopped", point) as writer, looking(ledger) as database:
        await writer.says(f"at {point}")
        writer.stop()
        stopped = time.monotonic()
        await until_async(lambda: is_free(database), LETS_GO_SECONDS)
        assert time.monotonic() - stopped < LETS_GO_SECONDS
        writer.go_on()
        await writer.write("go on")
        await writer.says("refused")
        assert await database.fetchval("SELECT count(*) FROM outbox") == 0


@pytest.mark.parametrize("point", ["guarded", "copying", "before-commit"])
async def test_a_writer_that_is_stopped_in_a_transaction_is_replaced_in_time(ledger: str, point: str) -> None:
    async with child("writer_program.py", ledger, "zombie", point) as zombie:
        await zombie.says(f"at {point}")
        zombie.stop()
        new = Leadership(ledger, "new")
        assert await asyncio.wait_for(new.acquire(), TAKEOVER_SECONDS) == 2
        await new.release()


@asynccontextmanager
async def looking(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, server_settings={"lock_timeout": "200ms"})
    try:
        yield connection
    finally:
        connection.terminate()


async def is_free(database: asyncpg.Connection) -> bool:
    """Whether a takeover would get the leader's row."""
    try:
        await database.execute("SELECT FROM leader FOR UPDATE")
    except asyncpg.LockNotAvailableError:
        return False
    return True


# Older ones.


class Announcing:
    """A proxy before a server that announces another version: nothing else of an older server matters here."""

    def __init__(self, url: str, version: str) -> None:
        self._target, self._version = place_of(url), version.encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)

        async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, *, rewrite: bool) -> None:
            while data := await source.read(65_536):
                target.write(self._rewritten(data) if rewrite else data)
                await target.drain()
            target.close()

        sides = (pass_on(reader, there_writer, rewrite=False), pass_on(there_reader, writer, rewrite=True))
        await asyncio.gather(*sides, return_exceptions=True)

    def _rewritten(self, data: bytes) -> bytes:
        name = b"server_version\0"
        begin = data.find(name)
        if begin < 0:
            return data
        begin += len(name)
        end = data.index(b"\0", begin)
        return data[:begin] + self._version.ljust(end - begin)[: end - begin] + data[end:]


@pytest.mark.parametrize("version", ["13.9", "9.6"])
async def test_an_older_server_is_refused_in_one_line_before_anything_is_changed(
    stack: LocalStack, world: World, version: str
) -> None:
    empty = stack.create_database(f"empty_{uuid.uuid4().hex[:12]}")
    async with through(Announcing(empty, version).serve, empty) as url:
        shown = await world.asking(url)("migrate")
        assert shown.code == 2, shown
        assert shown.err == (
            f"connects: DATABASE_URL: the server is PostgreSQL {version}, which is too old for a ledger. "
            "Use PostgreSQL 14 to 18.\n"
        )
    made = await asyncpg.connect(empty)
    assert await made.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == 0
    await made.close()
    async with through(Announcing(world.database_url, version).serve, world.database_url) as url:
        for command in ("run", "status", "history f-1"):
            shown = await world.asking(url)(command)
            assert (shown.code, len(shown.err.splitlines())) == (2, 1), shown
            assert f"PostgreSQL {version}" in shown.err
        with pytest.raises(UsageError):
            await Leadership(url, "a test").acquire()
    assert await world.value("SELECT epoch FROM leader") == 0, "nobody took the ledger"
